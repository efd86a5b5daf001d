"""The syntax tree of a checked expression, read from what the binding serializes (`cel.expr.CheckedExpr`, protobuf).

Taking the binding's own tree means that there is one parser, and no second opinion on precedence or escapes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Constant:
    at: int
    """Where it stands in the text, in characters; -1 when unknown."""
    value: Any
    """None, bool, int, float or str."""


@dataclass(frozen=True, slots=True)
class Name:
    at: int
    name: str
    """A declared variable (`action`, `agent.id`), a macro's variable, or the name of a type."""


@dataclass(frozen=True, slots=True)
class Select:
    at: int
    operand: Node
    field: str
    asks: bool
    """Written as `has(operand.field)`."""


@dataclass(frozen=True, slots=True)
class Call:
    at: int
    function: str
    """As CEL names it: `_<_`, `@in`, `size`."""
    operands: tuple[Node, ...]
    """A method's receiver is the first one."""


@dataclass(frozen=True, slots=True)
class ListOf:
    at: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    at: int
    entries: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """A macro over a list, or over the keys of a map. `filter(x, t)` is a `map` whose item is `x`."""

    at: int
    kind: Literal["all", "exists", "exists_one", "map"]
    variable: str
    source: Node
    test: Node | None
    item: Node | None


Node = Constant | Name | Select | Call | ListOf | MapOf | Loop


class Unsupported(Exception):
    """CEL knows it, conditions do not. `message` is a sentence."""

    def __init__(self, message: str, at: int = -1) -> None:
        super().__init__(message)
        self.message, self.at = message, at


def read_tree(serialized: bytes) -> Node:
    """The tree of a serialized expression.

    Raises:
        Unsupported: bytes, unsigned numbers and protobuf messages, none of which JSON has.
    """
    checked = dict(_fields(serialized))[2]  # google.protobuf.Any: the type's URL, the message
    found = dict(_fields(checked))
    positions = {}
    for number, value in _fields(found[5]):
        if number == 4:
            entry = dict(_fields(value))
            positions[entry.get(1, 0)] = entry.get(2, 0)
    return _Reader(positions).node(found[4])


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message, in order: int for varints, bytes for everything else."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, at = _varint(message, at)
            yield number, value
        else:
            length, at = (8, at) if wire_type == 1 else _varint(message, at)
            yield number, message[at : at + length]
            at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


@dataclass(frozen=True, slots=True)
class _Reader:
    positions: dict[int, int]

    def node(self, message: bytes) -> Node:
        at, kind, body = -1, 0, b""
        for number, value in _fields(message):
            if number == 2:
                at = self.positions.get(value, -1)
            else:
                kind, body = number, value
        fields = list(_fields(body))
        match kind:
            case 3:
                return _constant(at, fields)
            case 4:
                return Name(at, fields[0][1].decode())
            case 5:
                by_number = dict(fields)
                return Select(at, self.node(by_number[1]), by_number[2].decode(), bool(by_number.get(3)))
            case 6:
                function = next(value.decode() for number, value in fields if number == 2)
                return Call(at, function, tuple(self.node(value) for number, value in fields if number != 2))
            case 7:
                return ListOf(at, tuple(self.node(value) for number, value in fields if number == 1))
            case 8:
                return MapOf(at, tuple(self._entry(at, number, value) for number, value in fields))
            case 9:
                return self._loop(at, dict(fields))
        raise Unsupported("This is not part of conditions.", at)

    def _entry(self, at: int, number: int, message: bytes) -> tuple[Node, Node]:
        entry = dict(_fields(message))
        if number != 2 or 3 not in entry:
            raise Unsupported("Protobuf messages are not part of conditions.", at)
        return self.node(entry[3]), self.node(entry[4])

    def _loop(self, at: int, fields: dict[int, Any]) -> Loop:
        """The macro that the parser expanded, recognized by what it begins with."""
        start, step = self.node(fields[4]), self.node(fields[6])
        variable, source = fields[1].decode(), self.node(fields[2])
        test: Node | None
        match start, step:
            case Constant(value=True), Call(function="_&&_", operands=(_, test)):
                return Loop(at, "all", variable, source, test, None)
            case Constant(value=False), Call(function="_||_", operands=(_, test)):
                return Loop(at, "exists", variable, source, test, None)
            case Constant(), Call(function="_?_:_", operands=(test, _, _)):
                return Loop(at, "exists_one", variable, source, test, None)
            case ListOf(), Call(function="_?_:_", operands=(test, Call(operands=(_, ListOf(items=(item,)))), _)):
                return Loop(at, "map", variable, source, test, item)
            case ListOf(), Call(function="_+_", operands=(_, ListOf(items=(item,)))):
                return Loop(at, "map", variable, source, None, item)
        raise Unsupported("This macro is not part of conditions.", at)


def _constant(at: int, fields: list[tuple[int, Any]]) -> Constant:
    number, value = fields[0]
    match number:
        case 1:
            return Constant(at, None)
        case 2:
            return Constant(at, bool(value))
        case 3:
            return Constant(at, value - (1 << 64) if value >> 63 else value)
        case 5:
            return Constant(at, struct.unpack("<d", value)[0])
        case 6:
            return Constant(at, value.decode())
        case 4:
            raise Unsupported("Unsigned numbers are not part of conditions; write 5 and not 5u.", at)
    raise Unsupported("Bytes are not part of conditions; write 'text' and not b'text'.", at)
