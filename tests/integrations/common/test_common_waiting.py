"""Waiting for people, and being cancelled while ACT is asked: nobody else is held up, and no place stays taken."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from act.integrations.core import Call, Enforcer, Party
from act.models import Approval, ApprovalReference, Decision, ReasonCode, Verdict

pytestmark = pytest.mark.timeout(120)

NOW = datetime(2026, 11, 22, tzinfo=UTC)
TOKEN = f"e30.{base64.urlsafe_b64encode(json.dumps({'client_id': 'agt_1'}).encode()).decode().rstrip('=')}.c2ln"
AGENT = Party("Planner", TOKEN)


class People:
    """An ACT in which `pay` waits for a person until `answered` is set; everything else is allowed."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.arrived = threading.Semaphore(0)
        self.outcomes: list[str] = []
        self.reported = threading.Event()
        self.when_asked: Any = None

    def enforce(self, token: str, action: str, resource: str, **more: Any) -> Decision:
        if self.when_asked is not None:
            self.when_asked()
        pending = action == "pay" and not self.answered.is_set()
        return Decision(
            request_id="r",
            decision=Verdict.PENDING_APPROVAL if pending else Verdict.ALLOWED,
            reason_code=ReasonCode.APPROVAL_REQUIRED if pending else ReasonCode.ALLOWED,
            reason="Because.",
            decision_id="dec_1",
            approval=ApprovalReference(id="apr_1", expires_at=NOW) if pending else None,
            evaluated_at=NOW,
        )

    def report_outcome(self, decision_id: str, status: str, labels: Any = None) -> None:
        self.outcomes.append(status)
        self.reported.set()

    @property
    def approvals(self) -> People:
        return self

    def get(self, id: str, *, wait: int = 0) -> Approval:
        self.arrived.release()
        self.answered.wait(wait)
        return Approval(
            id=id,
            status="approved" if self.answered.is_set() else "pending",
            agent_id="agt_1",
            agent_name="",
            requester_id=None,
            action="pay",
            resource_id="api://pay",
            arguments={},
            context={},
            policies=[],
            approvers_needed=1,
            approved_by=[],
            reason=None,
            decision_id="dec_0",
            created_at=NOW,
            expires_at=NOW + timedelta(minutes=15),
        )


def enforcer(act: Any, **options: Any) -> Enforcer:
    return Enforcer(act, framework="none", conversation_id="c", **options)


def test_many_who_wait_hold_nobody_up() -> None:
    act = People()
    asking = enforcer(act, on_pending="wait", approval_timeout=100)

    async def team() -> tuple[bool, list[bool]]:
        pay = Call("pay", "api://pay", {})
        waiting = [asyncio.create_task(asking.a_decide(pay, executor=AGENT, asker=AGENT)) for _ in range(64)]
        for _ in waiting:
            await asyncio.to_thread(act.arrived.acquire)
        read = await asking.a_decide(Call("read", "api://read", {}), executor=AGENT, asker=AGENT)
        still = any(task.done() for task in waiting)
        act.answered.set()
        return read.allowed and not still, [(await task).allowed for task in waiting]

    read_meanwhile, paid = asyncio.run(team())
    assert read_meanwhile
    assert all(paid)


def test_the_end_of_the_loop_does_not_wait_for_people() -> None:
    act = People()
    asking = enforcer(act, on_pending="wait", approval_timeout=100)

    async def team() -> None:
        task = asyncio.create_task(asking.a_decide(Call("pay", "api://pay", {}), executor=AGENT, asker=AGENT))
        await asyncio.to_thread(act.arrived.acquire)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    began = time.monotonic()
    asyncio.run(team())
    assert time.monotonic() - began < 25  # one poll takes 30
    act.answered.set()


@pytest.mark.parametrize("on_pending", ["deny", "wait"])
@pytest.mark.parametrize("turns", range(6))
def test_whenever_it_is_cancelled_what_was_allowed_is_given_back(on_pending: Any, turns: int) -> None:
    """Cancelled so many turns of the loop after ACT was asked: before, while and after the answer is there."""
    act = People()
    asking = enforcer(act, on_pending=on_pending)

    async def team() -> bool:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(asking.a_decide(Call("read", "api://read", {}), executor=AGENT, asker=AGENT))

        def cancel(left: int) -> None:
            loop.call_soon(cancel, left - 1) if left else task.cancel()

        act.when_asked = lambda: loop.call_soon_threadsafe(cancel, turns)
        try:
            await task
        except asyncio.CancelledError:
            return True
        return False  # it was faster

    for _ in range(20):
        act.outcomes.clear()
        act.reported.clear()
        if asyncio.run(team()):
            assert act.reported.wait(30)
            assert set(act.outcomes) == {"cancelled"}


def test_what_is_raised_while_waiting_comes_out() -> None:
    class Broken(People):
        def get(self, id: str, *, wait: int = 0) -> Approval:
            raise SystemExit(3)

    async def team() -> None:
        await enforcer(Broken(), on_pending="wait").a_decide(Call("pay", "api://pay", {}), executor=AGENT, asker=AGENT)

    with pytest.raises(SystemExit):
        asyncio.run(team())
