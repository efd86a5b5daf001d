"""What an observing guard writes down, and how its report reads. No framework is needed for it."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from act.integrations import observed
from act.integrations.base import GuardBase, Plan
from act.integrations.core import Call, Enforcer, Observations, Party, UnprotectedAgent
from act.models import Decision, ReasonCode, Verdict


def token_of(agent_id: str) -> str:
    """Looks like a capability token to whoever does not verify it."""
    claims = base64.urlsafe_b64encode(json.dumps({"client_id": agent_id}).encode()).decode().rstrip("=")
    return f"e30.{claims}.c2ln"


PLANNER = Party("Planner", token_of("agt_planner"))
EXECUTOR = Party("Executor", token_of("agt_executor"))
SEND = Call("send", "mail://bob", {"to": "bob"})


class Answers:
    """Answers every question with one decision, and keeps how it was asked."""

    def __init__(self, verdict: Verdict, code: ReasonCode) -> None:
        self.verdict, self.code = verdict, code
        self.asked: list[Mapping[str, Any]] = []

    def enforce(self, token: str, action: str, resource: str, **more: Any) -> Decision:
        self.asked.append(more)
        return Decision(
            request_id="r",
            decision=self.verdict,
            reason_code=self.code,
            reason="Because.",
            decision_id="dec_1",
            dry_run=bool(more["dry_run"]),
            evaluated_at=datetime(2026, 11, 22, tzinfo=UTC),
        )

    def report_outcome(self, *_: Any) -> None:
        raise AssertionError("a dry run has no outcome")

    approvals: Any = None


class Guard(GuardBase):
    framework = "none"


DENIED = (Verdict.DENIED, ReasonCode.NO_MATCHING_POLICY)
PENDING = (Verdict.PENDING_APPROVAL, ReasonCode.APPROVAL_REQUIRED)
ALLOWED = (Verdict.ALLOWED, ReasonCode.ALLOWED)


def observing(act: Any, seen: Observations | None = None, **options: Any) -> Enforcer:
    return Enforcer(act, framework="none", conversation_id="c", mode="observe", seen=seen, **options)


@pytest.mark.parametrize("answer", [DENIED, PENDING, ALLOWED], ids=["denied", "pending", "allowed"])
@pytest.mark.parametrize("on_pending", ["deny", "wait", "raise"])
def test_whatever_the_answer_the_call_is_let_go(answer: Any, on_pending: Any) -> None:
    act, seen = Answers(*answer), Observations()
    enforcer = observing(act, seen, on_pending=on_pending)
    ruling = enforcer.decide(SEND, executor=EXECUTOR, asker=PLANNER)
    assert ruling.allowed
    assert (ruling.decision_id, ruling.approval_id) == (None, None)
    assert [more["dry_run"] for more in act.asked] == [True]
    ((observation, count),) = seen.report().observed
    assert (observation.verdict, observation.code, count) == (answer[0].value, answer[1], 1)
    assert (observation.requester, observation.executor) == ("Planner", "Executor")
    with enforcer.reporting(ruling):
        pass
    assert bool(seen.report().denied) is (answer is not ALLOWED)


def test_an_enforcer_that_enforces_is_not_softened() -> None:
    act = Answers(*DENIED)
    enforcer = Enforcer(act, framework="none", conversation_id="c", seen=(seen := Observations()))
    assert not enforcer.decide(SEND, executor=EXECUTOR, asker=PLANNER).allowed
    assert not enforcer.refused(ReasonCode.ACTION_MALFORMED, "No.").allowed
    assert [more["dry_run"] for more in act.asked] == [False]
    assert seen.report().calls == 0


def test_async_too() -> None:
    seen = Observations()
    enforcer = observing(Answers(*DENIED), seen)
    assert asyncio.run(enforcer.a_decide(SEND, executor=EXECUTOR, asker=PLANNER)).allowed
    assert len(seen.report().denied) == 1


@pytest.mark.parametrize(
    ("asker", "code"),
    [
        (None, ReasonCode.REQUESTER_UNKNOWN),
        (Party("Planner"), ReasonCode.NO_TOKEN),
        (Party("Planner", ""), ReasonCode.TOKEN_MALFORMED),
        (Party("Planner", "rubbish"), ReasonCode.TOKEN_MALFORMED),
    ],
    ids=["unknown", "none", "empty", "rubbish"],
)
def test_a_doubt_is_written_down_and_blocks_nothing(asker: Party | None, code: ReasonCode) -> None:
    act, seen = Answers(*ALLOWED), Observations()
    assert observing(act, seen).decide(SEND, executor=Party("user_proxy"), asker=asker).allowed
    assert [observation.code for observation, _ in seen.report().denied] == [code]
    assert act.asked == []


def test_what_cannot_be_asked_about_is_written_down() -> None:
    guard = Guard(Answers(*ALLOWED), {}, mode="observe", resources={"send": "mail://{to}"})
    spec = guard.spec_named("send")
    for arguments in ({}, {"to": ""}, "text", {"to": "a", "x": float("nan")}, {"to": "a", "x": object()}):
        ruling = guard.plan("send", arguments, spec=spec, executor=EXECUTOR, asker=PLANNER)
        assert not isinstance(ruling, Plan)
        assert ruling.allowed
    assert guard.report().calls == 5
    assert {observation.action for observation, _ in guard.report().denied} == {"send"}
    enforcing = Guard(Answers(*ALLOWED), {}, resources={"send": "mail://{to}"})
    refused = enforcing.plan("send", {}, spec=spec)
    assert not isinstance(refused, Plan)
    assert not refused.allowed
    assert refused.code is ReasonCode.RESOURCE_MALFORMED


def test_an_unprotected_agent_is_only_warned_about() -> None:
    with pytest.warns(UserWarning, match="Inner"):
        Guard(Answers(*ALLOWED), {}, mode="observe").unprotected("Inner is not under the guard")
    with pytest.raises(UnprotectedAgent, match="Inner"):
        Guard(Answers(*ALLOWED), {}).unprotected("Inner is not under the guard")


def test_the_report_counts_like_calls_together_and_reads_as_text() -> None:
    guard = Guard(Answers(*DENIED), {}, mode="observe")
    for executor in (EXECUTOR, EXECUTOR, PLANNER):
        guard.enforcer.decide(SEND, executor=executor, asker=PLANNER)
    guard.enforcer.refused(ReasonCode.ACTION_MALFORMED, "Not JSON.", "send")
    assert str(guard.report()).splitlines() == [
        "4 calls observed, 4 would not have run.",
        "2 x Planner through Executor: send mail://bob: no_matching_policy: Because.",
        "1 x Planner: send mail://bob: no_matching_policy: Because.",
        "1 x somebody unknown: send: action_malformed: Not JSON.",
    ]
    told = guard.report().to_dict()
    assert (told["calls"], told["leftOut"]) == (4, 0)
    assert told["observed"][0] == {
        "action": "send",
        "resource": "mail://bob",
        "executor": "Executor",
        "requester": "Planner",
        "verdict": "denied",
        "code": "no_matching_policy",
        "reason": "Because.",
        "count": 2,
    }


def test_the_report_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observed, "MOST", 3)
    guard = Guard(Answers(*DENIED), {}, mode="observe")
    for number in range(5):
        guard.enforcer.decide(Call("send", f"mail://{number}", {}), executor=EXECUTOR, asker=PLANNER)
    report = guard.report()
    assert (len(report.observed), report.calls, report.left_out) == (3, 5, 2)
    assert "2 calls are not listed" in str(report)


def test_threads_lose_nothing() -> None:
    guard = Guard(Answers(*DENIED), {}, mode="observe")

    def ask() -> None:
        for _ in range(200):
            guard.enforcer.decide(SEND, executor=EXECUTOR, asker=PLANNER)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert guard.report().calls == 1600
