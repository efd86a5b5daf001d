"""Conditions against the CEL binding: same texts, same values, same answer, or an error from both."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

from cel_expr_python import cel
from hypothesis import given, settings
from hypothesis import strategies as st

from act.policies.cel.native import VARIABLES
from act.policies.conditions import Condition, ConditionError, ConditionFault, compile_condition

EXAMPLES = int(os.environ.get("ACT_CONDITION_EXAMPLES", "500"))
NOW = datetime(2026, 11, 22, 18, 30, 15, 250_000, tzinfo=UTC)
ERROR = "error"

_checker = cel.NewEnv(variables=VARIABLES)
# A variable that is a text or null can be declared to the binding, but not be passed to it.
_judge = cel.NewEnv(variables=VARIABLES | {"token.task": cel.Type.DYN, "token.onBehalfOf": cel.Type.DYN})


def judged(text: str, variables: dict[str, Any]) -> Any:
    """What the binding makes of it: a bool, or ERROR. None when it does not compile."""
    try:
        _checker.compile(text)
        program = _judge.compile(text)
    except RuntimeError:
        return None
    flat: dict[str, Any] = {}
    for name, value in variables.items():
        if name in ("agent", "token", "session"):
            flat |= {f"{name}.{field}": part for field, part in value.items()}
        else:
            flat[name] = value
    result = program.eval(data=flat)
    return result.value() if result.type().name() == "BOOL" else ERROR


NUMBERS = st.sampled_from([0, 1, -1, 2, 5, -7, 2**53 - 1, -(2**53) + 1, 0.0, -0.0, 0.5, 1.0, 5.0, -7.0, 1e300])
# No U+0000: the binding ends texts there, so that "a\\0b" is "a" to it (see test_texts_do_not_end_at_a_null).
SCALARS = NUMBERS | st.sampled_from(
    [
        *(None, True, False),
        *("", "a", "ab", "abc", "b", "\u00e9", "e\u0301", "\U0001f600", "A", " 5", "5", "-1", "0.5", "true"),
        *("2026-11-22T18:30:15.25Z", "2026-01-01T00:00:00+02:00", "1h30m", "-15s", "0.000000001s", "UTC"),
    ]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "", "\u00e9", "a b"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_FULL = st.fixed_dictionaries(dict.fromkeys("abc", VALUES))
MAPS = _FULL | _FULL | st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, max_size=3)
TEXTS = st.lists(st.sampled_from(["a", "ab", "r1", ""]), max_size=3)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    maybe = st.none() | st.sampled_from(["a", "t1", ""])
    return {
        "agent": {"id": "a", "name": "ab", "roles": draw(TEXTS), "metadata": draw(MAPS)},
        "token": {
            "facts": draw(MAPS),
            "task": draw(maybe),
            "onBehalfOf": draw(maybe),
            "depth": draw(st.integers(0, 8)),
        },
        "action": draw(st.sampled_from(["a", "read"])),
        "resource": draw(st.sampled_from(["api://a/1", "\u00e9"])),
        "args": draw(MAPS),
        "context": draw(MAPS),
        "session": {"labels": draw(TEXTS), "created": []},
        "now": NOW,
    }


LITERALS = SCALARS.map(lambda value: json.dumps(value, ensure_ascii=False))
LITERAL_LISTS = st.lists(LITERALS, max_size=4).map(lambda items: f"[{', '.join(f'dyn({item})' for item in items)}]")
PLAIN_LISTS = st.lists(st.sampled_from(['"a"', '"ab"', '""']), max_size=3).map(lambda items: f"[{', '.join(items)}]")
ORDERS = st.sampled_from(["<", "<=", ">", ">="])
SIGNS = ORDERS | st.sampled_from(["==", "!="])
ARITHMETIC = st.sampled_from(["+", "-", "*", "/", "%"])
ACCESSORS = st.sampled_from(
    [
        *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours"),
        *("getMinutes", "getSeconds", "getMilliseconds"),
    ]
)
ZONES = st.sampled_from(["", '"UTC"', '"Europe/Berlin"', '"America/New_York"', '"Asia/Kolkata"', '"-03:30"', '"02:00"'])


@st.composite
def paths(draw: st.DrawFn, inside: tuple[str, ...] = ()) -> str:
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.sampled_from(["args", "agent.roles", "token.task", "token.depth", "action", "agent.id"]))
    if kind == 1:
        return draw(st.sampled_from(["agent.roles[0]", "session.labels[1]", "token.onBehalfOf", "resource", "context"]))
    roots = ("args.a", "args.b", "args.c", "context.a", "token.facts.a", "agent.metadata.b", 'args["a"]', *inside * 3)
    path = draw(st.sampled_from(roots))
    suffixes = (".a", ".b", '["a"]', "[0]", "[1]", "[-1]", "[dyn(0.0)]", "[dyn(0.5)]")
    return path + draw(st.sampled_from(suffixes)) if kind < 4 else path


def _dynamic(written: str) -> str:
    return f"dyn({written})"


@st.composite
def values(draw: st.DrawFn, depth: int, inside: tuple[str, ...] = ()) -> str:
    """An expression that may yield anything."""
    kind = draw(st.integers(0, 11 if depth else 2))
    if kind <= 1:
        return draw(paths(inside))
    if kind == 2:
        return _dynamic(draw(LITERALS | LITERAL_LISTS))
    one = values(depth - 1, inside)
    if kind <= 4:
        return _dynamic(f"({draw(one)} {draw(ARITHMETIC)} {draw(one)})")
    if kind == 5:
        return _dynamic(f"-({draw(one)})")
    if kind == 6:
        name = draw(st.sampled_from(["size", "int", "double", "string", "bool", "timestamp", "duration", "type"]))
        return _dynamic(f"{name}({draw(one)})")
    if kind == 7:
        return _dynamic(f"({draw(conditions(depth - 1, inside))} ? {draw(one)} : {draw(one)})")
    if kind == 8:
        return _dynamic(f"{draw(one)}.{draw(ACCESSORS)}({draw(ZONES)})")
    if kind == 9:
        return _dynamic(f"now.{draw(ACCESSORS)}({draw(ZONES)})")
    if kind == 10:
        return f"{draw(one)}[{draw(one)}]"
    name = f"x{len(inside)}"
    if len(inside) == 2:
        return draw(paths(inside))
    body = (
        conditions(depth - 1, (*inside, name)) if (which := draw(st.booleans())) else values(depth - 1, (*inside, name))
    )
    return _dynamic(f"{draw(one)}.{'filter' if which else 'map'}({name}, {draw(body)})")


@st.composite
def conditions(draw: st.DrawFn, depth: int, inside: tuple[str, ...] = ()) -> str:
    """An expression that is meant to yield true or false."""
    kind = draw(st.integers(0, 15 if depth else 5))
    path, literal = paths(inside), LITERALS
    if kind <= 1:
        return f"{draw(path)} {draw(SIGNS)} {draw(literal)}"
    if kind == 2:
        return f"{draw(literal)} {draw(SIGNS)} {draw(path)}"
    if kind == 3:
        return f"{draw(path)} in {draw(LITERAL_LISTS | PLAIN_LISTS | path)}"
    if kind == 4:
        return f"{draw(literal)} in {draw(path)}"
    if kind == 5:
        return f"has({draw(path)}.a)"
    one = conditions(depth - 1, inside)
    if kind <= 8:
        return f"({draw(one)} {draw(st.sampled_from(['&&', '||']))} {draw(one)})"
    if kind == 9:
        return f"!({draw(one)})"
    value = values(depth - 1, inside)
    if kind <= 11:
        return f"{draw(value)} {draw(SIGNS)} {draw(value)}"
    if kind == 12:
        method = draw(st.sampled_from(["startsWith", "endsWith", "contains"]))
        return f"{draw(value)}.{method}({draw(value)})"
    if kind == 13:
        pattern = draw(st.sampled_from(["a", "^a?b*$", "[^a-c]", "(?:ab|c)+", r"\\d", "^.{1,3}$", "[[:alpha:]]", ""]))
        return f'{draw(value)}.matches("{pattern}")'
    if kind == 14 or len(inside) == 2:
        return draw(value)
    name, macro = f"x{len(inside)}", draw(st.sampled_from(["all", "exists", "exists_one"]))
    return f"{draw(value)}.{macro}({name}, {draw(conditions(depth - 1, (*inside, name)))})"


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_a_condition_is_what_the_binding_says(data: st.DataObject) -> None:
    text = data.draw(conditions(data.draw(st.integers(0, 3))), label="condition")
    condition = compile_condition(text)
    for _ in range(3):
        request = data.draw(requests(), label="request")
        expected = judged(text, request)
        if expected is None:
            assert isinstance(condition, ConditionFault)
            return
        if isinstance(condition, ConditionFault):
            assert condition.message.startswith("The condition yields"), condition.message
            assert expected == ERROR
            return
        answer = condition.evaluate(request)
        if isinstance(answer, ConditionError):
            assert expected == ERROR or "finer than a microsecond" in answer.message, (expected, answer)
        else:
            assert answer is expected
        assert condition.evaluate({name: request[name] for name in condition.variables}) == answer


@settings(max_examples=EXAMPLES)
@given(VALUES, VALUES, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%", "&&", "||"]))
def test_every_operator_over_every_two_values(left: Any, right: Any, sign: str) -> None:
    text = f"args.l {sign} args.r"
    if sign in ("+", "-", "*", "/", "%"):
        text = f"({text}) == args.l || ({text}) == args.r || ({text}) > args.l"
    request = {"args": {"l": left, "r": right}}
    condition = compile_condition(text)
    assert isinstance(condition, Condition)
    answer = condition.evaluate(request)
    assert (ERROR if isinstance(answer, ConditionError) else answer) == judged(text, request)


_BODIES = (
    "x == 1",
    "x > 1",
    "x < 'b'",
    "x",
    "!x",
    "x in ['a', 'ab']",
    "x.a == 1",
    "has(x.a)",
    "x == 1 || x > 'a'",
    "'a' in x",
)


@settings(max_examples=EXAMPLES)
@given(st.lists(VALUES, max_size=5) | MAPS, st.sampled_from(["all", "exists", "exists_one"]), st.sampled_from(_BODIES))
def test_macros_absorb_errors_as_the_binding_does(items: Any, macro: str, body: str) -> None:
    request = {"args": {"l": items}}
    for text in (
        f"args.l.{macro}(x, {body})",
        f"!args.l.{macro}(x, {body})",
        f"args.l.filter(x, {body}).size() > 1",
        f"args.l.map(x, {body}, [x]) == []",
        f"args.l.map(x, dyn({body})).{macro}(y, y)",
        f"args.l.{macro}(y, y.{macro}(x, {body}))",
    ):
        condition = compile_condition(text)
        assert isinstance(condition, Condition)
        answer = condition.evaluate(request)
        assert (ERROR if isinstance(answer, ConditionError) else answer) == judged(text, request), text


INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=EXAMPLES)
@given(INTEGERS | FLOATS, INTEGERS | FLOATS, st.sampled_from("+-*/%"), INTEGERS | FLOATS, SIGNS)
def test_arithmetic_and_order_of_numbers(left: float, right: float, sign: str, other: float, order: str) -> None:
    text = f"(args.l {sign} args.r) {order} args.o"
    request = {"args": {"l": left, "r": right, "o": other}}
    condition = compile_condition(text)
    assert isinstance(condition, Condition)
    answer = condition.evaluate(request)
    assert (ERROR if isinstance(answer, ConditionError) else answer) == judged(text, request)


@settings(max_examples=EXAMPLES // 5)
@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
    st.timedeltas(),
    ACCESSORS,
    ZONES,
    st.integers(-10, 10),
)
def test_points_in_time_and_durations(moment: datetime, span: timedelta, accessor: str, zone: str, number: int) -> None:
    written = moment.isoformat() + "Z"
    seconds = f"{span // timedelta(microseconds=1)}us"
    request = {"args": {"t": written, "d": seconds, "n": number}, "now": NOW}
    for text in (
        f"timestamp(args.t).{accessor}({zone}) == args.n",
        f"timestamp(args.t).{accessor}({zone}) > 20",
        f"duration(args.d).{accessor}() > args.n",
        "timestamp(args.t) + duration(args.d) > now",
        "duration(args.d) + timestamp(now) > now && timestamp(timestamp(args.t)) == timestamp(args.t)",
        "timestamp(args.t) - duration(args.d) + duration(args.d) == timestamp(args.t)",
        "duration(string(duration(args.d))) == duration(args.d) - duration('0s')",
        "timestamp(args.t) == timestamp(string(timestamp(args.t))) && timestamp(args.t) != args.n",
        "timestamp(args.t) - duration(args.d) <= now",
        "now - timestamp(args.t) > duration(args.d)",
        "string(timestamp(args.t)) < string(now)",
        "int(timestamp(args.t)) < int(now)",
        "duration(args.d) + duration(args.d) < duration(args.d)",
    ):
        condition = compile_condition(text)
        expected = judged(text, request)
        if expected is None:
            assert isinstance(condition, ConditionFault), text
            continue
        assert isinstance(condition, Condition), text
        answer = condition.evaluate(request)
        assert (ERROR if isinstance(answer, ConditionError) else answer) == expected, text
