"""What is limited, in memory: places and counters under one lock, taken together or not at all.

Decisions ask it and no database. Time is monotonic, in seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from act.limits.counters import Counters, Room, Series, Spend, Spent
from act.limits.leases import LeaseBook, LeaseKey, Wanted


class Demand(NamedTuple):
    """What one decision takes: all of it, or nothing."""

    places: Sequence[Wanted] = ()
    spends: Sequence[Spend] = ()


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The limit that has no room: a place, or what is left to spend. In `retry_after` seconds there is; None: never."""

    place: Wanted | None = None
    room: Room | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Reserved:
    """What a decision has taken, and what is left of each limit that it has spent from."""

    decision_id: str
    places: Sequence[Wanted] = ()
    spent: Sequence[Spent] = ()
    rooms: Sequence[Room] = ()


class LimitBook:
    """Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases = LeaseBook()
        self._counters = Counters()

    def look(self, demand: Demand, now: float) -> Exceeded | None:
        """Whether `reserve` would fail now; takes nothing."""
        with self._lock:
            return self._exceeded(demand, self._rooms(demand, now), now)

    def reserve(self, decision_id: str, demand: Demand, now: float) -> Reserved | Exceeded:
        """All or nothing."""
        with self._lock:
            rooms = self._rooms(demand, now)
            if exceeded := self._exceeded(demand, rooms, now):
                return exceeded
            if demand.places:
                self._leases.reserve(decision_id, demand.places, now)
            spent = [self._counters.spend(spend, now) for spend in demand.spends]
            return Reserved(decision_id, demand.places, spent, self._rooms(demand, now))

    def undo(self, reserved: Reserved) -> None:
        """Give back all that was reserved."""
        with self._lock:
            for spent in reserved.spent:
                self._counters.take_back(spent)
        if reserved.places:
            self._leases.release(reserved.decision_id)

    def release(self, decision_id: str) -> None:
        """Give back the places that the decision holds; what it has spent stays spent."""
        self._leases.release(decision_id)

    def _rooms(self, demand: Demand, now: float) -> list[Room]:
        return [self._counters.room(spend, now) for spend in demand.spends]

    def _exceeded(self, demand: Demand, rooms: Sequence[Room], now: float) -> Exceeded | None:
        short = [room for room in rooms if room.left < room.spend.amount]
        if short:
            waits = [room.more_in for room in short if room.more_in is not None]
            # Asking again helps when there is room in all of them, and never when one of them never has any.
            return Exceeded(room=short[0], retry_after=max(waits) if len(waits) == len(short) else None)
        full = self._leases.full(demand.places, now) if demand.places else None
        return None if full is None else Exceeded(place=full.wanted)

    # --- the side of time ---

    def restore_lease(self, decision_id: str, key: LeaseKey, deadline: float) -> None:
        self._leases.restore(decision_id, key, deadline)

    def restore_count(self, series: Series, holder: str, amount: int, until: float) -> None:
        with self._lock:
            self._counters.restore(series, holder, amount, until)

    def overdue(self, now: float) -> list[str]:
        """Decisions of which every lease is over its time."""
        return self._leases.overdue(now)

    def forget(self, alive: Callable[[str], bool], now: float) -> list[tuple[Series, str]]:
        """Drop what is counted no more. Answers the totals among it, which are those of token families that ended.

        Args:
            alive: whether a token family can still be used or renewed.
        """
        with self._lock:
            windows, totals = self._counters.series()
        for series in windows:
            # In steps, so that no decision waits long for the lock.
            steps = self._counters.forget_over(series, now)
            while True:
                with self._lock:
                    if next(steps, True):
                        break
        gone = []
        for series in totals:
            with self._lock:
                holders = self._counters.holders(series)
            ended = [holder for holder in holders if ":" not in holder and not alive(holder)]
            with self._lock:
                for holder in ended:
                    self._counters.forget(series, holder)
            gone += [(series, holder) for holder in ended]
        return gone
