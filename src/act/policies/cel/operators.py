"""One closure for each operator of CEL, over the closures of its operands."""

from __future__ import annotations

from typing import Any

from act.policies.cel.paths import spelled
from act.policies.cel.tree import Select
from act.policies.cel.values import (
    COMPARISONS,
    FAULT_STEPS,
    Budget,
    Evaluator,
    Fault,
    Variables,
    contains_item,
    describe,
    equal,
    ordered,
    unordered,
)


def constant(value: Any) -> Evaluator:
    return lambda v, b: value


def select(operand: Evaluator, node: Select) -> Evaluator:
    field = node.field

    def run(v: Variables, b: Budget) -> Any:
        container = operand(v, b)
        if type(container) is not dict:
            raise Fault(f"{spelled(node.operand)} is {describe(container)} and has no field {field}")
        if field not in container:
            raise Fault(f"{spelled(node)} is missing")
        return container[field]

    return run


def has(operand: Evaluator, node: Select) -> Evaluator:
    field = node.field

    def run(v: Variables, b: Budget) -> bool:
        container = operand(v, b)
        if type(container) is dict:
            return field in container
        raise Fault(f"has({spelled(node)}): {spelled(node.operand)} is {describe(container)} and has no fields")

    return run


def all_of(parts: list[Evaluator]) -> Evaluator:
    def run(v: Variables, b: Budget) -> bool:
        fault = ""  # its message; the exception would keep this frame alive
        for part in parts:
            try:
                value = part(v, b)
            except Fault as raised:
                fault = fault or raised.message
                b.spend(FAULT_STEPS)
                continue
            if value is False:
                return False
            if value is not True:
                fault = fault or f"'&&' does not take {describe(value)}"
        if fault:
            raise Fault(fault)
        return True

    return run


def any_of(parts: list[Evaluator]) -> Evaluator:
    def run(v: Variables, b: Budget) -> bool:
        fault = ""  # its message; the exception would keep this frame alive
        for part in parts:
            try:
                value = part(v, b)
            except Fault as raised:
                fault = fault or raised.message
                b.spend(FAULT_STEPS)
                continue
            if value is True:
                return True
            if value is not False:
                fault = fault or f"'||' does not take {describe(value)}"
        if fault:
            raise Fault(fault)
        return False

    return run


def compare(sign: str, left: Evaluator, right: Evaluator) -> Evaluator:
    if sign == "==":
        return lambda v, b: equal(left(v, b), right(v, b), b)
    if sign == "!=":
        return lambda v, b: not equal(left(v, b), right(v, b), b)
    return lambda v, b: ordered(sign, left(v, b), right(v, b), b)


def compare_literal(sign: str, left: Evaluator, literal: Any) -> Evaluator:
    """`left` against None, a bool, a number or a text."""
    if sign == "==":
        return _equals_literal(left, literal)
    if sign == "!=":
        return _differs_from_literal(left, literal)
    return _ordered_by_literal(left, literal, sign)


def _equals_literal(left: Evaluator, literal: Any) -> Evaluator:
    # No other kind of value equals a text; `bool` has to be kept apart from the numbers.
    if isinstance(literal, str):
        return lambda v, b: left(v, b) == literal
    if literal is None or isinstance(literal, bool):
        return lambda v, b: left(v, b) is literal
    return lambda v, b: equal(left(v, b), literal, b)


def _differs_from_literal(left: Evaluator, literal: Any) -> Evaluator:
    if isinstance(literal, str):
        return lambda v, b: left(v, b) != literal
    return lambda v, b: not equal(left(v, b), literal, b)


def _ordered_by_literal(left: Evaluator, literal: Any, sign: str) -> Evaluator:
    kind, compare = type(literal), COMPARISONS[sign]
    if kind is not int and kind is not str:
        return lambda v, b: ordered(sign, left(v, b), literal, b)
    also = float if kind is int else str

    def run(v: Variables, b: Budget) -> Any:
        value = left(v, b)
        if type(value) is kind or type(value) is also:
            return compare(value, literal)
        raise unordered(sign, value, literal)

    return run


def begins_or_ends(name: str, left: Evaluator, literal: str) -> Evaluator:
    """`left.startsWith(literal)` or `left.endsWith(literal)`."""
    test = str.startswith if name == "startsWith" else str.endswith

    def run(v: Variables, b: Budget) -> bool:
        value = left(v, b)
        if type(value) is str:
            return test(value, literal)
        raise Fault(f"{name}() does not take {describe(value)} and text")

    return run


def is_in(left: Evaluator, right: Evaluator) -> Evaluator:
    return lambda v, b: contains_item(left(v, b), right(v, b), b)


def is_in_texts(left: Evaluator, texts: frozenset[str]) -> Evaluator:
    def run(v: Variables, b: Budget) -> bool:
        value = left(v, b)
        return type(value) is str and value in texts

    return run


def negation(operand: Evaluator) -> Evaluator:
    def run(v: Variables, b: Budget) -> bool:
        value = operand(v, b)
        if value is True or value is False:
            return not value
        raise Fault(f"'!' does not take {describe(value)}")

    return run


def choice(condition: Evaluator, then: Evaluator, otherwise: Evaluator) -> Evaluator:
    def run(v: Variables, b: Budget) -> Any:
        value = condition(v, b)
        if value is True:
            return then(v, b)
        if value is False:
            return otherwise(v, b)
        raise Fault(f"'?' does not take {describe(value)}")

    return run


def index(container: Evaluator, index: Evaluator) -> Evaluator:
    def run(v: Variables, b: Budget) -> Any:
        found, at = container(v, b), index(v, b)
        if type(found) is dict:
            if type(at) is str and at in found:
                return found[at]
            raise Fault("A map has no such key")
        if type(found) is not list:
            raise Fault(f"'[]' does not take {describe(found)}")
        if type(at) is float and at.is_integer():
            at = int(at)
        if type(at) is not int:
            raise Fault("The index of a list is a whole number")
        if 0 <= at < len(found):
            return found[at]
        raise Fault("A list has no item at that place")

    return run


def list_of(items: list[Evaluator]) -> Evaluator:
    return lambda v, b: [item(v, b) for item in items]


def map_of(entries: list[tuple[Evaluator, Evaluator]]) -> Evaluator:
    def run(v: Variables, b: Budget) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_of, value_of in entries:
            key = key_of(v, b)
            if type(key) is not str:
                raise Fault(f"A key of a map is text, and not {describe(key)}")
            if key in found:
                raise Fault("A map has a key twice")
            found[key] = value_of(v, b)
        return found

    return run
