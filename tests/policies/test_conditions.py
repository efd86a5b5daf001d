"""Conditions (2-semantics, "Matching"): what they can say, what is refused when they are written, what errors say."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from act.policies.conditions import Condition, ConditionError, ConditionFault, compile_condition

REQUEST: dict[str, Any] = {
    "agent": {"id": "agt_1", "name": "Mailer", "roles": ["executor", "mailer"], "metadata": {"team": "x"}},
    "token": {"facts": {"recipients": ["a@corp.com", "b@corp.com"]}, "task": "t-1", "onBehalfOf": None, "depth": 1},
    "action": "send",
    "resource": "mail://outbox",
    "args": {
        "to": "a@corp.com",
        "amount": 5,
        "share": 0.5,
        "whole": 5.0,
        "flag": True,
        "nothing": None,
        "list": [1, 2, 3],
        "mixed": ["a", 1, None, True],
        "map": {"key": 1},
        "name": "Zo\u00eb \U0001f600",
        "date": "2026-01-01T00:00:00Z",
        "a-b": 1,
    },
    "context": {"env": "prod"},
    "session": {"labels": ["pii"], "created": ["file://a"]},
    "now": datetime(2026, 11, 22, 18, 30, tzinfo=UTC),  # a Sunday
}


def condition(text: str) -> Condition:
    compiled = compile_condition(text)
    assert isinstance(compiled, Condition), compiled
    return compiled


def answer(text: str) -> bool | str:
    """True, False, or the message of the error."""
    result = condition(text).evaluate(REQUEST)
    return result.message if isinstance(result, ConditionError) else result


def fault(text: str) -> str:
    compiled = compile_condition(text)
    assert isinstance(compiled, ConditionFault), text
    return compiled.message


@pytest.mark.parametrize(
    "text",
    [
        "context.env == 'prod' && args.to in token.facts.recipients",
        "args.amount < 500 && args.amount <= 5 && args.amount > 4.5 && args.amount >= 5.0",
        "500 > args.amount && 4.5 < args.amount && 5 == args.amount",
        "5 <= args.amount && 5 >= args.amount && !(5 < args.amount) && !(5 > args.amount)",
        "args.flag > false && args.flag >= args.flag && !(args.list[0] == true) && args.list[0] != true",
        "args.list[args.whole - 4.0] == 2 && args.list[args.amount - 3] == 3",
        "-1.0 / 0.0 < 0.0 && 1.0 / -0.0 < 0.0 && 0.0 / 0.0 != 0.0 / 0.0 && -args.share == -0.5",
        "args.amount == 5.0 && args.whole == 5 && args.amount in [5.0] && args.whole in [4, 5]",
        "args.amount != '5' && args.flag != 1 && args.flag == true && !(args.flag in [1])",
        "args.nothing == null && args.amount != null && token.onBehalfOf == null && token.task == 't-1'",
        "has(args.amount) && has(args.nothing) && !has(args.missing) && has(args.map.key)",
        "args.missing == 1 || true",
        "true || args.missing == 1",
        "!(args.missing == 1 && false)",
        "args.amount == 'x' || args.flag || args.amount < 'x'",
        "args.list == [1, 2, 3] && args.list == [1.0, 2.0, 3.0] && args.map == {'key': 1.0}",
        "2 in args.list && 2.0 in args.list && 'key' in args.map && !('z' in args.map) && !(1 in args.map)",
        "args['a-b'] == 1 && args.`a-b` == 1 && args.list[0] == 1 && args.map['key'] == 1",
        "'executor' in agent.roles && agent.roles.exists(r, r.startsWith('mail')) && size(agent.roles) == 2",
        "args.list.all(x, x > 0) && args.list.exists_one(x, x == 2) && args.list.map(x, x * 2) == [2, 4, 6]",
        "args.list.filter(x, x > 1).size() == 2 && args.list.map(x, x > 1, x + 1) == [3, 4]",
        "args.map.all(key, args.map[key] == 1) && [].all(x, false) && !([].exists(x, true))",
        "args.mixed.exists(x, x > 0) && args.mixed.exists(x, x == 'a')",
        "args.list.all(x, args.list.exists(y, x == y))",
        "args.list.exists(x, x == 2) ? args.flag : false",
        "args.name.size() == 5 && args.name.startsWith('Zo\u00eb') && args.name == 'Zo\\u00eb \\U0001F600'",
        "args.to.endsWith('@corp.com') && args.to.contains('@') && args.to.matches('^[a-z]+@corp[.]com$')",
        "args.to + 'x' == 'a@corp.comx' && [1] + [2] == [1, 2] && args.amount + 1 == 6 && -args.amount < 0",
        "-7 / 2 == -3 && -7 % 2 == -1 && 1.0 / 0.0 > 1e300 && 0.1 + 0.2 != 0.3",
        "int(args.share + 0.5) == 1 && double(args.amount) == args.whole && string(args.amount) == '5' && bool('true')",
        "type(args.amount) == int && type(args.whole) == double && type(args.nothing) == null_type",
        "now > timestamp('2026-01-01T00:00:00Z') && now - timestamp(args.date) > duration('24h')",
        "now.getHours() == 18 && now.getHours('Europe/Berlin') == 19 && now.getHours('-02:00') == 16",
        "now.getDayOfWeek() == 0 && now.getMonth() == 10 && now.getDate() == 22 && now.getDayOfMonth() == 21",
        "'pii' in session.labels && !('file://b' in session.created) && token.depth < 2",
        "action == 'send' && resource.startsWith('mail://') && agent.metadata.team == 'x'",
        "args.flag",
        "true // a comment\n  && true",
        "{'read': 1, 'send': 10}[action] > args.amount",
        r"r'\d' == '\\d' && '''it's''' == 'it\'s'",
    ],
)
def test_these_hold(text: str) -> None:
    assert answer(text) is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("args.missing == 1", "args.missing is missing"),
        ("args.map.other == 1", "args.map.other is missing"),
        ("args.missing.deep == 1", "args.missing is missing"),
        ("args.list[0].x == 1", "args.list[0] is a number and has no field x"),
        ("args.amount.x == 1", "args.amount is a number and has no field x"),
        ("args.nothing.x == 1", "args.nothing is null and has no field x"),
        ("args.amount.x.y == 1", "args.amount is a number and has no field x"),
        ("has(args.missing.x)", "args.missing is missing"),
        ("has(args.amount.x)", "has(args.amount.x): args.amount is a number and has no fields"),
        ("args.to < 1", "'<' does not compare text with a number"),
        ("args.nothing >= 1", "'>=' does not compare null with a number"),
        ("args.flag > 0", "'>' does not compare true or false with a number"),
        ("args.list < args.list", "'<' does not compare a list with a list"),
        ("args.list > 1", "'>' does not compare a list with a number"),
        ("now < args.date", "'<' does not compare a point in time with text"),
        ("token.onBehalfOf > 'a'", "'>' does not compare null with text"),
        ("'a' in args.to", "'in' needs a list or a map on its right, and not text"),
        ("args.nothing in args.map", "null cannot be the key of a map"),
        ("args.list[7] == 1", "A list has no item at that place"),
        ("args.list[-1] == 1", "A list has no item at that place"),
        ("args.list[args.share] == 1", "The index of a list is a whole number"),
        ("args.map[args.to] == 1", "A map has no such key"),
        ("args.amount[0] == 1", "'[]' does not take a number"),
        ("!args.amount", "'!' does not take a number"),
        ("args.amount && true", "'&&' does not take a number"),
        ("args.to || false", "'||' does not take text"),
        ("args.to ? true : true", "'?' does not take text"),
        ("args.amount", "The condition yields a number, and not true or false"),
        ("args.amount + 0.5 == 5.5", "'+' does not mix whole and decimal numbers; convert with double()"),
        ("args.amount + args.to == 1", "'+' does not take a number and text"),
        ("args.amount / 0 == 1", "'/' by zero"),
        ("args.amount % 0 == 1", "'%' by zero"),
        ("args.amount * 9007199254740991 * 9007199254740991 == 1", "The number is out of range"),
        ("(9007199254740991 * -1024 - 1024) % -1 == 0", "The number is out of range"),
        ("(9007199254740991 * -1024 - 1024) / -1 == 0", "The number is out of range"),
        ("-(9007199254740991 * -1024 - 1024) == 0", "The number is out of range"),
        ("dyn(now - now).getHours('UTC') == 0", "getHours() does not take a duration"),
        ("args.nothing.size() == 1", "size() does not take null"),
        ("args.amount.startsWith('a')", "startsWith() does not take a number and text"),
        ("args.list.matches('a')", "matches() does not take a list and text"),
        ("int(args.to) == 1", "int() fails on this value"),
        ("int(args.list) == 1", "int() does not take a list"),
        ("timestamp(args.to) < now", "timestamp() fails on this value"),
        ("args.date.getHours() == 0", "getHours() does not take text"),
        ("args.amount.all(x, x)", "all() needs a list or a map, and not a number"),
        ("args.list.all(x, x)", "all() does not take a number as a test"),
        ("args.list.filter(x, x).size() == 0", "filter() does not take a number as a test"),
        ("args.mixed.all(x, x > 0 || x == 'a')", "'>' does not compare null with a number"),
        ("args.list.exists(x, args.missing)", "args.missing is missing"),
        ("args.list.exists_one(x, args.mixed[x] > 0)", "'>' does not compare null with a number"),
        ("{args.to: 1, 'a@corp.com': 2}.size() == 2", "A map has a key twice"),
        ("{args.amount: 1}.size() == 1", "A key of a map is text, and not a number"),
        ("(args.missing == 1 || false) && true", "args.missing is missing"),
        ("args.missing == 1 && args.other == 1", "args.missing is missing"),
    ],
)
def test_errors_say_what_is_wrong(text: str, message: str) -> None:
    assert answer(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "A condition cannot be empty; leave it out if the policy has none."),
        (" \n", "A condition cannot be empty; leave it out if the policy has none."),
        ("x" * 4097, "A condition has at most 4096 characters."),
        ("nope == 1", "Line 1, column 1: There is no variable nope; there are action, agent, args, "),
        ("true &&\n  nope", "Line 2, column 3: There is no variable nope; there are"),
        ("agent.nope == 1", "Line 1, column 6: agent has no field nope; it has id, metadata, name, roles."),
        ("token.secret == 1", "Line 1, column 6: token has no field secret; it has depth, facts, onBehalfOf, task."),
        ("session.x == 1", "Line 1, column 8: session has no field x; it has created, labels."),
        ("agent == 1", "Line 1, column 1: agent is only read field by field; write agent.id."),
        ("agent['id'] == 'a'", "Line 1, column 1: agent is only read field by field; write agent.id."),
        ("foo(action)", "Line 1, column 4: There is no function foo()."),
        ("action.foo()", "Line 1, column 11: There is no function foo()."),
        ("action > 3", "Line 1, column 8: '>' does not take (string, int)."),
        ("action == 3", "Line 1, column 8: '==' does not take (string, int)."),
        ("token.task == 3", "Line 1, column 12: '==' does not take (wrapper(string), int)."),
        ("now < '2026'", "Line 1, column 5: '<' does not take (google.protobuf.Timestamp, string)."),
        ("agent.roles.all(r, r == 1)", "Line 1, column 22: '==' does not take (string, int)."),
        ("3 in agent.roles", "Line 1, column 3: 'in' does not take (int, list(string))."),
        ("action", "The condition yields string; it has to yield true or false."),
        ("args", "The condition yields map<string, dyn>; it has to yield true or false."),
        ("1", "The condition yields int; it has to yield true or false."),
        ("args.x ==", "Line 1, column 10: Syntax error: mismatched input '<EOF>'."),
        ("args.x = 1", "Line 1, column 8: Syntax error: token recognition error at: '= '."),
        ("args.x == 'a", "Line 1, column 11: The text that begins here is not closed."),
        ("(args.x", "'(' is not closed."),
        ("args.x)", "Line 1, column 7: ')' closes no bracket."),
        ("[args.x)", "Line 1, column 8: ')' closes no bracket."),
        ("args.\u00e9 == 1", "Line 1, column 6: '\u00e9' has no meaning outside of a text in quotes."),
        ("args.x; true", "Line 1, column 7: ';' has no meaning outside of a text in quotes."),
        ("'\u200b' == args.x", "Line 1, column 2: There is a control, invisible or non-character code point"),
        ("'\x00' == args.x", "Line 1, column 2: There is a control, invisible or non-character code point"),
        ("'\ud800' == args.x", "Line 1, column 2: There is a control, invisible or non-character code point"),
        ("'\\ud800' == args.x", "Line 1, column 1: Invalid string literal"),
        ("args.x == 5u", "Line 1, column 11: Unsigned numbers are not part of conditions; write 5 and not 5u."),
        ("uint(args.x) == args.y", "Line 1, column 5: The function uint() is not part of conditions."),
        ("args.x == b'a'", "Line 1, column 11: Bytes are not part of conditions; write 'text' and not b'text'."),
        ("bytes(args.x) == args.y", "Line 1, column 6: The function bytes() is not part of conditions."),
        ("type(args.x) == bytes", "Line 1, column 17: The type bytes is not part of conditions."),
        ("google.protobuf.Value{}.x == 1", "Line 1, column 1: Protobuf messages are not part of conditions."),
        (
            "google.protobuf.Int64Value{value: 1} == 1",
            "Line 1, column 1: Protobuf messages are not part of conditions.",
        ),
        ("args.x == 9007199254740992", "Line 1, column 11: The integer is not below 2^53; compare it as text."),
        ("args.x in [9007199254740992]", "Line 1, column 12: The integer is not below 2^53; compare it as text."),
        ("args.x == 9223372036854775808", "Line 1, column 11: invalid int literal."),
        (
            "args.l.all(args, args.x == 1)",
            "Line 1, column 11: The macro's variable 'args' hides the condition's; rename it.",
        ),
        ("args.l.all(agent, agent.id == 1)", "Line 1, column 11: The macro's variable 'agent' hides the condition's"),
        ("args.l.all(x.y, true)", "Line 1, column 13: all() variable name must be a simple identifier."),
        (
            "args.l.all(x, x.all(y, y.all(z, z == 1)))",
            "Line 1, column 29: Macros are nested more than 2 deep; split the condition.",
        ),
        ("args.x.matches(args.y)", "Line 1, column 20: The regular expression of matches() has to be written out."),
        ("args.x.matches('(')", "Line 1, column 16: This is not a regular expression of RE2."),
        ("args.x.matches('a{300}')", "Line 1, column 16: A repetition is at most 256 times."),
        ("args.x.matches('(?i)a')", "Line 1, column 16: Flags and named groups '(?...)' are not part of conditions"),
        (r"args.x.matches(r'\pL')", "Line 1, column 16: Unicode classes and "),
        (r"args.x.matches(r'[a\PL]')", "Line 1, column 16: Unicode classes and "),
        ("args.x.matches('((a{16}){16}){16}')", "Line 1, column 16: The regular expression is too large"),
        (
            "timestamp('x') < now",
            "Line 1, column 11: timestamp() fails on this value; write it as '2026-01-01T00:00:00Z'.",
        ),
        (
            "duration('1 day') < duration('1h')",
            "Line 1, column 10: duration() fails on this value; write it as '1h30m'.",
        ),
        ("duration('1ns') < duration('1h')", "Line 1, column 10: duration() takes nothing finer than a microsecond"),
        ("now.getHours(args.zone) == 1", "Line 1, column 18: The time zone of getHours() has to be written out."),
        ("now.getHours('Nowhere/X') == 1", "Line 1, column 14: There is no time zone 'Nowhere/X'."),
        ("now.getHours('/etc/passwd') == 1", "Line 1, column 14: There is no time zone '/etc/passwd'."),
        ("now.getHours('../../dev/zero') == 1", "Line 1, column 14: There is no time zone '../../dev/zero'."),
        ("now.getHours('file:/dev/zero') == 1", "Line 1, column 14: There is no time zone 'file:/dev/zero'."),
        ("now.getHours('localtime') == 1", "Line 1, column 14: There is no time zone 'localtime'."),
        ("now.getHours('+02:60') == 1", "Line 1, column 14: There is no time zone '+02:60'."),
        ("now.getHours('+25:00') == 1", "Line 1, column 14: There is no time zone '+25:00'."),
        (" + ".join(["args.x"] * 60) + " > 0", "The condition is nested too deep"),
        (
            "(" * 17 + "true" + ")" * 17,
            "Line 1, column 17: Brackets are nested more than 16 deep; split the condition.",
        ),
    ],
)
def test_what_is_no_condition_is_refused_when_it_is_written(text: str, message: str) -> None:
    assert fault(text).startswith(message)


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("true", set()),
        ("args.amount < 500 && agent.id == 'a'", {"args", "agent"}),
        ("token.facts.a.exists(x, x == action) || session.labels == []", {"token", "action", "session"}),
        ("[now].all(moment, moment > timestamp('2026-01-01T00:00:00Z'))", {"now"}),
        ("{resource: context.a}[resource] ? true : has(args.x)", {"resource", "context", "args"}),
        ("type(args.x) == int", {"args"}),
        (".args.x", {"args"}),
    ],
)
def test_a_condition_says_which_variables_it_needs(text: str, variables: set[str]) -> None:
    assert condition(text).variables == variables


def test_a_variable_that_was_not_passed_is_an_error() -> None:
    assert condition("args.amount < 5").evaluate({}) == ConditionError("args is missing")
    assert condition("agent.id == 'a'").evaluate({"agent": {}}) == ConditionError("agent.id is missing")
    assert condition("now > timestamp('2026-01-01T00:00:00Z')").evaluate({}) == ConditionError("now is missing")


def test_conditions_are_equal_when_their_texts_are() -> None:
    assert condition("args.a == 1") == condition("args.a == 1")
    assert len({condition("args.a == 1"), condition("args.a == 1"), condition("args.a == 2")}) == 2
    with pytest.raises(AttributeError):
        condition("true").text = "false"  # type: ignore[misc]


def test_an_evaluation_changes_nothing() -> None:
    request = copy.deepcopy(REQUEST)
    assert condition("args.list.all(x, args.list.map(y, [y]) + [[x]] != [])").evaluate(request) is True
    assert request == REQUEST
    literal = condition("args.list + [1, 2] == [1, 2, 3, 1, 2] && [1, 2] == [1, 2]")
    assert literal.evaluate(request) is True
    assert literal.evaluate(request) is True


def test_threads_share_a_condition() -> None:
    shared = condition(
        "args.list.exists(x, x == args.n) && args.to.matches('^a') && timestamp(args.date) < now"
        " && int(args.text) == args.n"
    )

    def ask(n: int) -> bool | ConditionError:
        numbers = {"list": [1, 2, 3], "n": n, "text": str(n), "to": "a", "date": "2026-01-01T00:00:00Z"}
        return shared.evaluate({"args": numbers, "now": REQUEST["now"]})

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, [n % 6 for n in range(2000)])) == [1 <= n % 6 <= 3 for n in range(2000)]


class _Hostile:
    """A value that no JSON parser makes."""

    def __getitem__(self, _: object) -> Any:
        raise ZeroDivisionError

    def __eq__(self, _: object) -> Any:
        raise MemoryError

    __hash__ = None  # type: ignore[assignment]


_EVERY_USE = (
    *("args.x == 1", "args.x.y == 1", "args.x == args.y", "args.x < 1.5", "args.x in [1, 'a']", "args.x in args.l"),
    *("args.x", "!args.x", "args.x && true", "args.x[0] == 1", "args.x + args.x == 1", "size(args.x) == 1"),
    *("int(args.x) == 1", "string(args.x) == 'a'", "args.x.all(y, y)", "args.x.matches('a')", "type(args.x) == int"),
)


@pytest.mark.parametrize("value", [_Hostile(), object(), (1,), {1}, b"a", 1j])
@pytest.mark.parametrize("text", _EVERY_USE)
def test_a_value_that_is_not_json_never_makes_a_condition_hold(text: str, value: Any) -> None:
    result = condition(text).evaluate({"args": {"x": value, "y": value, "l": [value]}})
    assert result is False or isinstance(result, ConditionError)


@pytest.mark.parametrize("value", ["\ud800", 10**400, -(10**400), float("nan"), float("inf")])
@pytest.mark.parametrize("text", _EVERY_USE)
def test_no_value_makes_an_evaluation_raise(text: str, value: Any) -> None:
    assert isinstance(condition(text).evaluate({"args": {"x": value, "y": value, "l": [value]}}), bool | ConditionError)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("args.x == 'a'", False),
        ("args.x == 'a\\u0000b'", True),
        ("args.x in ['a', 'b']", False),
        ("args.x in args.map || has(args.missing)", False),
        ("args.x.size() == 3", True),
        ("args.x.startsWith('a\\x00')", True),
        ("args.map[args.x] == 1", "A map has no such key"),
        ("args.x.matches('^a$')", "matches() fails on this value"),
        ("int(args.five) == 5", "int() fails on this value"),
        ("timestamp(args.date) == timestamp('2026-01-01T00:00:00Z')", "timestamp() fails on this value"),
    ],
)
def test_texts_do_not_end_at_a_null(text: str, expected: bool | str) -> None:
    nulls = {"x": "a\0b", "map": {"a": 1}, "five": "5\0", "date": "2026-01-01T00:00:00Z\0"}
    result = condition(text).evaluate({"args": nulls})
    assert (result.message if isinstance(result, ConditionError) else result) == expected


def test_points_in_time_are_exact_to_the_microsecond() -> None:
    at = datetime(3059, 1, 1, 0, 0, 0, 999_997, tzinfo=UTC)
    for text in (
        "timestamp(args.t) == now",
        "string(now) == args.t",
        "now + duration('1us') == timestamp('3059-01-01T00:00:00.999998Z')",
        "now - timestamp(args.t) == duration('0s')",
    ):
        assert condition(text).evaluate({"args": {"t": "3059-01-01T00:00:00.999997Z"}, "now": at}) is True


def test_errors_quote_no_values() -> None:
    request = {"args": {"secret": "hunter2", "map": {"hunter2": "hunter2"}, "list": ["hunter2"]}}
    for text in (
        *("args.secret", "args.secret < 1", "int(args.secret) == 1", "args.map[args.secret] < 1", "args.secret.x == 1"),
        *("args.secret + 1 == 1", "args.list.all(x, x)", "args.list[args.secret] == 1", "timestamp(args.secret) < now"),
    ):
        result = condition(text).evaluate(request)
        assert isinstance(result, ConditionError)
        assert "hunter2" not in result.message
