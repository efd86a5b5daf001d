"""Whom a policy is for when its author did not say (2-semantics, "Who it applies to")."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.policies.binding import inferred_roles, words

ROLES = st.lists(st.text("ab- _", max_size=5), max_size=4)
NAMES = st.text("aAbB- _/", max_size=10)


@pytest.mark.parametrize(
    ("name", "roles", "inferred"),
    [
        ("Executor Capabilities", ["planner", "executor"], ("executor",)),
        ("executor", ["executor"], ("executor",)),
        ("EXECUTOR rights", ["Executor"], ("Executor",)),
        ("Executors Capabilities", ["executor"], ()),
        ("Execut Capabilities", ["executor"], ()),
        ("The Executor", ["executor"], ()),
        ("Data Writer Rights", ["data", "data-writer"], ("data-writer",)),
        ("Data Reader Rights", ["data", "data-writer"], ("data",)),
        ("Data-Writer Rights", ["data writer"], ("data writer",)),
        ("data_writer/rights", ["data.writer"], ("data.writer",)),
        ("Ops: restart", ["ops", "OPS"], ("OPS", "ops")),
        ("Stra\u00dfe Rechte", ["STRASSE"], ("STRASSE",)),
        ("Executor Capabilities", [], ()),
        ("Executor Capabilities", ["", " ", "-"], ()),
        ("---", ["executor"], ()),
    ],
)
def test_examples(name: str, roles: list[str], inferred: tuple[str, ...]) -> None:
    assert inferred_roles(name, roles) == inferred


@given(NAMES, ROLES)
def test_every_inferred_role_is_one_of_the_roles_and_begins_the_name(name: str, roles: list[str]) -> None:
    found = inferred_roles(name, roles)
    assert set(found) <= set(roles)
    for role in found:
        assert words(role)
        assert words(name)[: len(words(role))] == words(role)


@given(NAMES, ROLES)
def test_no_longer_role_begins_the_name(name: str, roles: list[str]) -> None:
    found = inferred_roles(name, roles)
    longest = max((len(words(role)) for role in found), default=0)
    for role in set(roles) - set(found):
        if words(role) and words(name)[: len(words(role))] == words(role):
            assert len(words(role)) < longest


@given(NAMES, ROLES, st.randoms())
def test_the_order_of_roles_never_matters(name: str, roles: list[str], random: Random) -> None:
    shuffled = list(roles)
    random.shuffle(shuffled)
    assert inferred_roles(name, shuffled) == inferred_roles(name, roles)
