"""Counters: never above the limit in any stretch of time, held against a list of everything that was counted."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act.limits.book import Demand, Exceeded, LimitBook, Reserved
from act.limits.counters import SLOTS, Counters, Series, Spend
from act.limits.leases import LeaseKey, Wanted

MINUTE = Series("t", "p", "rate:60", 60)
FOREVER = Series("t", "p", "quota", None)


def spend(series: Series = MINUTE, limit: int = 3, amount: int = 1, holder: str = "a") -> Spend:
    return Spend(series, holder, limit, amount)


def passes(book: LimitBook, now: float, *spends: Spend) -> bool:
    return isinstance(book.reserve("dec", Demand((), spends), now), Reserved)


def test_as_many_as_the_limit_and_again_when_the_time_is_over() -> None:
    book = LimitBook()
    assert [passes(book, 0.0, spend()) for _ in range(5)] == [True, True, True, False, False]
    assert not passes(book, 59.999, spend())
    assert passes(book, 60.0 + 60 / SLOTS, spend())


def test_what_never_has_room_again_says_so() -> None:
    book = LimitBook()
    assert passes(book, 0.0, spend(FOREVER, 1))
    found = book.look(Demand((), [spend(FOREVER, 1), spend(MINUTE, 1)]), 1e9)
    assert isinstance(found, Exceeded)
    assert found.retry_after is None
    too_much = book.look(Demand((), [spend(MINUTE, 3, 4)]), 0.0)
    assert isinstance(too_much, Exceeded)
    assert too_much.retry_after is None, "no wait makes four fit into three"


def test_all_or_nothing_of_places_and_counters() -> None:
    book, place = LimitBook(), Wanted(LeaseKey("t", "p", "a"), 1, 10.0)
    assert isinstance(book.reserve("one", Demand([place], [spend(limit=2)]), 0.0), Reserved)
    assert isinstance(book.reserve("two", Demand([place], [spend(limit=2)]), 0.0), Exceeded)
    assert passes(book, 0.0, spend(limit=2)), "the one without a place has counted nothing"
    book.release("one")
    assert isinstance(book.reserve("three", Demand([place], [spend(limit=2)]), 0.0), Exceeded)
    assert book.look(Demand([place]), 0.0) is None, "the one without room has held no place"


@pytest.mark.parametrize("short", [spend(limit=0), spend(FOREVER, 0), spend(Series("t", "q", "rate:1", 1), 1, 2)])
def test_what_has_no_room_takes_nothing_of_those_before_it(short: Spend) -> None:
    """In whatever order: of the others there is as much as before, and of the one that is short nothing."""
    book, others = LimitBook(), [spend(limit=2, holder="b"), spend(FOREVER, 2, holder="b")]
    assert passes(book, 0.0, *others)
    for order in ([*others, short], [short, *others], [others[0], short, others[1]]):
        assert not passes(book, 0.0, *order)
        assert [book._counters.room(other, 0.0).left for other in others] == [1, 1]
    assert passes(book, 0.0, *others)
    assert not passes(book, 0.0, *others)


def test_what_is_taken_back_was_never_counted() -> None:
    book = LimitBook()
    first = book.reserve("one", Demand((), [spend(limit=1), spend(FOREVER, 1)]), 0.0)
    assert isinstance(first, Reserved)
    assert not passes(book, 0.0, spend(limit=1))
    book.undo(first)
    assert passes(book, 0.0, spend(limit=1), spend(FOREVER, 1))


def test_it_says_when_there_is_room() -> None:
    book = LimitBook()
    for now in (0.0, 10.0, 20.0):
        assert passes(book, now, spend())
    found = book.look(Demand((), [spend(amount=2)]), 25.0)
    assert isinstance(found, Exceeded)
    assert found.retry_after is not None
    again = 25.0 + found.retry_after
    assert 70.0 <= again <= 70.0 + 60 / SLOTS, "when the second of the three is a minute old"
    assert passes(book, again, spend(amount=2))


@pytest.mark.parametrize("restored", [0.0, 1.0, 59.0])
def test_a_restart_gives_nothing_back(restored: float) -> None:
    counters = Counters()
    counters.restore(MINUTE, "a", 3, restored)
    room = counters.room(spend(), restored - 1e-6)
    assert room.left == 0
    assert room.more_in is not None
    assert room.more_in <= 60 / SLOTS + 1e-3


def test_restored_in_any_order_it_is_the_same() -> None:
    for order in ((1.0, 30.0, 59.0), (59.0, 1.0, 30.0), (30.0, 59.0, 1.0)):
        counters = Counters()
        for until in order:
            counters.restore(MINUTE, "a", 1, until)
        assert [counters.room(spend(), now).left for now in (0.0, 2.0, 31.0, 60.0)] == [0, 1, 2, 3]


def test_what_is_over_is_forgotten() -> None:
    book = LimitBook()
    for number in range(2500):
        assert passes(book, 0.0, spend(holder=f"h{number}"), spend(FOREVER, holder=f"h{number}"))
    gone = book.ended(lambda family: family == "h7")
    assert len(gone) == 2499
    book.forget(gone, 61.0)
    windows, totals = book._counters.series()
    assert (windows, totals) == ([], [FOREVER])
    assert list(book._counters.holders(FOREVER)) == ["h7"]


def test_what_counts_for_a_task_or_an_agent_is_kept() -> None:
    book = LimitBook()
    assert passes(book, 0.0, spend(FOREVER, holder="task:t1"), spend(FOREVER, holder="agent:a"))
    assert book.ended(lambda _: False) == []


_steps = st.lists(
    st.tuples(st.floats(0, 40, allow_nan=False), st.integers(0, 3), st.booleans()), min_size=1, max_size=60
)


@settings(max_examples=300)
@given(_steps, st.integers(1, 5), st.sampled_from([1, 60, 86400]))
def test_never_above_the_limit_in_any_stretch_of_time(
    steps: list[tuple[float, int, bool]], limit: int, seconds: int
) -> None:
    """And never below it by more than one slot: what an exact list lets through a slot later, passes."""
    book, now, kept = LimitBook(), 1000.0, list[tuple[Fraction, int]]()
    series = Series("t", "p", "rate", seconds)
    for wait, amount, undone in steps:
        now += wait * seconds / 60
        moment, stretch, slot = Fraction(now), Fraction(seconds), Fraction(seconds, SLOTS)
        found = book.reserve("dec", Demand((), [spend(series, limit, amount)]), now)
        counting = sum(amount for at, amount in kept if at > moment - stretch)
        late = sum(amount for at, amount in kept if at > moment - stretch - slot)
        if isinstance(found, Exceeded):
            assert late + amount > limit
        else:
            assert counting + amount <= limit
            if undone:
                book.undo(found)
            else:
                kept.append((moment, amount))
