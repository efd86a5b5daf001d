"""Which JSON Schemas may limit arguments: a closed part of 2020-12 in which every keyword written has an effect.

Beyond the meta-schema: no unknown keywords; nothing that could be fetched or named from outside (`$ref` leads to
`#/$defs/NAME` of the same schema, and never round in a circle); a keyword about numbers, texts, lists or objects only
where the type says so, because JSON Schema lets every other type pass it (`maximum` does not limit "9999"); and a size
that bounds the time of a check.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from act.strict_json import Fault, escape, faults_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_BYTES = 64 * 1024
MAX_DEPTH = 16
MAX_SUBSCHEMAS = 1000
MAX_PARTS = 10_000
MAX_PATTERN = 512
MAX_PATTERNS = 100

_TYPES = ("null", "boolean", "object", "array", "number", "integer", "string")
_ABOUT = {
    "number": "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf",
    "string": "minLength maxLength pattern format",
    "array": "items prefixItems contains minContains maxContains minItems maxItems uniqueItems",
    "object": "properties patternProperties additionalProperties propertyNames required minProperties maxProperties "
    "dependentRequired dependentSchemas unevaluatedProperties",
}
ABOUT = {keyword: kind for kind, keywords in _ABOUT.items() for keyword in keywords.split()}
_PLURAL = {"number": "numbers", "string": "texts", "array": "lists", "object": "objects"}
ANNOTATIONS = frozenset({"title", "description", "default", "examples", "$comment", "deprecated"})
_ANY_TYPE = frozenset({"type", "enum", "const", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "$ref"})
_ONLY_AT_THE_TOP = frozenset({"$schema", "$defs", "unevaluatedProperties"})
_KEYWORDS = _ANY_TYPE | _ONLY_AT_THE_TOP | ANNOTATIONS | frozenset(ABOUT)
_NEEDS = {"then": "if", "else": "if", "minContains": "contains", "maxContains": "contains"}
_INSTEAD = {
    "unevaluatedItems": "use items, which limits what prefixItems does not",
    "definitions": "use $defs",
    "dependencies": "use dependentRequired or dependentSchemas",
    **dict.fromkeys(
        ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary", "id"),
        'a schema cannot be named or extended from outside; use "$ref": "#/$defs/NAME"',
    ),
}
# Those that jsonschema-rs asserts; "regex" is left out, because it would compile what an agent sends.
FORMATS = frozenset(
    {"date-time", "date", "time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6", "uri"}
    | {"uri-reference", "iri", "iri-reference", "uuid", "uri-template", "json-pointer", "relative-json-pointer"}
)
_REFERENCE = re.compile(r"#/\$defs/([A-Za-z0-9_.-]+)", re.ASCII)
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "dependentSchemas")
_SINGLES = ("not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames")
_SAME_VALUE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})

# Matching is linear in the text with this engine; the limit bounds the memory and the factor.
PATTERNS = RegexOptions(size_limit=64 * 1024, dfa_size_limit=1024 * 1024)
_META = Draft202012Validator({"$ref": DIALECT}, offline=True, mask="It")


def compile_validator(schema: dict[str, Any]) -> Draft202012Validator:
    """A validator that never fetches, asserts formats, and matches patterns in linear time.

    Raises:
        jsonschema_rs.ValidationError: not a schema, or one that refers to what is not in it.
    """
    return Draft202012Validator(
        schema, validate_formats=True, ignore_unknown_formats=False, offline=True, pattern_options=PATTERNS
    )


def subschemas(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """The direct subschemas but `$defs`: the keyword, the pointer from here, the subschema. Skips wrong shapes."""
    for keyword, value in schema.items():
        if keyword in _LISTS and isinstance(value, list | tuple):
            yield from ((keyword, f"/{keyword}/{index}", item) for index, item in enumerate(value))
        elif keyword in _MAPS and isinstance(value, Mapping):
            yield from ((keyword, f"/{keyword}/{escape(name)}", item) for name, item in value.items())
        elif keyword in _SINGLES or keyword == "unevaluatedProperties":
            yield keyword, f"/{keyword}", value


def referred(schema: Mapping[str, Any]) -> str | None:
    """The name in `$defs` that the schema's own `$ref` leads to."""
    found = _REFERENCE.fullmatch(schema["$ref"]) if isinstance(schema.get("$ref"), str) else None
    return found[1] if found else None


def limited_properties(
    schema: Mapping[str, Any], defs: Mapping[str, Any], pointer: str = ""
) -> Iterator[tuple[str, str]]:
    """Each property of the value itself that the schema speaks of, wherever it does: the name and the pointer."""
    for name in schema.get("properties", {}):
        yield name, f"{pointer}/properties/{escape(name)}"
    for keyword, path, item in subschemas(schema):
        if keyword in _SAME_VALUE and isinstance(item, Mapping):
            yield from limited_properties(item, defs, pointer + path)
    if (name := referred(schema)) is not None and isinstance(defs[name], Mapping):
        yield from limited_properties(defs[name], defs, f"/$defs/{name}")


def schema_faults(schema: Any) -> list[Fault]:
    """Everything that is wrong with the schema of a policy's arguments; pointers are relative to the schema."""
    if not isinstance(schema, Mapping):
        return [Fault("", 'The arguments are limited by a JSON Schema, an object such as {"properties": {...}}.')]
    if faults := list(faults_of(schema)):
        return faults
    if len(json.dumps(schema, ensure_ascii=False).encode()) > MAX_BYTES:
        return [Fault("", f"The schema has more than {MAX_BYTES // 1024} KB.")]
    check = _Check(schema)
    known = {fault.pointer for fault in check.faults}
    for error in _META.iter_errors(schema):
        pointer = "".join(f"/{escape(str(step))}" for step in error.instance_path)
        if pointer not in known:
            known.add(pointer)
            check.faults.append(Fault(pointer, f"{error.message[:200]}."))
    return check.faults or _size_faults(schema)


class _Check:
    """One walk over a schema; `faults` holds what it found."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.faults: list[Fault] = []
        self._count = self._patterns = 0
        defs = schema.get("$defs", {})
        self._defs: Mapping[str, Any] = defs if isinstance(defs, Mapping) else {}
        if schema.get("type", "object") not in ("object", ["object"]):
            self._fault("/type", 'The arguments of a call are always an object: write "type": "object".')
        self._visit(schema, "", 1, frozenset({"object"}))
        for name, item in self._defs.items():
            if not _REFERENCE.fullmatch(f"#/$defs/{name}"):
                self._fault(f"/$defs/{escape(name)}", "A name in $defs has letters, digits, '_', '-' and '.' only.")
            self._visit(item, f"/$defs/{escape(name)}", 2, None)

    def _fault(self, pointer: str, message: str) -> None:
        self.faults.append(Fault(pointer, message))

    def _visit(self, schema: Any, pointer: str, depth: int, known: frozenset[str] | None) -> None:
        self._count += 1
        if self._count > MAX_SUBSCHEMAS or depth > MAX_DEPTH:
            if self._count == MAX_SUBSCHEMAS + 1 or depth == MAX_DEPTH + 1:
                self._fault(pointer, f"A schema has at most {MAX_SUBSCHEMAS} parts, {MAX_DEPTH} deep.")
            return
        if not isinstance(schema, Mapping):
            return  # true and false are schemas; the meta-schema refuses the rest
        known = _known_types(schema, known)
        for keyword, value in schema.items():
            self._keyword(schema, keyword, value, pointer, known)
        for keyword, path, item in subschemas(schema):
            inside = frozenset({"string"}) if keyword == "propertyNames" else None
            self._visit(item, pointer + path, depth + 1, known if keyword in _SAME_VALUE else inside)

    def _keyword(
        self, schema: Mapping[str, Any], keyword: str, value: Any, pointer: str, known: frozenset[str] | None
    ) -> None:
        place = f"{pointer}/{escape(keyword)}"
        if keyword not in _KEYWORDS:
            instead = _INSTEAD.get(keyword, "it would be ignored; check the spelling")
            self._fault(place, f"{keyword!r} is not a keyword here: {instead}.")
        elif keyword in _ONLY_AT_THE_TOP and pointer:
            self._fault(place, f"{keyword} stands at the top of the schema only.")
        elif keyword in _NEEDS and _NEEDS[keyword] not in schema:
            self._fault(place, f"{keyword} does nothing without {_NEEDS[keyword]}.")
        elif keyword in ABOUT and known is None:
            kind = ABOUT[keyword]
            self._fault(place, f'{keyword} limits only {_PLURAL[kind]}; write "type": "{kind}" beside it.')
        elif keyword in ABOUT and known is not None and ABOUT[keyword] not in known:
            self._fault(place, f"{keyword} limits only {_PLURAL[ABOUT[keyword]]}, and the type here is another.")
        elif keyword in ABOUT and known is not None and (free := _unlimited(schema, known, ABOUT[keyword])):
            told = f"{keyword} does not limit a value of type {free[0]}, which the type here allows too"
            self._fault(place, f"{told}; use one type, or anyOf with a limit for each.")
        elif keyword == "$schema" and value not in (DIALECT, f"{DIALECT}#"):
            self._fault(place, f"Only JSON Schema 2020-12 is understood: write {DIALECT} or leave it out.")
        elif keyword == "$ref" and (not isinstance(value, str) or referred(schema) not in self._defs):
            self._fault(place, "A $ref leads to a name in $defs of this schema and nowhere else: #/$defs/NAME.")
        elif keyword == "type" and any(name not in _TYPES for name in _names(value)):
            self._fault(place, f"A type is one of {', '.join(_TYPES)}.")
        elif keyword == "format" and value not in FORMATS:
            self._fault(place, f"A format is one of {', '.join(sorted(FORMATS))}.")
        elif keyword == "pattern":
            self._pattern(value, place)
        elif keyword == "patternProperties" and isinstance(value, Mapping):
            for pattern in value:
                self._pattern(pattern, f"{place}/{escape(pattern)}")

    def _pattern(self, pattern: Any, place: str) -> None:
        if not isinstance(pattern, str):
            return  # the meta-schema says so
        self._patterns += 1
        if self._patterns > MAX_PATTERNS:
            if self._patterns == MAX_PATTERNS + 1:
                self._fault(place, f"A schema has at most {MAX_PATTERNS} patterns.")
        elif len(pattern) > MAX_PATTERN:
            self._fault(place, f"A pattern has at most {MAX_PATTERN} characters.")
        else:
            try:
                compile_validator({"pattern": pattern})
            except ValidationError:
                self._fault(
                    place,
                    "This is not a pattern that can be matched in linear time: no look-around, no back-references, "
                    "no very large repetitions.",
                )


def _names(types: Any) -> tuple[Any, ...]:
    return tuple(types) if isinstance(types, list | tuple) else (types,)


def _known_types(schema: Mapping[str, Any], known: frozenset[str] | None) -> frozenset[str] | None:
    """The types that a value can have where the schema stands; None when it does not say."""
    if "type" in schema:
        types = {name for name in _names(schema["type"]) if isinstance(name, str)}
    elif isinstance(schema.get("enum"), list | tuple):
        types = {json_type(option) for option in schema["enum"]}
    elif "const" in schema:
        types = {json_type(schema["const"])}
    else:
        return known
    return frozenset(types | {"number"} if "integer" in types else types)


def json_type(value: Any) -> str:
    """The JSON type of a value; whole numbers are of type number."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, Mapping) else "array"


class _Endless(Exception):
    """A definition that leads back to itself, or on and on; its name is the argument."""


@dataclass(frozen=True, slots=True)
class Size:
    """A schema with every `$ref` written out: its parts (and listed values), its depth, its patterns and formats."""

    parts: int
    depth: int
    patterns: int


def size_of(schema: Any, defs: Mapping[str, Any]) -> Size:
    """The size of a part of a schema without faults."""
    return _measure(schema, defs, {}, set())


def _measure(part: Any, defs: Mapping[str, Any], known: dict[str, Size], unfinished: set[str]) -> Size:
    if not isinstance(part, Mapping):
        return Size(1, 1, 0)
    inside = [_measure(item, defs, known, unfinished) for _, _, item in subschemas(part)]
    if (name := referred(part)) is not None:
        if name in unfinished or len(unfinished) > MAX_DEPTH:
            raise _Endless(name)
        if name not in known:
            unfinished.add(name)
            known[name] = _measure(defs[name], defs, known, unfinished)
            unfinished.remove(name)
        inside.append(known[name])
    patterns = ("pattern" in part) + ("format" in part) + len(part.get("patternProperties", ()))
    return Size(
        1 + len(part.get("enum", ())) + sum(size.parts for size in inside),
        1 + max((size.depth for size in inside), default=0),
        patterns + sum(size.patterns for size in inside),
    )


def _size_faults(schema: Mapping[str, Any]) -> list[Fault]:
    defs, known = schema.get("$defs", {}), dict[str, Size]()
    try:
        size = _measure(schema, defs, known, set())
        for name in defs:  # also those that nothing refers to
            _measure({"$ref": f"#/$defs/{name}"}, defs, known, set())
    except _Endless as definition:
        return [Fault(f"/$defs/{definition.args[0]}", f"Its $ref leads back to itself, or over {MAX_DEPTH} others.")]
    if size.depth > MAX_DEPTH:
        return [Fault("", f"With every $ref written out, a schema is at most {MAX_DEPTH} parts deep.")]
    if size.parts > MAX_PARTS:
        return [Fault("", f"With every $ref written out, a schema has at most {MAX_PARTS} parts and listed values.")]
    return []


def _unlimited(schema: Mapping[str, Any], known: frozenset[str], kind: str) -> list[str]:
    """The types beside `kind` that a value may have and that nothing in the schema limits; null is written on purpose.

    A limit that another type slips past would be one in name only: "9999" is no number over 5.
    """
    limited = {ABOUT[keyword] for keyword in schema if keyword in ABOUT} | {kind, "null"}
    limited |= {"integer"} if "number" in limited else set()
    return sorted(known - limited)
