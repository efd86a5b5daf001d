"""The side of time: what nobody answered in time expires, and the log says so."""

from __future__ import annotations

from functools import partial

from act.approvals import store
from act.approvals.approval import Fault, expire, expired
from act.approvals.live import LiveApprovals
from act.approvals.steps import StepLost, Steps
from act.audit.transaction import Transaction
from act.audit.writer import Writer

TOGETHER = 500
"""Approvals that expire in shared commits; the queue of the writer has room for decisions beside them."""


class Expiry:
    def __init__(self, writer: Writer, live: LiveApprovals, steps: Steps) -> None:
        self._writer = writer
        self._live = live
        self._steps = steps

    def sweep(self) -> int:
        """Expire what is due, and record it."""
        due = [approval for approval in self._live.open() if expired(approval, self._live.now(approval.id))]
        for at in range(0, len(due), TOGETHER):
            works = [partial(self._expire, approval.id, approval.tenant_id) for approval in due[at : at + TOGETHER]]
            for failure in self._writer.write_all(works):
                if failure is not None and not isinstance(failure, StepLost):
                    raise failure
        self._live.forget_settled()
        return len(due)

    def _expire(self, id: str, tenant_id: str, transaction: Transaction) -> None:
        row = store.find(transaction.connection, tenant_id, id)
        if row is None:
            raise StepLost(id)
        before = store.value(row)
        after = expire(before, self._live.now(before.id))
        if isinstance(after, Fault):
            raise StepLost(id)
        self._steps.record(transaction, "approval.expired", row, before, after, {})
