"""Agents of other classes: teachable ones, societies, composites of the user, and tools inside of a model client."""

from __future__ import annotations

import asyncio
import copy
import pickle
from functools import partial
from typing import Any

import autogen
import pytest
from autogen.agentchat.contrib.capabilities.agent_capability import AgentCapability
from autogen_support import (
    ALLOW_ALL,
    EXECUTOR,
    MODERN,
    OLD,
    PLANNER,
    TOKENS,
    FakeAct,
    assistant,
    chat,
    group,
    person,
    script,
    texts,
)

from act.integrations.autogen import ActGuard, UnprotectedAgent

pytestmark = pytest.mark.timeout(180)

TASK = ("execute_task", {"task_id": "t-1"})


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def give(ran: list[str], caller: Any, executor: Any) -> None:
    def execute_task(task_id: str) -> str:
        ran.append(task_id)
        return f"done {task_id}"

    autogen.register_function(execute_task, caller=caller, executor=executor, description="Run")


# --- teachable agents -------------------------------------------------------------------------------------------------


class Memory(AgentCapability):
    """As AutoGen's `Teachability`: puts what it remembers into the message that the agent's model reads."""

    def add_to_agent(self, agent: Any) -> None:
        agent.register_hook("process_last_received_message", lambda text: f"{text}\n# Memos\nThe sky is blue.")


@pytest.mark.parametrize("first", ["teach", "protect"])
@pytest.mark.parametrize("allowed", [False, True])
def test_a_teachable_agent_is_guarded_and_found_as_the_requester(mode: str, first: str, allowed: bool) -> None:
    ran: list[str] = []
    act = FakeAct(ALLOW_ALL if allowed else [("*", "message", "*")])
    user, planner = person(), assistant("Planner")
    if first == "teach":
        Memory().add_to_agent(planner)
    give(ran, planner, user)
    ActGuard(act, TOKENS).protect(user, planner)
    if first == "protect":
        Memory().add_to_agent(planner)
    seen = script(planner, TASK)
    chat(mode, user, planner, max_turns=3)
    assert bool(ran) is allowed
    assert [(ask.agent, ask.requester) for ask in act.about()] == [(PLANNER, PLANNER)]
    assert "The sky is blue" in texts(seen) or (OLD and mode == "async")  # which runs no hooks


class Careful(autogen.AssistantAgent):
    """A subclass with methods of its own in the places where the guard stands."""

    def execute_function(self, func_call: Any, *args: Any, **kwargs: Any) -> Any:
        done, result = super().execute_function(func_call, *args, **kwargs)
        return done, {**result, "content": f"carefully {result['content']}"}

    def generate_reply(self, messages: Any = None, sender: Any = None, **kwargs: Any) -> Any:
        return super().generate_reply(messages=messages, sender=sender, **kwargs)


@pytest.mark.parametrize("guarded", [False, True])
def test_the_methods_of_a_subclass_stand_behind_the_guard(guarded: bool) -> None:
    ran: list[str] = []
    act = FakeAct()
    planner, careful = assistant("Planner"), Careful("Executor", llm_config=False)
    give(ran, planner, careful)
    seen = script(planner, TASK)
    if guarded:
        ActGuard(act, TOKENS).protect(planner, careful)
    chat("sync", careful, planner, max_turns=3)
    assert bool(ran) is not guarded
    assert ("carefully done" in texts(seen)) is not guarded
    if guarded:
        assert [(ask.agent, ask.requester) for ask in act.about()] == [(EXECUTOR, PLANNER)]


# --- societies --------------------------------------------------------------------------------------------------------


class Society(autogen.ConversableAgent):
    """An agent that answers with what a group inside of it has said, as the `SocietyOfMindAgent` of AutoGen 0.2."""

    def __init__(self, name: str, chat_manager: Any) -> None:
        super().__init__(name, llm_config=False, code_execution_config=False, human_input_mode="NEVER")
        self._chat_manager = chat_manager
        self.register_reply([autogen.Agent, None], Society.think)

    def think(self, messages: Any = None, sender: Any = None, config: Any = None) -> tuple[bool, Any]:
        self.initiate_chat(self._chat_manager, message=messages[-1], silent=True)
        return True, str(self._chat_manager.groupchat.messages[-1]["content"])


class Club:
    """A society of a planner and an executor; the planner's model asks for what the executor can do."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.user, self.planner, self.executor = person(), assistant("Planner"), assistant("Executor", llm_config=False)
        give(self.ran, self.planner, self.executor)
        self.seen = script(self.planner, TASK)
        manager = group(self.planner, self.executor, allow_repeat_speaker=True)
        if OLD:
            from autogen.agentchat.contrib.society_of_mind_agent import SocietyOfMindAgent

            self.society = SocietyOfMindAgent("Society", chat_manager=manager, response_preparer=lambda *_: "done")
        else:
            self.society = Society("Society", manager)

    def talk(self) -> None:
        chat("sync", self.user, self.society, max_turns=1)


def test_the_forgotten_members_of_a_society_are_refused() -> None:
    club = Club()
    club.talk()
    assert club.ran, "the control: a society acts"
    with pytest.raises(UnprotectedAgent, match=r"Planner|Executor"):
        ActGuard(FakeAct(), TOKENS).protect(club.user, club.society)


def test_a_society_that_is_made_later_is_refused_before_it_acts() -> None:
    club = Club()
    hidden = {
        name: vars(club.society).pop(name) for name in ("_chat_manager", "_group_chat") if hasattr(club.society, name)
    }
    ActGuard(FakeAct(), TOKENS).protect(club.user, club.society)
    vars(club.society).update(hidden)
    with pytest.raises(UnprotectedAgent, match=r"Planner|Executor"):
        club.talk()
    assert club.ran == []


@pytest.mark.parametrize("allowed", [False, True])
def test_the_members_of_a_society_are_asked_for(allowed: bool) -> None:
    club = Club()
    act = FakeAct(ALLOW_ALL if allowed else [(EXECUTOR, "*", "*")])
    ActGuard(act, TOKENS).protect(club.user, club.society, club.planner, club.executor)
    club.talk()
    assert bool(club.ran) is allowed
    assert [(ask.agent, ask.requester) for ask in act.about()] == [(EXECUTOR, PLANNER)]
    assert allowed or "requester_not_permitted" in texts(club.seen)


@pytest.mark.parametrize("held", ["group", "manager", "list"])
def test_a_group_that_is_kept_in_an_attribute_is_found(held: str) -> None:
    club = Club()
    keeper, manager = assistant("Keeper"), club.society._chat_manager
    keeper.inner = {"group": manager.groupchat, "manager": manager, "list": [manager]}[held]
    with pytest.raises(UnprotectedAgent, match=r"Planner|Executor"):
        ActGuard(FakeAct(), TOKENS).protect(keeper)


# --- tools that are no functions --------------------------------------------------------------------------------------


def built_in(*tools: str) -> Any:
    entry = {"api_type": "responses", "model": "scripted", "api_key": "k", "model_client_cls": "ScriptedModel"}
    return {"config_list": [{**entry, **({"built_in_tools": list(tools)} if tools else {})}], "cache_seed": None}


@MODERN
@pytest.mark.parametrize("tool", ["shell", "apply_patch", "web_search"])
def test_tools_inside_of_the_model_client_are_refused(tool: str) -> None:
    planner = assistant("Planner", llm_config=built_in(tool))
    with pytest.raises(UnprotectedAgent, match=tool):
        ActGuard(FakeAct(), TOKENS).protect(planner)
    with pytest.warns(UserWarning, match=tool):
        ActGuard(FakeAct(), TOKENS, allow_unprotected=True).protect(planner)
    ActGuard(FakeAct(), TOKENS).protect(assistant("Planner", llm_config=built_in()))


@MODERN
def test_tools_that_come_into_the_model_client_later_are_refused() -> None:
    user, planner = person(), assistant("Planner")
    seen = script(planner, "hello")
    ActGuard(FakeAct(ALLOW_ALL), TOKENS).protect(user, planner)
    planner.llm_config = autogen.LLMConfig(*built_in("shell")["config_list"])
    with pytest.raises(UnprotectedAgent, match="shell"):
        chat("sync", user, planner, max_turns=1)
    assert seen == []


@MODERN
def test_a_partner_with_tools_inside_of_its_model_client_is_refused(mode: str) -> None:
    user, planner = person(), assistant("Planner", llm_config=built_in("shell"))
    script(planner, "hello")
    ActGuard(FakeAct(ALLOW_ALL), TOKENS).protect(user)
    with pytest.raises(UnprotectedAgent, match="Planner"):
        chat(mode, user, planner, max_turns=2)


# --- copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_has_no_more_rights_than_its_original(duplicate: Any) -> None:
    ran: list[str] = []
    act = FakeAct()
    user, planner = person(), assistant("Planner")
    give(ran, planner, user)
    ActGuard(act, TOKENS).protect(user, planner)
    script(planner, TASK)
    other = duplicate(user)
    with pytest.raises(UnprotectedAgent, match="user_proxy"):
        chat("sync", other, planner, max_turns=3)
    done, result = other.execute_function({"name": "execute_task", "arguments": '{"task_id": "t"}'})
    assert not done
    assert "ACT denied" in result["content"]
    assert ran == []


def test_a_protected_agent_cannot_be_pickled() -> None:
    agent = person()
    ActGuard(FakeAct(), TOKENS).protect(agent)
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        pickle.dumps(agent)


# --- every way into `run` ---------------------------------------------------------------------------------------------


def run(planner: Any, **options: Any) -> None:
    planner.run(message="go", max_turns=3, user_input=False, **options).process()


def run_iter(planner: Any, **options: Any) -> None:
    for _ in planner.run_iter(message="go", max_turns=3, user_input=False, **options):
        pass


def a_run(planner: Any, **options: Any) -> None:
    async def whole() -> None:
        response = await planner.a_run(message="go", max_turns=3, user_input=False, **options)
        await response.process()

    asyncio.run(whole())


def a_run_iter(planner: Any, **options: Any) -> None:
    async def whole() -> None:
        async for _ in planner.a_run_iter(message="go", max_turns=3, user_input=False, **options):
            pass

    asyncio.run(whole())


@MODERN
@pytest.mark.parametrize("way", [run, run_iter, a_run, a_run_iter])
@pytest.mark.parametrize("given", ["before", "at run"])
@pytest.mark.parametrize("guarded", [False, True])
def test_the_hidden_executor_of_every_way_to_run(way: Any, given: str, guarded: bool) -> None:
    from autogen.tools import tool

    ran: list[str] = []
    act = FakeAct()

    def execute_task(task_id: str) -> str:
        ran.append(task_id)
        return "done"

    planner = assistant("Planner", functions=[execute_task] if given == "before" else None)
    options = {} if given == "before" else {"tools": [tool(description="Run")(execute_task)]}
    seen: list[list[dict[str, Any]]] = []
    script(planner, TASK)
    # AutoGen makes a new client for tools that come at run time; the scripted one is put back.
    planner.register_hook("update_agent_state", partial(put_back, planner.client, seen))
    if guarded:
        ActGuard(act, TOKENS).protect(planner)
    way(planner, **options)
    assert bool(ran) is not guarded
    if guarded:
        assert [(ask.agent, ask.requester) for ask in act.about()] == [(PLANNER, PLANNER)]


def put_back(client: Any, seen: Any, agent: Any, messages: Any) -> None:
    agent.client = client


@MODERN
@pytest.mark.parametrize("first", ["trace", "protect"])
def test_a_traced_agent_is_guarded(mode: str, first: str) -> None:
    pytest.importorskip("opentelemetry.sdk")
    from autogen.opentelemetry import instrument_agent
    from opentelemetry.sdk.trace import TracerProvider

    ran: list[str] = []
    act = FakeAct()
    user, planner = person(), assistant("Planner")
    give(ran, planner, user)
    seen = script(planner, TASK)
    if first == "trace":
        instrument_agent(user, tracer_provider=TracerProvider())
    ActGuard(act, TOKENS).protect(user, planner)
    if first == "protect":
        instrument_agent(user, tracer_provider=TracerProvider())
    chat(mode, user, planner, max_turns=3)
    assert ran == []
    assert [(ask.agent, ask.requester) for ask in act.about()] == [(PLANNER, PLANNER)]
    assert "no_matching_policy" in texts(seen)
