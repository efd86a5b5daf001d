"""What a guard has seen that would not have run: kept while agents work, read as a report.

A guard with `mode="observe"` blocks nothing; this is what it is for. Observed messages of the other guards stand here
too. Like calls are counted together, so that a long run takes no more memory than a short one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from act.models import ReasonCode, Verdict

MOST: Final = 10_000
"""So many different observations are kept; what comes later is only counted."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What would have become of one kind of call. Without a resource it could not even be asked about.

    `executor` and `requester` are names of agents as the framework has them; None is an agent who is not known.
    """

    action: str
    resource: str
    executor: str | None
    requester: str | None
    verdict: Verdict
    code: ReasonCode
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that was observed so far, with how often, in the order in which it was first seen.

    `calls` is the number of all calls; `left_out` of those that are not among `observed`, because there were too many.
    """

    observed: tuple[tuple[Observation, int], ...]
    calls: int
    left_out: int

    @property
    def denied(self) -> tuple[tuple[Observation, int], ...]:
        """What would not have run at once: denied, or waiting for a person."""
        return tuple((seen, count) for seen, count in self.observed if seen.verdict is not Verdict.ALLOWED)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: `{"calls", "leftOut", "observed": [{"action", ..., "count"}]}`."""
        observed = [
            asdict(seen) | {"verdict": seen.verdict.value, "code": seen.code.value, "count": count}
            for seen, count in self.observed
        ]
        return {"calls": self.calls, "leftOut": self.left_out, "observed": observed}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        stopped = sum(count for _, count in self.denied)
        yield f"{self.calls} calls observed, {stopped} would not have run."
        for seen, count in self.denied:
            who = seen.requester or "somebody unknown"
            if seen.executor not in (None, seen.requester):
                who += f" through {seen.executor}"
            what = f"{seen.action} {seen.resource}".strip()
            yield f"{count} x {who}: {what}: {seen.code.value}: {seen.reason}"
        if self.left_out:
            yield f"{self.left_out} calls are not listed: there were more than {MOST} different ones."


class Observations:
    """Collects; safe to share between threads."""

    def __init__(self) -> None:
        self._counts: dict[Observation, int] = {}
        self._left_out = 0
        self._lock = threading.Lock()

    def add(self, seen: Observation) -> None:
        with self._lock:
            if seen in self._counts or len(self._counts) < MOST:
                self._counts[seen] = self._counts.get(seen, 0) + 1
            else:
                self._left_out += 1

    def report(self) -> Report:
        with self._lock:
            observed = tuple(self._counts.items())
            return Report(observed, sum(self._counts.values()) + self._left_out, self._left_out)
