"""Reading `args.amount` and its like: fast when it is there, exact about what is missing when it is not."""

from __future__ import annotations

from typing import Any

from act.policies.cel.tree import Call, Constant, Name, Node, Select
from act.policies.cel.values import Budget, Evaluator, Fault, Variables, describe


def path_of(node: Node) -> tuple[str, ...] | None:
    """The keys of a variable and its fields; None when the path begins with something else."""
    match node:
        case Name(name=name):
            return tuple(name.split("."))
        case Select(operand=operand, field=field, asks=False):
            path = path_of(operand)
            return path and (*path, field)
    return None


def reader(path: tuple[str, ...]) -> Evaluator:
    """Reads the value at a path of one key or more."""
    if len(path) == 1:
        return _one(*path)
    if len(path) == 2:
        return _two(*path)

    def read(v: Variables, b: Budget) -> Any:
        value: Any = v
        try:
            for key in path:
                value = value[key]
        except (KeyError, TypeError):
            raise _fault(path, v) from None
        return value

    return read


def equals_text(path: tuple[str, ...], text: str) -> Evaluator:
    """Whether the value at a path of two keys is a text; no value of another kind equals one."""
    name, field = path

    def run(v: Variables, b: Budget) -> bool:
        try:
            return bool(v[name][field] == text)
        except (KeyError, TypeError):
            raise _fault(path, v) from None

    return run


def _one(name: str) -> Evaluator:
    def read(v: Variables, b: Budget) -> Any:
        try:
            return v[name]
        except KeyError:
            raise Fault(f"{name} is missing") from None

    return read


def _two(name: str, field: str) -> Evaluator:
    def read(v: Variables, b: Budget) -> Any:
        try:
            return v[name][field]
        except (KeyError, TypeError):
            raise _fault((name, field), v) from None

    return read


def _fault(path: tuple[str, ...], v: Variables) -> Fault:
    """Which part of the path is missing, or has no fields."""
    value: Any = v
    for place, key in enumerate(path):
        if place and type(value) is not dict:
            return Fault(f"{'.'.join(path[:place])} is {describe(value)} and has no field {key}")
        if key not in value:
            return Fault(f"{'.'.join(path[: place + 1])} is missing")
        value = value[key]
    return Fault(f"{'.'.join(path)} is missing")


def spelled(node: Node) -> str:
    """How a node is written, for messages; what is no path is "the value"."""
    match node:
        case Name(name=name):
            return name
        case Select(operand=operand, field=field):
            return f"{spelled(operand)}.{field}"
        case Call(function="_[_]", operands=(container, Constant(value=int() as index))):
            return f"{spelled(container)}[{index}]"
        case Call(function="_[_]", operands=(container, _)):
            return f"{spelled(container)}[...]"
    return "the value"
