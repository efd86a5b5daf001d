"""A proof is good once: what is remembered, for how long, and what happens when there is no room."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from act.tokens.proof import MAX_AGE, MAX_AHEAD
from act.tokens.used_proofs import KEPT, UsedProofs


def digests(count: int) -> list[bytes]:
    return [number.to_bytes(32) for number in range(count)]


def test_once_and_not_again() -> None:
    used = UsedProofs()
    one, other = digests(2)
    assert used.take(one, 0.0)
    assert not used.take(one, 0.0)
    assert not used.take(one, 60.0)
    assert used.take(other, 60.0)


def test_it_is_remembered_as_long_as_it_could_be_accepted() -> None:
    used = UsedProofs()
    (one,) = digests(1)
    assert used.take(one, 0.0)
    assert MAX_AGE + MAX_AHEAD < KEPT
    assert not used.take(one, KEPT - 0.001)
    assert used.take(one, KEPT)


def test_what_was_not_decided_can_be_asked_again() -> None:
    used = UsedProofs()
    one, other = digests(2)
    assert used.take(one, 0.0)
    used.give_back(one)
    used.give_back(other)
    assert used.take(one, 0.0)
    assert not used.take(one, 0.0)


def test_when_it_is_full_it_refuses_and_forgets_nothing() -> None:
    used = UsedProofs(capacity=3)
    known = digests(4)
    assert [used.take(digest, float(moment)) for moment, digest in enumerate(known)] == [True, True, True, False]
    assert not any(used.take(digest, 10.0) for digest in known)
    used.give_back(known[1])
    assert used.take(known[3], 11.0)
    assert not used.take(known[1], 12.0)
    assert used.take(known[1], KEPT)  # the first of them could not be used again now


def test_what_is_forgotten_leaves_no_trace() -> None:
    used = UsedProofs()
    for moment, digest in enumerate(digests(1000)):
        assert used.take(digest, moment * 10.0)
    assert len(used) == -(-KEPT // 10)


def test_forgetting_all_at_once_is_no_more_work_than_remembering_them() -> None:
    """It happens within one request."""
    used = UsedProofs()
    known = digests(50_000)
    start = time.process_time()
    for digest in known:
        used.take(digest, 0.0)
    remembered = time.process_time()
    assert used.take(b"next", KEPT)
    forgotten = time.process_time()
    assert len(used) == 1
    assert forgotten - remembered < 10 * (remembered - start)


@given(
    st.lists(
        st.tuples(st.sampled_from(["take", "give back"]), st.integers(0, 5), st.floats(0, 60, allow_subnormal=False)),
        max_size=60,
    )
)
def test_like_a_list_that_is_searched_every_time(steps: list[tuple[str, int, float]]) -> None:
    used, taken, now = UsedProofs(capacity=4), list[tuple[bytes, float]](), 0.0
    for step, number, pause in steps:
        now += pause
        digest = number.to_bytes(32)
        if step == "give back":
            used.give_back(digest)
            taken = [entry for entry in taken if entry[0] != digest]
            continue
        taken = [entry for entry in taken if entry[1] > now - KEPT]
        expected = len(taken) < 4 and digest not in [entry[0] for entry in taken]
        assert used.take(digest, now) is expected
        if expected:
            taken.append((digest, now))
