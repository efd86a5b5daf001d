"""`maxRows` and `maxDataPoints` hold the number that a call announces (2-semantics, "Constraints")."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.policies.amounts import NAMES, Kind, amount_exceeded

EVERY_NAME = [(kind, name) for kind, names in NAMES.items() for name in names]


@pytest.mark.parametrize(("kind", "name"), EVERY_NAME)
@pytest.mark.parametrize("place", ["arguments", "context"])
def test_each_documented_name_is_held_against_the_limit(kind: Kind, name: str, place: str) -> None:
    def asked(amount: Any) -> str | None:
        values = {name: amount}
        return amount_exceeded(kind, 10, values if place == "arguments" else {}, values if place == "context" else {})

    assert asked(0) is None
    assert asked(10) is None
    assert asked(10.0) is None
    assert (
        asked(11)
        == f"{name!r} in the {place} asks for 11 {'rows' if kind == 'maxRows' else 'data points'}; {kind} is 10."
    )


@pytest.mark.parametrize(
    "amount",
    ["5", "", "1,000", None, True, False, -1, 2.5, float("nan"), float("inf"), [], [5], {}, 2**53, 1e300],
)
@pytest.mark.parametrize("place", ["arguments", "context"])
def test_what_is_not_a_count_is_refused(amount: Any, place: str) -> None:
    values = {"rows": amount}
    reason = amount_exceeded(
        "maxRows", 10**9, values if place == "arguments" else {}, values if place == "context" else {}
    )
    assert reason == f"'rows' in the {place} is not a whole number of rows, so maxRows cannot be checked."


def test_a_call_without_the_number_is_not_held_up() -> None:
    assert amount_exceeded("maxRows", 0, {}, {}) is None
    assert amount_exceeded("maxRows", 0, {"ROWS": 5, "query": {"rows": 5}}, {"other": 5}) is None


def test_one_limit_does_not_speak_for_the_other() -> None:
    assert amount_exceeded("maxRows", 0, {"points": 5}, {}) is None
    assert amount_exceeded("maxDataPoints", 0, {"rows": 5}, {}) is None


@given(st.dictionaries(st.sampled_from(NAMES["maxRows"]), st.integers(0, 20) | st.text(max_size=2)), st.integers(0, 20))
def test_every_number_counts_not_only_the_first(values: dict[str, Any], limit: int) -> None:
    fits = all(isinstance(amount, int) and amount <= limit for amount in values.values())
    assert (amount_exceeded("maxRows", limit, values, {}) is None) is fits
    assert (amount_exceeded("maxRows", limit, {}, values) is None) is fits
    assert (amount_exceeded("maxRows", limit, {"rows": 0}, values) is None) is fits
