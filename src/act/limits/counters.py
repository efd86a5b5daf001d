"""Counters: what was used of a rate, a quota or a budget (2-semantics, "Constraints"). Nothing is ever used twice.

Time is monotonic and cut into slots, 128 to the stretch of time that is counted over. What was used in a slot counts
until the whole stretch has gone by since its end: so there is never more than the limit in any such stretch, and room
comes back at most one slot late. A counter needs little memory, however much it has counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

SLOTS = 128


class Series(NamedTuple):
    """The counters of one limit of one policy; `name` tells it from other limits of the policy.

    They count over `seconds`; None is for ever.
    """

    tenant_id: str
    policy_id: str
    name: str
    seconds: int | None


class Spend(NamedTuple):
    """`amount` of `limit`; `cause` is whatever the asker wants to find again."""

    series: Series
    holder: str
    limit: int
    amount: int
    cause: Any = None


class Room(NamedTuple):
    """What is left of a limit, and in how many seconds there is more; None is never.

    Where the spend was taken, `slot` says when: to give it back. It is 0 where time does not matter.
    """

    spend: Spend
    left: int
    more_in: float | None
    slot: int = 0


class _Window:
    """What was used and still counts: slots and amounts in turn, the oldest first, and the sum of the amounts."""

    __slots__ = ("total", "used")

    def __init__(self) -> None:
        self.used: list[int] = []
        self.total = 0

    def forget(self, slot: int) -> None:
        """Drop what is over in `slot`."""
        used, over = self.used, 0
        while over < len(used) and used[over] + SLOTS < slot:
            self.total -= used[over + 1]
            over += 2
        if over:
            del used[:over]

    def add(self, slot: int, amount: int) -> None:
        used = self.used
        self.total += amount
        if not used or used[-2] < slot:
            used += (slot, amount)
        else:
            # The clock never runs back, so this is the last slot; what is restored may come in any order.
            at = len(used) - 2
            while at and used[at] > slot:
                at -= 2
            if used[at] == slot:
                used[at + 1] += amount
            else:
                used[at + (2 if used[at] < slot else 0) : at + (2 if used[at] < slot else 0)] = (slot, amount)

    def take(self, slot: int, amount: int, limit: int) -> int | None:
        """Add what there is room for, and answer the slot in which there is more; None, and nothing, without room."""
        used = self.used
        if used and used[0] + SLOTS < slot:
            self.forget(slot)
        if self.total + amount > limit:
            return None
        if used and used[-2] == slot:
            used[-1] += amount
            self.total += amount
        else:
            self.add(slot, amount)
        if used[1]:
            return used[0] + SLOTS + 1
        return self.free_at(1) or slot + SLOTS + 1  # nothing was spent, so far

    def take_back(self, slot: int, amount: int) -> None:
        used = self.used
        for at in range(len(used) - 2, -1, -2):
            if used[at] == slot:
                used[at + 1] -= amount
                self.total -= amount
                if not used[at + 1]:
                    del used[at : at + 2]
                return

    def free_at(self, wanted: int) -> int | None:
        """The slot in which `wanted` of what is used no longer counts; None when there is not as much."""
        used = self.used
        for at in range(0, len(used), 2):
            wanted -= used[at + 1]
            if wanted <= 0:
                return used[at] + SLOTS + 1
        return None


class Counters:
    """Not safe for threads; who uses it holds a lock."""

    def __init__(self) -> None:
        self._windows: dict[Series, dict[str, _Window]] = {}
        self._totals: dict[Series, dict[str, int]] = {}

    def room(self, spend: Spend, now: float) -> Room:
        """What is left. There is room for the spend when `left` is its amount or more. `now` is monotonic."""
        series, holder, limit, amount, _ = spend
        seconds = series[3]
        if seconds is None:
            return Room(spend, limit - self._totals.get(series, _NO_TOTALS).get(holder, 0), None)
        window = self._windows.get(series, _NO_WINDOWS).get(holder)
        if window is None:
            return Room(spend, limit, None if amount > limit else 0.0)
        window.forget(int(now * SLOTS // seconds))
        left = limit - window.total
        slot = window.free_at(max(amount - left, 1)) if amount <= limit else None
        return Room(spend, left, None if slot is None else max(slot * seconds / SLOTS - now, 0.0))

    def take(self, spends: Sequence[Spend], now: float) -> list[Room] | None:
        """Count all of them, and what is left then; or none, when one has no room. `now` is monotonic.

        Every decision comes through here, so it is one pass, and a shortage takes back what came before it.
        """
        taken: list[Room] = []
        for spend in spends:
            series, holder, limit, amount, _ = spend
            seconds = series[3]
            if seconds is None:
                totals = self._totals.get(series)
                used = amount if totals is None else totals.get(holder, 0) + amount
                if used > limit:
                    break
                if totals is None:
                    totals = self._totals[series] = {}
                totals[holder] = used
                taken.append(_made(Room, (spend, limit - used, None, 0)))
            else:
                windows = self._windows.get(series)
                window = None if windows is None else windows.get(holder)
                if window is None:
                    if amount > limit:
                        break
                    window = self._window(series, holder)
                slot = int(now * SLOTS // seconds)
                free = window.take(slot, amount, limit)
                if free is None:
                    break
                more_in = free * seconds / SLOTS - now
                taken.append(_made(Room, (spend, limit - window.total, more_in if more_in > 0.0 else 0.0, slot)))
        else:
            return taken
        self.take_back(taken)
        return None

    def take_back(self, taken: Sequence[Room]) -> None:
        """Forget that these were counted."""
        for spend, _, _, slot in taken:
            series, holder, _, amount, _ = spend
            if series.seconds is None:
                totals = self._totals.get(series)
                if totals is not None and holder in totals:
                    totals[holder] -= amount
                    if not totals[holder]:
                        del totals[holder]
            elif window := self._windows.get(series, _NO_WINDOWS).get(holder):
                window.take_back(slot, amount)

    def restore(self, series: Series, holder: str, amount: int, until: float) -> None:
        """Count again what was counted before a restart; it counts until the monotonic time `until` at least."""
        seconds = series.seconds
        if seconds is None:
            totals = self._totals.setdefault(series, {})
            totals[holder] = totals.get(holder, 0) + amount
        else:
            slot = -int(-until * SLOTS // seconds) - SLOTS - 1
            self._window(series, holder).add(slot, amount)

    def _window(self, series: Series, holder: str) -> _Window:
        windows = self._windows.setdefault(series, {})
        window = windows.get(holder)
        if window is None:
            window = windows[holder] = _Window()
        return window

    def series(self) -> tuple[list[Series], list[Series]]:
        """Those that count over a stretch of time, and those that count for ever."""
        return list(self._windows), list(self._totals)

    def holders(self, series: Series) -> Sequence[str]:
        """Who has a total in the series; they never end by themselves."""
        return list(self._totals.get(series, ()))

    def forget(self, series: Series, holder: str) -> None:
        """Drop a total."""
        totals = self._totals.get(series, {})
        totals.pop(holder, None)
        if not totals:
            self._totals.pop(series, None)

    def forget_over(self, series: Series, now: float) -> Iterator[bool]:
        """Drop the counters of a series that have nothing left to count, in short steps; true after the last."""
        windows, seconds = self._windows.get(series, {}), series.seconds or 1
        for at, holder in enumerate(list(windows)):
            window = windows[holder]
            window.forget(int(now * SLOTS // seconds))
            if not window.used:
                del windows[holder]
            if at % 1000 == 999:
                yield False
        if not windows:
            self._windows.pop(series, None)
        yield True


_NO_TOTALS: dict[str, int] = {}
_NO_WINDOWS: dict[str, _Window] = {}
_made = tuple.__new__
