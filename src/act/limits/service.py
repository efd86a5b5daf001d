"""Limits over their whole life: looked at, reserved with a decision, written in its commit, and given back.

One interface for all that is counted. A place (`maxConcurrentTasks`) is held until an outcome, its time-out or the
token's end; a rate, a quota or a budget is used up. Decisions ask memory; what was reserved is written in the same
commit as the decision's audit record, and read again after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.limits import store
from act.limits.book import Demand, Exceeded, LimitBook, Reserved
from act.limits.counters import Series
from act.limits.leases import LeaseKey

TIDY_SECONDS = 60.0
TOGETHER = 500
"""Time-outs that are written at once; the queue of the writer has room for decisions beside them."""


class LimitService:
    """`on_time_out` does in the same commit what else follows from a time-out; it answers fields for the record."""

    on_time_out: Callable[[Transaction, str, str], dict[str, Any]]

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._book = LimitBook()
        self.on_time_out = lambda *_: {}
        self._tidied = clock.monotonic()
        self._origin = self._began()
        self._under_way: set[str] = set()
        """Decisions that have taken places, and of which nobody knows yet whether they are written."""

    def load(self, connection: Connection) -> None:
        """Hold and count what was when the process ended; nothing becomes longer or less by a restart.

        How long ago it was only the wall clock knows; one that was put back makes no time longer than it was at first.
        """
        now, monotonic = self._clock.now(), self._clock.monotonic()
        for row in store.all_leases(connection):
            left = (row.expires_at - max(now, row.taken_at)).total_seconds()
            key = LeaseKey(row.tenant_id, row.policy_id, row.agent_id)
            self._book.restore_lease(row.decision_id, key, monotonic + left)
        for row in store.all_counts(connection):
            left = 0.0
            if row.seconds is not None:
                left = min((row.expires_at - now).total_seconds(), row.seconds)
                if left <= 0:
                    continue
            series = Series(row.tenant_id, row.policy_id, row.name, row.seconds)
            self._book.restore_count(series, row.holder, row.amount, monotonic + left)

    # --- the side of the decision ---

    def look(self, demand: Demand) -> Exceeded | None:
        """Whether `reserve` would fail now; takes nothing."""
        return self._book.look(demand, self._clock.monotonic())

    def reserve(self, decision_id: str, demand: Demand) -> Reserved | Exceeded:
        """All or nothing. To be written by `write` in the decision's commit, or taken back by `undo`.

        Places are not timed out before `written` has said that there is something to time out.
        """
        if not demand.places:
            return self._book.reserve(decision_id, demand, self._clock.monotonic())
        self._under_way.add(decision_id)
        reserved = self._book.reserve(decision_id, demand, self._clock.monotonic())
        if isinstance(reserved, Exceeded):
            self._under_way.discard(decision_id)
        return reserved

    def undo(self, reserved: Reserved) -> None:
        """Give back what was reserved and could not be written."""
        self._book.undo(reserved)
        self._under_way.discard(reserved.decision_id)

    def written(self, decision_id: str) -> None:
        """The decision is durable, and so are the places that it has taken."""
        self._under_way.discard(decision_id)

    def holds(self, decision_id: str) -> bool:
        """Whether all places of the decision are its own still."""
        return self._book.holds(decision_id, self._clock.monotonic())

    @staticmethod
    def write(transaction: Transaction, reserved: Reserved, token_id: str, now: datetime) -> None:
        for want in reserved.places:
            transaction.at_end(store.add_leases, store.lease(reserved.decision_id, token_id, want, now))
        if reserved.rooms:
            transaction.at_end(store.add_counts, (reserved.rooms, now))

    # --- the side of the outcome ---

    def release(self, decision_id: str) -> None:
        self._book.release(decision_id)

    @staticmethod
    def end(transaction: Transaction, decision_id: str) -> None:
        """End the leases of a decision durably; `release` follows when the commit has succeeded."""
        store.end(transaction.driver, decision_id)

    # --- the side of time ---

    def sweep(self, alive: Callable[[str], bool] = lambda _: True) -> int:
        """End leases whose outcome was never reported, and record that they ended by time-out.

        Once a minute also forget what is counted no more: `alive` says whether a token family still is.
        """
        # Who is sought in the file before the decision is there would be forgotten, and its session never told.
        overdue = [each for each in self._book.overdue(self._clock.monotonic()) if each not in self._under_way]
        for at in range(0, len(overdue), TOGETHER):
            self._end_overdue(overdue[at : at + TOGETHER])
        if self._clock.monotonic() - self._tidied >= TIDY_SECONDS:
            self._tidied = self._clock.monotonic()
            self._tidy(alive)
        return len(overdue)

    def _end_overdue(self, decision_ids: Sequence[str]) -> None:
        """In shared commits: who takes places and never reports must not do so faster than they are ended."""
        failures = self._writer.write_all([partial(self._time_out, each) for each in decision_ids])
        for decision_id, failure in zip(decision_ids, failures, strict=True):
            # An outcome that was reported at the same moment has ended it already; both are fine.
            if failure is None or isinstance(failure, LookupError):
                self._book.release(decision_id)
        for failure in failures:
            if failure is not None and not isinstance(failure, LookupError):
                raise failure

    def _time_out(self, decision_id: str, transaction: Transaction) -> None:
        row = store.of_decision(transaction.connection, decision_id)
        if row is None:
            raise LookupError(f"The lease of {decision_id} is gone already.")
        store.end(transaction.driver, decision_id)
        told = {"decisionId": decision_id, "agentId": row.agent_id, "tokenId": row.token_id}
        told |= self.on_time_out(transaction, row.tenant_id, decision_id)
        transaction.record(row.tenant_id, "lease.timed_out", told)

    def _tidy(self, alive: Callable[[str], bool]) -> None:
        # A wall clock that was put forward may be put right again: as late as it would be without that, and no later.
        self._origin = min(self._origin, self._began())
        certain = self._origin + timedelta(seconds=self._clock.monotonic())
        # Memory last, and no more of it: what a token has used must not be less than what a restart would find.
        ended, gone = self._book.ended(alive), list[tuple[Series, str]]()
        self._writer.tidy(lambda connection: gone.extend(store.forget(connection, now=certain, ended=ended)))
        self._book.forget(gone, self._clock.monotonic())

    def _began(self) -> datetime:
        """When the monotonic clock was zero, by the wall clock."""
        return self._clock.now() - timedelta(seconds=self._clock.monotonic())
