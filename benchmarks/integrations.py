"""`make bench-integrations`: what a guard adds to one tool call of an agent, per framework.

A scripted model calls one tool over and over, through the drivers of the conformance suite: the same team without a
guard, with a stand-in for ACT that answers at once (what the guard itself costs), with ACT embedded in its process, and
with an ACT server on the loopback. One tool call is the time from the
model's answer to its next request. A guarded one holds two exchanges with ACT, the question and the report of the
outcome, each answered when its record is on disk. Messages are not asked about (`messages="off"`).

There are two floors. No durable answer is faster than a commit: two commits of one row, one after the other, in the
same folder. And no answer over HTTP is faster than one that is a constant: two exchanges with the same server that
decides and writes nothing, by the client library of the SDK and nothing of the SDK's own.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx2
from tests.integrations.suite.job import Call, Job, Script, Turn

from act import Act
from act.integrations import ToolSpec
from act.models import Decision, ReasonCode, Verdict
from benchmarks.http import KEY, serving

CALLS: Final = 38
WARM: Final = 6
ROUNDS: Final = 8
UNVERIFIED: Final = "e30.eyJjbGllbnRfaWQiOiAiYWd0XzEifQ.c2ln"
"""A text that names its agent as a token does, for who verifies nothing."""
DRIVERS: Final = {"autogen": (False, True), "agent_framework": (True,), "agentchat": (True,), "ag2": (True,)}
"""Which modes to measure: asynchronous or not."""


@dataclass
class Timed(Script):
    """Calls one tool `CALLS` times, and keeps how long each took."""

    took: list[float] = field(default_factory=list)
    _since: float | None = None

    def __post_init__(self) -> None:
        super().__init__([Turn((Call("execute_task", {"task_id": str(number)}),)) for number in range(CALLS)])

    def answer(self, results: Sequence[str]) -> Turn:
        if self._since is not None:
            self.took.append(time.perf_counter() - self._since)
        turn = super().answer(results)
        self._since = time.perf_counter()
        return turn


def execute_task(task_id: str) -> str:
    """Execute a task."""
    return f"done {task_id}"


async def a_execute_task(task_id: str) -> str:
    """Execute a task."""
    return f"done {task_id}"


a_execute_task.__name__ = "execute_task"


class Instant:
    """Answers everything with one decision, made before."""

    _allowed = Decision(
        request_id="r",
        decision=Verdict.ALLOWED,
        reason_code=ReasonCode.ALLOWED,
        reason="Allowed.",
        decision_id="dec_1",
        evaluated_at=datetime(2026, 11, 22, tzinfo=UTC),
    )

    def enforce(self, *asked: Any, **more: Any) -> Decision:
        return self._allowed

    def report_outcome(self, *said: Any) -> None: ...


def measured(driver: Any, act: Any, *, asynchronous: bool) -> list[float]:
    """Seconds of single tool calls, of several runs."""
    took: list[float] = []
    spec = ToolSpec("execute", "api://tasks/{task_id}", labels=[])
    token = _token(act) if isinstance(act, Act) else UNVERIFIED
    for _ in range(ROUNDS):
        script = Timed()
        job = Job(
            script=script,
            tools=[a_execute_task if asynchronous else execute_task],
            asynchronous=asynchronous,
            act=act,
            tokens={"Planner": token},
            options={"tools": {"execute_task": spec}, "messages": "off"},
        )
        with contextlib.redirect_stdout(io.StringIO()):
            driver.run(job)
        if len(script.took) != CALLS or "denied" in script.results[-1]:
            raise RuntimeError(f"The team did not call its tool: {script.results[-1:]}")
        took += script.took[WARM:]
    return took


def _token(act: Act) -> str:
    agent = act.agents.create(f"bench-{time.time_ns()}", roles=["bench"])
    act.policies.create(name=f"tasks-{time.time_ns()}", actions=["execute"], resources=["api://tasks/*"])
    return str(act.tokens.issue(agent.id).token)


def one(name: str) -> None:
    """Measure one framework, in a process of its own."""
    logging.disable(logging.WARNING)
    driver = importlib.import_module(f"tests.integrations.suite.drivers.{name}").driver
    with tempfile.TemporaryDirectory() as folder, serving(f"sqlite:///{Path(folder) / 'served.db'}") as at:
        embedded = Act.embedded(Path(folder) / "embedded.db")
        served = Act(f"http://{at.host}:{at.port}", KEY, timeout=20)
        for asynchronous in DRIVERS[name]:
            plain = measured(driver, None, asynchronous=asynchronous)
            row = [name, "async" if asynchronous else "sync", _milliseconds(statistics.median(plain))]
            for act in (Instant(), embedded, served):
                guarded = measured(driver, act, asynchronous=asynchronous)
                row.append(_milliseconds(statistics.median(guarded) - statistics.median(plain)))
                row.append(_milliseconds(_p99(guarded) - _p99(plain)))
            print("".join(f"{cell:>15}" for cell in row), flush=True)
        embedded.close()
        served.close()


def exchanges() -> list[float]:
    """Seconds that two exchanges over HTTP take with a server that answers a constant."""
    took: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(f"sqlite:///{Path(folder) / 'constant.db'}", ("benchmarks.variants", "constant")) as at,
        httpx2.Client(base_url=f"http://{at.host}:{at.port}", headers={"X-Api-Key": KEY}) as client,
    ):
        for _ in range(300):
            begin = time.perf_counter()
            for _ in range(2):
                client.post("/v1/enforce", content=b"x" * 1000).raise_for_status()
            took.append(time.perf_counter() - begin)
    return took


def floor() -> list[float]:
    """Seconds that two durable commits of SQLite take, as ACT makes them, and nothing else."""
    took: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "CREATE TABLE rows (value TEXT)"):
            database.execute(statement)
        for _ in range(300):
            begin = time.perf_counter()
            for _ in range(2):
                database.execute("BEGIN IMMEDIATE")
                database.execute("INSERT INTO rows VALUES (?)", ("x" * 1000,))
                database.execute("COMMIT")
            took.append(time.perf_counter() - begin)
        database.close()
    return took


def _p99(took: Sequence[float]) -> float:
    return statistics.quantiles(took, n=100)[98]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f}"


def main() -> None:
    """Print the table, in milliseconds for one tool call."""
    for name, took in (("commits of one row", floor()), ("exchanges over HTTP, a constant", exchanges())):
        print(f"two {name}: p50 {_milliseconds(statistics.median(took))}, p99 {_milliseconds(_p99(took))}", flush=True)
    heads = ("framework", "mode", "plain p50", "guard +p50", "+p99", "embedded +p50", "+p99", "HTTP +p50", "+p99")
    print("".join(f"{head:>15}" for head in heads), flush=True)
    for name in DRIVERS:
        try:
            subprocess.run(
                [sys.executable, "-m", "benchmarks.integrations", name], check=True, stderr=subprocess.DEVNULL
            )
        except subprocess.CalledProcessError as failed:
            print(f"{name:>15}  did not run ({failed.returncode})", flush=True)


if __name__ == "__main__":
    one(sys.argv[1]) if len(sys.argv) > 1 else main()
