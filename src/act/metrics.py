"""What a node counts of itself, for Prometheus. Labels have few values, and none of them comes from a request."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from act.models import ReasonCode, Verdict

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_UNITS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
STATUSES = (400, 401, 403, 405, 408, 409, 413, 415, 422, 500, 503)
"""With which a question may be refused. Every series is there from the start, at 0: what begins with its first 1 has
not increased for `increase()`."""
HTTP_CODES = (
    "body_too_large",
    "headers_timeout",
    "headers_too_large",
    "http_malformed",
    "method_not_allowed",
    "overloaded",
    "target_too_long",
)
"""With which a connection may be refused, and ended, before there is a request."""
_VERDICTS = {ReasonCode.ALLOWED: Verdict.ALLOWED, ReasonCode.APPROVAL_REQUIRED: Verdict.PENDING_APPROVAL}


# Of the process, as its memory is: connections are no node's before there is a request, and a process serves one.
_http_refused = Counter(
    "act_http_refusals", "Connections that were refused before there was a request.", ["code"], registry=None
)
for _code in HTTP_CODES:
    _http_refused.labels(_code)


def http_refused(code: str) -> None:
    """A connection was refused, with the problem of this code, and ended."""
    _http_refused.labels(code).inc()


class _Distribution(Collector):
    """A histogram, counted with less than the library's own takes, and told by the library."""

    def __init__(self, name: str, documentation: str, bounds: tuple[float, ...]) -> None:
        self._name, self._documentation, self._bounds = name, documentation, bounds
        self._labels = [*map(floatToGoString, bounds), "+Inf"]
        self._counts = [0] * len(self._labels)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def collect(self) -> Iterator[HistogramMetricFamily]:
        with self._lock:
            counts, total = list(self._counts), self._sum
        buckets = list(zip(self._labels, accumulate(counts), strict=True))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=total)


class _Decided(Collector):
    """How decisions ended, and how long each took: both at once, because it is done for every one."""

    def __init__(self) -> None:
        self._counts: Counts[tuple[Verdict, ReasonCode]] = Counts(
            {(_VERDICTS.get(code, Verdict.DENIED), code): 0 for code in ReasonCode}
        )
        self._seconds = _Distribution("act_decision_seconds", "From the question to its durable answer.", _SECONDS)
        self._lock = threading.Lock()

    def count(self, decision: Verdict, code: ReasonCode, seconds: float) -> None:
        with self._lock:
            self._counts[decision, code] += 1
        self._seconds.observe(seconds)

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        said = "Decisions that were answered and recorded."
        counter = CounterMetricFamily("act_decisions", said, labels=["decision", "reason_code"])
        with self._lock:
            counts = dict(self._counts)
        for (decision, code), count in counts.items():
            counter.add_metric([decision.value, code.value], count)
        yield counter
        yield from self._seconds.collect()


class _WithoutCreated(Collector):
    """Without the times at which the library made its counters; `process_start_time_seconds` is the same."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


class Metrics:
    """Safe for threads. One for each node, so that nodes in one process do not count each other."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # CPU, memory and open files; where there is /proc
        registry.register(_http_refused)
        self._decided = _Decided()
        registry.register(self._decided)
        self._replays = Counter("act_replays", "Answers that were given again.", registry=registry)
        self._problems = Counter(
            "act_enforce_problems",
            "Questions that were answered with a problem instead of a decision.",
            ["status"],
            registry=registry,
        )
        for status in STATUSES:
            self._problems.labels(str(status))
        self._commit_units = _Distribution("act_commit_units", "Units of work that shared one commit.", _UNITS)
        self._commit_seconds = _Distribution("act_commit_seconds", "One commit, made durable.", _SECONDS)
        registry.register(self._commit_units)
        registry.register(self._commit_seconds)
        self._failed = Counter("act_commit_failures", "Commits that were taken back.", registry=registry)
        self._waiting = Gauge("act_writer_waiting", "Units of work that wait for a commit.", registry=registry)
        self._revision = Gauge("act_revision", "The revision of the state that decisions rest on.", registry=registry)

    def decided(self, decision: Verdict, code: ReasonCode, seconds: float) -> None:
        """One decision was made durable."""
        self._decided.count(decision, code, seconds)

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
        return generate_latest(_WithoutCreated(self._registry))
