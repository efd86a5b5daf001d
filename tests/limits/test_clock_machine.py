"""Limits under two clocks, in any order of events, held against a list of everything that was taken.

The list knows only how much time has passed. Over a restart it believes the wall clock, as the service does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine, delete, insert

from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.changes import ChangeFeed
from act.database.engine import writing_engine
from act.database.migrate import migrate
from act.database.tables import counters, leases, tenants
from act.limits.book import Demand, Exceeded
from act.limits.counters import SLOTS, Series, Spend
from act.limits.leases import LeaseKey, Wanted
from act.limits.service import LimitService

DEEP = os.environ.get("ACT_DEEP") == "1"
LEASE, PLACES = 90, 2
RATES = {"minute": (60, 3), "hour": (3600, 5), "day": (86400, 700)}
"""Seconds and the limit in them."""
QUOTA = 25
LATE = 3 / SLOTS
"""Of its stretch of time: a slot in memory, one in the file, and one for reading it again."""
TINY = 1e-5
"""Moments are kept in microseconds."""
JUMPS = [sign * size for size in (1, 20, 3600, 86400, 40 * 86400) for sign in (1, -1)]


class TwoClocks:
    """The wall clock is put forward and back; the other one knows of no epoch."""

    def __init__(self) -> None:
        self.wall = datetime(2026, 11, 22, 18, tzinfo=UTC)
        self.passed = 5_000_000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.passed

    def move(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.passed += seconds


@dataclass
class Taken:
    """What was taken, when by either clock.

    `kept` unless its row may be gone from the file, and `sure` unless it may therefore be gone from memory too.
    """

    name: str
    amount: int
    at: float
    wall: datetime
    decision_id: str
    kept: bool = True
    sure: bool = True


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One file for all examples, without waiting for the disk: here no process is killed."""
    path: Path = tmp_path_factory.mktemp("machine") / "act.db"
    engine = writing_engine(path)
    migrate(engine)
    with engine.begin() as connection:
        values = {"id": "t", "name": "t", "max_token_ttl": 1, "default_token_ttl": 1, "created_at": TwoClocks().now()}
        connection.execute(insert(tenants).values(values))
    pooled = engine.raw_connection()
    pooled.cursor().execute("PRAGMA synchronous=OFF")
    pooled.close()
    yield engine
    engine.dispose()


class ClockMachine(RuleBasedStateMachine):
    engine: ClassVar[Engine]

    def __init__(self) -> None:
        super().__init__()
        self.clock = TwoClocks()
        self.policy = uuid4().hex
        self.taken: list[Taken] = []
        self.writer: Writer | None = None
        with self.engine.begin() as connection:
            for table in (leases, counters):
                connection.execute(delete(table))
        self.start()

    # --- the process ---

    def start(self) -> None:
        self.writer = Writer(self.engine, ChangeFeed({}), self.clock)
        self.writer.start()
        self.service = LimitService(self.writer, self.clock)
        with self.engine.connect() as connection:
            self.service.load(connection)

    def teardown(self) -> None:
        if self.writer is not None:
            self.writer.stop()

    @rule(down=st.sampled_from([0, 1, 30, 4000]), jump=st.sampled_from([0, *JUMPS]))
    def restart(self, down: float, jump: float) -> None:
        self.teardown()
        self.clock.move(down)
        self.clock.wall += timedelta(seconds=jump)
        self.clock.passed = 77.0  # the machine was started anew too
        # As the wall clock says, but nothing was taken later than now.
        for taken in self.taken:
            age = (self.clock.wall - taken.wall).total_seconds()
            taken.at = self.clock.passed - max(age, 0.0)
            taken.sure = taken.kept
        self.start()

    # --- the clocks ---

    @rule(seconds=st.sampled_from([0.2, 1, 7, 29, 61, 91, 1000, 3700, 30_000, 90_000]))
    def time_passes(self, seconds: float) -> None:
        self.clock.move(seconds)

    @rule(seconds=st.sampled_from(JUMPS))
    def the_wall_clock_jumps(self, seconds: float) -> None:
        self.clock.wall += timedelta(seconds=seconds)

    @rule()
    def sweep(self) -> None:
        self.service.sweep()
        for taken in list(self.taken):
            if taken.name == "place" and taken.at + LEASE + TINY <= self.clock.passed:
                self.taken.remove(taken)
            elif taken.name in RATES:
                # What is over by its own time may be gone; what only the wall clock calls over may not.
                taken.kept = taken.kept and self.clock.passed <= taken.at + RATES[taken.name][0]

    # --- what is asked ---

    @rule(
        minute=st.integers(0, 2), hour=st.integers(0, 2), day=st.sampled_from([0, 1, 250]),
        quota=st.integers(0, 2), place=st.booleans(), written=st.sampled_from([True, True, True, False]),
    )  # fmt: skip
    def spend(self, minute: int, hour: int, day: int, quota: int, place: bool, written: bool) -> None:
        amounts = {"minute": minute, "hour": hour, "day": day, "quota": quota}
        wanted = {name: amount for name, amount in amounts.items() if amount} | ({"place": 1} if place else {})
        if not wanted:
            return
        demand, decision_id = self.demand(wanted), uuid4().hex
        found = self.service.reserve(decision_id, demand)
        if isinstance(found, Exceeded):
            assert any(self.used(name, late=True) + amount > limit_of(name) for name, amount in wanted.items())
            return
        for name, amount in wanted.items():
            assert self.used(name, late=False) + amount <= limit_of(name), name
        if not written:
            self.service.undo(found)
            return
        now = self.clock.now()

        def work(transaction: Transaction) -> None:
            self.service.write(transaction, found, "tok", now)
            transaction.record("t", "decision", {"decisionId": decision_id})

        assert self.writer is not None
        self.writer.write(work)
        self.service.written(decision_id)
        self.taken += [Taken(name, amount, self.clock.passed, now, decision_id) for name, amount in wanted.items()]

    @rule(which=st.integers(0, 1000))
    def outcome(self, which: int) -> None:
        """Of something that was allowed at some time: it gives back its place, and nothing that was spent."""
        if not self.taken:
            return
        decision_id = self.taken[which % len(self.taken)].decision_id

        def work(transaction: Transaction) -> None:
            self.service.end(transaction, decision_id)
            transaction.record("t", "decision.outcome", {"decisionId": decision_id})

        assert self.writer is not None
        self.writer.write(work)
        self.service.release(decision_id)
        self.taken = [one for one in self.taken if one.name != "place" or one.decision_id != decision_id]

    # --- the list ---

    @invariant()
    def what_counts_is_what_was_taken(self) -> None:
        for name in (*RATES, "quota"):
            # More than ever fits: so the answer says what is left.
            more = Spend(Series("t", self.policy, name, seconds_of(name)), "a", limit_of(name), limit_of(name) + 1)
            found = self.service.look(Demand((), [more]))
            assert isinstance(found, Exceeded)
            assert found.room is not None
            used = limit_of(name) - found.room.left
            assert self.used(name, late=False) <= used <= self.used(name, late=True), name
        key = LeaseKey("t", self.policy, "a")
        held = sum(self.service.look(Demand([Wanted(key, n + 1, LEASE)])) is not None for n in range(PLACES))
        # There can be more than the places: a clock that was wrong over a restart has freed some of them.
        assert min(self.used("place", late=False), PLACES) <= held <= self.used("place", late=True)

    def demand(self, wanted: dict[str, int]) -> Demand:
        places = [Wanted(LeaseKey("t", self.policy, "a"), PLACES, LEASE)] if "place" in wanted else []
        spends = [
            Spend(Series("t", self.policy, name, seconds_of(name)), "a", limit_of(name), amount)
            for name, amount in wanted.items()
            if name != "place"
        ]
        return Demand(places, spends)

    def used(self, name: str, *, late: bool) -> int:
        """What counts now; with `late` also what may still count, because time is cut into slots."""
        seconds = LEASE if name == "place" else seconds_of(name)
        if seconds is None:
            return sum(taken.amount for taken in self.taken if taken.name == name)
        since = self.clock.passed - seconds * (1 + LATE if late and name != "place" else 1)
        since += -TINY if late else TINY
        mine = [taken for taken in self.taken if taken.name == name and taken.at > since]
        return sum(taken.amount for taken in mine if late or taken.sure)


def seconds_of(name: str) -> int | None:
    return RATES[name][0] if name in RATES else None


def limit_of(name: str) -> int:
    return {"quota": QUOTA, "place": PLACES}.get(name) or RATES[name][1]


@pytest.mark.timeout(0 if DEEP else 300)
def test_time_that_passes_and_clocks_that_jump(engine: Engine) -> None:
    ClockMachine.engine = engine
    slow: Any = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    examples, steps = (1000, 80) if DEEP else (120, 40)
    run_state_machine_as_test(
        ClockMachine,
        settings=settings(max_examples=examples, stateful_step_count=steps, suppress_health_check=slow, deadline=None),
    )
