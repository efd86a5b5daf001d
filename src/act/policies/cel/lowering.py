"""A syntax tree as Python closures that answer what the binding would, within a budget.

The common shapes (a path against a literal) have closures of their own; the rest is one closure for each operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from act.policies.cel import functions, native, operators
from act.policies.cel.loops import LOOPS
from act.policies.cel.paths import equals_text, path_of, reader
from act.policies.cel.regexes import regex_fault
from act.policies.cel.tree import Call, Constant, ListOf, Loop, MapOf, Name, Node, Select, Unsupported
from act.policies.cel.values import TYPE_NAMES, Budget, Evaluator, Fault
from act.strict_json import MAX_INTEGER

MAX_LOOPS = 2
"""How deep macros may nest."""

_MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_OPERATORS: dict[str, Callable[..., Evaluator]] = {
    "!_": operators.negation,
    "_?_:_": operators.choice,
    "_[_]": operators.index,
}
_TYPES_BY_NAME = {named.name: named for named in TYPE_NAMES.values() if "." not in named.name}


@dataclass(frozen=True, slots=True)
class Scope:
    """What the text around a node declares."""

    declared: Mapping[str, Any]
    """The variables of conditions; `agent.id` counts as `agent` too."""
    loop_variables: frozenset[str] = frozenset()
    depth: int = 0

    def inside(self, loop: Loop) -> Scope:
        """The scope of a macro's body.

        Raises:
            Unsupported: the macro hides a variable, or is nested too deep.
        """
        if self.depth == MAX_LOOPS:
            raise Unsupported(f"Macros are nested more than {MAX_LOOPS} deep; split the condition.", loop.at)
        if any(loop.variable == name.partition(".")[0] for name in self.declared):
            raise Unsupported(f"The macro's variable {loop.variable!r} hides the condition's; rename it.", loop.at)
        return Scope(self.declared, self.loop_variables | {loop.variable}, self.depth + 1)


def lower(node: Node, scope: Scope) -> Evaluator:
    """The closure that evaluates a type-checked tree.

    Raises:
        Unsupported: it uses what conditions leave out.
    """
    match node:
        case Constant():
            return operators.constant(_checked(node).value)
        case Name(name=name) if name not in scope.loop_variables and name not in scope.declared:
            if name not in _TYPES_BY_NAME:
                raise Unsupported(f"The type {name} is not part of conditions.", node.at)
            return operators.constant(_TYPES_BY_NAME[name])
        case Select(asks=True):
            return operators.has(lower(node.operand, scope), node)
        case Name(name=name):
            return reader(tuple(name.split(".")))
        case Select(operand=operand):
            path = path_of(node)
            return reader(path) if path else operators.select(lower(operand, scope), node)
        case Call(function="_&&_"):
            return operators.all_of([lower(part, scope) for part in _flat("_&&_", node)])
        case Call(function="_||_"):
            return operators.any_of([lower(part, scope) for part in _flat("_||_", node)])
        case Call():
            return _call(node, scope)
        case ListOf(items=items):
            if all(isinstance(item, Constant) for item in items):
                return operators.constant([_checked(item).value for item in items])
            return operators.list_of([lower(item, scope) for item in items])
        case MapOf(entries=entries):
            return operators.map_of([(lower(key, scope), lower(value, scope)) for key, value in entries])
        case Loop():
            body = scope.inside(node)
            test = lower(node.test, body) if node.test else None
            item = lower(node.item, body) if node.item else None
            return LOOPS[node.kind](
                lower(node.source, scope), node.variable, test, item, 1 + _weight(node.test) + _weight(node.item)
            )


def _checked(node: Node) -> Constant:
    assert isinstance(node, Constant)
    if type(node.value) is int and abs(node.value) > MAX_INTEGER:
        raise Unsupported("The integer is not below 2^53; compare it as text.", node.at)
    return node


def _weight(node: Node | None) -> int:
    """How many steps a body of a macro takes, beside what its operators spend by the size of their values."""
    match node:
        case None | Constant():
            return 0
        case ListOf(items=items) if all(isinstance(item, Constant) for item in items):
            return 0
        case Select(operand=operand):
            return 1 + _weight(operand)
        case Call(operands=parts) | ListOf(items=parts):
            return 1 + sum(map(_weight, parts))
        case MapOf(entries=entries):
            return 1 + sum(_weight(part) for entry in entries for part in entry)
        case Loop():
            return 1 + _weight(node.source) + _weight(node.test) + _weight(node.item)
    return 1


def _flat(function: str, node: Node) -> list[Node]:
    """`a && b && c`, however it was nested: the parts, from left to right."""
    if isinstance(node, Call) and node.function == function:
        return [part for operand in node.operands for part in _flat(function, operand)]
    return [node]


def _call(node: Call, scope: Scope) -> Evaluator:
    sign = node.function.strip("_")
    if sign in _MIRRORED:
        return _comparison(sign, node, scope)
    if node.function in functions.ACCESSORS:
        return _accessor(node, scope)
    if node.function == "matches":
        return _matches(node, scope)
    operands = [lower(operand, scope) for operand in node.operands]
    if node.function in _OPERATORS:
        return _OPERATORS[node.function](*operands)
    if node.function == "@in":
        return _in(node, *operands)
    if node.function in ("startsWith", "endsWith") and isinstance(affix := node.operands[1], Constant):
        return operators.begins_or_ends(node.function, operands[0], affix.value)
    function = functions.FUNCTIONS.get(node.function)
    if function is None:
        raise Unsupported(f"The function {node.function}() is not part of conditions.", node.at)
    if node.function in ("timestamp", "duration") and isinstance(written := node.operands[0], Constant):
        return operators.constant(_now(function, written))
    if len(operands) == 1:
        (only,) = operands
        return lambda v, b: function(b, only(v, b))
    left, right = operands
    return lambda v, b: function(b, left(v, b), right(v, b))


def _comparison(sign: str, node: Call, scope: Scope) -> Evaluator:
    first, second = node.operands
    if isinstance(first, Constant) and not isinstance(second, Constant):
        first, second, sign = second, first, _MIRRORED[sign]
    left = lower(first, scope)
    if sign == "==" and isinstance(second, Constant) and isinstance(second.value, str):
        path = path_of(first)
        if path and len(path) == 2:
            return equals_text(path, second.value)
    if isinstance(second, Constant):
        return operators.compare_literal(sign, left, _checked(second).value)
    return operators.compare(sign, left, lower(second, scope))


def _in(node: Call, left: Evaluator, right: Evaluator) -> Evaluator:
    container = node.operands[1]
    if isinstance(container, ListOf) and container.items:
        literals = [item.value for item in container.items if isinstance(item, Constant)]
        if len(literals) == len(container.items) and all(isinstance(literal, str) for literal in literals):
            return operators.is_in_texts(left, frozenset(literals))
    return operators.is_in(left, right)


def _now(function: functions.Function, written: Constant) -> Any:
    """A point in time or a duration that is written out, read once."""
    try:
        return function(Budget(), written.value)
    except Fault as fault:
        example = "2026-01-01T00:00:00Z" if function is functions.FUNCTIONS["timestamp"] else "1h30m"
        raise Unsupported(f"{fault.message}; write it as '{example}'.", written.at) from None


def _matches(node: Call, scope: Scope) -> Evaluator:
    text, pattern = lower(node.operands[0], scope), node.operands[1]
    if not isinstance(pattern, Constant):
        raise Unsupported("The regular expression of matches() has to be written out.", pattern.at)
    if fault := regex_fault(pattern.value):
        raise Unsupported(fault, pattern.at)
    try:
        native.apply("{}.matches({})", "", pattern.value)
    except Fault:
        raise Unsupported("This is not a regular expression of RE2.", pattern.at) from None
    matches = functions.matcher(pattern.value)
    return lambda v, b: matches(b, text(v, b))


def _accessor(node: Call, scope: Scope) -> Evaluator:
    moment, zone = lower(node.operands[0], scope), None
    for written in node.operands[1:]:
        if not isinstance(written, Constant):
            raise Unsupported(f"The time zone of {node.function}() has to be written out.", written.at)
        if (zone := functions.zone_of(written.value)) is None:
            raise Unsupported(f"There is no time zone {written.value!r}.", written.at)
    read = functions.accessor(node.function, zone)
    return lambda v, b: read(b, moment(v, b))
