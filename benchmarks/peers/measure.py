"""How every engine is measured: the same passes, the same clock. Knows no engine."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PASSES = 3
SECONDS = 10.0  # for one engine on one tenant; slow ones answer fewer requests

Request = dict[str, Any]
Ask = Callable[[Request], bool]


def measured(ask: Ask, requests: list[Request]) -> dict[str, Any]:
    """The pass with the lowest median.

    Returns:
        `{"p50", "p99", "mean"}` in microseconds, and `"allowed"`: the decisions, in the order of the requests.
    """
    ask(requests[0])  # what is done once is not measured
    until = time.perf_counter() + SECONDS
    best: list[int] = []
    allowed: list[bool] = []
    for _ in range(PASSES):
        taken, answers = [], []
        for request in requests[: len(best) or None]:
            started = time.perf_counter_ns()
            answer = ask(request)
            taken.append(time.perf_counter_ns() - started)
            answers.append(answer)
            if time.perf_counter() > until:
                break
        if not best or (len(taken) == len(best) and statistics.median(taken) < statistics.median(best)):
            best, allowed = taken, answers
        if time.perf_counter() > until:
            break
    ordered = sorted(best)
    return {
        "p50": statistics.median(ordered) / 1000,
        "p99": ordered[int(len(ordered) * 0.99)] / 1000,
        "mean": statistics.fmean(ordered) / 1000,
        "allowed": allowed,
    }


def peer(prepare: Callable[[dict[str, Any]], dict[str, Ask]]) -> None:
    """The main of a peer: reads the tenant in the file it is given, prints what was measured, by name, as JSON."""
    tenant = json.loads(Path(sys.argv[1]).read_text())
    engines = prepare(tenant)
    print(json.dumps({name: measured(ask, tenant["requests"]) for name, ask in engines.items()}))
