"""Pattern chats, handoffs and remote services of AutoGen 0.14, whose executors AutoGen makes by itself."""

# No `from __future__ import annotations`: AutoGen resolves the annotation `ContextVariables` of a local function.

import asyncio
from functools import partial
from typing import Any

import pytest

pytest.importorskip("autogen.agentchat.group", reason="AutoGen 0.2 has no pattern chats", exc_type=ImportError)

from autogen.agentchat import (
    a_initiate_group_chat,
    a_run_group_chat,
    initiate_group_chat,
    run_group_chat,
    run_group_chat_iter,
)
from autogen.agentchat.group import ContextVariables, OnCondition, ReplyResult, StringLLMCondition, patterns
from autogen.agentchat.group.group_tool_executor import GroupToolExecutor
from autogen.agentchat.group.patterns import DefaultPattern
from autogen.agentchat.group.targets.transition_target import AgentTarget, NestedChatTarget
from autogen_support import ALLOW_ALL, EXECUTOR, PLANNER, TOKENS, FakeAct, assistant, script

from act.demo.model import scripted_llm_config
from act.integrations.autogen import ActGuard, UnprotectedAgent, act_tool

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def guard(act: FakeAct | None = None, **options: Any) -> ActGuard:
    return ActGuard(act or FakeAct(), TOKENS, **options)


# --- pattern chats ----------------------------------------------------------------------------------------------------


def put_back(client: Any, agent: Any, messages: Any) -> None:
    agent.client = client


class Shop:
    """A pattern chat: the Planner may hand over to the Executor, and has a tool that knows the context."""

    def __init__(self, *steps: Any, act: FakeAct | None, protect: str = "agents") -> None:
        ran: list[str] = []
        self.ran = ran

        @act_tool(action="buy", resource="shop://items/{item}")
        def buy(item: str, context_variables: ContextVariables) -> ReplyResult:
            """Buy something."""
            ran.append(item)
            return ReplyResult(message="bought", context_variables=context_variables)

        def plain(item: str) -> str:
            """Look at something."""
            ran.append(item)
            return "seen"

        self.planner = assistant("Planner", functions=[buy, plain])
        self.executor = assistant("Executor")
        self.planner.handoffs.add_llm_condition(
            OnCondition(target=AgentTarget(self.executor), condition=StringLLMCondition(prompt="hand over"))
        )
        self.steps, self.heard = steps, []
        self.pattern = DefaultPattern(
            initial_agent=self.planner,
            agents=[self.planner, self.executor],
            user_agent=None,
            group_manager_args={"silent": True},
        )
        if act is not None:
            targets = [self.pattern] if protect == "pattern" else [self.planner, self.executor]
            ActGuard(act, TOKENS).protect(*targets)

    def run(self, mode: str) -> None:
        """The whole chat, by `initiate_group_chat` or by one of the ways that run it in the background."""
        # A pattern rebuilds the clients when it starts and before each reply; the scripted ones are put back.
        prepare = self.pattern.prepare_group_chat

        def prepared(*args: Any, **kwargs: Any) -> Any:
            result = prepare(*args, **kwargs)
            self.seen = script(self.planner, *self.steps)
            self.heard = script(self.executor, "TERMINATE")
            for agent in (self.planner, self.executor):
                agent.register_hook("update_agent_state", partial(put_back, agent.client))
            return result

        object.__setattr__(self.pattern, "prepare_group_chat", prepared)
        chat = {"pattern": self.pattern, "messages": "go", "max_rounds": 6}
        if mode == "sync":
            initiate_group_chat(**chat)
        elif mode == "async":
            asyncio.run(a_initiate_group_chat(**chat))
        elif mode == "run":
            run_group_chat(**chat).process()
        elif mode == "run_iter":
            list(run_group_chat_iter(**chat))
        else:
            asyncio.run(self._a_run(chat))

    async def _a_run(self, chat: dict[str, Any]) -> None:
        response = await a_run_group_chat(**chat)
        await response.process()


@pytest.mark.parametrize("protect", ["agents", "pattern"])
def test_tools_of_a_pattern_chat_are_asked_for(mode: str, protect: str) -> None:
    act = FakeAct([(PLANNER, "buy", "shop://items/apple")])
    shop = Shop(
        [("buy", {"item": "apple"}), ("buy", {"item": "gold"}), ("plain", {"item": "x"})], act=act, protect=protect
    )
    shop.run(mode)
    assert shop.ran == ["apple"]
    assert [(ask.agent, ask.requester, ask.action, ask.resource) for ask in act.about()] == [
        (PLANNER, PLANNER, "buy", "shop://items/apple"),
        (PLANNER, PLANNER, "buy", "shop://items/gold"),
        (PLANNER, PLANNER, "call", "tool://plain"),
    ]
    assert [status for _, status in act.outcomes] == ["succeeded"]


@pytest.mark.parametrize("way", ["run", "run_iter", "a_run"])
@pytest.mark.parametrize("guarded", [False, True])
def test_tools_of_a_pattern_chat_in_the_background_are_asked_for(way: str, guarded: bool) -> None:
    act = FakeAct()
    shop = Shop([("buy", {"item": "gold"})], act=act if guarded else None)
    shop.run(way)
    assert bool(shop.ran) is not guarded
    if guarded:
        assert [(ask.agent, ask.requester, ask.resource) for ask in act.about()] == [
            (PLANNER, PLANNER, "shop://items/gold")
        ]


@pytest.mark.parametrize("kind", ["AutoPattern", "RoundRobinPattern", "RandomPattern", "ManualPattern"])
@pytest.mark.parametrize("guarded", [False, True])
def test_tools_of_every_pattern_are_asked_for(kind: str, guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "1")
    act = FakeAct()
    shop = Shop([("buy", {"item": "gold"})], act=None)
    options = {"group_manager_args": {"silent": True, "llm_config": scripted_llm_config()}}
    shop.pattern = getattr(patterns, kind)(
        initial_agent=shop.planner, agents=[shop.planner, shop.executor], user_agent=None, **options
    )
    if guarded:
        ActGuard(act, TOKENS).protect(shop.pattern)
    shop.run("sync")
    assert bool(shop.ran) is not guarded
    if guarded:
        assert [(ask.agent, ask.requester) for ask in act.about()] == [(PLANNER, PLANNER)]


def test_tools_of_a_pattern_chat_run_without_a_guard(mode: str) -> None:
    shop = Shop([("buy", {"item": "gold"}), ("plain", {"item": "x"})], act=None)
    shop.run(mode)
    assert shop.ran == ["gold", "x"]


@pytest.mark.parametrize("guarded", [False, True])
def test_a_denied_handoff_does_not_transfer(mode: str, guarded: bool) -> None:
    act = FakeAct([(EXECUTOR, "*", "*")])
    shop = Shop(("transfer_to_Executor_1", {}), "TERMINATE", act=act if guarded else None)
    shop.run(mode)
    assert bool(shop.heard) is not guarded
    if guarded:
        (ask,) = act.about()
        assert (ask.agent, ask.action, ask.resource) == (PLANNER, "handoff", "agent://Executor")
        assert "no_matching_policy" in str(shop.planner.chat_messages)


def test_an_allowed_handoff_transfers(mode: str) -> None:
    act = FakeAct(ALLOW_ALL)
    shop = Shop(("transfer_to_Executor_1", {}), act=act)
    shop.run(mode)
    assert shop.heard
    assert [status for _, status in act.outcomes] == ["succeeded"]


def test_a_pattern_with_a_forgotten_agent_is_refused(mode: str) -> None:
    shop = Shop(("plain", {"item": "x"}), act=None)
    shop.executor.register_function({"touch": shop.ran.append})
    guard().protect(shop.planner)
    with pytest.raises(UnprotectedAgent, match="Executor"):
        shop.pattern.prepare_group_chat(max_rounds=3, messages="go")
    with pytest.raises(UnprotectedAgent, match="Executor"):
        shop.run(mode)
    assert shop.ran == []


def test_a_handoff_to_a_nested_chat_with_a_forgotten_agent_is_refused(mode: str) -> None:
    shop = Shop("hello", act=None)
    queue = [{"recipient": assistant("Inner"), "message": "do", "max_turns": 1}]
    shop.planner.handoffs.add_llm_condition(
        OnCondition(
            target=NestedChatTarget(nested_chat_config={"chat_queue": queue}), condition=StringLLMCondition("n")
        )
    )
    guard().protect(shop.planner, shop.executor)
    with pytest.raises(UnprotectedAgent, match="Inner"):
        shop.run(mode)


def test_agents_of_two_guards_cannot_share_an_executor() -> None:
    shop = Shop("hello", act=None)
    guard().protect(shop.planner)
    guard().protect(shop.executor)
    with pytest.raises(ValueError, match="different ActGuards"):
        shop.run("sync")


def test_executors_of_unprotected_agents_are_left_alone() -> None:
    guard().protect(assistant("Somebody"))
    executor = GroupToolExecutor()
    executor.register_agents_functions([assistant("Planner")], ContextVariables())
    assert "execute_function" not in vars(executor)


# --- remote service ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guarded", [False, True])
def test_the_executor_of_a_remote_service_is_guarded(guarded: bool) -> None:
    from autogen.agentchat.remote import RequestMessage
    from autogen.agentchat.remote.agent_service import AgentService

    ran: list[str] = []

    def touch(what: str) -> str:
        """Touch."""
        ran.append(what)
        return "touched"

    act = FakeAct()
    planner = assistant("Planner", functions=[touch])
    script(planner, ("touch", {"what": "x"}), "done")
    if guarded:
        guard(act).protect(planner)

    async def serve() -> None:
        request = RequestMessage(messages=[{"role": "user", "content": "go"}])
        async for _ in AgentService(planner)(request):
            pass

    asyncio.run(serve())
    assert bool(ran) is not guarded
    if guarded:
        assert [(ask.agent, ask.resource) for ask in act.about()] == [(PLANNER, "tool://touch")]
