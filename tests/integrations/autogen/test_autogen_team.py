"""Agents that were forgotten, and what is no agent."""

from __future__ import annotations

from typing import Any

import pytest
from autogen_support import EXECUTOR, PLANNER, TOKENS, FakeAct, assistant, chat, group, person, script

from act.integrations.autogen import ActGuard, UnprotectedAgent

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def guard(act: FakeAct | None = None, **options: Any) -> ActGuard:
    return ActGuard(act or FakeAct(), TOKENS, **options)


def with_tool(agent: Any, ran: list[str]) -> Any:
    def touch(what: str) -> str:
        ran.append(what)
        return "touched"

    agent.register_function({"touch": touch})
    return agent


# --- refused ----------------------------------------------------------------------------------------------------------


def test_nested_chats_with_an_unprotected_agent_are_refused() -> None:
    planner, inner = assistant("Planner"), assistant("Inner")
    planner.register_nested_chats([{"recipient": inner, "message": "do", "max_turns": 1}], trigger=lambda sender: True)
    with pytest.raises(UnprotectedAgent, match="Inner"):
        guard().protect(planner)
    assert not hasattr(planner, "_act_guard")
    assert "execute_function" not in vars(planner)
    guard().protect(planner, inner)


@pytest.mark.parametrize("guarded", [False, True])
def test_a_nested_chat_registered_later_is_refused_before_it_runs(mode: str, guarded: bool) -> None:
    ran: list[str] = []
    user, planner, inner = person(), assistant("Planner"), with_tool(person("Inner"), ran)
    function = {"name": "touch", "arguments": '{"what": "x"}'}
    asked = {"content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]}
    if guarded:
        guard().protect(user, planner)
    planner.register_nested_chats(
        [{"recipient": inner, "message": lambda *_: asked, "max_turns": 1}], trigger=lambda sender: sender is user
    )
    if not guarded:
        chat(mode, user, planner, max_turns=1)
        assert ran == ["x"], "the control: this is the hole"
        return
    with pytest.raises(UnprotectedAgent, match="Inner"):
        chat(mode, user, planner, max_turns=1)
    assert ran == []


def test_a_manager_with_an_unprotected_member_is_refused() -> None:
    user, planner, executor = person(), assistant("Planner"), assistant("Executor")
    manager = group(user, planner, executor)
    with pytest.raises(UnprotectedAgent, match="Executor"):
        guard().protect(manager, user, planner)
    guard().protect(manager, user, planner, executor)


def test_a_group_chat_stands_for_its_members() -> None:
    user, planner, executor = person(), assistant("Planner"), assistant("Executor")
    manager = group(user, planner, executor)
    under = guard()
    under.protect(manager.groupchat)
    assert all("execute_function" in vars(agent) for agent in (user, planner, executor))
    under.protect(manager)


def test_an_agent_kept_inside_another_is_refused() -> None:
    ran: list[str] = []
    planner, quiet = assistant("Planner"), assistant("Quiet")
    planner.thinker, planner.crew = quiet, [with_tool(assistant("Inner"), ran)]
    with pytest.raises(UnprotectedAgent, match="Inner"):
        guard().protect(planner)
    guard().protect(planner, planner.crew[0])


def test_a_protected_manager_runs_its_chat(mode: str) -> None:
    ran: list[str] = []
    act = FakeAct([(EXECUTOR, "*", "*")])
    user, planner, executor = person(), assistant("Planner"), with_tool(assistant("Executor"), ran)
    script(planner, ("touch", {"what": "x"}), "TERMINATE")
    script(executor, "fine")
    manager = group(user, planner, executor)
    guard(act).protect(manager, *manager.groupchat.agents)
    chat(mode, user, manager)
    assert ran == []
    assert [(ask.agent, ask.requester) for ask in act.about()] == [(EXECUTOR, PLANNER)]
    assert all(ask.resource != "agent://chat_manager" for ask in act.asked)


def test_an_agent_in_a_nested_chat_is_asked_for_by_the_outer_one(mode: str) -> None:
    ran: list[str] = []
    act = FakeAct([(EXECUTOR, "*", "*")])
    user, planner, executor = person(), assistant("Planner"), with_tool(assistant("Executor"), ran)
    script(executor, "TERMINATE")
    function = {"name": "touch", "arguments": '{"what": "x"}'}
    asked = {"content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]}
    planner.register_nested_chats(
        [{"recipient": executor, "message": lambda *_: asked, "max_turns": 1}], trigger=lambda sender: sender is user
    )
    guard(act).protect(user, planner, executor)
    chat(mode, user, planner, max_turns=1)
    assert ran == []
    assert [(ask.agent, ask.requester) for ask in act.about()] == [(EXECUTOR, PLANNER)]


def test_allow_unprotected_warns_instead() -> None:
    planner, inner = assistant("Planner"), assistant("Inner")
    planner.register_nested_chats([{"recipient": inner, "message": "do", "max_turns": 1}], trigger=lambda sender: True)
    with pytest.warns(UserWarning, match="Inner"):
        guard(allow_unprotected=True).protect(planner)


@pytest.mark.parametrize("guarded", [False, True])
def test_a_forgotten_executor_in_a_two_agent_chat_is_refused(mode: str, guarded: bool) -> None:
    ran: list[str] = []
    user, planner = with_tool(person(), ran), assistant("Planner")
    script(planner, ("touch", {"what": "x"}))
    if not guarded:
        chat(mode, user, planner, max_turns=2)
        assert ran == ["x"], "the control: this is the hole"
        return
    guard(FakeAct()).protect(planner)
    with pytest.raises(UnprotectedAgent, match="user_proxy"):
        chat(mode, user, planner, max_turns=2)
    assert ran == []


def test_a_forgotten_executor_in_a_group_is_refused(mode: str) -> None:
    ran: list[str] = []
    user, planner, executor = person(), assistant("Planner"), with_tool(assistant("Executor"), ran)
    script(planner, ("touch", {"what": "x"}))
    guard(FakeAct()).protect(user, planner)
    with pytest.raises(UnprotectedAgent, match="Executor"):
        chat(mode, user, group(user, planner, executor))
    assert ran == []


def test_a_partner_that_can_only_speak_needs_no_guard(mode: str) -> None:
    user, planner = person(), assistant("Planner")
    script(planner, "hello")
    guard().protect(planner)
    chat(mode, user, planner, max_turns=1)


def test_two_agents_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two agents"):
        guard().protect(assistant("Planner"), assistant("Planner"))


def test_an_agent_cannot_be_under_two_guards() -> None:
    planner = assistant("Planner")
    guard().protect(planner)
    with pytest.raises(ValueError, match="another ActGuard"):
        guard().protect(planner)


@pytest.mark.parametrize("target", ["Planner", None, object()])
def test_what_is_no_agent_is_refused(target: Any) -> None:
    with pytest.raises(TypeError):
        guard().protect(target)


@pytest.mark.parametrize("options", [{"messages": "maybe"}, {"on_pending": "ignore"}, {"tools": {"a": ("x", "{a.b}")}}])
def test_unknown_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        guard(**options)
