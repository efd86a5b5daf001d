"""Amounts in millionths are those of the decimal text of a number, and so is what is written of them."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from act.policies.budgets import MAX_AMOUNT, millionths, written

_places = st.builds(lambda whole, places: whole / 10**places, st.integers(0, 10**16), st.integers(0, 9))


@settings(max_examples=300)
@given(st.floats(0, MAX_AMOUNT) | _places.filter(lambda amount: amount <= MAX_AMOUNT))
def test_a_float_is_counted_as_it_is_written(amount: float) -> None:
    exact = Decimal(repr(amount)) * 10**6
    assert millionths(amount) == (int(exact) if exact == int(exact) else None)


@given(st.integers(0, 10**18) | st.integers(0, 10**12).map(lambda whole: whole * 10**6))
def test_what_is_written_is_the_same_amount_without_needless_zeros(amount: int) -> None:
    text = written(amount)
    assert Decimal(text) * 10**6 == amount
    assert "." not in text or not text.endswith(("0", "."))
