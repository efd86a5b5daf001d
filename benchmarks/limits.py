"""`make bench-limits`: what it costs to count. Judging in process, the whole pipeline on a real file, and memory.

Judging is one request judged, with all it reserves, and given back; the counters have been in use for a whole stretch
of their time. The pipeline is 64 coroutines on one agent, each decision in a durable commit. The kinds take turns, so
that what else the machine does is the same for all.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import platform
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from act import Act
from act.client.embedded import URL, EmbeddedTransport, Service
from act.database.ids import new_id
from act.enforcement.bearers import Asked
from act.enforcement.effects import TakeLimits
from act.enforcement.judge import Judge
from act.enforcement.pipeline import Pipeline
from act.enforcement.route import PATH
from act.limits.book import Demand, LimitBook, Reserved
from act.limits.counters import SLOTS, Series, Spend
from act.models import EnforceRequest, Verdict
from act.server.app import Node
from act.server.memory import settle
from act.server.settings import Settings
from act.tenants.tenant import ApiKey

ADDED_GOAL = 15.0  # microseconds
RATIO_GOAL = 0.70
MEMORY_GOAL = 500  # MB
KINDS: dict[int, dict[str, Any]] = {
    0: {},
    1: {"rateLimit": "1000000 per hour"},
    3: {
        "rateLimit": "1000000 per hour",
        "maxRequests": 1_000_000_000,
        "budget": {"argument": "/amount", "max": 10**12, "per": "day"},
    },
}
KEYS = (1, 1_000)
JUDGED = 10_000
ROUNDS = 5
COROUTINES = 64
SECONDS = 3.0
MILLION = 1_000_000
KEY = f"act_bench_{secrets.token_urlsafe(32)}"


@dataclass(frozen=True)
class Bench:
    """A node, and the tokens of a thousand agents; for each number of constraints there is an action."""

    node: Node
    caller: ApiKey
    pipeline: Pipeline
    judge: Judge
    tokens: list[str]

    def asked(self, constraints: int, number: int, of: int) -> Asked:
        """A request that was not made before, by one of so many agents."""
        id = f"{constraints}-{of}-{number}-{time.perf_counter_ns()}"
        body = {"requestId": id, "capabilityToken": self.tokens[number % of], "action": f"run-{constraints}"}
        body |= {"resourceId": "api://x", "arguments": {"amount": 0.5}}
        return Asked(self.caller, EnforceRequest.model_validate(body), id.encode())


@contextmanager
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="act-bench-") as folder:
        node = Node(Settings(database=f"sqlite:///{Path(folder) / 'act.db'}", bootstrap_api_key=KEY))
        service = Service(node.app, KEY, node.close)
        with Act(URL, KEY, timeout=60, transport=EmbeddedTransport(service)) as act:
            for constraints, written in KINDS.items():
                name, to = f"run-{constraints}", {"roles": ["bench"]}
                act.policies.create(name=name, actions=[name], resources=["*"], applies_to=to, constraints=written)

            def token(number: int) -> str:
                agent = act.agents.create(f"agent-{number}", roles=["bench"])
                return act.tokens.issue(agent.id, expires_in=86400).token

            with ThreadPoolExecutor(16) as pool:
                tokens = list(pool.map(token, range(max(KEYS))))
            caller = node.api_keys.find(KEY, datetime.now(UTC))
            assert caller is not None
            # What the node has joined is asked for from inside: there is no other way to it without HTTP.
            pipeline = node.app._decisions[PATH]._pipeline  # type: ignore[attr-defined]
            settle()  # as the server does when it has loaded
            yield Bench(node, caller, pipeline, pipeline._judge, tokens)


# --- judging ----------------------------------------------------------------------------------------------------------


def wear(it: Bench, constraints: int, keys: int) -> None:
    """Make the counters such as have counted in every slot of their time."""
    book, now = it.node._limits._book, time.monotonic()
    for number in range(keys):
        judgement = it.judge.judge(it.asked(constraints, number, keys), new_id("dec"), datetime.now(UTC))
        assert judgement.settlement.verdict is Verdict.ALLOWED, judgement.settlement.reason
        for effect in judgement.settlement.effects:
            assert isinstance(effect, TakeLimits)
            for room in effect.reserved.rooms:
                seconds = room.spend.series.seconds
                for slot in range(SLOTS) if seconds else ():
                    book.reserve("worn", Demand((), [room.spend]), now - (slot + 0.5) * (seconds or 0) / SLOTS)


def judged(it: Bench, constraints: int, keys: int) -> float:
    """The p50 of judging and giving back, in microseconds."""
    asked = [it.asked(constraints, number, keys) for number in range(JUDGED)]
    taken = []
    for one in asked:
        id, now = new_id("dec"), datetime.now(UTC)
        started = time.perf_counter_ns()
        judgement = it.judge.judge(one, id, now)
        judgement.undo()
        taken.append(time.perf_counter_ns() - started)
        assert judgement.settlement.verdict is Verdict.ALLOWED
    return statistics.median(taken) / 1000


def judging(it: Bench) -> None:
    print(f"{'judged and given back, us':<40} {'p50':>8} {'added':>8} {'goal':>8}")
    for keys in KEYS:
        for constraints in KINDS:
            wear(it, constraints, keys)
        rounds = [{constraints: judged(it, constraints, keys) for constraints in KINDS} for _ in range(ROUNDS)]
        best = {constraints: min(one[constraints] for one in rounds) for constraints in KINDS}
        for constraints, p50 in best.items():
            name = f"{constraints} constraints, {keys:,} {'key' if keys == 1 else 'keys'}"
            added = f"{p50 - best[0]:>8.1f} {ADDED_GOAL:>8.0f}" if constraints else ""
            print(f"{name:<40} {p50:>8.1f} {added}")


# --- the pipeline -----------------------------------------------------------------------------------------------------


async def rate(it: Bench, constraints: int) -> float:
    """Decisions a second, all for one agent."""
    numbers, until, done = itertools.count(), time.perf_counter() + SECONDS, 0

    async def work() -> None:
        nonlocal done
        while time.perf_counter() < until:
            answered = await it.pipeline.enforce(it.asked(constraints, next(numbers), 1))
            assert answered.verdict is Verdict.ALLOWED, answered.body
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(COROUTINES)))
    return done / (time.perf_counter() - started)


async def rates(it: Bench) -> list[dict[int, float]]:
    return [{constraints: await rate(it, constraints) for constraints in KINDS} for _ in range(ROUNDS)]


def throughput(it: Bench) -> None:
    print(f"{f'one hot key, {COROUTINES} at once, durable':<40} {'per s':>8} {'of none':>8} {'goal':>8}")
    rounds = asyncio.run(rates(it))
    for constraints in KINDS:
        found = statistics.median(one[constraints] for one in rounds)
        # Of the same round: what the machine does beside this changes from one to the next.
        ratio = statistics.median(one[constraints] / one[0] for one in rounds)
        goal = f"{ratio:>8.2f} {RATIO_GOAL:>8.2f}" if constraints else ""
        print(f"{f'{constraints} constraints':<40} {found:>8.0f} {goal}")


# --- memory -----------------------------------------------------------------------------------------------------------


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def hold(seconds: int | None) -> int:
    """The bytes that a million counters with one hit each take, with the ids of those that they count for."""
    book, before = LimitBook(), resident()
    series = Series("tnt_1", "pol_1", "limit", seconds)
    for number in range(MILLION):
        found = book.reserve("dec", Demand((), [Spend(series, new_id("agt"), 100, 1)]), number / 10_000)
        assert isinstance(found, Reserved)
    return resident() - before


def memory() -> None:
    """Each kind in a process of its own, which has done nothing before."""
    print(f"{'a million counters':<40} {'MB':>8} {'bytes':>8} {'goal MB':>8}")
    for name, seconds in (("rate of an hour, one hit each", 3600), ("quota, one hit each", None)):
        command = [sys.executable, "-c", f"from benchmarks.limits import hold; print(hold({seconds}))"]
        taken = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{name:<40} {taken / 1e6:>8.0f} {taken / MILLION:>8.0f} {MEMORY_GOAL:>8}")


def main() -> None:
    print(f"Limits; Python {platform.python_version()}, {platform.machine()}. Gates nothing.")
    with bench() as it:
        judging(it)
        throughput(it)
    memory()


if __name__ == "__main__":
    main()
