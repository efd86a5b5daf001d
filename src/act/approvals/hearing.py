"""The side of the person: seeing what is asked, waiting for an answer, and giving one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Engine

from act import models
from act.approvals import store
from act.approvals.answers import Answers, without_people
from act.approvals.approval import Approval, Fault, Vote, approve, reject
from act.approvals.live import LiveApprovals
from act.approvals.steps import Steps
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.database.pages import page, read_cursor
from act.models import Scope
from act.problems import ProblemError, conflict, forbidden, not_found
from act.tenants.tenant import ApiKey

Step = Callable[[Approval], Approval | Fault]
_NOT_THIS_PERSON = ("own_request", "own_behalf", "approver_role_missing")


class HearingService:
    def __init__(
        self, writer: Writer, reader: Engine, clock: Clock, live: LiveApprovals, steps: Steps, answers: Answers
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._live = live
        self._steps = steps
        self._answers = answers

    def list(self, caller: ApiKey, status: str | None, limit: int, cursor: str | None) -> models.Page[models.Approval]:
        with self._reader.begin() as connection:
            rows = store.page(connection, caller.tenant_id, status, read_cursor(cursor), limit + 1)
        return page(rows, limit, lambda row: row.id, self._answers.answer)

    def get(self, caller: ApiKey, id: str) -> models.Approval:
        """An approval; a key that can only enforce sees those that it asked for itself, and not who holds which key."""
        with self._reader.begin() as connection:
            row = store.find(connection, caller.tenant_id, id)
        if row is None or not (caller.has(Scope.APPROVE) or row.asked_by == caller.id):
            raise not_found("approval", id)
        found = self._answers.answer(row)
        return found if caller.has(Scope.APPROVE) else without_people(found)

    async def wait(self, caller: ApiKey, id: str, seconds: int) -> models.Approval:
        """`get`, as soon as the approval is no longer pending, or after `seconds`."""
        deadline = self._clock.monotonic() + seconds
        while True:
            waiter = self._live.changed(id)
            try:
                found = await asyncio.to_thread(self.get, caller, id)
                left = deadline - self._clock.monotonic()
                if found.status != "pending" or left <= 0 or self._live.closing:
                    return found
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.wrap_future(waiter), left)
            finally:
                self._live.forget(id, waiter)

    def stop_waiting(self) -> None:
        self._live.close()

    def approve(self, caller: ApiKey, id: str, body: models.ApproveRequest) -> models.Approval:
        return self._vote(caller, id, "approval.approved", body.reason, lambda vote: partial(approve, vote=vote))

    def reject(self, caller: ApiKey, id: str, body: models.RejectRequest) -> models.Approval:
        reason = body.reason
        return self._vote(
            caller, id, "approval.rejected", reason, lambda vote: partial(reject, vote=vote, reason=reason)
        )

    def _vote(
        self, caller: ApiKey, id: str, kind: models.WebhookEvent, reason: str | None, step: Callable[[Vote], Step]
    ) -> models.Approval:
        if caller.agent_id is not None:
            raise forbidden("agents_cannot_approve", "An API key that is bound to an agent cannot decide approvals.")

        def work(transaction: Transaction) -> None:
            row = store.find(transaction.connection, caller.tenant_id, id)
            if row is None:
                raise not_found("approval", id)
            before = store.value(row)
            vote = Vote(caller.id, caller.name, self._live.now(before.id), caller.roles, caller.person)
            after = step(vote)(before)
            if isinstance(after, Fault):
                raise _problem(after)
            told: dict[str, Any] = {"keyId": caller.id, "person": caller.person, "reason": reason}
            told["roles"] = sorted(caller.roles) or None
            self._steps.record(transaction, kind, row, before, after, told)

        self._writer.write(work)
        return self.get(caller, id)


def _problem(fault: Fault) -> ProblemError:
    if fault.code in _NOT_THIS_PERSON:
        return forbidden(fault.code, fault.message)
    return conflict(fault.code, fault.message)
