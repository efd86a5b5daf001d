"""The lease book: never above a limit, all or nothing, measured on the monotonic clock."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from act.limits.leases import Exceeded, LeaseBook, LeaseKey, Wanted

A, B, C = (LeaseKey("t1", policy, "agt_1") for policy in ("pol_a", "pol_b", "pol_c"))
FAR = 1e9


def want(key: LeaseKey = A, limit: int = 1, seconds: float = 10.0) -> Wanted:
    return Wanted(key, limit, seconds)


def test_as_many_as_the_limit_and_no_more() -> None:
    book = LeaseBook()
    outcomes = [book.reserve(f"dec_{number}", [want(limit=3)], 0.0) for number in range(5)]
    assert outcomes == [None, None, None, Exceeded(want(limit=3)), Exceeded(want(limit=3))]


def test_a_limit_of_zero_has_no_place() -> None:
    assert LeaseBook().reserve("dec_1", [want(limit=0)], 0.0) == Exceeded(want(limit=0))


def test_places_are_counted_apart_by_tenant_policy_and_agent() -> None:
    book = LeaseBook()
    keys = [LeaseKey(t, p, a) for t in ("t1", "t2") for p in ("p1", "p2") for a in ("a1", "a2")]
    for number, key in enumerate(keys):
        assert book.reserve(f"dec_{number}", [want(key)], 0.0) is None
    for number, key in enumerate(keys):
        assert book.reserve(f"dec_x{number}", [want(key)], 0.0) == Exceeded(want(key))


def test_all_or_nothing() -> None:
    book = LeaseBook()
    assert book.reserve("dec_1", [want(B)], 0.0) is None
    assert book.reserve("dec_2", [want(A), want(B), want(C)], 0.0) == Exceeded(want(B))
    assert book.full([want(A), want(C)], 0.0) is None, "nothing was taken on the way"
    book.release("dec_2")
    assert book.full([want(B)], 0.0) == Exceeded(want(B)), "nothing of another decision was given back"


def test_looking_takes_nothing() -> None:
    book = LeaseBook()
    for _ in range(5):
        assert book.full([want()], 0.0) is None
    assert book.reserve("dec_1", [want()], 0.0) is None
    assert book.full([want()], 0.0) == Exceeded(want())


def test_releasing_twice_or_for_nothing_gives_nothing_away() -> None:
    book = LeaseBook()
    book.reserve("dec_1", [want(limit=2)], 0.0)
    book.reserve("dec_2", [want(limit=2)], 0.0)
    for _ in range(3):
        book.release("dec_1")
        book.release("dec_unknown")
    assert book.reserve("dec_3", [want(limit=2)], 0.0) is None
    assert book.reserve("dec_4", [want(limit=2)], 0.0) == Exceeded(want(limit=2))


def test_a_place_is_free_at_the_moment_its_time_is_over_swept_or_not() -> None:
    book = LeaseBook()
    book.reserve("dec_1", [want(seconds=10)], 100.0)
    assert book.full([want()], 109.999) == Exceeded(want())
    assert book.overdue(109.999) == []
    assert book.overdue(110.0) == ["dec_1"]
    assert book.reserve("dec_2", [want(seconds=10)], 110.0) is None
    book.release("dec_1")
    assert book.full([want()], 111.0) == Exceeded(want()), "the sweep of the old lease took the new one along"


def test_a_decision_is_overdue_when_all_of_its_leases_are() -> None:
    book = LeaseBook()
    book.reserve("dec_1", [want(A, seconds=5), want(B, seconds=10)], 0.0)
    assert book.overdue(5.0) == []
    assert book.full([want(A)], 5.0) is None
    assert book.overdue(10.0) == ["dec_1"]


def test_what_was_held_before_a_restart_counts() -> None:
    book = LeaseBook()
    book.restore("dec_1", A, 50.0)
    book.restore("dec_1", B, 60.0)
    book.restore("dec_2", A, -5.0)
    assert book.full([want(A)], 0.0) == Exceeded(want(A))
    assert book.overdue(0.0) == ["dec_2"]
    assert book.reserve("dec_3", [want(A, limit=2)], 0.0) is None
    book.release("dec_1")
    assert book.full([want(B)], 0.0) is None


def test_more_leases_than_a_limit_that_was_lowered() -> None:
    book = LeaseBook()
    for number in range(4):
        book.restore(f"dec_{number}", A, FAR)
    assert book.full([want(limit=2)], 0.0) == Exceeded(want(limit=2))
    for number in range(3):
        book.release(f"dec_{number}")
    assert book.full([want(limit=2)], 0.0) is None


def test_threads_never_get_above_the_limit() -> None:
    """200 at once against a limit of 5 give exactly 5."""
    book, start = LeaseBook(), threading.Barrier(8)

    def ask(thread: int) -> int:
        start.wait(30)
        return sum(book.reserve(f"dec_{thread}_{n}", [want(limit=5, seconds=FAR)], 0.0) is None for n in range(25))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 5


def test_threads_that_take_and_give_back_two_places_leave_nothing_behind() -> None:
    book, start, inside, most = LeaseBook(), threading.Barrier(6), [0], [0]
    count = threading.Lock()

    def work(thread: int) -> int:
        start.wait(30)
        done = 0
        for number in range(300):
            decision = f"dec_{thread}_{number}"
            wanted = [want(A, 3, FAR), want(B, 2, FAR)]
            if book.reserve(decision, wanted if number % 2 else wanted[::-1], 0.0) is None:
                with count:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                done += 1
                with count:
                    inside[0] -= 1
                book.release(decision)
        return done

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(6))) > 0
    assert most[0] <= 2
    assert book.overdue(2 * FAR) == []
    assert book.full([want(A), want(B)], 0.0) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0.1, 20)), min_size=1, max_size=12))
def test_the_book_holds_what_is_within_its_time(leases: list[tuple[int, float]]) -> None:
    book = LeaseBook()
    for number, (at, seconds) in enumerate(leases):
        book.reserve(f"dec_{number}", [want(limit=100, seconds=seconds)], float(at))
    alive = sum(at + seconds > 10.0 for at, seconds in leases)
    assert book.full([want(limit=alive)], 10.0) == Exceeded(want(limit=alive))
    assert book.full([want(limit=alive + 1)], 10.0) is None


class LeaseMachine(RuleBasedStateMachine):
    """Any run of steps against a plain list of (decision, key, deadline)."""

    @initialize()
    def empty(self) -> None:
        self.book = LeaseBook()
        self.held: list[tuple[str, LeaseKey, float]] = []
        self.now = 0.0
        self.count = 0

    def alive(self, key: LeaseKey) -> int:
        return sum(held == key and deadline > self.now for _, held, deadline in self.held)

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        keys=st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=3, unique=True),
        limit=st.integers(0, 3),
        seconds=st.sampled_from([0.5, 2.0, 10.0]),
    )
    def reserve(self, keys: list[LeaseKey], limit: int, seconds: float) -> None:
        self.count += 1
        decision = f"dec_{self.count}"
        full = [key for key in keys if self.alive(key) >= limit]
        outcome = self.book.reserve(decision, [Wanted(key, limit, seconds) for key in keys], self.now)
        assert outcome == (Exceeded(Wanted(full[0], limit, seconds)) if full else None)
        if not full:
            self.held += [(decision, key, self.now + seconds) for key in keys]

    @rule(number=st.integers(1, 20))
    def release(self, number: int) -> None:
        self.book.release(f"dec_{number}")
        self.held = [lease for lease in self.held if lease[0] != f"dec_{number}"]

    @rule()
    def sweep(self) -> None:
        overdue = self.book.overdue(self.now)
        decisions = {decision for decision, _, _ in self.held}
        alive = {decision for decision, _, deadline in self.held if deadline > self.now}
        assert sorted(overdue) == sorted(decisions - alive)
        for decision in overdue:
            self.book.release(decision)
        self.held = [lease for lease in self.held if lease[0] not in overdue]

    @invariant()
    def both_count_the_same(self) -> None:
        for key in (A, B, C):
            alive = self.alive(key)
            assert self.book.full([Wanted(key, alive + 1, 1.0)], self.now) is None
            assert self.book.full([Wanted(key, alive, 1.0)], self.now) is not None


TestLeaseMachine = LeaseMachine.TestCase
TestLeaseMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
