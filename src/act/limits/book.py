"""What is limited, in memory: places and counters under one lock, taken together or not at all.

Decisions ask it and no database. Time is monotonic, in seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from act.limits.counters import Counters, Room, Series, Spend
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


class Reserved(NamedTuple):
    """What a decision has taken, and what is left of each limit that it has spent from."""

    decision_id: str
    places: Sequence[Wanted] = ()
    rooms: Sequence[Room] = ()


def _first_told(room: Room) -> tuple[Any, ...]:
    """What never has room again is told before what has room in a while; the order of policies does not matter."""
    _, policy_id, name, seconds = room.spend.series
    return seconds is not None, -(seconds or 0), policy_id, name, room.spend.holder


class LimitBook:
    """Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases = LeaseBook()
        self._counters = Counters()

    def look(self, demand: Demand, now: float) -> Exceeded | None:
        """Whether `reserve` would fail now; takes nothing."""
        with self._lock:
            if short := self._short(demand, now):
                return short
            full = self._leases.full(demand.places, now) if demand.places else None
            return None if full is None else Exceeded(place=full.wanted)

    def reserve(self, decision_id: str, demand: Demand, now: float) -> Reserved | Exceeded:
        """All or nothing."""
        places, spends = demand
        with self._lock:
            rooms = self._counters.take(spends, now)
            if rooms is None:
                short = self._short(demand, now)
                assert short is not None, "one counter is spent from twice in a demand"
                return short
            if places and (full := self._leases.reserve(decision_id, places, now)):
                self._counters.take_back(rooms)
                return Exceeded(place=full.wanted)
        return _made(Reserved, (decision_id, places, rooms))

    def undo(self, reserved: Reserved) -> None:
        """Give back all that was reserved."""
        decision_id, places, rooms = reserved
        with self._lock:
            self._counters.take_back(rooms)
        if places:
            self._leases.release(decision_id)

    def release(self, decision_id: str) -> None:
        """Give back the places that the decision holds; what it has spent stays spent."""
        self._leases.release(decision_id)

    def holds(self, decision_id: str, now: float) -> bool:
        """Whether all places of the decision are its own still."""
        return self._leases.holds(decision_id, now)

    def _short(self, demand: Demand, now: float) -> Exceeded | None:
        """What cannot be spent."""
        rooms = [self._counters.room(spend, now) for spend in demand.spends]
        short = [room for room in rooms if room.left < room.spend.amount]
        if not short:
            return None
        short.sort(key=_first_told)
        waits = [room.more_in for room in short if room.more_in is not None]
        # Asking again helps when there is room in all of them, and never when one of them never has any.
        return Exceeded(room=short[0], retry_after=max(waits) if len(waits) == len(short) else None)

    # --- the side of time ---

    def restore_lease(self, decision_id: str, key: LeaseKey, deadline: float) -> None:
        self._leases.restore(decision_id, key, deadline)

    def restore_count(self, series: Series, holder: str, amount: int, until: float) -> None:
        with self._lock:
            self._counters.restore(series, holder, amount, until)

    def overdue(self, now: float) -> list[str]:
        """Decisions of which every lease is over its time."""
        return self._leases.overdue(now)

    def ended(self, alive: Callable[[str], bool]) -> list[tuple[Series, str]]:
        """The totals of token families that are not alive; those of tasks and agents never end."""
        with self._lock:
            _, totals = self._counters.series()
        found = []
        for series in totals:
            with self._lock:
                holders = self._counters.holders(series)
            found += [(series, holder) for holder in holders if ":" not in holder and not alive(holder)]
        return found

    def forget(self, gone: Iterable[tuple[Series, str]], now: float) -> None:
        """Drop the totals `gone`, and what time has ended."""
        with self._lock:
            windows, _ = self._counters.series()
            for series, holder in gone:
                self._counters.forget(series, holder)
        for series in windows:
            # In steps, so that no decision waits long for the lock.
            steps, done = self._counters.forget_over(series, now), False
            while not done:
                with self._lock:
                    done = next(steps, True)


_made = tuple.__new__
