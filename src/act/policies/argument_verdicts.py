"""Why arguments do not fit a schema, and whether that is certain: a second reading of a schema, in four values.

`jsonschema-rs` says whether a value is valid. It cannot say whether an invalid one is *certainly* another case, or is
only of a kind that the schema did not expect (text for a number, a missing field, an argument more), and a deny policy
must not be avoided that way. So this walk answers, for the whole and for each part:

- `FITS`: valid, and every limit was held against a value of the kind it is about.
- `OPEN`: an argument that the schema limits is absent, which decides nothing.
- `DIFFERS`: not valid because of a value alone: a number out of bounds, a text that a pattern does not match.
- `UNCLEAR`: not to be compared: another type, something missing, something that the schema does not name.

In a conjunction UNCLEAR outweighs DIFFERS outweighs OPEN; in an alternative what FITS outweighs all, and certainty
counts only when every branch is certain; `not` and `if` keep what is unclear unclear. Sentences name limits, never
values. The work is bounded by `BUDGET`; beyond it the verdict is UNCLEAR.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from jsonschema_rs import Draft202012Validator

from act.policies.argument_schemas import ANNOTATIONS, compile_validator, json_type, referred, subschemas
from act.strict_json import below

BUDGET = 20_000  # parts of a schema held against parts of a value; some tens of milliseconds


class Rank(IntEnum):
    """In the order in which they prevail in a conjunction."""

    FITS = 0
    OPEN = 1
    DIFFERS = 2
    UNCLEAR = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    rank: Rank
    pointer: str = ""
    sentence: str = ""


FITS = Verdict(Rank.FITS)


class TooMuch(Exception):
    """The budget of one examination is spent."""


def compile_leaves(schema: Mapping[str, Any]) -> dict[tuple[str, Any], Draft202012Validator]:
    """Validators for the keywords whose meaning is the library's own: patterns, formats, divisors."""
    leaves: dict[tuple[str, Any], Draft202012Validator] = {}
    for name in schema.get("patternProperties", {}):
        leaves["pattern", name] = compile_validator({"pattern": name})
    for keyword in ("pattern", "format", "multipleOf"):
        if keyword in schema:
            leaves[keyword, schema[keyword]] = compile_validator({keyword: schema[keyword]})
    parts = [item for _, _, item in subschemas(schema)] + list(schema.get("$defs", {}).values())
    for part in parts:
        if isinstance(part, Mapping):
            leaves.update(compile_leaves(part))
    return leaves


_UNIQUE = compile_validator({"uniqueItems": True})


class Examination:
    """One reading of a schema against one value. `leaves` are those of `compile_leaves` for the whole schema."""

    def __init__(self, schema: Mapping[str, Any], leaves: Mapping[tuple[str, Any], Draft202012Validator]) -> None:
        self._schema, self._leaves = schema, leaves
        self._left = BUDGET

    def verdict(self, value: Any) -> Verdict:
        try:
            return self._examine(self._schema, value, "")
        except TooMuch:
            return Verdict(Rank.UNCLEAR, "", "is too large to be compared with the schema")

    def _spend(self, steps: int = 1) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooMuch

    def _examine(self, schema: Any, value: Any, at: str) -> Verdict:
        self._spend()
        if isinstance(schema, bool):
            return FITS if schema else Verdict(Rank.DIFFERS, at, "is not allowed to be there")
        return _all(self._parts(schema, value, at))

    def _parts(self, schema: Mapping[str, Any], value: Any, at: str) -> Iterator[Verdict]:
        if "type" in schema and not _is_of(schema["type"], value):
            types = schema["type"] if isinstance(schema["type"], str) else " or ".join(schema["type"])
            yield Verdict(Rank.UNCLEAR, at, f"is not of type {types}")
        if "enum" in schema:
            yield self._listed(schema["enum"], value, at)
        if "const" in schema:
            yield self._listed([schema["const"]], value, at)
        if json_type(value) == "number":
            yield from self._number(schema, value, at)
        elif isinstance(value, str):
            yield from self._text(schema, value, at)
        elif isinstance(value, Mapping):
            yield from self._object(schema, value, at)
        elif isinstance(value, list | tuple):
            yield from self._array(schema, value, at)
        if (name := referred(schema)) is not None:
            yield self._examine(self._schema["$defs"][name], value, at)
        yield from self._combined(schema, value, at)

    def _listed(self, options: Sequence[Any], value: Any, at: str) -> Verdict:
        self._spend(len(options) // 10)
        ranks = {_compare(option, value) for option in options}
        rank = next((rank for rank in (Rank.FITS, Rank.DIFFERS) if rank in ranks), Rank.UNCLEAR)
        return FITS if rank is Rank.FITS else Verdict(rank, at, "is not one of the values listed")

    def _number(self, schema: Mapping[str, Any], value: float, at: str) -> Iterator[Verdict]:
        for keyword, holds, words in _BOUNDS:
            if keyword in schema and not holds(value, schema[keyword]):
                yield Verdict(Rank.DIFFERS, at, f"is {words} {schema[keyword]}")
        if "multipleOf" in schema and not self._leaves["multipleOf", schema["multipleOf"]].is_valid(value):
            yield Verdict(Rank.DIFFERS, at, f"is not a multiple of {schema['multipleOf']}")

    def _text(self, schema: Mapping[str, Any], value: str, at: str) -> Iterator[Verdict]:
        if len(value) > schema.get("maxLength", len(value)):
            yield Verdict(Rank.DIFFERS, at, f"is longer than {schema['maxLength']} characters")
        if len(value) < schema.get("minLength", 0):
            yield Verdict(Rank.DIFFERS, at, f"is shorter than {schema['minLength']} characters")
        if "pattern" in schema and not self._matches(schema["pattern"], value):
            yield Verdict(Rank.DIFFERS, at, f"does not match the pattern {schema['pattern'][:100]}")
        if "format" in schema and not self._leaves["format", schema["format"]].is_valid(value):
            yield Verdict(Rank.DIFFERS, at, f"is not written as {schema['format']}")

    def _matches(self, pattern: str, text: str) -> bool:
        self._spend(1 + len(text) // 1000)
        return self._leaves["pattern", pattern].is_valid(text)

    def _array(self, schema: Mapping[str, Any], value: Sequence[Any], at: str) -> Iterator[Verdict]:
        if len(value) > schema.get("maxItems", len(value)):
            yield Verdict(Rank.DIFFERS, at, f"has more than {schema['maxItems']} entries")
        if len(value) < schema.get("minItems", 0):
            yield Verdict(Rank.DIFFERS, at, f"has fewer than {schema['minItems']} entries")
        if schema.get("uniqueItems") and not _UNIQUE.is_valid(value):
            yield Verdict(Rank.DIFFERS, at, "has an entry twice")
        first = schema.get("prefixItems", ())
        for index, item in enumerate(value):
            if index < len(first):
                yield self._examine(first[index], item, below(at, str(index)))
            elif "items" in schema:
                yield self._examine(schema["items"], item, below(at, str(index)))
        if "contains" in schema:
            yield self._contains(schema, value, at)

    def _contains(self, schema: Mapping[str, Any], value: Sequence[Any], at: str) -> Verdict:
        verdicts = [self._examine(schema["contains"], item, below(at, str(index))) for index, item in enumerate(value)]
        certain = sum(verdict.rank is Rank.FITS for verdict in verdicts)
        possible = sum(verdict.rank is not Rank.DIFFERS for verdict in verdicts)
        least, most = schema.get("minContains", 1), schema.get("maxContains", len(value))
        if possible < least or certain > most:
            return Verdict(Rank.DIFFERS, at, "does not contain the entries it should")
        if least <= certain and possible <= most:
            return FITS
        return _doubt(verdicts)

    def _object(self, schema: Mapping[str, Any], value: Mapping[str, Any], at: str) -> Iterator[Verdict]:
        properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        required = schema.get("required", ())
        for name in required:
            if name not in value:
                yield Verdict(Rank.UNCLEAR, below(at, name), "is missing")
        for name, part in properties.items():
            if name in value:
                yield self._examine(part, value[name], below(at, name))
            elif is_limit(part):
                yield Verdict(Rank.OPEN, below(at, name), "is absent")
        named = self._mentioned(schema, value) if "unevaluatedProperties" in schema else set[str]()
        for name, item in value.items():
            here = below(at, name)
            found = [part for pattern, part in patterns.items() if self._matches(pattern, name)]
            for part in found:
                yield self._examine(part, item, here)
            if name not in properties and not found and "additionalProperties" in schema:
                yield self._extra(schema["additionalProperties"], item, here)
            if "unevaluatedProperties" in schema and name not in named:
                yield self._extra(schema["unevaluatedProperties"], item, here)
            if "propertyNames" in schema and self._examine(schema["propertyNames"], name, here).rank is not Rank.FITS:
                yield Verdict(Rank.UNCLEAR, here, "has a name that is not allowed")
        if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
            yield Verdict(Rank.UNCLEAR, at, "has too many or too few fields")
        for name, others in schema.get("dependentRequired", {}).items():
            if name not in value:
                yield Verdict(Rank.OPEN, below(at, name), "is absent")
            for other in others if name in value else ():
                if other not in value:
                    yield Verdict(Rank.UNCLEAR, below(at, other), f"is missing beside {name}")
        for name, part in schema.get("dependentSchemas", {}).items():
            if name in value:
                yield self._examine(part, value, at)
            else:
                yield Verdict(Rank.OPEN, below(at, name), "is absent")

    def _extra(self, part: Any, item: Any, at: str) -> Verdict:
        if self._examine(part, item, at).rank is Rank.FITS:
            return FITS
        return Verdict(Rank.UNCLEAR, at, "is not among the arguments that the policy names")

    def _mentioned(self, schema: Any, value: Mapping[str, Any]) -> set[str]:
        """The fields that some part of the schema about the value itself speaks of, whether it applies or not."""
        self._spend()
        if not isinstance(schema, Mapping):
            return set()
        if "additionalProperties" in schema:
            return set(value)
        found = set(schema.get("properties", ()))
        for pattern in schema.get("patternProperties", ()):
            found.update(name for name in value if self._matches(pattern, name))
        for keyword, _, part in subschemas(schema):
            if keyword in ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"):
                found |= self._mentioned(part, value)
        if (name := referred(schema)) is not None:
            found |= self._mentioned(self._schema["$defs"][name], value)
        return found

    def _combined(self, schema: Mapping[str, Any], value: Any, at: str) -> Iterator[Verdict]:
        for part in schema.get("allOf", ()):
            yield self._examine(part, value, at)
        if "anyOf" in schema:
            yield _any([self._examine(part, value, at) for part in schema["anyOf"]])
        if "oneOf" in schema:
            yield _one([self._examine(part, value, at) for part in schema["oneOf"]], at)
        if "not" in schema:
            verdict = self._examine(schema["not"], value, at)
            if verdict.rank is Rank.FITS:
                yield Verdict(Rank.DIFFERS, at, "is what it must not be")
            elif verdict.rank is not Rank.DIFFERS:
                yield verdict
        if "if" in schema:
            yield self._conditional(schema, value, at)

    def _conditional(self, schema: Mapping[str, Any], value: Any, at: str) -> Verdict:
        condition = self._examine(schema["if"], value, at)
        if condition.rank is Rank.FITS:
            return self._examine(schema.get("then", True), value, at)
        if condition.rank is Rank.DIFFERS:
            return self._examine(schema.get("else", True), value, at)
        outcomes = [self._examine(schema.get(branch, True), value, at) for branch in ("then", "else")]
        if all(outcome.rank is Rank.FITS for outcome in outcomes):
            return FITS
        if condition.rank is Rank.OPEN and all(outcome.rank is Rank.DIFFERS for outcome in outcomes):
            return outcomes[0]
        return _doubt([condition, *outcomes])


def is_limit(part: Any) -> bool:
    """Whether a subschema refuses anything."""
    return part is False or (isinstance(part, Mapping) and not ANNOTATIONS.issuperset(part))


def _all(verdicts: Iterator[Verdict]) -> Verdict:
    worst = FITS
    for verdict in verdicts:
        if verdict.rank > worst.rank:
            worst = verdict
            if worst.rank is Rank.UNCLEAR:
                break
    return worst


def _any(verdicts: list[Verdict]) -> Verdict:
    for rank in (Rank.FITS, Rank.UNCLEAR, Rank.OPEN, Rank.DIFFERS):
        for verdict in verdicts:
            if verdict.rank is rank:
                return verdict
    return FITS


def _one(verdicts: list[Verdict], at: str) -> Verdict:
    fitting = [verdict for verdict in verdicts if verdict.rank is Rank.FITS]
    if len(fitting) > 1:
        return Verdict(Rank.DIFFERS, at, "fits more than one of the alternatives")
    return _any([verdict for verdict in verdicts if verdict.rank in (Rank.UNCLEAR, Rank.OPEN)] or verdicts)


def _doubt(verdicts: list[Verdict]) -> Verdict:
    return _any([verdict for verdict in verdicts if verdict.rank in (Rank.UNCLEAR, Rank.OPEN)])


def _is_of(types: str | Sequence[str], value: Any) -> bool:
    kind = json_type(value)
    names = (types,) if isinstance(types, str) else types
    return kind in names or (kind == "number" and "integer" in names and (isinstance(value, int) or value.is_integer()))


def _compare(option: Any, value: Any) -> Rank:
    kind = json_type(option)
    if kind != json_type(value):
        return Rank.UNCLEAR
    if kind == "array":
        if len(option) != len(value):
            return Rank.DIFFERS
        return max((_compare(*pair) for pair in zip(option, value, strict=True)), default=Rank.FITS)
    if kind == "object":
        if option.keys() != value.keys():
            return Rank.UNCLEAR
        return max((_compare(option[key], value[key]) for key in option), default=Rank.FITS)
    return Rank.FITS if option == value else Rank.DIFFERS


_BOUNDS: tuple[tuple[str, Callable[[float, float], bool], str], ...] = (
    ("maximum", lambda value, limit: value <= limit, "above"),
    ("exclusiveMaximum", lambda value, limit: value < limit, "not below"),
    ("minimum", lambda value, limit: value >= limit, "below"),
    ("exclusiveMinimum", lambda value, limit: value > limit, "not above"),
)
