"""Ways around the guard that were tried with a user's eyes, on the real framework and a real node of ACT."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import autogen
import pytest
from autogen.coding import LocalCommandLineCodeExecutor
from autogen_support import MODERN, OLD, TOKENS, FakeAct, assistant, group, person, script, texts
from autogen_support import chat as talk
from pydantic import BaseModel
from tests.integrations.suite.world import Agent, Station, Watched

from act.demo.model import ToolCall
from act.integrations.autogen import ActGuard, UnprotectedAgent

pytestmark = pytest.mark.timeout(180)

TASKS = {"task": ("execute", "api://tasks/{task_id}")}


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    station = Station(tmp_path_factory.mktemp("attacks"))
    yield station
    station.close()


class World:
    """Agents by name, each with policies of its own, and what a guard asked about them."""

    def __init__(self, station: Station, *names: str) -> None:
        self.agents = {name: Agent(station) for name in names or ("Planner", "Executor")}
        self.tokens = {name: agent.token() for name, agent in self.agents.items()}
        self.act = Watched(station.act)

    def may(self, name: str, action: str = "*", resource: str = "*", **more: Any) -> World:
        self.agents[name].may(action, resource, **more)
        return self

    def guard(self, *agents: Any, **options: Any) -> ActGuard:
        return ActGuard(self.act, self.tokens, **{"messages": "off", **options}).protect(*agents)

    @property
    def statuses(self) -> list[str]:
        return [status for status, _ in self.act.outcomes]


# --- arguments --------------------------------------------------------------------------------------------------------


def one_call(mode: str, world: World, tool: Any, arguments: Any, **options: Any) -> str:
    """What the Planner's model is shown of a call of its own tool."""
    user, planner = person(), assistant("Planner")
    autogen.register_function(tool, caller=planner, executor=planner, name="task", description="A task")
    seen = script(planner, ("task", arguments), "TERMINATE")
    world.guard(user, planner, tools=TASKS, **options)
    talk(mode, user, group(user, planner, allow_repeat_speaker=True))
    return texts(seen)


@MODERN
@pytest.mark.parametrize("written", ["007", " 7", "7.0", 7.0])
def test_a_number_written_in_another_way_is_the_same_number(mode: str, station: Station, written: Any) -> None:
    """AutoGen 0.14 has pydantic read `"007"` as 7, which a policy on `api://tasks/7` has to see."""
    ran: list[int] = []

    def task(task_id: int) -> str:
        ran.append(task_id)
        return "done"

    world = World(station).may("Planner").may("Planner", "execute", "api://tasks/7", effect="deny")
    shown = one_call(mode, world, task, {"task_id": written})
    assert [(asked.resource, asked.arguments) for asked in world.act.calls] == [("api://tasks/7", {"task_id": 7})]
    assert ran == []
    assert "ACT denied: policy_denied" in shown


class Order(BaseModel):
    amount: int
    note: str = "none"


def test_a_model_in_the_arguments_is_decided_as_it_is_read(mode: str, station: Station) -> None:
    ran: list[Order] = []

    def task(order: Any, task_id: str = "t") -> str:
        ran.append(order)
        return "done"

    task.__annotations__ = {"order": Order, "task_id": str, "return": str}  # as AutoGen reads them
    world = World(station).may("Planner")
    one_call(mode, world, task, {"order": {"amount": "5_000", "junk": 1}, "task_id": "t-1"})
    assert world.act.calls[0].arguments == {"order": {"amount": 5000}, "task_id": "t-1"}
    assert ran == [Order(amount=5000)]


@MODERN
def test_what_autogen_puts_in_by_itself_is_no_argument_of_the_model(mode: str, station: Station) -> None:
    from autogen.tools import Depends

    ran: list[tuple[str, str]] = []

    def whose() -> str:
        return "of the application"

    def task(task_id: str, account: Any) -> str:
        ran.append((task_id, account))
        return "done"

    task.__annotations__ = {"task_id": str, "account": Annotated[str, Depends(whose)], "return": str}
    world = World(station).may("Planner")
    one_call(mode, world, task, {"task_id": "t-1", "account": "of the model", "approved_by": "the boss"})
    assert world.act.calls[0].arguments == {"task_id": "t-1"}
    assert ran == [("t-1", "of the application")]


def test_a_function_that_was_given_bare_gets_what_the_model_wrote(mode: str, station: Station) -> None:
    ran: list[Any] = []

    def task(task_id: int) -> str:
        ran.append(task_id)
        return "done"

    user, planner = person(), assistant("Planner")
    planner.register_function({"task": task})
    script(planner, ("task", {"task_id": "007"}), "TERMINATE")
    world = World(station).may("Planner")
    world.guard(user, planner, tools=TASKS)
    talk(mode, user, group(user, planner, allow_repeat_speaker=True))
    assert [asked.resource for asked in world.act.calls] == ["api://tasks/007"]
    assert ran == ["007"]


def test_a_tool_that_was_replaced_while_it_was_decided_about_does_not_run(mode: str, station: Station) -> None:
    """As it may be while a person thinks about the call."""
    ran: list[str] = []
    user, planner, world = person(), assistant("Planner"), World(station).may("Planner")

    def task(task_id: str) -> str:
        ran.append(task_id)
        return "done"

    def another(task_id: str) -> str:
        ran.append("another " + task_id)
        return "done"

    class Slow(Watched):
        def enforce(self, *args: Any, **more: Any) -> Any:
            answer = super().enforce(*args, **more)
            planner.register_function({"task": another})
            return answer

    planner.register_function({"task": task})
    seen = script(planner, ("task", {"task_id": "t-1"}), "TERMINATE")
    world.act = Slow(station.act)
    world.guard(user, planner, tools=TASKS)
    talk(mode, user, group(user, planner, allow_repeat_speaker=True))
    assert ran == []
    assert "ACT denied: action_malformed: The tool was replaced" in texts(seen)
    assert world.statuses == ["failed"]


# --- code -------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["legacy", "executor"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    if request.param == "legacy":
        return {"use_docker": False, "work_dir": str(tmp_path), "last_n_messages": 3}
    return {"executor": LocalCommandLineCodeExecutor(timeout=20, work_dir=tmp_path), "last_n_messages": 3}


def fenced(mark: Path) -> str:
    return f"```python\nopen({str(mark)!r}, 'w').close()\n```"


@pytest.mark.parametrize("guarded", [False, True])
def test_code_that_a_tool_has_returned_is_asked_for_by_nobody(
    mode: str, station: Station, config: dict[str, Any], tmp_path: Path, guarded: bool
) -> None:
    """The page that the Executor read is not the Executor."""
    mark = tmp_path / "mark"

    def read_page(url: str) -> str:
        return fenced(mark)

    user, planner, executor = person(), assistant("Planner"), assistant("Executor")
    coder = assistant("Coder", llm_config=False, code_execution_config=config)
    autogen.register_function(read_page, caller=planner, executor=executor, description="Read a page")
    script(planner, ("read_page", {"url": "x"}), "TERMINATE")
    world = World(station, "Planner", "Executor", "Coder").may("Planner", "call").may("Executor").may("Coder")
    manager = group(user, planner, executor, coder, rounds=5)
    if guarded:
        world.guard(user, planner, executor, coder)
    talk(mode, user, manager)
    assert mark.exists() is not guarded
    if guarded:
        assert [asked.action for asked in world.act.calls] == ["call"]
        assert "ACT denied: requester_unknown" in str(manager.groupchat.messages)


def test_code_that_code_has_printed_is_asked_for_by_nobody(
    station: Station, config: dict[str, Any], tmp_path: Path
) -> None:
    mark, printed = tmp_path / "mark", tmp_path / "printed.md"
    printed.write_text(fenced(mark))
    first = assistant("Executor", llm_config=False, code_execution_config={**config, "last_n_messages": 1})
    second = assistant("Coder", llm_config=False, code_execution_config=dict(config))
    user, planner = person(), assistant("Planner")
    script(planner, f"```python\nprint(open({str(printed)!r}).read())\n```", "TERMINATE")
    world = World(station, "Planner", "Executor", "Coder").may("Planner").may("Executor").may("Coder")
    world.guard(user, planner, first, second)
    talk("sync", user, group(user, planner, first, second, rounds=4))
    assert [asked.context["requester"] for asked in world.act.calls] == ["Planner"]
    assert world.statuses == ["succeeded"]
    assert not mark.exists()


@MODERN
@pytest.mark.parametrize("guarded", [False, True])
def test_what_an_agent_only_repeats_is_asked_for_by_who_said_it(
    station: Station, config: dict[str, Any], tmp_path: Path, guarded: bool
) -> None:
    """AutoGen has the next agent answer a call of `__structured_output` with the arguments, as its own words."""
    mark = tmp_path / "mark"
    user, planner, executor = person(), assistant("Planner"), assistant("Executor", llm_config=False)
    coder = assistant("Coder", llm_config=False, code_execution_config=config)
    script(planner, ToolCall("__structured_output", fenced(mark)), "TERMINATE")
    world = World(station, "Planner", "Executor", "Coder").may("Executor").may("Coder")
    manager = group(user, planner, executor, coder, rounds=4, func_call_filter=False)
    if guarded:
        world.guard(user, planner, executor, coder)
    talk("sync", user, manager)
    assert mark.exists() is not guarded
    if guarded:
        assert [asked.context["requester"] for asked in world.act.calls] == ["Planner"]
        assert "ACT denied: requester_not_permitted" in str(manager.groupchat.messages)


@MODERN
def test_what_an_agent_only_repeats_is_no_call(station: Station) -> None:
    planner, executor = assistant("Planner"), assistant("Executor", llm_config=False)
    world = World(station)
    world.guard(planner, executor)
    inner = {"content": None, "tool_calls": [{"id": "1", "function": {"name": "pay", "arguments": "{}"}}]}
    asked = {
        "content": None,
        "tool_calls": [{"id": "1", "function": {"name": "__structured_output", "arguments": inner}}],
    }
    planner.send(asked, executor, request_reply=True, silent=True)
    (*_, reply) = planner.chat_messages[executor]
    assert "tool_calls" not in reply
    assert "pay" in reply["content"]


def test_code_without_a_language_is_decided_as_the_one_it_runs_in(station: Station, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    coder = assistant(
        "Executor", llm_config=False, code_execution_config={"use_docker": False, "work_dir": str(tmp_path)}
    )
    planner = assistant("Planner")
    seen = script(planner, f"```\npython --version; touch {mark}\n```", "TERMINATE")
    world = World(station).may("Planner").may("Executor")
    world.guard(planner, coder)
    talk("sync", coder, planner, max_turns=2)
    assert world.act.calls[0].arguments["languages"] == ["sh"]
    assert world.act.calls[0].arguments["blocks"][0]["language"] == "sh"
    assert mark.exists()
    assert "exitcode: 0" in texts(seen)


def test_a_code_executor_that_comes_while_the_agent_replies_is_guarded(station: Station, tmp_path: Path) -> None:
    for guarded in (False, True):
        mark, folder = tmp_path / f"mark-{guarded}", tmp_path / str(guarded)
        folder.mkdir()
        fresh = LocalCommandLineCodeExecutor(timeout=20, work_dir=folder)
        coder = assistant("Executor", llm_config=False, code_execution_config={"executor": fresh})
        planner = assistant("Planner")
        script(planner, fenced(mark), "TERMINATE")

        def swap(messages: Any, coder: Any = coder, fresh: Any = fresh) -> Any:
            coder._code_executor = fresh
            return messages

        coder.register_hook("process_all_messages_before_reply", swap)
        world = World(station)
        if guarded:
            world.guard(planner, coder)
        talk("sync", coder, planner, max_turns=2)
        assert mark.exists() is not guarded


# --- agents that nobody named -----------------------------------------------------------------------------------------

INNER: dict[str, Any] = {}


def helper(question: str) -> str:
    INNER["agent"].receive(question, person("asker"), request_reply=False, silent=True)
    return "asked"


def by_helper(inner: Any) -> Any:
    INNER["agent"] = inner

    def ask(question: str) -> str:
        return helper(question)

    return ask


def by_closure(inner: Any) -> Any:
    def ask(question: str) -> str:
        return str(inner.name)

    return ask


def by_object(inner: Any) -> Any:
    service = SimpleNamespace(crew=[inner])

    def ask(question: str) -> str:
        return str(service.crew[0].name)

    return ask


@pytest.mark.parametrize("build", [by_helper, by_closure, by_object])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_agent_behind_a_tool_is_refused(build: Any, when: str) -> None:
    planner, inner, quiet = assistant("Planner"), assistant("Inner"), assistant("Quiet")
    inner.register_function({"touch": str})
    guard = ActGuard(FakeAct(), TOKENS)
    if when == "after":
        guard.protect(planner)
    autogen.register_function(build(inner), caller=planner, executor=planner, description="Ask")
    script(planner, "hello")
    with pytest.raises(UnprotectedAgent, match="Inner"):
        guard.protect(planner) if when == "before" else talk("sync", person(), planner, max_turns=1)
    guard.protect(planner, inner)
    other = assistant("Executor")
    autogen.register_function(build(quiet), caller=other, executor=other, description="Ask")
    guard.protect(other)  # who can only speak acts for nobody


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain function", "coroutine function"])
def test_an_agent_that_a_tool_makes_is_refused_when_it_acts(
    mode: str, station: Station, asynchronous: bool, guarded: bool
) -> None:
    ran: list[str] = []

    def touch(what: str) -> str:
        ran.append(what)
        return "touched"

    def ask(question: str) -> str:
        inner, asker = assistant("Inner"), person("asker")
        inner.register_function({"touch": touch})
        call = {"name": "touch", "arguments": '{"what": "x"}'}
        asked = {"content": None, "tool_calls": [{"id": "1", "type": "function", "function": call}]}
        asker.send(asked, inner, request_reply=True, silent=True)
        return str(inner.chat_messages[asker][-1]["content"])

    async def a_ask(question: str) -> str:
        return ask(question)

    user, planner = person(), assistant("Planner")
    planner.register_function({"ask": a_ask if asynchronous else ask})
    seen = script(planner, ("ask", {"question": "x"}), "TERMINATE")
    world = World(station).may("Planner")
    if guarded:
        world.guard(user, planner)
    talk(mode, user, group(user, planner, allow_repeat_speaker=True))
    assert ran == ["x"] * (not guarded)
    assert ("'Inner' inside of a tool call is not under this ActGuard" in texts(seen)) is guarded
    assert world.statuses == ["failed"] * guarded


def test_an_agent_that_is_kept_under_a_key_is_refused() -> None:
    planner, inner = assistant("Planner"), assistant("Inner")
    inner.register_function({"touch": str})
    planner.crew = {"inner": inner}
    with pytest.raises(UnprotectedAgent, match="Inner"):
        ActGuard(FakeAct(), TOKENS).protect(planner)


def _engine(ran: list[str]) -> Any:
    """An agent whose tools, or whose code, AutoGen runs while it replies, and what makes it do so."""
    if OLD:
        from autogen.agentchat.contrib.math_user_proxy_agent import MathUserProxyAgent

        return MathUserProxyAgent("Engine", human_input_mode="NEVER", code_execution_config={"use_docker": False})
    from autogen.beta import Agent as Beta
    from autogen.beta.events import ToolCallEvent
    from autogen.beta.testing import TestConfig

    def touch(what: str) -> str:
        """Touch."""
        ran.append(what)
        return "touched"

    config = TestConfig(ToolCallEvent(name="touch", arguments='{"what": "x"}'), "done")
    return Beta("Engine", config=config, tools=[touch]).as_conversable()


@pytest.mark.parametrize("target", ["itself", "peer"])
def test_an_agent_with_an_engine_of_its_own_is_refused(target: str, tmp_path: Path) -> None:
    ran: list[str] = []
    if not OLD:  # the control: no function of the agent is asked
        talk("async", person(), _engine(ran), max_turns=1)
        assert ran == ["x"]
    guard, engine, planner = ActGuard(FakeAct(), TOKENS), _engine(ran), assistant("Planner")
    script(planner, fenced(tmp_path / "mark"))
    with pytest.raises(UnprotectedAgent, match="Engine"):
        if target == "itself":
            guard.protect(engine)
        else:
            guard.protect(planner)
            asyncio.run(engine.a_initiate_chat(planner, message="go", max_turns=2, silent=True))
    assert not (tmp_path / "mark").exists()
    with pytest.warns(UserWarning, match="Engine"):
        ActGuard(FakeAct(), TOKENS, allow_unprotected=True).protect(_engine(ran))


@MODERN
def test_an_agent_that_makes_agents_of_its_own_is_refused() -> None:
    from autogen.agentchat.contrib.captainagent.captainagent import CaptainUserProxyAgent

    captain = CaptainUserProxyAgent("Captain", nested_config={}, code_execution_config=False)
    with pytest.raises(UnprotectedAgent, match="Captain"):
        ActGuard(FakeAct(), TOKENS).protect(captain)


# --- what is observed -------------------------------------------------------------------------------------------------


def test_a_message_that_nobody_is_known_to_have_written_is_in_the_report(station: Station) -> None:
    user, planner, executor = person(), assistant("Planner"), assistant("Executor")
    manager = group(user, planner, executor)
    world = World(station)
    guard = world.guard(user, planner, executor, messages="enforce", mode="observe")
    manager.send({"content": "of nobody", "role": "user"}, executor, request_reply=False, silent=True)
    ((seen, count),) = guard.report().denied
    assert (seen.action, seen.code, count) == ("message", "requester_unknown", 1)
    assert "of nobody" in str(executor.chat_messages[manager])
