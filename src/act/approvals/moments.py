"""What time it is for one approval: the wall clock may jump, and an approval that is over must not come back.

For each approval the time never runs backwards, and never slower than the clock that only measures. So a jump forward
may end an approval early, and a jump back neither ends nor lengthens nor revives one. A restart forgets this: then the
wall clock is believed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from act.database.clock import Clock


@dataclass(slots=True)
class _Seen:
    """When an approval was first seen, on both clocks, and the latest moment that anybody was told for it."""

    at: datetime
    monotonic: float
    latest: datetime


class Moments:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}

    def begin(self, id: str) -> None:
        """From now on this approval has a time of its own; later calls change nothing."""
        with self._lock:
            if id not in self._seen:
                now = self._clock.now()
                self._seen[id] = _Seen(now, self._clock.monotonic(), now)

    def now(self, id: str) -> datetime:
        """The moment by which to judge this approval; the wall clock for one that was never seen."""
        wall = self._clock.now()
        with self._lock:
            seen = self._seen.get(id)
            if seen is None:
                return wall
            measured = seen.at + timedelta(seconds=self._clock.monotonic() - seen.monotonic)
            seen.latest = max(wall, measured, seen.latest)
            return seen.latest

    def forget(self, id: str) -> None:
        with self._lock:
            self._seen.pop(id, None)
