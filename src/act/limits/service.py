"""Leases over their whole life: taken with a decision, ended by an outcome, a time-out, or the token's expiry."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.limits import store
from act.limits.leases import Exceeded, LeaseBook, LeaseKey, Wanted


class LimitService:
    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._book = LeaseBook()

    def load(self, connection: Connection) -> None:
        """Hold what was held when the process ended; nothing becomes longer by a restart."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        for row in store.all_leases(connection):
            left = (row.expires_at - now).total_seconds()
            key = LeaseKey(row.tenant_id, row.policy_id, row.agent_id)
            self._book.restore(row.decision_id, key, monotonic + left)

    def reserve(self, decision_id: str, wanted: Sequence[Wanted]) -> Exceeded | None:
        """All or nothing. To be written by `write` in the decision's commit, or given back by `release`."""
        return self._book.reserve(decision_id, wanted, self._clock.monotonic()) if wanted else None

    def full(self, wanted: Sequence[Wanted]) -> Exceeded | None:
        return self._book.full(wanted, self._clock.monotonic()) if wanted else None

    def release(self, decision_id: str) -> None:
        self._book.release(decision_id)

    @staticmethod
    def write(
        transaction: Transaction, decision_id: str, token_id: str, wanted: Sequence[Wanted], now: datetime
    ) -> None:
        held = [(want.key, now + timedelta(seconds=want.seconds)) for want in wanted]
        store.add(transaction.connection, decision_id, token_id, held)

    @staticmethod
    def end(transaction: Transaction, decision_id: str) -> int:
        """End the leases of a decision durably; `release` follows when the commit has succeeded."""
        return store.end(transaction.connection, decision_id)

    def sweep(self) -> int:
        """End leases whose outcome was never reported, and record that they ended by time-out."""
        overdue = self._book.overdue(self._clock.monotonic())
        for decision_id in overdue:
            # An outcome that was reported at the same moment has ended it already; both are fine.
            with contextlib.suppress(LookupError):
                self._writer.write(partial(self._time_out, decision_id))
            self._book.release(decision_id)
        return len(overdue)

    @staticmethod
    def _time_out(decision_id: str, transaction: Transaction) -> None:
        row = store.of_decision(transaction.connection, decision_id)
        if row is None:
            raise LookupError(f"The lease of {decision_id} is gone already.")
        store.end(transaction.connection, decision_id)
        told = {"decisionId": decision_id, "agentId": row.agent_id, "tokenId": row.token_id}
        transaction.record(row.tenant_id, "lease.timed_out", told)
