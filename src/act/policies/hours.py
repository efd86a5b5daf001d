"""`allowedHours`: a daily window on the clock of one time zone (2-semantics, "Constraints").

The window is read off the wall clock of its zone: an instant is inside when a clock on the wall there shows a time
from `from` (inclusive) to `to` (exclusive). When the clock is put forward, the times it skips do not happen, so a
window that lies within them is closed that day; when it is put back, the times it repeats are inside both times.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EVERY_DAY = frozenset(range(7))
_MINUTES_OF_A_DAY = 24 * 60

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_LINE = re.compile(r"([^ -]{1,16})-([^ -]{1,16}) ([^ ]{1,64})")
_EXAMPLE = '"09:00-17:00 Europe/Berlin" or {"from": "22:00", "to": "06:00", "timezone": "UTC", "days": ["mon", "tue"]}'
# Names that mean another zone on another machine, or no zone at all.
_NOT_ONE_ZONE = frozenset({"localtime", "Factory", "posixrules"})


@dataclass(frozen=True, slots=True)
class Hours:
    """A window `[start, end)` in minutes of the day; it goes over midnight when `end` is before `start`.

    `days` are the weekdays (0 is Monday) on which it starts, so the hours after midnight belong to the day before.
    """

    start: int
    end: int
    timezone: str
    days: frozenset[int] = _EVERY_DAY
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_zone", ZoneInfo(self.timezone))

    def allows(self, now: datetime) -> bool:
        """Whether `now` is inside the window. A `now` without a time zone is inside no window."""
        if now.utcoffset() is None:
            return False
        local = now.astimezone(self._zone)
        minute, today = local.hour * 60 + local.minute, local.weekday()
        if self.start < self.end:
            return today in self.days and self.start <= minute < self.end
        if minute >= self.start:
            return today in self.days
        return minute < self.end and (today - 1) % 7 in self.days

    @property
    def text(self) -> str:
        """The window as a reason names it: `22:00-06:00 UTC on mon, tue`."""
        window = f"{_clock(self.start)}-{_clock(self.end)} {self.timezone}"
        if self.days == _EVERY_DAY:
            return window
        return f"{window} on {', '.join(DAYS[day] for day in sorted(self.days))}"


def parse_hours(written: str | Mapping[str, Any]) -> Hours | str:
    """The window that an author wrote as a line or as an object; a string is what is wrong with it."""
    if isinstance(written, str):
        found = _LINE.fullmatch(written)
        if found is None:
            return f"This is not a daily window; write {_EXAMPLE}."
        return _hours(found[1], found[2], found[3], None)
    if not isinstance(written, Mapping):
        return f"A daily window is a line or an object; write {_EXAMPLE}."
    if unknown := [key for key in written if key not in ("from", "to", "timezone", "days")]:
        return f"A daily window has no field {unknown[0]!r}; write {_EXAMPLE}."
    if missing := [key for key in ("from", "to", "timezone") if key not in written]:
        return f"The daily window has no {missing[0]!r}; write {_EXAMPLE}."
    if "days" in written and written["days"] is None:
        return 'days is a list such as ["mon", "tue"]; leave it out for every day.'
    return _hours(written["from"], written["to"], written["timezone"], written.get("days"))


def _hours(start: Any, end: Any, timezone: Any, days: Any) -> Hours | str:
    first = _minutes(start)
    if first is None:
        return f"{_shown(start)} is not a time of day; write it with two digits each, as in 09:00."
    last = _MINUTES_OF_A_DAY if end == "24:00" else _minutes(end)
    if last is None:
        return f"{_shown(end)} is not a time of day; write it with two digits each, as in 17:00 (or 24:00)."
    if first == last:
        return "The window begins and ends at the same time; for the whole day write 00:00-24:00."
    if not isinstance(timezone, str) or timezone not in _zones():
        return f"{_shown(timezone)} is not a time zone; write UTC or a name such as Europe/Berlin."
    weekdays = _EVERY_DAY if days is None else _weekdays(days)
    if weekdays is None:
        return f'days is a list of some of {", ".join(DAYS)}, each at most once, as in ["mon", "tue"].'
    return Hours(first, last, timezone, weekdays)


def _minutes(written: Any) -> int | None:
    found = _TIME.fullmatch(written) if isinstance(written, str) else None
    return int(found[1]) * 60 + int(found[2]) if found else None


def _weekdays(written: Any) -> frozenset[int] | None:
    if not isinstance(written, Sequence) or isinstance(written, str) or not written:
        return None
    if any(not isinstance(day, str) or day not in DAYS for day in written) or len(set(written)) < len(written):
        return None
    return frozenset(DAYS.index(day) for day in written)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - _NOT_ONE_ZONE


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _shown(written: Any) -> str:
    return repr(written[:64]) if isinstance(written, str) else f"A {type(written).__name__}"
