"""What the values of conditions are and how they compare: JSON's, and points in time and durations.

`bool` is not a number here as it is in Python, and an int equals a float when they are the same number.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

MAX_STEPS: Final = 50_000
"""What one evaluation may cost; a step is about what one operator takes (0.1 microseconds)."""

FAULT_STEPS = 20
"""What an error costs that does not end the evaluation."""
_ITEM_STEPS = 4
"""What comparing two items of lists or maps costs."""

Variables = Mapping[str, Any]


class Fault(Exception):
    """An error of CEL's: `true ||` absorbs it. Its message never quotes a value, which could be a secret."""

    def __init__(self, message: str) -> None:
        self.message = message


class Exhausted(Exception):
    """The evaluation cost too much. Nothing absorbs this."""


class Budget:
    """What is left of the steps of one evaluation."""

    left = MAX_STEPS  # on the class until something is spent: most conditions spend nothing

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise Exhausted


Evaluator = Callable[[Variables, Budget], Any]


@dataclass(frozen=True, slots=True)
class TypeName:
    """What `type(x)` yields."""

    name: str


TYPE_NAMES = {
    bool: TypeName("bool"),
    int: TypeName("int"),
    float: TypeName("double"),
    str: TypeName("string"),
    list: TypeName("list"),
    dict: TypeName("map"),
    type(None): TypeName("null_type"),
    datetime: TypeName("google.protobuf.Timestamp"),
    timedelta: TypeName("google.protobuf.Duration"),
    TypeName: TypeName("type"),
}

_DESCRIPTIONS = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a map",
    type(None): "null",
    datetime: "a point in time",
    timedelta: "a duration",
    TypeName: "a type",
}

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_KEYS = (str, int, float, bool)
_ORDERED = (str, int, float, bool, datetime, timedelta)


def describe(value: Any) -> str:
    """The kind of a value, for messages."""
    return _DESCRIPTIONS.get(type(value), "a value that is not JSON")


def equal(left: Any, right: Any, budget: Budget) -> bool:
    """CEL's `==`: values of different kinds are unequal, which is no error.

    Raises:
        Fault: both are of one kind that JSON does not have.
    """
    kind, other = type(left), type(right)
    if kind is other:
        if kind is list:
            budget.spend(_ITEM_STEPS * len(left))
            return len(left) == len(right) and all(
                equal(mine, yours, budget) for mine, yours in zip(left, right, strict=True)
            )
        if kind is dict:
            budget.spend(_ITEM_STEPS * len(left))
            return left.keys() == right.keys() and all(equal(left[key], right[key], budget) for key in left)
        if kind is str and len(left) > 1024:
            budget.spend(len(left) >> 7)
        if kind not in TYPE_NAMES:
            raise Fault("'==' of values that are not JSON")
        return bool(left == right)
    # The binding compares as doubles, so numbers beyond 2^53 (which only arithmetic makes) may equal their neighbours.
    if kind is int and other is float:
        return bool(float(left) == right)
    if kind is float and other is int:
        return bool(left == float(right))
    return False


def ordered(sign: str, left: Any, right: Any, budget: Budget) -> bool:
    """CEL's `<`, `<=`, `>`, `>=`: numbers with numbers, otherwise like with like.

    Raises:
        Fault: values that have no order between them.
    """
    kind, other = type(left), type(right)
    if kind is not other:
        if kind is int and other is float:
            left = float(left)
        elif kind is float and other is int:
            right = float(right)
        else:
            raise unordered(sign, left, right)
    elif kind not in _ORDERED:
        raise unordered(sign, left, right)
    elif kind is str and len(left) > 1024:
        budget.spend(len(left) >> 7)
    return bool(COMPARISONS[sign](left, right))


def unordered(sign: str, left: Any, right: Any) -> Fault:
    return Fault(f"'{sign}' does not compare {describe(left)} with {describe(right)}")


def contains_item(item: Any, container: Any, budget: Budget) -> bool:
    """CEL's `in`: an item of a list, or a key of a map.

    Raises:
        Fault: the right side is neither.
    """
    if type(container) is list:
        if type(item) is str:  # unequal to everything that is not a str, so Python's own `in` is CEL's
            budget.spend(len(container) * (1 + (len(item) >> 7)) >> 3)
            return item in container
        budget.spend(_ITEM_STEPS * len(container))
        return any(equal(item, each, budget) for each in container)
    if type(container) is dict:
        if type(item) in _KEYS:
            return type(item) is str and item in container
        raise Fault(f"{describe(item)} cannot be the key of a map")
    raise Fault(f"'in' needs a list or a map on its right, and not {describe(container)}")
