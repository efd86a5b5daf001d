"""What is hashed: canonical JSON (RFC 8785), so that any reader can hash the same bytes."""

from __future__ import annotations

import hashlib
import json
import string
from random import Random
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from act.audit.record import MAX_TEXT, clip, encode

NAMES = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
RECORDS = st.dictionaries(NAMES, VALUES, max_size=6)


@given(RECORDS)
def test_the_encoding_is_canonical_json(record: dict[str, Any]) -> None:
    assert encode(record) == rfc8785.dumps(record)
    assert json.loads(encode(record)) == record


@given(RECORDS, st.randoms())
def test_the_order_of_fields_never_matters(record: dict[str, Any], random: Random) -> None:
    items = list(record.items())
    random.shuffle(items)
    assert encode(dict(items)) == encode(record)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x", object()])
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode({"a": value})


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
