"""Approvals in memory: what a decision asks about, and who waits for an answer."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from datetime import datetime, timedelta

from sqlalchemy import Connection

from act.approvals import store
from act.approvals.approval import Approval
from act.approvals.moments import Moments
from act.approvals.waiting import Waiting
from act.database.clock import Clock

# How long an approval that ended can still be told to the agent that asks again: at most the longest life of one.
REMEMBERED = timedelta(days=30)


class LiveApprovals:
    """Follows the change kind `approval`. Only the latest approval of a binding counts: asked, or rejected, last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_id: dict[str, Approval] = {}
        self._by_binding: dict[bytes, Approval] = {}
        self._taken: set[str] = set()
        self._told: set[str] = set()
        self._moments = Moments(clock)
        self._pending = Waiting()
        self._waiting: dict[str, list[Future[None]]] = {}
        self.closing = False

    def load(self, connection: Connection) -> None:
        now = self._clock.now()
        known = [store.value(row) for row in store.unsettled(connection, now - REMEMBERED)]
        refused = [one for one in known if one.status == "rejected" and now < one.expires_at]
        for approval in (*known, *refused):
            self._put(approval)

    def apply(self, connection: Connection, tenant_id: str, ids: Iterable[str]) -> None:
        for row in store.rows(connection, ids):
            approval = store.value(row)
            with self._lock:
                self._put(approval)
                waiting = self._waiting.pop(approval.id, [])
            _wake(waiting)

    def _put(self, approval: Approval) -> None:
        self._moments.begin(approval.id)
        self._pending.put(approval)
        known = self._by_id.get(approval.id)
        if known is not None and known.binding != approval.binding and self._by_binding.get(known.binding) is known:
            del self._by_binding[known.binding]  # what was asked was erased, and nothing is known of it any more
        latest = self._by_binding.get(approval.binding)
        # The last one is the one that came last: a clock that was set back gives later ones smaller ids.
        # A no comes after whatever else was asked: with other people in the demands there may be two questions at once.
        last = latest is None or latest.id == approval.id or approval.id not in self._by_id
        if last or approval.status == "rejected":
            self._by_binding[approval.binding] = approval
        self._by_id[approval.id] = approval
        if approval.status == "redeemed":
            self._taken.discard(approval.id)

    def latest(self, binding: bytes) -> Approval | None:
        """The last approval that was asked for with this binding."""
        return self._by_binding.get(binding)

    def get(self, id: str) -> Approval | None:
        return self._by_id.get(id)

    def now(self, id: str) -> datetime:
        """The moment by which to judge this approval: see `Moments`."""
        return self._moments.now(id)

    def full(self, tenant_id: str, root_agent_id: str) -> str | None:
        """Why no further person is asked, if so."""
        with self._lock:
            return self._pending.full(tenant_id, root_agent_id)

    def propose(self, approval: Approval) -> None:
        """Let others who ask the same find an approval whose commit is under way."""
        with self._lock:
            self._put(approval)

    def withdraw(self, approval: Approval) -> None:
        """The commit failed; the approval that was the last one before counts again."""
        with self._lock:
            self._by_id.pop(approval.id, None)
            self._pending.drop(approval)
            self._moments.forget(approval.id)
            if self._by_binding.get(approval.binding) is approval:
                del self._by_binding[approval.binding]
                for earlier in self._by_id.values():  # in the order in which they were asked
                    if earlier.binding == approval.binding:
                        self._by_binding[approval.binding] = earlier

    def take(self, id: str) -> bool:
        """Reserve an approval for the one decision that redeems it; False when another was faster."""
        with self._lock:
            if id in self._taken:
                return False
            self._taken.add(id)
            return True

    def give_back(self, id: str) -> None:
        with self._lock:
            self._taken.discard(id)

    def tell_once(self, id: str) -> bool:
        """True the first time: an expiry is told to the agent once, then it may ask anew."""
        with self._lock:
            if id in self._told:
                return False
            self._told.add(id)
            return True

    def untell(self, id: str) -> None:
        """It did not reach the agent after all."""
        with self._lock:
            self._told.discard(id)

    def changed(self, id: str) -> Future[None]:
        """Resolved at the next change of this approval."""
        waiter: Future[None] = Future()
        with self._lock:
            self._waiting.setdefault(id, []).append(waiter)
        return waiter

    def forget(self, id: str, waiter: Future[None]) -> None:
        """Stop waiting."""
        with self._lock:
            waiting = self._waiting.get(id, [])
            if waiter in waiting:
                waiting.remove(waiter)
            if not waiting:
                self._waiting.pop(id, None)

    def close(self) -> None:
        """Wake everyone who waits; the server is shutting down."""
        with self._lock:
            self.closing = True
            waiting = [waiter for waiters in self._waiting.values() for waiter in waiters]
            self._waiting.clear()
        _wake(waiting)

    def open(self) -> list[Approval]:
        return [approval for approval in list(self._by_id.values()) if approval.open]

    def forget_settled(self) -> None:
        """Drop what ended so long ago that no decision asks about it."""
        now = self._clock.now()
        with self._lock:
            for approval in list(self._by_id.values()):
                if not approval.open and _told_until(approval) <= now:
                    del self._by_id[approval.id]
                    self._told.discard(approval.id)
                    self._moments.forget(approval.id)
                    if self._by_binding.get(approval.binding) is approval:
                        del self._by_binding[approval.binding]


def _told_until(approval: Approval) -> datetime:
    """A rejection counts as long as the approval would have; that nobody answered in time is told as long again."""
    life = approval.expires_at - approval.created_at
    return approval.expires_at + life if approval.status == "expired" else approval.expires_at


def _wake(waiting: Iterable[Future[None]]) -> None:
    for waiter in waiting:
        if waiter.set_running_or_notify_cancel():
            waiter.set_result(None)
