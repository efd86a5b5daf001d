"""What is hashed: canonical JSON (RFC 8785), so that any reader can hash the same bytes."""

from __future__ import annotations

import hashlib
import json
import string
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from act.audit.canonical import canonical
from act.audit.record import MAX_TEXT, clip, encode

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
RECORDS = st.dictionaries(NAMES, VALUES, max_size=6)
ANY_NAMES = (
    NAMES | TEXTS | st.sampled_from(["\uffff", "\U00010000"])
)  # these two sort one way in UTF-8, another in UTF-16
ANY = st.recursive(
    VALUES | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_NAMES, inner, max_size=3),
    max_leaves=12,
)


@given(RECORDS)
def test_the_encoding_is_canonical_json(record: dict[str, Any]) -> None:
    assert encode(record) == rfc8785.dumps(record)
    assert json.loads(encode(record)) == record


@given(RECORDS, st.randoms())
def test_the_order_of_fields_never_matters(record: dict[str, Any], random: Random) -> None:
    items = list(record.items())
    random.shuffle(items)
    assert encode(dict(items)) == encode(record)


@given(ANY)
def test_also_of_floats_and_of_names_in_other_scripts(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("inside", [lambda value: value, lambda value: [0, value], lambda value: {"b": [{"c": value}]}])
@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), {1, 2}, b"x", object(), 2**53, -(2**53), 10**30, "\ud800", {1: 2}, UUID(int=1), NOW],
    ids=range(12),
)
def test_what_has_no_canonical_form_is_refused(value: Any, inside: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode({"a": inside(value)})


def test_a_circle_ends() -> None:
    circle: list[Any] = []
    circle.append({"a": circle})
    with pytest.raises(RecursionError):
        canonical(circle)


@pytest.mark.parametrize("length", [0, 1, MAX_TEXT])
def test_a_text_that_fits_is_kept(length: int) -> None:
    assert clip("x" * length) == "x" * length


@pytest.mark.parametrize("tail", ["x", "\u00e9", "\ud800"])
def test_a_longer_text_is_cut_and_told_by_its_hash(tail: str) -> None:
    text = "x" * MAX_TEXT + tail
    cut = clip(text)
    assert len(cut) <= MAX_TEXT + 10
    assert cut.endswith(f"[cut, sha256 {hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}]")
    assert clip(text + "y") != cut
