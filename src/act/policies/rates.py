"""`rateLimit`: at most so many requests in any stretch of time of one length (2-semantics, "Constraints"). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from act.strict_json import Fault

Per = Literal["second", "minute", "hour", "day"]

SECONDS: Mapping[str, int] = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
MAX_LIMIT = 1_000_000
MAX_RATES = 4
ALIASES: Mapping[str, Per] = {"maxQueriesPerMinute": "minute", "max_actions_per_day": "day"}
"""Spellings of the hosted product, each a number, and what it is a number per."""

_LINE = re.compile(r"([0-9]{1,16}) ?(?:per|/) ?([a-z]{1,16})", re.ASCII)
_EXAMPLE = 'write "100 per minute" or {"limit": 100, "per": "minute"}; per second, minute, hour or day'


@dataclass(frozen=True, slots=True)
class RateTerms:
    """At most `limit` in any `seconds`. `name` tells its counters from those of other limits of the policy."""

    limit: int
    seconds: int
    name: str


def parse_rates(written: object) -> tuple[RateTerms, ...] | list[Fault]:
    """One rate, or a list of them over different times; or what is wrong with it."""
    each = written if isinstance(written, list) else [written]
    if not each or len(each) > MAX_RATES:
        return [Fault("", f"Give 1 to {MAX_RATES} rates; {_EXAMPLE}.")]
    found: list[RateTerms] = []
    faults: list[Fault] = []
    for at, one in enumerate(each):
        rate = _rate(one)
        pointer = f"/{at}" if isinstance(written, list) else ""
        if isinstance(rate, str):
            faults.append(Fault(pointer, rate))
        elif any(rate.seconds == earlier.seconds for earlier in found):
            faults.append(Fault(pointer, "There is a rate over the same time already; keep one of them."))
        else:
            found.append(rate)
    return faults or tuple(found)


def _rate(written: object) -> RateTerms | str:
    if isinstance(written, str):
        line = _LINE.fullmatch(written)
        if line is None:
            return f"{written[:64]!r} is not a rate; {_EXAMPLE}."
        return _terms(int(line[1]), line[2])
    if not isinstance(written, dict):
        return f"This is not a rate; {_EXAMPLE}."
    if unknown := sorted(str(name) for name in written.keys() - {"limit", "per"}):
        return f"A rate has no {unknown[0][:64]!r}; {_EXAMPLE}."
    return _terms(written.get("limit"), written.get("per"))


def _terms(limit: Any, per: Any) -> RateTerms | str:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_LIMIT:
        return f"The limit of a rate is a whole number from 1 to {MAX_LIMIT}; {_EXAMPLE}."
    if not isinstance(per, str) or per not in SECONDS:
        return f"A rate is per second, minute, hour or day; {_EXAMPLE}."
    return RateTerms(limit, SECONDS[per], f"rate:{SECONDS[per]}")
