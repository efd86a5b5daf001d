"""`arguments` of a policy: JSON Schema over the arguments of a call (2-semantics, "Matching").

In an allow policy the schema is a closed world: each top-level property is also required, and what is not named is
refused unless `additionalProperties` (or `unevaluatedProperties`) is written out; `Arguments.stored` shows both. In a
deny policy it stays as written, and a call slips past it only when the schema is certainly not met: where the
arguments cannot be compared with it (`act.policies.argument_verdicts`), the deny policy matches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from jsonschema_rs import Draft202012Validator, ValidationError

from act.policies.argument_schemas import compile_validator, limited_properties, schema_faults, size_of
from act.policies.argument_verdicts import Examination, Rank, Verdict, compile_leaves, is_limit
from act.secret_looks import without_looks
from act.strict_json import Fault


@dataclass(frozen=True, slots=True)
class Match:
    """`errored` when the arguments could not be compared with the schema; then a deny policy matches all the same.

    `reason` is a sentence and `pointer` leads to the first argument that is in the way (`/amount`, "" for the whole);
    both are empty when the schema is simply met.
    """

    matches: bool
    errored: bool = False
    reason: str = ""
    pointer: str = ""


_MATCHES = Match(True)


@dataclass(frozen=True, slots=True)
class _Extent:
    """How large arguments may be for this schema, so that a comparison takes about a second at the very worst.

    `values` counts texts, numbers and the like, with the names of fields; `text` counts the characters where the schema
    has a pattern or a format: in the arguments named `patterned`, or in all when that is None.
    """

    values: int
    text: int
    patterned: frozenset[str] | None

    def exceeded_by(self, arguments: Mapping[str, Any]) -> bool:
        values, text = self.values - len(arguments), self.text
        for name, argument in arguments.items():
            counted = self.patterned is None or name in self.patterned
            if self.patterned is None:
                text -= len(name)
            if isinstance(argument, str):
                text -= len(argument) if counted else 0
            elif isinstance(argument, Mapping | list | tuple):
                inside, characters = _counted(argument, values)
                values -= inside
                text -= characters if counted else 0
        return values < 0 or text < 0


_SCALARS = frozenset((int, float, bool, type(None)))


def _counted(tree: Any, most: int) -> tuple[int, int]:
    """The values and the characters in a list or an object; stops when there are more than `most` values."""
    values, characters, left = 0, 0, [tree]
    while left and values <= most:
        item = left.pop()
        if isinstance(item, str):
            characters += len(item)
        elif isinstance(item, list | tuple):
            values += len(item)
            left += [part for part in item if part and type(part) not in _SCALARS]
        elif isinstance(item, Mapping):
            values += 2 * len(item)
            characters += sum(map(len, item))
            left += [part for part in item.values() if part and type(part) not in _SCALARS]
    return values, characters


_WORK = 20_000_000  # parts of a schema held against values
_PATTERN_WORK = 64 * 1024  # patterns held against characters


def _extent_of(schema: Mapping[str, Any]) -> _Extent:
    defs = schema.get("$defs", {})
    whole = size_of(schema, defs)
    by_name = {name: size_of(part, defs).patterns for name, part in schema.get("properties", {}).items()}
    elsewhere = whole.patterns > sum(by_name.values())
    patterned = None if elsewhere else frozenset(name for name, patterns in by_name.items() if patterns)
    return _Extent(_WORK // whole.parts, _PATTERN_WORK // max(1, whole.patterns), patterned)


@dataclass(frozen=True, slots=True)
class Arguments:
    """A compiled schema. `optional_limited` names the top-level properties that it limits but does not require."""

    stored: Mapping[str, Any]
    effect: Literal["allow", "deny"]
    optional_limited: tuple[str, ...]
    _validator: Draft202012Validator = field(repr=False, compare=False)
    _leaves: Mapping[tuple[str, Any], Draft202012Validator] = field(repr=False, compare=False)
    _extent: _Extent = field(repr=False, compare=False)

    def match(self, values: Mapping[str, Any]) -> Match:
        """Whether the policy matches a call with these arguments. `values` has no fault of `act.strict_json`."""
        try:
            if self._extent.exceeded_by(values):
                return self._outcome(Verdict(Rank.UNCLEAR, "", "is too large to be compared with the schema"))
            if self._validator.is_valid(values):
                return _MATCHES
            verdict = Examination(self.stored, self._leaves).verdict(values)
        except (ValueError, TypeError, OverflowError, RecursionError):
            verdict = Verdict(Rank.UNCLEAR, "", "cannot be compared with the schema")
        return self._outcome(verdict)

    def _outcome(self, verdict: Verdict) -> Match:
        # It stands in the record and in answers, and a name of an argument can be a secret.
        where = without_looks(verdict.pointer) or "The set of arguments"
        reason = f"{where} {verdict.sentence or 'does not fit the schema'}."
        certain = verdict.rank is Rank.DIFFERS
        return Match(self.effect == "deny" and not certain, not certain, reason, verdict.pointer)


def compile_arguments(schema: Mapping[str, Any], effect: Literal["allow", "deny"]) -> Arguments | list[Fault]:
    """The compiled schema, or everything that is wrong with it; pointers are relative to the schema."""
    if faults := schema_faults(schema):
        return faults
    stored = _plain(schema)
    if effect == "allow":
        if faults := _unnamed(stored):
            return faults
        stored = _closed(stored)
    try:
        validator = compile_validator(stored)
    except (ValidationError, ValueError) as error:
        return [Fault("", f"The schema cannot be used: {str(error).splitlines()[0][:200]}.")]
    return Arguments(stored, effect, _optional(stored), validator, compile_leaves(stored), _extent_of(stored))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _unnamed(schema: Mapping[str, Any]) -> list[Fault]:
    named = schema.get("properties", {})
    return [
        Fault(pointer, f"Name {name!r} in the top-level properties too, so that it is required there.")
        for name, pointer in dict.fromkeys(limited_properties(schema, schema.get("$defs", {})))
        if name not in named
    ]


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    closed = dict(schema)
    required = list(schema.get("required", ()))
    # `false` says that the argument must be absent, which requiring it would make impossible.
    missing = [
        name for name, part in schema.get("properties", {}).items() if part is not False and name not in required
    ]
    if missing:
        closed["required"] = required + missing
    if "additionalProperties" not in schema and "unevaluatedProperties" not in schema:
        closed["additionalProperties"] = False
    return closed


def _optional(schema: Mapping[str, Any]) -> tuple[str, ...]:
    top, required = schema.get("properties", {}), schema.get("required", ())
    names = dict.fromkeys(name for name, _ in limited_properties(schema, schema.get("$defs", {})))
    return tuple(name for name in names if name not in required and (name not in top or is_limit(top[name])))
