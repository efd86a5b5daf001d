"""`Guard` and `AsyncGuard`: what stands between one agent and its tools."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from act.client.bearer import Bearer, Poll, approval_id, final, not_settled, reportable
from act.client.binding import bound
from act.client.calls import Outcome
from act.client.deciding import Ask, Deciding, denied, kept
from act.client.errors import ActError
from act.models import Approval, Decision, OutcomeRecorded, ReasonCode, Verdict


class ApprovalReader(Protocol):
    def get(self, id: str, wait: int = 0) -> Approval: ...


class Enforcer(Protocol):
    """What a guard needs of `Act` (or of `FakeAct`)."""

    @property
    def approvals(self) -> ApprovalReader: ...

    def enforce(
        self,
        token: str | None,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
    ) -> Decision: ...

    def report_outcome(
        self,
        decision_id: str,
        status: Outcome,
        labels: Iterable[str] | None = None,
        created: Iterable[str] | None = None,
    ) -> OutcomeRecorded: ...


class AsyncApprovalReader(Protocol):
    async def get(self, id: str, wait: int = 0) -> Approval: ...


class AsyncEnforcer(Protocol):
    """What a guard needs of `AsyncAct`."""

    @property
    def approvals(self) -> AsyncApprovalReader: ...

    def enforce(
        self,
        token: str | None,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
    ) -> Deciding: ...

    async def report_outcome(
        self,
        decision_id: str,
        status: Outcome,
        labels: Iterable[str] | None = None,
        created: Iterable[str] | None = None,
    ) -> OutcomeRecorded: ...


class Guard(Bearer):
    """Asks for one agent through `Act`; for sync code, and for async code through a worker thread.

    The methods that begin with `a` are to be awaited. Many agents in one event loop are better served by `AsyncGuard`.
    """

    def __init__(self, act: Enforcer, token: str | None, *, wait: float = 900.0) -> None:
        super().__init__(token, wait)
        self._act = act

    def check(
        self,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
    ) -> Decision:
        """May the agent do this? Everything that goes wrong is a denial, arguments that are not JSON too."""
        try:
            return self._act.enforce(
                self._token, action, resource, arguments=arguments, context=context, requester=requester
            )
        except ValueError as error:
            return not_json(error)

    def check_and_wait(
        self,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
        timeout: float | None = None,
    ) -> Decision:
        """As `check`, but when a person has to approve, wait for that and send the same request again.

        Returns:
            The final decision: allowed, denied (`approval_rejected` with the person's reason, `approval_expired`), or
            still pending when `timeout` seconds are over. Only the first is true in a condition.
        """
        ask = Ask(arguments=kept(arguments), context=context, requester=requester)
        first = self.check(action, resource, **ask)
        if first.decision is not Verdict.PENDING_APPROVAL:
            return first
        try:
            approval = self.wait_for_approval(first, timeout)
        except ActError as error:
            return not_settled(first, error)
        if approval.status == "pending":
            return first
        return final(self.check(action, resource, **ask), approval)

    def wait_for_approval(self, of: Decision | str, timeout: float | None = None) -> Approval:
        """The approval once it is decided, or still pending after `timeout` seconds. Raises `ActError`."""
        id, poll = approval_id(of), Poll(self._wait if timeout is None else timeout)
        while True:
            approval = self._act.approvals.get(id, wait=poll.wait())
            pause = poll.pause()
            if approval.status != "pending" or pause is None:
                return approval
            time.sleep(pause)

    def report(
        self,
        decision: Decision,
        status: Outcome,
        labels: Iterable[str] | None = None,
        created: Iterable[str] | None = None,
    ) -> OutcomeRecorded:
        """Say what became of an allowed action; ends its lease. See `Act.report_outcome`. Raises `ActError`."""
        return self._act.report_outcome(reportable(decision), status, labels, created)

    def bind(self) -> AbstractContextManager[Guard]:
        """Make this the guard of the code in the block (`act.tool`, `act.current_guard`)."""
        return bound(self)

    def acheck(
        self,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
    ) -> Deciding:
        """`check`, in a worker thread."""
        ask = Ask(arguments=arguments, context=context, requester=requester)
        return Deciding(asyncio.to_thread(self.check, action, resource, **ask))

    async def areport(
        self,
        decision: Decision,
        status: Outcome,
        labels: Iterable[str] | None = None,
        created: Iterable[str] | None = None,
    ) -> OutcomeRecorded:
        """`report`, in a worker thread."""
        return await asyncio.to_thread(self.report, decision, status, labels, created)

    async def _approval(self, id: str, wait: int) -> Approval:
        return await asyncio.to_thread(self._act.approvals.get, id, wait)


class AsyncGuard(Bearer):
    """Asks for one agent through `AsyncAct`. All that asks begins with `a` and is to be awaited."""

    def __init__(self, act: AsyncEnforcer, token: str | None, *, wait: float = 900.0) -> None:
        super().__init__(token, wait)
        self._act = act

    def bind(self) -> AbstractContextManager[AsyncGuard]:
        """Make this the guard of the code in the block (`act.tool`, `act.current_guard`)."""
        return bound(self)

    def acheck(
        self,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
    ) -> Deciding:
        """May the agent do this? Await it; everything that goes wrong is a denial, arguments that are not JSON too."""

        async def work() -> Decision:
            try:
                return await self._act.enforce(
                    self._token, action, resource, arguments=arguments, context=context, requester=requester
                )
            except ValueError as error:
                return not_json(error)

        return Deciding(work())

    async def areport(
        self,
        decision: Decision,
        status: Outcome,
        labels: Iterable[str] | None = None,
        created: Iterable[str] | None = None,
    ) -> OutcomeRecorded:
        """Say what became of an allowed action; ends its lease. See `Act.report_outcome`. Raises `ActError`."""
        return await self._act.report_outcome(reportable(decision), status, labels, created)

    async def _approval(self, id: str, wait: int) -> Approval:
        return await self._act.approvals.get(id, wait)


def not_json(error: ValueError) -> Decision:
    """The denial of a question that could not even be asked."""
    return denied(ReasonCode.UNREACHABLE, f"ACT could not be asked, so nothing may run. {error}")
