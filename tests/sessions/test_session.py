"""A session only grows, in whatever order it is told what."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.sessions.session import (
    EMPTY,
    MAX_CREATED,
    MAX_CREATED_TEXT,
    MAX_LABELS,
    Session,
    SessionFull,
    merged,
    session_key,
)

names = st.lists(st.text("abc", min_size=1, max_size=2), max_size=8)
reports = st.lists(st.tuples(names, names), max_size=8)


def told(*reported: tuple[list[str], list[str]]) -> Session:
    session = EMPTY
    for labels, created in reported:
        session = merged(session, labels, created)
    return session


@given(reports)
def test_nothing_is_ever_lost(reported: list[tuple[list[str], list[str]]]) -> None:
    session = EMPTY
    for labels, created in reported:
        after = merged(session, labels, created)
        assert after.labels == session.labels | set(labels)
        assert after.created[: len(session.created)] == session.created
        assert set(after.created) == {*session.created, *created}
        assert len(set(after.created)) == len(after.created)
        session = after


@given(reports)
def test_what_is_told_twice_adds_nothing(reported: list[tuple[list[str], list[str]]]) -> None:
    session = told(*reported)
    for labels, created in reported:
        assert merged(session, labels, created) is session


@given(reports, st.randoms())
def test_the_order_of_reports_is_all_one(reported: list[tuple[list[str], list[str]]], chance: object) -> None:
    shuffled = list(reported)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = told(*reported), told(*shuffled)
    assert (one.labels, set(one.created)) == (other.labels, set(other.created))


def test_conditions_see_lists_that_are_made_once() -> None:
    session = told((["b", "a"], ["y"]), (["c"], ["x", "y"]))
    assert session.seen == {"labels": ["a", "b", "c"], "created": ["y", "x"]}
    assert session.seen is session.seen
    assert EMPTY.seen == {"labels": [], "created": []}


def test_it_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        EMPTY.labels = frozenset("a")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("session", "labels", "created"),
    [
        (Session(frozenset(map(str, range(MAX_LABELS)))), ["0", "one more"], []),
        (Session(created=tuple(map(str, range(MAX_CREATED)))), [], ["0", "one more"]),
        (Session(created=("x" * MAX_CREATED_TEXT,)), [], ["x" * MAX_CREATED_TEXT, "y"]),
    ],
    ids=["labels", "created", "characters"],
)
def test_a_full_session_takes_what_it_has_and_nothing_else(
    session: Session, labels: list[str], created: list[str]
) -> None:
    assert merged(session, labels[:1], created[:1]) is session
    with pytest.raises(SessionFull):
        merged(session, labels, created)


def test_there_is_always_room_for_labels_that_nobody_reported() -> None:
    full = Session(frozenset(map(str, range(MAX_LABELS))))
    more = merged(full, [], ["made"], ["default"])
    assert (more.labels, more.created) == (full.labels | {"default"}, ("made",))
    assert merged(more, ["0", "default"], [], ["default"]) is more
    with pytest.raises(SessionFull):
        merged(more, ["new"], [])
    with pytest.raises(SessionFull):
        merged(full, ["new"], [], ["default"])


def test_the_last_place_can_be_taken() -> None:
    session = Session(frozenset(map(str, range(MAX_LABELS - 1))), tuple(map(str, range(MAX_CREATED - 1))))
    full = merged(session, ["last"], ["last"])
    assert (len(full.labels), len(full.created)) == (MAX_LABELS, MAX_CREATED)


def test_no_task_shares_the_session_of_a_node() -> None:
    assert session_key("t1", "nod_1") == "task:t1"
    assert session_key(None, "nod_1") == "node:nod_1"
    assert session_key("nod_1", "nod_1") != session_key(None, "nod_1")
