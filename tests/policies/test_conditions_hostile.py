"""Conditions by hostile authors, over hostile values: refused or bounded, never a crash, a hang or an exception.

Time is measured as this thread's CPU time, with room for slow machines; what bounds an evaluation is the budget of
steps, which is exact.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act.policies.cel.regexes import MAX_SIZE, regex_fault, regex_size
from act.policies.cel.texts import MAX_CHARACTERS
from act.policies.conditions import Condition, ConditionError, ConditionFault, compile_condition

NOW = datetime(2026, 11, 22, tzinfo=UTC)
COMPILES_WITHIN = 2.0
EVALUATES_WITHIN = 0.1
TOO_LONG = "The condition would take too long on values of this size"


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    start = time.thread_time()
    return run(), time.thread_time() - start


def compiled(text: str) -> Condition | ConditionFault:
    result, seconds = timed(lambda: compile_condition(text))
    assert seconds < COMPILES_WITHIN, text[:100]
    if isinstance(result, ConditionFault):
        assert "cannot be read" not in result.message, (text[:100], result)
    return result  # type: ignore[no-any-return]


def cut(unit: str) -> str:
    return (unit * MAX_CHARACTERS)[:MAX_CHARACTERS]


_BOMBS = [
    *(
        "(",
        "[",
        "{",
        ")",
        "]",
        "}",
        "!",
        "-",
        "!-",
        "?",
        ":",
        ",",
        ".",
        "&",
        "|",
        "=",
        "<",
        "'",
        '"',
        "`",
        "\\",
        "/",
        "//",
    ),
    *(
        "a",
        "a ",
        "a.",
        "a&&",
        "a||",
        "a+",
        "a<",
        "a?",
        "a?b:",
        "a in ",
        "a(",
        "a[",
        "[a,",
        "{a:",
        "{'a':",
        "f(a)(",
        "1 ",
    ),
    *(
        "1.",
        "5u ",
        "' ' ",
        "'''",
        '"""',
        "r'",
        "b'",
        "has(",
        "has(a.b).",
        ".all(x,",
        "[1].all(x,",
        "x.map(x,x.",
        "\n",
        "\t",
    ),
    *(
        "google.protobuf.Any{",
        "google.protobuf.Value{",
        "1+1*",
        "in ",
        "null",
        "true ",
        "\x00",
        "\ud800",
        "\u202e",
        "\U0001f600",
    ),
    *("\u00e9 ", "'\u00e9' \u00e9 %", "\ufeff", "#", "@", "$", "~", "^", "0x", "1e", "\\u0000", "'\\x'", "`a`.", "a.`"),
]


@pytest.mark.parametrize("unit", _BOMBS)
def test_bombs_of_one_piece_are_refused(unit: str) -> None:
    assert isinstance(compiled(cut(unit)), ConditionFault)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("!" * 4092 + "true", True),
        ("-" * 4000 + "1 == 1", True),
        ("&&".join(["true"] * 682), True),
        ("||".join(["args.l"] * 511), "'||' does not take a list"),
        ("||".join(["args.x == 1"] * 300), "args.x is missing"),
        ("args.l in [" + ",".join(["1"] * 2000) + "]", False),
        ("[" * 15 + "]" * 15 + " == []", False),
        ("args.l == " + "{'a':" * 15 + "1" + "}" * 15, False),
        ("'" + "a" * 4000 + "' == args.x", "args.x is missing"),
        ("true//" + "(" * 4000, True),
        ("args.l == [] ? true : " * 28 + "false", True),
    ],
)
def test_large_but_flat_conditions_still_work(text: str, answer: bool | str) -> None:
    condition = compiled(text)
    assert isinstance(condition, Condition), condition
    result, seconds = timed(lambda: condition.evaluate({"args": {"l": []}}))
    assert (result.message if isinstance(result, ConditionError) else result) == answer
    assert seconds < EVALUATES_WITHIN


_TOKENS = st.sampled_from(
    [
        *(
            "args",
            ".a",
            "action",
            "agent",
            ".id",
            "now",
            "token.facts",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            ":",
            "?",
            ",",
            "&&",
        ),
        *("||", "!", "-", "+", "*", "/", "%", "==", "!=", "<", "<=", ">", " in ", "has(", ".all(", ".exists(", ".map("),
        *(
            ".filter(",
            "x,",
            "x",
            "1",
            "1.5",
            "5u",
            "'a'",
            '"b"',
            "r'\\d'",
            "b'x'",
            "'''q'''",
            "true",
            "null",
            "timestamp(",
        ),
        *(
            "duration(",
            ".matches(",
            "size(",
            "type(",
            "int",
            "uint(",
            "\\",
            "`a`",
            "//",
            "\n",
            ".",
            "google.protobuf.Any{",
        ),
        *(
            "value:",
            "\x00",
            "\u00e9",
            "\U0001f600",
            "0x1f",
            "1e999",
            "99999999999999999999",
            "'\\u00e9'",
            "'\\x41'",
            "'\\101'",
        ),
        *(
            ".getHours(",
            "@result",
            "__result__",
            "dyn(",
            "'UTC'",
            "optional.of(",
            "'\\ud800'",
            "\ud800",
            "\u202e",
            "#",
            "%2",
        ),
    ]
)
_SEPARATORS = st.sampled_from(["", " "])


@settings(max_examples=500)
@given(st.lists(_TOKENS, max_size=40), _SEPARATORS)
def test_random_tokens_are_refused_or_compile(tokens: list[str], separator: str) -> None:
    condition = compiled(separator.join(tokens)[:MAX_CHARACTERS])
    if isinstance(condition, Condition):
        request = {"args": {"a": 1}, "action": "a", "agent": {"id": "a"}, "now": NOW, "token": {"facts": {}}}
        assert isinstance(condition.evaluate(request), bool | ConditionError)


@settings(max_examples=300)
@given(st.lists(_TOKENS, min_size=1, max_size=4), _SEPARATORS, st.integers(1, 2000))
def test_repeated_tokens_are_refused_or_compile(tokens: list[str], separator: str, times: int) -> None:
    compiled((separator.join(tokens) * times)[:MAX_CHARACTERS])


@settings(max_examples=500)
@given(st.text(st.characters(exclude_categories=[]), max_size=200))
def test_random_texts_are_refused_or_compile(text: str) -> None:
    compiled(text)


def _numbers(count: int) -> list[int]:
    return list(range(count))


_TEXT = "a" * 120_000
_COSTLY: list[tuple[str, dict[str, Any]]] = [
    ("args.l.all(x, x >= 0)", {"l": _numbers(38_000)}),
    ("args.l.exists(x, x == 0)", {"l": _numbers(38_000)}),
    ("args.l.all(x, args.l.all(y, x + y >= 0))", {"l": _numbers(300)}),
    ("args.l.all(x, args.l.all(y, x.a == y.b) || true)", {"l": _numbers(200)}),
    ("args.l.exists(x, x.a == 1)", {"l": _numbers(10_000)}),
    ("args.l.all(x, x.a == 1 || x.b == 1 || true)", {"l": _numbers(5_000)}),
    ("args.l.all(x, !(x.a == 1 && x.b == 1 && false))", {"l": _numbers(4_500)}),
    ("args.l.map(x, args.s + args.s).size() > 0", {"l": _numbers(5_000), "s": _TEXT}),
    ("args.l.map(x, args.l).map(x, args.l) == args.l", {"l": _numbers(30_000)}),
    ("args.l.map(x, args.s).exists(y, y == args.t)", {"l": _numbers(3_000), "s": _TEXT, "t": "b" + _TEXT[1:]}),
    ("args.t in args.l.map(x, args.s)", {"l": _numbers(3_000), "s": _TEXT, "t": _TEXT[1:] + "b"}),
    (" || ".join(["args.a == args.b"] * 200), {"a": _numbers(20_000), "b": [*_numbers(19_999), -1]}),
    (" || ".join(["args.a < args.b"] * 200), {"a": _TEXT, "b": _TEXT}),
    (" || ".join(["args.a + args.b == args.a"] * 130), {"a": _TEXT, "b": _TEXT}),
    (" || ".join(["(args.l + args.l).size() == 0"] * 110), {"l": _numbers(38_000)}),
    ("args.s.contains(args.t)", {"s": "a" * 29_999, "t": "b" + "a" * 15_000}),
    (" || ".join(["args.s.contains(args.t)"] * 140), {"s": "ab" * 60_000, "t": "ab" * 30_000 + "b"}),
    ("args.s.matches('(a|b)*a(a|b){30}c')", {"s": "ab" * 20_000}),
    ("args.s.matches('(.*a)*.{100}c')", {"s": _TEXT}),
    (" || ".join(["args.s.matches('[^a]{60}b')"] * 120), {"s": "a"}),
    (" || ".join(["args.x in args.l"] * 200), {"l": _numbers(38_000), "x": -1}),
    ("args.l.all(x, timestamp(x) < now)", {"l": ["2026-01-01T00:00:00Z"] * 5_000}),
    ("args.l.all(x, int(x) > 0)", {"l": ["12345"] * 5_000}),
    ("args.l.all(x, args.m == args.m)", {"l": _numbers(1000), "m": {str(n): n for n in range(5_000)}}),
    ("args.all(k, args[k] != args)", {str(n): n for n in range(9_000)}),
]


@pytest.mark.parametrize(("text", "args"), _COSTLY)
def test_what_costs_too_much_is_an_error_soon(text: str, args: dict[str, Any]) -> None:
    assert len(json.dumps(args)) < 256 * 1024
    condition = compiled(text)
    assert isinstance(condition, Condition), condition
    result, seconds = timed(lambda: condition.evaluate({"args": args, "now": NOW}))
    assert result == ConditionError(TOO_LONG)
    assert seconds < EVALUATES_WITHIN


def test_nothing_absorbs_what_costs_too_much() -> None:
    condition = compiled("args.l.all(x, x >= 0) || true")
    assert isinstance(condition, Condition)
    assert condition.evaluate({"args": {"l": _numbers(38_000)}}) == ConditionError(TOO_LONG)
    assert condition.evaluate({"args": {"l": "no list"}}) is True


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("args.l.all(x, x >= 0)", {"l": _numbers(10_000)}),
        ("args.to.all(t, t in token.facts.to)", {"to": [f"user{n}@example.com" for n in range(500)]}),
        ("args.to.all(t, t.endsWith('@example.com'))", {"to": [f"user{n}@example.com" for n in range(5_000)]}),
        ("args.to.all(t, token.facts.to.exists(x, x == t))", {"to": [f"user{n}@example.com" for n in range(70)]}),
        ("args.body.contains('needle') == false", {"body": _TEXT}),
        ("args.body.size() < 200000 && args.body != 'x'", {"body": _TEXT}),
        ("args.to.all(t, t.matches('^[a-z0-9]+@example[.]com$'))", {"to": [f"user{n}@example.com" for n in range(40)]}),
        ("args.url.matches('^https://[a-z]+[.]example[.]com/')", {"url": "https://a.example.com/" + "x" * 1_000}),
        ("args.dates.all(d, timestamp(d) < now)", {"dates": ["2026-01-01T00:00:00Z"] * 250}),
    ],
)
def test_what_people_write_fits_the_budget(text: str, args: dict[str, Any]) -> None:
    condition = compiled(text)
    assert isinstance(condition, Condition), condition
    facts = {"to": [f"user{n}@example.com" for n in range(len(args.get("to", ())))]}
    assert condition.evaluate({"args": args, "token": {"facts": facts}, "now": NOW}) is True


def test_values_nested_beyond_the_interpreter_are_an_error() -> None:
    def deep() -> list[Any]:
        value: list[Any] = []
        for _ in range(20_000):
            value = [value]
        return value

    condition = compiled("args.a == args.b || args.a in [args.b]")
    assert isinstance(condition, Condition)
    assert isinstance(condition.evaluate({"args": {"a": deep(), "b": deep()}}), ConditionError)


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [*"ab.^$|()[]{}?*+-\\,0129:", "(?:", "[^", "{2,3}", "{255}", "\\p", "\\d", "[[:alpha:]]", "(?i)", "\u00e9"]
        ),
        max_size=40,
    ),
    st.sampled_from(["", "a" * 300, "ab\u00e9" * 100]),
)
def test_random_regular_expressions_are_bounded(pieces: list[str], text: str) -> None:
    pattern = "".join(pieces)
    condition = compiled(f"args.s.matches({json.dumps(pattern, ensure_ascii=False)})")
    if isinstance(condition, ConditionFault):
        return
    assert regex_fault(pattern) is None
    assert 1 <= regex_size(pattern) <= MAX_SIZE
    result, seconds = timed(lambda: condition.evaluate({"args": {"s": text}}))
    assert isinstance(result, bool | ConditionError)
    assert seconds < EVALUATES_WITHIN


@pytest.mark.parametrize(
    ("pattern", "size"),
    [
        *(
            ("", 1),
            ("abc", 3),
            ("a{3}", 3),
            ("a{2,5}", 5),
            ("a{2,}", 2),
            ("(ab){3}", 9),
            ("(?:a|b){0,4}", 16),
            ("a{0}", 1),
        ),
        *(
            ("[a-c]{2}", 4),
            ("[]a]", 2),
            ("[^]]", 2),
            ("[[:alpha:]]{2}", 6),
            ("\\{{2}", 2),
            ("((a{2}){2}){2}", 14),
            ("a{2}{3}", 6),
        ),
    ],
)
def test_the_size_of_a_regular_expression_counts_its_repetitions(pattern: str, size: int) -> None:
    assert regex_fault(pattern) is None
    assert regex_size(pattern) == size


@pytest.mark.parametrize(
    "pattern", ["a{257}", "(a{16}){16}", "a" * 257, "(((a{9}){9}){9}){9}", "(){200}(){100}", "(" * 300]
)
def test_large_regular_expressions_are_refused(pattern: str) -> None:
    assert regex_fault(pattern) is not None
