"""How an agent's program waits for people and hears their answer, against a real server."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from act import Act, ApprovalPending, AsyncAct, PermissionDenied, ReasonCode
from tests.support import ADMIN_KEY, Api, Server

ASK = ("pay", "bank://transfers/7")


@dataclass
class Paying:
    """An agent that pays when a person agrees, and that person."""

    server: Server
    act: Act
    token: str
    person: Act

    def decide(self, word: str) -> threading.Thread:
        """A person who answers what comes up, in a thread of their own."""

        def wait() -> None:
            while not (waiting := [each for each in self.person.approvals.list("pending") if each.agent_id == agent]):
                time.sleep(0.05)
            if word == "approve":
                self.person.approvals.approve(waiting[0].id)
            else:
                self.person.approvals.reject(waiting[0].id, "Not on a Friday")

        agent = self.act.guard(self.token).agent_id
        thread = threading.Thread(target=wait)
        thread.start()
        return thread

    def tool(self, guard: Any, **options: Any) -> Callable[[int], str]:
        @guard.tool("pay", "bank://transfers/{number}", **options)
        def pay(number: int) -> str:
            return f"paid {number}"

        return pay


@pytest.fixture
def paying(server: Server, api: Api) -> Iterator[Paying]:
    agent = api.agent()
    api.policy(["pay"], appliesTo={"agentIds": [agent]}, constraints={"requiresApproval": {"from": ["finance"]}})
    with (
        Act(server.url, ADMIN_KEY, timeout=20) as act,
        Act(server.url, act_key(act), timeout=20) as person,
    ):
        yield Paying(server, act, act.tokens.issue(agent).token, person)


def act_key(act: Act) -> str:
    made = act.api_keys.create("ann", ["approve"], roles=["finance"], person="ann@example.com")
    assert (made.roles, made.person) == (["finance"], "ann@example.com")
    return made.key


@pytest.mark.parametrize(("word", "status"), [("approve", "approved"), ("reject", "rejected")])
def test_wait_for_approval(paying: Paying, word: str, status: str) -> None:
    guard = paying.act.guard(paying.token)
    pending = guard.check(*ASK)
    answering = paying.decide(word)
    approval = guard.wait_for_approval(pending, timeout=60)
    answering.join()
    assert approval.status == status
    vote = approval.approved_by[0] if word == "approve" else approval.rejected_by
    assert vote is not None
    assert (vote.key_name, vote.person, vote.roles) == ("ann", "ann@example.com", ["finance"])
    assert [(each.approvers, each.from_) for each in approval.demands] == [(1, ["finance"])]
    assert approval.demands[0].given == (1 if word == "approve" else 0)


def test_wait_for_approval_ends(paying: Paying) -> None:
    guard = paying.act.guard(paying.token)
    pending = guard.check(*ASK)
    started = time.monotonic()
    assert guard.wait_for_approval(pending, timeout=1.2).status == "pending"
    assert 1.1 <= time.monotonic() - started < 30


@pytest.mark.parametrize("word", ["approve", "reject"])
def test_wait_for_approval_in_a_loop(paying: Paying, word: str) -> None:
    async def work() -> None:
        async with AsyncAct(paying.server.url, ADMIN_KEY, timeout=20) as act:
            guard = act.guard(paying.token)
            pending = await guard.acheck(*ASK)
            assert (await guard.wait_for_approval(pending, timeout=0.3)).status == "pending"
            answering = paying.decide(word)
            approval = await guard.wait_for_approval(pending, timeout=60)
            answering.join()
            assert approval.status == ("approved" if word == "approve" else "rejected")

    asyncio.run(work())


def test_a_tool_that_waits_runs_after_the_yes_and_once(paying: Paying) -> None:
    pay = paying.tool(paying.act.guard(paying.token, wait=60), on_pending="wait")
    answering = paying.decide("approve")
    assert pay(7) == "paid 7"
    answering.join()
    with pytest.raises(ApprovalPending):
        paying.tool(paying.act.guard(paying.token))(7)


def test_a_tool_that_waits_tells_why_not(paying: Paying) -> None:
    pay = paying.tool(paying.act.guard(paying.token, wait=60), on_pending="wait")
    answering = paying.decide("reject")
    with pytest.raises(PermissionDenied, match="Not on a Friday") as refused:
        pay(7)
    answering.join()
    assert refused.value.decision.reason_code is ReasonCode.APPROVAL_REJECTED


def test_a_tool_that_does_not_wait_tells_why_not_the_next_time(paying: Paying) -> None:
    pay = paying.tool(paying.act.guard(paying.token))
    with pytest.raises(ApprovalPending, match="a person from 'finance'"):
        pay(7)
    paying.decide("reject").join()
    with pytest.raises(PermissionDenied, match="Not on a Friday") as refused:
        pay(7)
    assert not isinstance(refused.value, ApprovalPending)


def test_an_async_tool_tells_why_not(paying: Paying) -> None:
    async def work() -> None:
        async with AsyncAct(paying.server.url, ADMIN_KEY, timeout=20) as act:

            @act.guard(paying.token, wait=60).tool("pay", "bank://transfers/{number}", on_pending="wait")
            async def pay(number: int) -> str:
                raise AssertionError("it ran")

            answering = paying.decide("reject")
            with pytest.raises(PermissionDenied, match="Not on a Friday"):
                await pay(7)
            answering.join()

    asyncio.run(work())
