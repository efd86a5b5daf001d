"""JSON that reads in one way only (2-semantics, "Matching")."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.strict_json import (
    MAX_DEPTH,
    MAX_INTEGER,
    AmbiguousJson,
    MalformedJson,
    _loads_closely,
    _sound,
    escape,
    faults_of,
    loads,
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)

TWICE = "The key occurs twice in one object."
TOO_LARGE = "The integer is not below 2^53; send it as a string."
NOT_FINITE = "The number is not finite."
TOO_DEEP = "Nesting is deeper than 32 levels."
SURROGATE = "The string has an unpaired surrogate; send valid Unicode."


def _faults(text: str | bytes) -> list[tuple[str, str]]:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(AmbiguousJson) as raised:
        loads(data)
    return [(fault.pointer, fault.message) for fault in raised.value.faults]


@given(VALUES)
def test_what_reads_in_one_way_is_read_as_json_does(value: Any) -> None:
    read = loads(json.dumps(value).encode())
    assert read == value
    assert json.dumps(read) == json.dumps(value)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ('{"a": 1, "a": 1}', [("/a", TWICE)]),
        ('{"a": 1, "\\u0061": 2}', [("/a", TWICE)]),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', [("/a/b", TWICE)]),
        ('[{"": 1, "": 2}]', [("/0/", TWICE)]),
        ('{"a/b": 1, "a/b": 1}', [("/a~1b", TWICE)]),
        ('{"a~b": 1, "a~b": 1}', [("/a~0b", TWICE)]),
        (f'{{"n": {2**53}}}', [("/n", TOO_LARGE)]),
        (f'{{"n": {-(2**53)}}}', [("/n", TOO_LARGE)]),
        ('{"n": 1e999}', [("/n", NOT_FINITE)]),
        ("[1, -1e999]", [("/1", NOT_FINITE)]),
        ('"\\ud800"', [("", SURROGATE)]),
        ('["\\udc00\\ud800"]', [("/0", SURROGATE)]),
        ('{"\\ud800": 1}', [("", "A key has an unpaired surrogate; send valid Unicode.")]),
        ('{"a": 1, "a": 9e999, "b": [1e999]}', [("/a", TWICE), ("/a", NOT_FINITE), ("/b/0", NOT_FINITE)]),
    ],
)
def test_every_ambiguity_is_told_with_its_pointer(text: str, faults: list[tuple[str, str]]) -> None:
    assert _faults(text) == faults


@pytest.mark.parametrize("numeral", [2**53 - 1, 1 - 2**53, 0, -0.0, 1.5, 1e308])
def test_numbers_at_the_edge(numeral: float) -> None:
    assert loads(json.dumps({"n": numeral}).encode()) == {"n": numeral}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b"[1,]",
        b"NaN",
        b"[Infinity]",
        b'{"a": -Infinity}',
        b"01",
        b"+1",
        b".5",
        b"1.",
        b"0x1",
        b'"\n"',
        b'"\xff"',
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        b"// note\n{}",
        b'{"a": 1} x',
        b"[" * 100_000,
        b"1" * 5000,
    ],
)
def test_what_is_not_json(data: bytes) -> None:
    with pytest.raises(MalformedJson):
        loads(data)


@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}")])
def test_nesting_up_to_the_limit(open_: str, close: str) -> None:
    inner = "1"
    loads((open_ * MAX_DEPTH + inner + close * MAX_DEPTH).encode())
    step = "/0" if open_ == "[" else "/a"
    assert _faults(open_ * (MAX_DEPTH + 1) + inner + close * (MAX_DEPTH + 1)) == [(step * MAX_DEPTH, TOO_DEEP)]


@pytest.mark.parametrize(
    ("value", "pointer", "message"),
    [
        ({"a": float("nan")}, "/a", NOT_FINITE),
        ({"a": float("-inf")}, "/a", NOT_FINITE),
        ({"a": {1, 2}}, "/a", "A set is not a JSON value."),
        ({"a": b"x"}, "/a", "A bytes is not a JSON value."),
        ({1: "x"}, "", "The key 1 is not a string."),
        ({"a": ("x", 1j)}, "/a/1", "A complex is not a JSON value."),
    ],
)
def test_values_built_in_python(value: Any, pointer: str, message: str) -> None:
    assert [(fault.pointer, fault.message) for fault in faults_of(value)] == [(pointer, message)]


@given(
    st.recursive(
        VALUES | st.sampled_from([MAX_INTEGER + 1, -MAX_INTEGER - 1, float("nan"), float("inf"), "\ud800", (1,), b"x"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    )
)
def test_the_quick_look_never_overlooks_a_fault(value: Any) -> None:
    deep: Any = value
    for _ in range(MAX_DEPTH):
        deep = [deep]
    for seen in (value, deep):
        assert not _sound(seen) or not list(faults_of(seen))


@given(st.lists(st.text(max_size=5), max_size=4))
def test_pointers_are_unambiguous(keys: list[str]) -> None:
    pointer = "".join(f"/{escape(key)}" for key in keys)
    assert [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]] == keys


PIECES = st.sampled_from(
    [
        *'{}[]:, 0\n\\"',
        '"a"',
        '"b"',
        '"\\u00e9"',
        '"\\ud800"',
        '"é"',
        "-1",
        "1.5",
        "1e400",
        "-1e-400",
        "NaN",
        "true",
        "9007199254740991",
        "9007199254740992",
        "-9007199254740991",
        "123456789012345",
    ]
)


@given(
    st.lists(PIECES, max_size=12).map("".join)
    | VALUES.map(json.dumps)
    | VALUES.map(lambda value: json.dumps(value, indent=1))
)
def test_the_quick_way_reads_what_the_close_one_reads(text: str) -> None:
    def told(read: Any) -> Any:
        try:
            return repr(read(text.encode()))
        except MalformedJson as error:
            return str(error)
        except AmbiguousJson as error:
            return error.faults

    assert told(loads) == told(_loads_closely)
