"""Tool calls of AutoGen classic agents: who is asked for, what a denial does, and every way to the function."""

from __future__ import annotations

import asyncio
from typing import Any

import autogen
import pytest
from autogen_support import (
    ALLOW_ALL,
    EXECUTOR,
    MODERN,
    PLANNER,
    TOKENS,
    FakeAct,
    assistant,
    chat,
    ends,
    group,
    person,
    script,
    texts,
)

from act.demo.model import ToolCall
from act.integrations.autogen import ActGuard, act_tool
from act.integrations.mapping import ToolSpec, spec_of

pytestmark = pytest.mark.timeout(180)

TASK = ("execute_task", {"task_id": "t-1", "amount": 5})
MAPPED = {"execute_task": ("execute", "api://tasks/execute/{task_id}")}


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["plain function", "coroutine function"])
def ran(request: pytest.FixtureRequest) -> Ran:
    return Ran(request.param == "coroutine function")


class Ran(list[dict[str, Any]]):
    """What the tool was really called with; `tool` is the tool, in one of both kinds."""

    def __init__(self, asynchronous: bool = False) -> None:
        super().__init__()

        def execute_task(task_id: str, amount: int = 0) -> str:
            self.append({"task_id": task_id, "amount": amount})
            return f"done {task_id}"

        async def a_execute_task(task_id: str, amount: int = 0) -> str:
            return execute_task(task_id, amount)

        a_execute_task.__name__ = "execute_task"
        self.tool = a_execute_task if asynchronous else execute_task


def give(tool: Any, *, caller: Any, executor: Any, name: str | None = None) -> None:
    autogen.register_function(tool, caller=caller, executor=executor, name=name, description="A tool")


def alone(act: Any, ran: Ran, *steps: Any, guarded: bool = True, **options: Any) -> tuple[Any, Any, Any]:
    """An executor that asks for its tool, and runs it itself when the group gives it the word again."""
    user, executor = person(), assistant("Executor")
    give(ran.tool, caller=executor, executor=executor)
    seen = script(executor, *steps)
    manager = group(user, executor, allow_repeat_speaker=True)
    if guarded:
        ActGuard(act, TOKENS, **{"tools": MAPPED, **options}).protect(user, executor)
    return user, manager, seen


def test_an_allowed_call_runs_and_its_outcome_is_reported(mode: str, ran: Ran) -> None:
    act = FakeAct([(EXECUTOR, "*", "*")])
    user, manager, seen = alone(act, ran, TASK)
    chat(mode, user, manager)
    assert ran == [{"task_id": "t-1", "amount": 5}]
    (ask,) = act.about()
    assert (ask.agent, ask.requester) == (EXECUTOR, EXECUTOR)
    assert (ask.action, ask.resource) == ("execute", "api://tasks/execute/t-1")
    assert ask.arguments == {"task_id": "t-1", "amount": 5}
    assert ask.context["framework"] == "autogen"
    assert (ask.context["executor"], ask.context["requester"]) == ("Executor", "Executor")
    assert ask.context["conversationId"]
    assert [status for _, status in act.outcomes] == ["succeeded"]
    assert "done t-1" in texts(seen)


def test_a_denied_call_is_a_tool_result_that_the_model_reads(mode: str, ran: Ran) -> None:
    act = FakeAct([(EXECUTOR, "message", "*")])
    user, manager, seen = alone(act, ran, TASK)
    chat(mode, user, manager)
    assert ran == []
    result = next(message for message in seen[-1] if message.get("role") == "tool")
    assert result["content"].startswith("ACT denied: no_matching_policy: No policy allows this.")
    assert result["tool_call_id"]
    assert act.outcomes == []


def test_the_tool_runs_without_a_guard(mode: str, ran: Ran) -> None:
    user, manager, _ = alone(None, ran, TASK, guarded=False)
    chat(mode, user, manager)
    assert ran


@pytest.mark.parametrize("guarded", [False, True])
def test_a_planner_cannot_use_the_executors_rights(mode: str, ran: Ran, guarded: bool) -> None:
    act = FakeAct([(EXECUTOR, "*", "*"), (PLANNER, "message", "*")])
    user, planner, executor = person(), assistant("Planner"), assistant("Executor")
    give(ran.tool, caller=executor, executor=executor)
    seen = script(planner, TASK, "TERMINATE")
    script(executor, "nothing to do")
    if guarded:
        ActGuard(act, TOKENS, tools=MAPPED).protect(user, planner, executor)
    chat(mode, user, group(user, planner, executor))
    if not guarded:
        assert ran, "the control: this is the attack that the guard stops"
        return
    assert ran == []
    (ask,) = act.about()
    assert (ask.agent, ask.requester) == (EXECUTOR, PLANNER)
    assert (ask.context["executor"], ask.context["requester"]) == ("Executor", "Planner")
    assert "requester_not_permitted" in texts(seen)


def two_agents(act: FakeAct, ran: Ran, *steps: Any, guarded: bool = True, **options: Any) -> tuple[Any, Any, Any]:
    """The common pattern: the assistant asks, the user's proxy is only the place where the tool runs."""
    user, planner = person(), assistant("Planner")
    give(ran.tool, caller=planner, executor=user)
    seen = script(planner, *steps)
    if guarded:
        ActGuard(act, TOKENS, **options).protect(user, planner)
    return user, planner, seen


def test_in_a_two_agent_chat_the_token_of_the_asker_decides(mode: str, ran: Ran) -> None:
    act = FakeAct([(PLANNER, "*", "*")])
    user, planner, _ = two_agents(act, ran, TASK)
    chat(mode, user, planner, max_turns=3)
    assert ran
    (ask,) = act.about()
    assert (ask.agent, ask.requester, ask.resource) == (PLANNER, PLANNER, "tool://execute_task")
    assert (ask.action, ask.context["executor"]) == ("call", "user_proxy")


@pytest.mark.parametrize("guarded", [False, True])
def test_the_asker_in_a_two_agent_chat_is_denied(mode: str, ran: Ran, guarded: bool) -> None:
    act = FakeAct()
    user, planner, seen = two_agents(act, ran, TASK, guarded=guarded)
    chat(mode, user, planner, max_turns=3)
    assert bool(ran) is not guarded
    assert ("no_matching_policy" in texts(seen)) is guarded


@pytest.mark.parametrize("form", ["tool_calls", "function_call"])
def test_a_person_may_speak_but_not_call(mode: str, ran: Ran, form: str) -> None:
    act = FakeAct(ALLOW_ALL)
    user, executor = person(), assistant("Executor")
    give(ran.tool, caller=executor, executor=executor)
    script(executor, "TERMINATE")
    ActGuard(act, TOKENS).protect(user, executor)
    function = {"name": "execute_task", "arguments": '{"task_id": "t-1"}'}
    asked: dict[str, Any] = {"content": None, "function_call": function}
    if form == "tool_calls":
        asked = {"content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]}
    chat(mode, user, executor, message=asked, max_turns=1)
    assert ran == []
    assert act.about() == []
    assert "no_token" in str(executor.chat_messages[user])


def test_legacy_function_calls_are_asked_for(mode: str, ran: Ran) -> None:
    for rules, expected in (([(PLANNER, "*", "*")], 1), ([], 0)):
        ran.clear()
        act = FakeAct(rules)
        user, planner, _ = two_agents(act, ran, ToolCall("execute_task", {"task_id": "t-1"}, legacy=True))
        chat(mode, user, planner, max_turns=3)
        assert len(ran) == expected
        assert len(act.about()) == 1


def test_each_call_of_a_message_is_decided_by_itself(mode: str, ran: Ran) -> None:
    act = FakeAct([(PLANNER, "execute", "api://tasks/execute/ok-*"), (PLANNER, "message", "*")])
    calls = [("execute_task", {"task_id": name}) for name in ("ok-1", "no-1", "ok-2")]
    user, planner, seen = two_agents(act, ran, calls, tools=MAPPED)
    chat(mode, user, planner, max_turns=3)
    assert sorted(call["task_id"] for call in ran) == ["ok-1", "ok-2"]
    results = [message["content"] for message in seen[-1] if message.get("role") == "tool"]
    assert [result.startswith("ACT denied") for result in results] == [False, True, False]
    assert len(act.outcomes) == 2


@pytest.mark.parametrize("guarded", [False, True])
def test_a_tool_registered_after_protect_is_guarded(mode: str, ran: Ran, guarded: bool) -> None:
    act = FakeAct()
    user, planner = person(), assistant("Planner")
    if guarded:
        ActGuard(act, TOKENS).protect(user, planner)
    give(ran.tool, caller=planner, executor=user)
    script(planner, TASK)
    chat(mode, user, planner, max_turns=3)
    assert bool(ran) is not guarded


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_mark_on_the_function_survives_autogens_wrapping(mode: str, asynchronous: bool) -> None:
    ran = Ran(asynchronous)
    act = FakeAct()
    marked = act_tool(action="execute", resource="api://tasks/execute/{task_id}")(ran.tool)
    ran.tool = marked
    user, planner, _ = two_agents(act, ran, ("execute_task", {"task_id": "a b@c"}))
    chat(mode, user, planner, max_turns=3)
    (ask,) = act.about()
    assert (ask.action, ask.resource) == ("execute", "api://tasks/execute/a%20b@c")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"task_id": None},
        {"task_id": True},
        {"task_id": ["t"]},
        {"task_id": {"a": 1}},
        {"task_id": 1.5},
        {"task_id": ""},
        {"task_id": "\ud800"},
    ],
)
def test_a_resource_that_cannot_be_named_is_denied(arguments: dict[str, Any]) -> None:
    ran = Ran()
    act = FakeAct(ALLOW_ALL)
    user, planner, seen = two_agents(act, ran, ("execute_task", arguments), tools=MAPPED)
    chat("sync", user, planner, max_turns=3)
    assert ran == []
    assert act.about() == []
    assert "ACT denied: resource_malformed" in texts(seen)


@pytest.mark.parametrize(
    "raw", ["{", "[]", '"x"', '{"task_id": "t", "amount": NaN}', '{"task_id": "t", "amount": 1e999}']
)
def test_arguments_that_are_no_plain_json_never_reach_the_tool(mode: str, raw: str, ran: Ran) -> None:
    act = FakeAct(ALLOW_ALL)
    user, planner, _ = two_agents(act, ran, ToolCall("execute_task", raw))
    chat(mode, user, planner, max_turns=3)
    assert ran == []
    assert act.about() == []


def test_what_is_decided_is_what_runs(mode: str, ran: Ran) -> None:
    act = FakeAct(ALLOW_ALL)
    twice = '{"task_id": "first", "task_id":\n "second"}'
    user, planner, _ = two_agents(act, ran, ToolCall("execute_task", twice))
    chat(mode, user, planner, max_turns=3)
    assert [ask.arguments["task_id"] for ask in act.about()] == [call["task_id"] for call in ran]


def test_unreachable_is_denied(mode: str, ran: Ran) -> None:
    act = FakeAct(ALLOW_ALL, broken=True)
    user, planner, seen = two_agents(act, ran, TASK)
    chat(mode, user, planner, max_turns=3)
    assert ran == []
    assert "ACT denied: unreachable" in texts(seen)


def test_a_token_that_names_nobody_is_denied(ran: Ran) -> None:
    user, planner = person(), assistant("Planner")
    give(ran.tool, caller=planner, executor=user)
    seen = script(planner, TASK)
    ActGuard(FakeAct(ALLOW_ALL), {"Planner": "rubbish"}).protect(user, planner)
    chat("sync", user, planner, max_turns=3)
    assert ran == []
    assert "token_malformed" in texts(seen)


def test_a_rotated_token_is_used_at_once() -> None:
    act, ran, tokens = FakeAct(ALLOW_ALL), Ran(), dict(TOKENS)
    user, planner = person(), assistant("Planner")
    give(ran.tool, caller=planner, executor=user)
    script(planner, TASK)
    ActGuard(act, tokens).protect(user, planner)
    tokens["Planner"] = TOKENS["Executor"]
    chat("sync", user, planner, max_turns=3)
    assert [ask.agent for ask in act.about()] == [EXECUTOR]


class Stop(BaseException):
    """What a tool must not swallow."""


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_outcome_of_a_failing_call_is_reported(mode: str, asynchronous: bool) -> None:
    def fails(task_id: str) -> str:
        raise RuntimeError("broken tool")

    async def a_fails(task_id: str) -> str:
        raise RuntimeError("broken tool")

    ran = Ran()
    ran.tool = a_fails if asynchronous else fails
    ran.tool.__name__ = "execute_task"
    act = FakeAct(ALLOW_ALL)
    user, planner, seen = two_agents(act, ran, ("execute_task", {"task_id": "t"}))
    chat(mode, user, planner, max_turns=3)
    assert [status for _, status in act.outcomes] == ["failed"]
    assert "broken tool" in texts(seen)


def test_the_outcome_of_a_cancelled_call_is_reported(mode: str) -> None:
    def stops(task_id: str) -> str:
        raise Stop

    ran = Ran()
    ran.tool = stops
    ran.tool.__name__ = "execute_task"
    act = FakeAct(ALLOW_ALL)
    user, planner, _ = two_agents(act, ran, ("execute_task", {"task_id": "t"}))
    with pytest.raises(Stop):
        chat(mode, user, planner, max_turns=3)
    assert [status for _, status in act.outcomes] == ["cancelled"]


@pytest.mark.parametrize(("labels", "shown"), [(None, False), (["untrusted"], False), ([], True)])
def test_what_was_read_and_could_not_be_reported_is_not_shown(
    mode: str, ran: Ran, caplog: pytest.LogCaptureFixture, labels: list[str] | None, shown: bool
) -> None:
    act = FakeAct(ALLOW_ALL, reports_fail=True)
    spec = ToolSpec("execute", "api://tasks/{task_id}", labels)
    user, planner, seen = two_agents(act, ran, TASK, tools={"execute_task": spec})
    chat(mode, user, planner, max_turns=3)
    assert ran
    assert ("done t-1" in texts(seen)) is shown
    assert ("ACT withheld the result" in texts(seen)) is not shown
    assert "not reported" in caplog.text


@pytest.mark.parametrize("labels", [None, [], ["untrusted", "pii"]])
def test_the_labels_of_a_tool_are_reported(mode: str, ran: Ran, labels: list[str] | None) -> None:
    act = FakeAct(ALLOW_ALL)
    user, planner, _ = two_agents(act, ran, TASK, tools={"execute_task": ToolSpec("execute", "api://x", labels)})
    chat(mode, user, planner, max_turns=3)
    assert act.labels == [None if labels is None else tuple(labels)]


def test_the_mark_of_a_tool_may_give_labels() -> None:
    @act_tool(action="read", resource="web://{page}", labels=["untrusted"])
    def read(page: str) -> str:
        return page

    found = spec_of(read)
    assert found == ToolSpec("read", "web://{page}", ("untrusted",))
    for wrong, error in ((["x" * 65], ValueError), ("untrusted", TypeError)):
        with pytest.raises(error):
            act_tool(labels=wrong)


def test_a_call_outside_of_any_chat_has_no_asker(mode: str, ran: Ran) -> None:
    act = FakeAct(ALLOW_ALL)
    user, _, _ = two_agents(act, ran)
    function = {"name": "execute_task", "arguments": '{"task_id": "t"}'}
    if mode == "sync":
        done, result = user.execute_function(function)
    else:
        done, result = asyncio.run(user.a_execute_function(function))
    assert not done
    assert "requester_unknown" in result["content"]
    assert ran == []


@MODERN
@pytest.mark.parametrize("guarded", [False, True])
def test_the_hidden_executor_of_run_is_guarded(ran: Ran, guarded: bool) -> None:
    act = FakeAct()
    planner = assistant("Planner")
    planner.register_for_llm(description="A tool")(ran.tool)
    seen = script(planner, TASK)
    if guarded:
        ActGuard(act, TOKENS).protect(planner)
    planner.run(message="go", max_turns=3, user_input=False).process()
    assert bool(ran) is not guarded
    if guarded:
        assert [(ask.agent, ask.requester) for ask in act.about()] == [(PLANNER, PLANNER)]
        assert "no_matching_policy" in texts(seen)


@MODERN
def test_the_hidden_executor_of_a_run_runs_what_is_allowed(ran: Ran) -> None:
    act = FakeAct(ALLOW_ALL)
    planner = assistant("Planner")
    planner.register_for_llm(description="A tool")(ran.tool)
    script(planner, TASK)
    ActGuard(act, TOKENS).protect(planner)
    planner.run(message="go", max_turns=3, user_input=False).process()
    assert ran


def test_protect_twice_asks_once(mode: str, ran: Ran) -> None:
    act = FakeAct(ALLOW_ALL)
    user, planner = person(), assistant("Planner", is_termination_msg=ends)
    give(ran.tool, caller=planner, executor=user)
    script(planner, TASK)
    guard = ActGuard(act, TOKENS)
    assert guard.protect(user, planner) is guard
    assert guard.protect(planner, user, planner) is guard
    chat(mode, user, planner, max_turns=3)
    assert len(ran) == 1
    assert len(act.about()) == 1
    assert len(act.outcomes) == 1
