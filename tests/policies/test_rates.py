"""Rates and budgets as they are written: what is understood, and what is told about the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from act.models import Constraints
from act.policies.budgets import BudgetTerms, amount_of, millionths, shown, written
from act.policies.constraints import from_wire
from act.policies.rates import RateTerms, parse_rates
from act.problems import faults_of_validation


def faults(constraints: Any) -> dict[str, str]:
    with pytest.raises(ValidationError) as error:
        Constraints.model_validate(constraints)
    return {fault.pointer: fault.message for fault in faults_of_validation(error.value, constraints)}


@pytest.mark.parametrize(
    ("rate", "limit", "seconds"),
    [
        ("100 per minute", 100, 60), ("1/second", 1, 1), ("5 / hour", 5, 3600), ("7 per day", 7, 86400),
        ({"limit": 3, "per": "hour"}, 3, 3600),
    ],
)  # fmt: skip
def test_rates_that_are_understood(rate: Any, limit: int, seconds: int) -> None:
    assert parse_rates(rate) == (RateTerms(limit, seconds, f"rate:{seconds}"),)


@pytest.mark.parametrize(
    "rate",
    ["", "100", "a hundred per minute", "100 per fortnight", "-1 per minute", "0 per minute", "1.5 per minute",
     "100 per minute ", "١٠٠ per minute", "100 PER minute", "1000001 per day", {"limit": 1}, {"per": "day"},
     {"limit": 1, "per": "day", "burst": 3}, {"limit": True, "per": "day"}, {"limit": 1, "per": ["day"]}, [],
     ["1 per day", "2 per day"], ["1 per day"] * 5, [["1 per day"]], [None]],
)  # fmt: skip
def test_rates_that_are_not_understood_come_with_an_example(rate: Any) -> None:
    found = faults({"rateLimit": rate})
    assert all(pointer.startswith("/rateLimit") for pointer in found)
    assert all("100 per minute" in message or "already" in message for message in found.values())


@pytest.mark.parametrize("rate", [7, None, 1.5, True])
def test_what_is_no_rate_at_all_is_refused_or_none(rate: Any) -> None:
    if rate is None:
        assert Constraints.model_validate({"rateLimit": None}).rate_limit is None
    else:
        assert list(faults({"rateLimit": rate})) == ["/rateLimit"]


def test_a_list_names_the_one_that_is_wrong() -> None:
    assert list(faults({"rateLimit": ["1 per day", "x", {"limit": 0, "per": "hour"}]})) == [
        "/rateLimit/1",
        "/rateLimit/2",
    ]


@pytest.mark.parametrize("value", ["100", 0, -1, True, 1.5, None, [1]])
@pytest.mark.parametrize("name", ["maxQueriesPerMinute", "max_actions_per_day"])
def test_other_spellings_are_as_strict(name: str, value: Any) -> None:
    assert list(faults({name: value})) == [f"/{name}"]


def test_two_spellings_of_one_thing_are_refused() -> None:
    assert faults({"rate_limit": "1 per day", "rateLimit": "1 per day"})
    assert faults({"max_actions_per_day": 1, "rateLimit": "1 per day"})


def test_what_is_stored_is_the_one_form() -> None:
    stored = Constraints.model_validate(
        {"maxQueriesPerMinute": 3, "max_actions_per_day": 9, "rate_limit": "5 per hour"}
    )
    terms = from_wire(stored)
    assert {(rate.limit, rate.seconds) for rate in terms.rates} == {(3, 60), (9, 86400), (5, 3600)}
    again = Constraints.model_validate(stored.model_dump(by_alias=True, exclude_none=True))
    assert from_wire(again) == terms


@pytest.mark.parametrize(
    ("budget", "pointer"),
    [
        ({"argument": "amount", "max": 1, "per": "day"}, "/budget/argument"),
        ({"argument": "", "max": 1, "per": "day"}, "/budget/argument"),
        ({"argument": "/a~2", "max": 1, "per": "day"}, "/budget/argument"),
        ({"argument": "/a", "max": -1, "per": "day"}, "/budget/max"),
        ({"argument": "/a", "max": 0.0000001, "per": "day"}, "/budget/max"),
        ({"argument": "/a", "max": True, "per": "day"}, "/budget/max"),
        ({"argument": "/a", "max": "5", "per": "day"}, "/budget/max"),
        ({"argument": "/a", "max": 1e13, "per": "day"}, "/budget/max"),
        ({"argument": "/a", "max": 1, "per": "month"}, "/budget/per"),
        ({"argument": "/a", "max": 1}, "/budget/per"),
        ({"argument": "/a", "max": 1, "per": "day", "unit": ""}, "/budget/unit"),
        ({"argument": "/a", "max": 1, "per": "day", "unit": "x" * 33}, "/budget/unit"),
        ({"argument": "/a", "max": 1, "per": "day", "unit": "\x1b[2J"}, "/budget/unit"),
        ({"argument": "/a", "max": 1, "per": "day", "unit": "EUR\n"}, "/budget/unit"),
        ({"argument": "/a", "max": 1, "per": "day", "burst": 1}, "/budget/burst"),
    ],
)
def test_budgets_that_are_not_understood(budget: Any, pointer: str) -> None:
    found = faults({"budget": budget})
    assert pointer in {at if at.count("/") < 3 else at.rsplit("/", 1)[0] for at in found}, found


@given(st.integers(0, 10**12) | st.decimals(0, 10**9, places=6).map(float))
def test_amounts_are_counted_exactly(amount: float) -> None:
    found = millionths(amount)
    assert found is not None
    assert float(written(found)) == amount
    assert float(shown(found)) == amount


@given(st.lists(st.decimals(0, 10**6, places=6), max_size=30))
def test_sums_are_not_rounded(amounts: list[Any]) -> None:
    assert sum(found for each in amounts if (found := millionths(float(each))) is not None) == sum(amounts) * 10**6


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=3),
        lambda each: st.lists(each) | st.dictionaries(st.text(max_size=3), each),
    )
)
def test_what_is_no_amount_is_told_and_never_raises(value: Any) -> None:
    found = amount_of(BudgetTerms("/a", 1, "day"), {"a": value})
    countable = isinstance(value, float) and 0 <= value <= 10**12 and millionths(value) is not None
    assert isinstance(found, int) == countable


@pytest.mark.parametrize("index", ["-", "00", "01", "-1", "9", "٠", ""])
def test_only_plain_numbers_are_places_in_a_list(index: str) -> None:
    assert isinstance(amount_of(BudgetTerms(f"/a/{index}", 1, "day"), {"a": [1, 2]}), str)
