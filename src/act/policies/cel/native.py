"""The binding: parses and type-checks whole conditions, and evaluates single functions over scalars.

Whole conditions are not evaluated by it, because it has no budget and keeps the interpreter's lock (ADR 9).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]

from act.policies.cel.values import Fault, describe

_TEXT, _MAP, _TEXTS = cel.Type.STRING, cel.Type.Map(cel.Type.STRING, cel.Type.DYN), cel.Type.List(cel.Type.STRING)
_TEXT_OR_NULL = cel.Type("google.protobuf.StringValue")

VARIABLES: dict[str, Any] = {
    "agent.id": _TEXT,
    "agent.name": _TEXT,
    "agent.roles": _TEXTS,
    "agent.metadata": _MAP,
    "token.facts": _MAP,
    "token.task": _TEXT_OR_NULL,
    "token.onBehalfOf": _TEXT_OR_NULL,
    "token.depth": cel.Type.INT,
    "action": _TEXT,
    "resource": _TEXT,
    "args": _MAP,
    "context": _MAP,
    "session.labels": _TEXTS,
    "session.created": _TEXTS,
    "now": cel.Type.TIMESTAMP,
}
"""What conditions can name, with its type."""

_conditions = cel.NewEnv(variables=VARIABLES)

# Variables for two operands of each scalar kind: a scalar is passed under the name of its kind and its place.
_KINDS = {str: "s", int: "i", float: "f", bool: "b"}
_TYPES = {"s": cel.Type.STRING, "i": cel.Type.INT, "f": cel.Type.DOUBLE, "b": cel.Type.BOOL}
_scalars = cel.NewEnv(variables={f"{kind}{place}": type_ for place in range(2) for kind, type_ in _TYPES.items()})

_MICROSECOND = timedelta(microseconds=1)

STEPS = 60
"""What one `apply` costs, beside the length of its texts."""


def check(text: str) -> tuple[bytes, str]:
    """Parse and type-check a condition: its serialized tree, and the name of the type it yields (`BOOL`, `DYN`, ...).

    Raises:
        RuntimeError: the binding's own report, with a line `ERROR: <input>:LINE:COLUMN: message` for each fault.
    """
    expression = _conditions.compile(text)
    return expression.serialize(), expression.return_type().name()


def apply(form: str, *operands: Any) -> Any:
    """What CEL makes of one operator or function over scalars; `form` has a `{}` for each: `int({})`, `{} + {}`.

    Raises:
        Fault: no such operator or function for these kinds, or it fails on these values.
    """
    terms: list[str] = []
    data: dict[str, Any] = {}
    for place, operand in enumerate(operands):
        if type(operand) is str and "\0" in operand:
            raise _fails(form)
        term, passed = _passed(operand)
        name = f"{_KINDS.get(type(passed), '?')}{place}"
        terms.append(term.format(name))
        data[name] = passed
    program = _program(form.format(*terms))
    if program is None:
        raise Fault(f"{_spoken(form)} does not take {' and '.join(map(describe, operands))}")
    try:
        result = program.eval(data=data)
    except (RuntimeError, OverflowError):  # an unpaired surrogate
        raise _fails(form) from None
    if result.type().name() == "ERROR":
        raise _fails(form)
    return result.value()


def _passed(operand: Any) -> tuple[str, Any]:
    """How an operand reaches the binding: as it is, or times as texts, with the term that stands for it.

    The binding ends texts at U+0000, and puts some points in time a second later than they are.
    """
    if type(operand) is datetime:
        return "timestamp({})", operand.isoformat()
    if type(operand) is timedelta:
        return "duration({})", f"{operand // _MICROSECOND}us"
    return "{}", operand


@lru_cache(maxsize=512)  # some twenty forms by the kinds of their operands
def _program(text: str) -> Any:
    try:
        return _scalars.compile(text)
    except RuntimeError:
        return None


def _spoken(form: str) -> str:
    """`int({})` as `int()`, `{} + {}` as `'+'`."""
    return form.replace("{}", "").lstrip(".") if "(" in form else f"'{form.replace('{}', '').strip()}'"


def _fails(form: str) -> Fault:
    return Fault(f"{_spoken(form)} fails on this value")
