"""Messages between AutoGen classic agents: observed, or enforced."""

from __future__ import annotations

import json
from typing import Any

import pytest
from autogen_support import (
    ALLOW_ALL,
    EXECUTOR,
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

from act.integrations.autogen import ActGuard, ApprovalPending

pytestmark = pytest.mark.timeout(180)

SECRET = "the secret plan"


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pair(act: FakeAct, *steps: Any, **options: Any) -> tuple[Any, Any, Any]:
    planner, executor = assistant("Planner"), assistant("Executor")
    script(planner, SECRET, "TERMINATE")
    seen = script(executor, *steps)
    ActGuard(act, TOKENS, **options).protect(planner, executor)
    return planner, executor, seen


def test_messages_are_observed_and_never_held_back(mode: str) -> None:
    act = FakeAct()
    planner, executor, seen = pair(act, "understood", "TERMINATE")
    chat(mode, planner, executor, message=SECRET, max_turns=2)
    asked = act.about("message")
    assert (asked[0].agent, asked[0].requester, asked[0].resource) == (PLANNER, PLANNER, "agent://Executor")
    assert (asked[1].agent, asked[1].requester, asked[1].resource) == (EXECUTOR, EXECUTOR, "agent://Planner")
    assert asked[0].arguments == {"kind": "text", "length": len(SECRET)}
    assert SECRET not in json.dumps([[ask.arguments, ask.context] for ask in asked])
    assert SECRET in texts(seen)


@pytest.mark.parametrize("trouble", [{"broken": True}, {"rules": ALLOW_ALL, "pending": ["agent://*"]}])
def test_observing_never_stops_a_message(mode: str, trouble: dict[str, Any]) -> None:
    act = FakeAct(**trouble)
    planner, executor, seen = pair(act, "understood", on_pending="raise")
    chat(mode, planner, executor, message=SECRET, max_turns=2)
    assert SECRET in texts(seen)
    assert act.waits == []


def test_off_asks_nothing(mode: str) -> None:
    act = FakeAct()
    planner, executor, _ = pair(act, "understood", messages="off")
    chat(mode, planner, executor, message=SECRET, max_turns=2)
    assert act.asked == []


def test_people_are_not_asked_for(mode: str) -> None:
    act = FakeAct()
    user, executor = person(), assistant("Executor")
    script(executor, "understood")
    ActGuard(act, TOKENS).protect(user, executor)
    chat(mode, user, executor, max_turns=1)
    assert [ask.agent for ask in act.asked] == [EXECUTOR]


def test_in_a_group_the_sender_is_the_speaker(mode: str) -> None:
    act = FakeAct()
    user, planner, executor = person(), assistant("Planner"), assistant("Executor")
    script(planner, SECRET)
    script(executor, "TERMINATE")
    ActGuard(act, TOKENS).protect(user, planner, executor)
    chat(mode, user, group(user, planner, executor))
    # Round after round: the Planner to both, then the Executor (in sync chats its last word is still passed on).
    planners = [(ask.agent, ask.resource) for ask in act.about("message")][:2]
    assert planners == [(PLANNER, "agent://user_proxy"), (PLANNER, "agent://Executor")]
    assert all(ask.agent in (PLANNER, EXECUTOR) for ask in act.about("message"))


def test_a_message_that_is_not_allowed_is_replaced(mode: str) -> None:
    act = FakeAct([(EXECUTOR, "*", "*")])
    planner, executor, seen = pair(act, "what?", "TERMINATE", messages="enforce")
    chat(mode, planner, executor, message=SECRET, max_turns=2)
    assert SECRET not in texts(seen)
    assert "ACT denied: no_matching_policy" in texts(seen)


def test_who_may_be_an_agent_with_a_misspelt_name_does_not_speak_as_a_person(mode: str) -> None:
    planner, executor = assistant("Planner"), assistant("Executor")
    script(planner, SECRET, "TERMINATE")
    seen = script(executor, "what?", "TERMINATE")
    tokens = {"Executor": TOKENS["Executor"], "planer": TOKENS["Planner"]}
    guard = ActGuard(FakeAct(ALLOW_ALL), tokens, messages="enforce")
    with pytest.warns(UserWarning, match="'Planner' has no token"):
        guard.protect(planner, executor)
    chat(mode, planner, executor, message=SECRET, max_turns=2)
    assert SECRET not in texts(seen)
    assert "ACT denied: no_token" in texts(seen)


def test_in_a_group_only_the_recipient_without_permission_misses_it(mode: str) -> None:
    act = FakeAct([("*", "message", "agent://Executor"), (EXECUTOR, "message", "*")])
    user, planner, executor, other = person(), assistant("Planner"), assistant("Executor"), assistant("Other")
    script(planner, SECRET)
    heard, missed = script(executor, "fine"), script(other, "TERMINATE")
    ActGuard(act, TOKENS, messages="enforce").protect(user, planner, executor, other)
    chat(mode, user, group(user, planner, executor, other))
    assert SECRET in texts(heard)
    assert SECRET not in texts(missed)
    assert "ACT denied" in texts(missed)


def test_a_dropped_message_that_would_end_the_chat_ends_it(mode: str) -> None:
    act = FakeAct()
    planner, executor, seen = pair(act, "again?", "again?", "again?", messages="enforce")
    executor._is_termination_msg = ends
    chat(mode, planner, executor, message="TERMINATE", max_turns=4)
    assert seen == []


def test_tool_results_that_are_dropped_keep_their_call_ids(mode: str) -> None:
    act = FakeAct([(PLANNER, "*", "*"), (EXECUTOR, "call", "*")])
    planner, executor = assistant("Planner"), assistant("Executor")

    def look(at: str) -> str:
        return SECRET

    executor.register_for_execution()(planner.register_for_llm(description="Look")(look))
    seen = script(planner, ("look", {"at": "x"}), "TERMINATE")
    script(executor, "go on")
    ActGuard(act, TOKENS, messages="enforce").protect(planner, executor)
    chat(mode, executor, planner, max_turns=2)
    results = [message for message in seen[-1] if message.get("role") == "tool"]
    assert len(results) == 1
    assert results[0]["tool_call_id"] == "call-1-0"
    assert results[0]["content"].startswith("ACT denied")
    assert SECRET not in texts(seen)


def test_a_pending_message_is_raised_when_enforced(mode: str) -> None:
    act = FakeAct(ALLOW_ALL, pending=["agent://*"])
    planner, executor, _ = pair(act, "x", messages="enforce", on_pending="raise")
    with pytest.raises(ApprovalPending):
        chat(mode, planner, executor, message=SECRET, max_turns=1)


def test_a_pending_message_is_waited_for_when_enforced(mode: str) -> None:
    act = FakeAct([(PLANNER, "*", "*")], pending=["agent://*"], verdicts=["approved"])
    planner, executor, seen = pair(act, "x", messages="enforce", on_pending="wait", approval_timeout=20)
    chat(mode, planner, executor, message=SECRET, max_turns=1)
    assert SECRET in texts(seen)


def test_the_lease_of_a_message_is_given_back(mode: str) -> None:
    act = FakeAct(ALLOW_ALL, leases=True)
    planner, executor, _ = pair(act, "x")
    chat(mode, planner, executor, message=SECRET, max_turns=1)
    assert [status for _, status in act.outcomes] == ["succeeded"] * len(act.asked)


def test_a_direct_receive_is_asked_for_too() -> None:
    act = FakeAct()
    planner, executor, seen = pair(act, "x", messages="enforce")
    executor.receive(SECRET, planner, request_reply=True, silent=True)
    assert SECRET not in texts(seen)


def test_introductions_of_a_manager_are_its_own(mode: str) -> None:
    act = FakeAct(ALLOW_ALL)
    user, executor = person(), assistant("Executor")
    script(executor, "TERMINATE")
    ActGuard(act, TOKENS, messages="enforce").protect(user, executor)
    manager = group(user, executor, send_introductions=True)
    chat(mode, user, manager)
    assert "ACT denied" not in str(executor.chat_messages[manager])
