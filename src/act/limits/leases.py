"""Concurrency leases: who holds a place under `maxConcurrentTasks` (2-semantics, "Constraints").

Decisions ask the book in memory. Each reservation is written in the same commit as its decision's audit record; when
that commit fails, the reservation is given back. Time-outs are measured on the monotonic clock.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeaseKey:
    """Counted per policy and per agent at the root of the delegation."""

    tenant_id: str
    policy_id: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A place under `limit`, for at most `seconds`."""

    key: LeaseKey
    limit: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The first limit that has no place left."""

    wanted: Wanted


class LeaseBook:
    """Safe for threads. A lease that is over its time does not count, whether or not it was swept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[LeaseKey, dict[str, float]] = {}
        self._by_decision: dict[str, list[LeaseKey]] = {}

    def reserve(self, decision_id: str, wanted: Sequence[Wanted], now: float) -> Exceeded | None:
        """Take a place under every limit, or under none and say which has none left. `now` is monotonic."""
        with self._lock:
            if exceeded := self._full(wanted, now):
                return exceeded
            for want in wanted:
                self._hold(decision_id, want.key, now + want.seconds)
        return None

    def full(self, wanted: Sequence[Wanted], now: float) -> Exceeded | None:
        """Whether `reserve` would fail now; takes nothing."""
        with self._lock:
            return self._full(wanted, now)

    def restore(self, decision_id: str, key: LeaseKey, deadline: float) -> None:
        """Hold again what was held before a restart."""
        with self._lock:
            self._hold(decision_id, key, deadline)

    def release(self, decision_id: str) -> None:
        """Give back every place that the decision holds; none is no error."""
        with self._lock:
            for key in self._by_decision.pop(decision_id, ()):
                held = self._held.get(key)
                if held is not None:
                    held.pop(decision_id, None)
                    if not held:
                        del self._held[key]

    def holds(self, decision_id: str, now: float) -> bool:
        """Whether all places of the decision are its own still."""
        with self._lock:
            keys = self._by_decision.get(decision_id, ())
            return bool(keys) and all(self._held[key][decision_id] > now for key in keys)

    def overdue(self, now: float) -> list[str]:
        """Decisions of which every lease is over its time."""
        with self._lock:
            return [
                decision_id
                for decision_id, keys in self._by_decision.items()
                if all(self._held[key][decision_id] <= now for key in keys)
            ]

    def _hold(self, decision_id: str, key: LeaseKey, deadline: float) -> None:
        self._held.setdefault(key, {})[decision_id] = deadline
        self._by_decision.setdefault(decision_id, []).append(key)

    def _full(self, wanted: Sequence[Wanted], now: float) -> Exceeded | None:
        for want in wanted:
            held = self._held.get(want.key, {})
            if len(held) >= want.limit and sum(deadline > now for deadline in held.values()) >= want.limit:
                return Exceeded(want)
        return None
