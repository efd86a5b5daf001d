"""The functions and the arithmetic of conditions: each takes the budget and the values; an error is a `Fault`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from act.policies.cel import native
from act.policies.cel.regexes import regex_size
from act.policies.cel.values import TYPE_NAMES, Budget, Fault, describe

Function = Callable[..., Any]

_INT_MAX, _INT_MIN = 2**63 - 1, -(2**63)


def _in_range(number: int) -> int:
    if _INT_MIN <= number <= _INT_MAX:
        return number
    raise Fault("The number is out of range")


def _is_number(value: Any) -> bool:
    return type(value) is int or type(value) is float


def _native(form: str, budget: Budget, *values: Any) -> Any:
    budget.spend(native.STEPS + (sum(len(value) for value in values if type(value) is str) >> 6))
    return native.apply(form, *values)


def _mixed(sign: str, budget: Budget, left: Any, right: Any) -> Any:
    """Points in time and durations; everything else has no arithmetic, and CEL converts no numbers by itself."""
    if _is_number(left) and _is_number(right):
        raise Fault(f"'{sign}' does not mix whole and decimal numbers; convert with double()")
    return _native(f"{{}} {sign} {{}}", budget, left, right)


def add(budget: Budget, left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is type(right):
        if kind is int:
            return _in_range(left + right)
        if kind is float:
            return left + right
        if kind is str:
            budget.spend(len(left) + len(right) >> 6)
            return left + right
        if kind is list:
            budget.spend(len(left) + len(right))
            return left + right
    return _mixed("+", budget, left, right)


def subtract(budget: Budget, left: Any, right: Any) -> Any:
    if type(left) is type(right) and _is_number(left):
        return _in_range(left - right) if type(left) is int else left - right
    return _mixed("-", budget, left, right)


def multiply(budget: Budget, left: Any, right: Any) -> Any:
    if type(left) is type(right) and _is_number(left):
        return _in_range(left * right) if type(left) is int else left * right
    return _mixed("*", budget, left, right)


def divide(budget: Budget, left: Any, right: Any) -> Any:
    """Integers towards zero, as CEL has it; floats by IEEE 754, so that 1.0 / 0.0 is infinite."""
    if type(left) is type(right) is int:
        if right == 0:
            raise Fault("'/' by zero")
        quotient = abs(left) // abs(right)
        return _in_range(quotient if (left < 0) is (right < 0) else -quotient)
    if type(left) is type(right) is float:
        if right == 0.0:
            if left == 0.0 or math.isnan(left):
                return math.nan
            return math.copysign(math.inf, left) * math.copysign(1.0, right)
        return left / right
    return _mixed("/", budget, left, right)


def modulo(budget: Budget, left: Any, right: Any) -> Any:
    if type(left) is type(right) is int:
        if right == 0:
            raise Fault("'%' by zero")
        if right == -1:
            _in_range(-left)
        rest = abs(left) % abs(right)
        return rest if left >= 0 else -rest
    return _native("{} % {}", budget, left, right)


def negate(budget: Budget, value: Any) -> Any:
    if _is_number(value):
        return _in_range(-value) if type(value) is int else -value
    return _native("-{}", budget, value)


def size(_: Budget, value: Any) -> int:
    """Code points of a text, items of a list, keys of a map."""
    if type(value) in (str, list, dict):
        return len(value)
    raise Fault(f"size() does not take {describe(value)}")


def _two_texts(name: str, text: Any, other: Any) -> None:
    if type(text) is not str or type(other) is not str:
        raise Fault(f"{name}() does not take {describe(text)} and {describe(other)}")


def starts_with(budget: Budget, text: Any, prefix: Any) -> bool:
    _two_texts("startsWith", text, prefix)
    if len(prefix) > 1024:
        budget.spend(len(prefix) >> 7)
    return bool(text.startswith(prefix))


def ends_with(budget: Budget, text: Any, suffix: Any) -> bool:
    _two_texts("endsWith", text, suffix)
    if len(suffix) > 1024:
        budget.spend(len(suffix) >> 7)
    return bool(text.endswith(suffix))


def contains(budget: Budget, text: Any, part: Any) -> bool:
    _two_texts("contains", text, part)
    # The interpreter's search is linear for long texts and quadratic at worst for those below 30,000 characters.
    linear = len(text) >= 30_000 and len(part) >= 6
    budget.spend(len(text) >> 5 if linear else len(text) * len(part) >> 7)
    return part in text


def matcher(pattern: str) -> Function:
    """`matches` for a regular expression without a fault. A place costs 30 steps to compile, and one a character."""
    places = regex_size(pattern)

    def matches(budget: Budget, text: Any) -> Any:
        _two_texts("matches", text, pattern)
        budget.spend((len(text) + 30) * places)
        return _native("{}.matches({})", budget, text, pattern)

    return matches


def converter(name: str) -> Function:
    form = name + "({})"

    def convert(budget: Budget, value: Any) -> Any:
        return _native(form, budget, value)

    return convert


def moment_converter(name: str) -> Function:
    """`timestamp` or `duration`. Python counts microseconds and CEL nanoseconds, so what is finer is an error."""
    form, same = name + "({})", name + "({}) == {}"

    def convert(budget: Budget, value: Any) -> Any:
        moment = _native(form, budget, value)
        if type(value) is str and not _native(same, budget, value, moment):
            raise Fault(f"{name}() takes nothing finer than a microsecond")
        return moment

    return convert


def identity(_: Budget, value: Any) -> Any:
    return value


def type_of(_: Budget, value: Any) -> Any:
    try:
        return TYPE_NAMES[type(value)]
    except KeyError:
        raise Fault("type() of a value that is not JSON") from None


FUNCTIONS: dict[str, Function] = {
    "_+_": add,
    "_-_": subtract,
    "_*_": multiply,
    "_/_": divide,
    "_%_": modulo,
    "-_": negate,
    "size": size,
    "startsWith": starts_with,
    "endsWith": ends_with,
    "contains": contains,
    "int": converter("int"),
    "double": converter("double"),
    "string": converter("string"),
    "bool": converter("bool"),
    "timestamp": moment_converter("timestamp"),
    "duration": moment_converter("duration"),
    "type": type_of,
    "dyn": identity,
}

_MICROSECOND = timedelta(microseconds=1)
_OFFSET = re.compile(r"([+-]?)(\d\d):([0-5]\d)")
_ZONE = re.compile(r"(?!localtime$)[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")

_OF_MOMENTS: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda moment: moment.year,
    "getMonth": lambda moment: moment.month - 1,
    "getDate": lambda moment: moment.day,
    "getDayOfMonth": lambda moment: moment.day - 1,
    "getDayOfWeek": lambda moment: moment.isoweekday() % 7,
    "getDayOfYear": lambda moment: moment.timetuple().tm_yday - 1,
    "getHours": lambda moment: moment.hour,
    "getMinutes": lambda moment: moment.minute,
    "getSeconds": lambda moment: moment.second,
    "getMilliseconds": lambda moment: moment.microsecond // 1000,
}
_OF_DURATIONS: dict[str, Callable[[int], int]] = {
    "getHours": lambda microseconds: microseconds // 3_600_000_000,
    "getMinutes": lambda microseconds: microseconds // 60_000_000,
    "getSeconds": lambda microseconds: microseconds // 1_000_000,
    "getMilliseconds": lambda microseconds: microseconds // 1_000 % 1_000,
}

ACCESSORS = frozenset(_OF_MOMENTS)
"""`getHours` and its like: of a point in time, in UTC or a zone that is written out; some also of a duration."""


def zone_of(written: str) -> tzinfo | None:
    """A zone by its IANA name or as an offset (`+02:00`); None when there is none of that name."""
    if found := _OFFSET.fullmatch(written):
        ahead = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return timezone(-ahead if found[1] == "-" else ahead) if ahead < timedelta(days=1) else None
    if not _ZONE.fullmatch(written):
        return None
    try:
        return ZoneInfo(written)
    except (OSError, ValueError, KeyError):
        return None


def accessor(name: str, zone: tzinfo | None) -> Function:
    """One of `ACCESSORS`. A zone makes it one of points in time only."""
    of_moment, of_duration = _OF_MOMENTS[name], _OF_DURATIONS.get(name) if zone is None else None
    zone = zone or UTC

    def read(_: Budget, value: Any) -> int:
        if type(value) is datetime:
            try:
                return of_moment(value.astimezone(zone))
            except OverflowError:
                raise Fault(f"{name}() is out of range") from None
        if type(value) is timedelta and of_duration is not None:
            microseconds = value // _MICROSECOND
            return of_duration(microseconds) if microseconds >= 0 else -of_duration(-microseconds)
        raise Fault(f"{name}() does not take {describe(value)}")

    return read
