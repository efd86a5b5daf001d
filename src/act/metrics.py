"""What a node counts of itself, for Prometheus. Labels have few values, and none of them comes from a request."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0, generate_latest

from act.models import ReasonCode, Verdict

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_UNITS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Safe for threads. One for each node, so that nodes in one process do not count each other."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # CPU, memory and open files; where there is /proc
        decisions = Counter(
            "act_decisions",
            "Decisions that were answered and recorded.",
            ["decision", "reason_code"],
            registry=registry,
        )
        self._decided: dict[tuple[Verdict, ReasonCode], Callable[[], None]] = {}
        self._decisions = decisions
        self._seconds = Histogram(
            "act_decision_seconds", "From the question to its durable answer.", buckets=_SECONDS, registry=registry
        )
        self._replays = Counter("act_replays", "Answers that were given again.", registry=registry)
        self._problems = Counter(
            "act_enforce_problems",
            "Questions that were answered with a problem instead of a decision.",
            ["status"],
            registry=registry,
        )
        self._commit_units = Histogram(
            "act_commit_units", "Units of work that shared one commit.", buckets=_UNITS, registry=registry
        )
        self._commit_seconds = Histogram(
            "act_commit_seconds", "One commit, made durable.", buckets=_SECONDS, registry=registry
        )
        self._failed = Counter("act_commit_failures", "Commits that were taken back.", registry=registry)
        self._waiting = Gauge("act_writer_waiting", "Units of work that wait for a commit.", registry=registry)
        self._revision = Gauge("act_revision", "The revision of the state that decisions rest on.", registry=registry)

    def decided(self, decision: Verdict, code: ReasonCode, seconds: float) -> None:
        """One decision was made durable."""
        count = self._decided.get((decision, code))
        if count is None:
            count = self._decided[decision, code] = self._decisions.labels(decision.value, code.value).inc
        count()
        self._seconds.observe(seconds)

    def replayed(self) -> None:
        self._replays.inc()

    def refused(self, status: int) -> None:
        """A question was answered with a problem of this HTTP status."""
        self._problems.labels(str(status)).inc()

    def committed(self, units: int, seconds: float) -> None:
        self._commit_units.observe(units)
        self._commit_seconds.observe(seconds)

    def commit_failed(self) -> None:
        self._failed.inc()

    def watch(self, waiting: Callable[[], float], revision: Callable[[], float]) -> None:
        """Ask these whenever the metrics are read."""
        self._waiting.set_function(waiting)
        self._revision.set_function(revision)

    def render(self) -> bytes:
        """Everything in the text format of Prometheus."""
        return generate_latest(self._registry)
