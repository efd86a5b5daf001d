"""`arguments`: an allow policy is a closed world, and nothing slips past a deny policy (2-semantics, "Matching")."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import jsonschema_rs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from act.policies.argument_schemas import FORMATS, MAX_PATTERNS, compile_validator
from act.policies.argument_verdicts import Examination, Rank, compile_leaves
from act.policies.arguments import Arguments, Match, compile_arguments

Effect = Literal["allow", "deny"]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def compiled(schema: Mapping[str, Any], effect: Effect) -> Arguments:
    arguments = compile_arguments(schema, effect)
    assert isinstance(arguments, Arguments), arguments
    return arguments


def faults(schema: Any, effect: Effect = "deny") -> dict[str, str]:
    found = compile_arguments(schema, effect)
    assert isinstance(found, list), found
    return {fault.pointer: fault.message for fault in found}


PAYMENT = {"type": "object", "properties": {"amount": {"type": "number", "maximum": 500}, "to": {"type": "string"}}}


# The closed world of an allow policy.


def test_what_an_allow_policy_limits_is_required_and_nothing_else_is_let_in() -> None:
    assert compiled(PAYMENT, "allow").stored == PAYMENT | {"required": ["amount", "to"], "additionalProperties": False}
    assert compiled(PAYMENT, "deny").stored == PAYMENT


@pytest.mark.parametrize(
    ("written", "added"),
    [
        ({}, {"additionalProperties": False}),
        ({"properties": {"a": {}}, "additionalProperties": True}, {"required": ["a"]}),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "null"}}, {"required": ["a"]}),
        ({"properties": {"a": {}}, "unevaluatedProperties": True}, {"required": ["a"]}),
        (
            {"properties": {"a": {}, "b": {}}, "required": ["b"]},
            {"required": ["b", "a"], "additionalProperties": False},
        ),
        ({"patternProperties": {"^x": {}}}, {"additionalProperties": False}),
        ({"properties": {"a": False}}, {"additionalProperties": False}),
    ],
)
def test_what_is_written_into_an_allow_policy(written: dict[str, Any], added: dict[str, Any]) -> None:
    before = copy.deepcopy(written)
    stored = compiled(written, "allow").stored
    assert stored == written | added
    assert written == before
    assert compiled(stored, "allow").stored == stored


@pytest.mark.parametrize(
    ("values", "pointer", "reason", "errored"),
    [
        ({"amount": 501, "to": "x"}, "/amount", "/amount is above 500.", False),
        ({"amount": "5", "to": "x"}, "/amount", "/amount is not of type number.", True),
        ({"amount": "1,000", "to": "x"}, "/amount", "/amount is not of type number.", True),
        ({"amount": None, "to": "x"}, "/amount", "/amount is not of type number.", True),
        ({"amount": [5], "to": "x"}, "/amount", "/amount is not of type number.", True),
        ({"amount": True, "to": "x"}, "/amount", "/amount is not of type number.", True),
        ({"to": "x"}, "/amount", "/amount is missing.", True),
        ({}, "/amount", "/amount is missing.", True),
        (
            {"amount": 5, "to": "x", "target": "y"},
            "/target",
            "/target is not among the arguments that the policy names.",
            True,
        ),
        ({"amount": 5, "to": "x", "a/b": 1}, "/a~1b", "/a~1b is not among the arguments that the policy names.", True),
    ],
)
def test_an_allow_policy_says_what_is_in_the_way(
    values: dict[str, Any], pointer: str, reason: str, errored: bool
) -> None:
    assert compiled(PAYMENT, "allow").match(values) == Match(False, errored, reason, pointer)


def test_an_allow_policy_matches_what_fits() -> None:
    assert compiled(PAYMENT, "allow").match({"amount": 500, "to": "x"}) == Match(True, False, "", "")


def test_a_reason_never_repeats_a_value() -> None:
    schema = {"properties": {"a": {"type": "string", "pattern": "^x", "maxLength": 3, "enum": ["x"], "format": "date"}}}
    for effect in ("allow", "deny"):
        assert "secret" not in repr(compiled(schema, effect).match({"a": "secret"}))  # type: ignore[arg-type]


def test_a_property_limited_deeper_must_be_named_at_the_top() -> None:
    part = {"type": "object", "properties": {"amount": {"type": "number", "maximum": 5}}}
    for schema, pointer in [
        ({"allOf": [part]}, "/allOf/0/properties/amount"),
        ({"anyOf": [part, {}]}, "/anyOf/0/properties/amount"),
        ({"if": part, "then": {}}, "/if/properties/amount"),
        ({"$ref": "#/$defs/pay", "$defs": {"pay": part}}, "/$defs/pay/properties/amount"),
        ({"dependentSchemas": {"x": part}, "properties": {"x": {}}}, "/dependentSchemas/x/properties/amount"),
        ({"allOf": [part], "additionalProperties": True}, "/allOf/0/properties/amount"),
    ]:
        assert list(faults(schema, "allow")) == [pointer]
        named = schema | {"properties": {"amount": {}, "x": {}}}
        assert not compiled(named, "allow").match({"x": 1}).matches
        compiled(schema, "deny")


# What a deny policy does with doubt.


def denies(schema: dict[str, Any], values: dict[str, Any]) -> bool | str:
    """True when the deny policy matches plainly, "doubt" when it matches because it cannot tell, False otherwise."""
    found = compiled(schema, "deny").match(values)
    assert not (found.errored and not found.matches)
    assert bool(found.reason) is (found.errored or not found.matches)
    return "doubt" if found.errored else found.matches


NUMBER = {"type": "number", "minimum": 1000}
TEXT = {"type": "string", "pattern": "evil"}


@pytest.mark.parametrize(
    ("schema", "values", "answer"),
    [
        # values of the kind that is limited
        ({"properties": {"a": NUMBER}}, {"a": 1000}, True),
        ({"properties": {"a": NUMBER}}, {"a": 999}, False),
        ({"properties": {"a": {"type": "integer", "minimum": 5}}}, {"a": 5.0}, True),
        ({"properties": {"a": TEXT}}, {"a": "good"}, False),
        ({"properties": {"a": {"type": "string", "maxLength": 2}}}, {"a": "abc"}, False),
        ({"properties": {"a": {"type": "string", "format": "ipv4"}}}, {"a": "abc"}, False),
        ({"properties": {"a": {"type": "number", "multipleOf": 5}}}, {"a": 7}, False),
        ({"properties": {"a": {"const": "x"}}}, {"a": "y"}, False),
        ({"properties": {"a": {"enum": ["x", 1]}}}, {"a": "y"}, False),
        ({"properties": {"a": {"enum": ["x", 1]}}}, {"a": 2}, False),
        ({"properties": {"a": {"const": {"b": "x"}}}}, {"a": {"b": "y"}}, False),
        ({"properties": {"a": {"type": "array", "maxItems": 1}}}, {"a": [1, 2]}, False),
        ({"properties": {"a": {"type": "array", "items": TEXT}}}, {"a": ["evil", "good"]}, False),
        ({"properties": {"a": {"type": "array", "contains": TEXT}}}, {"a": ["good"]}, False),
        ({"properties": {"a": {"type": "array", "contains": TEXT}}}, {"a": []}, False),
        ({"properties": {"a": {"type": "array", "uniqueItems": True}}}, {"a": [1, 1]}, False),
        # null, text, lists where something else is limited
        ({"properties": {"a": NUMBER}}, {"a": "5000"}, "doubt"),
        ({"properties": {"a": NUMBER}}, {"a": "1,000"}, "doubt"),
        ({"properties": {"a": NUMBER}}, {"a": None}, "doubt"),
        ({"properties": {"a": NUMBER}}, {"a": True}, "doubt"),
        ({"properties": {"a": TEXT}}, {"a": None}, "doubt"),
        ({"properties": {"a": TEXT}}, {"a": ["evil"]}, "doubt"),
        ({"properties": {"a": TEXT}}, {"a": {"x": "evil"}}, "doubt"),
        ({"properties": {"a": {"type": "integer", "minimum": 5}}}, {"a": 5.5}, "doubt"),
        ({"properties": {"a": {"const": "x"}}}, {"a": 5}, "doubt"),
        ({"properties": {"a": {"const": "x"}}}, {"a": ["x"]}, "doubt"),
        ({"properties": {"a": {"const": 1}}}, {"a": True}, "doubt"),
        ({"properties": {"a": {"enum": ["x", 1]}}}, {"a": None}, "doubt"),
        ({"properties": {"a": {"const": {"b": "x"}}}}, {"a": {"b": ["x"]}}, "doubt"),
        ({"properties": {"a": {"const": {"b": "x"}}}}, {"a": {"b": "x", "c": 1}}, "doubt"),
        ({"properties": {"a": {"const": ["x", "y"]}}}, {"a": ["x", None]}, "doubt"),
        ({"properties": {"a": {"type": "array", "items": TEXT}}}, {"a": ["good", None]}, "doubt"),
        ({"properties": {"a": {"type": "array", "contains": TEXT}}}, {"a": ["good", None]}, "doubt"),
        # absent arguments
        ({"properties": {"a": NUMBER}}, {}, True),
        ({"properties": {"a": NUMBER}, "required": ["a"]}, {}, "doubt"),
        ({"properties": {"a": NUMBER, "b": TEXT}}, {"a": 1}, False),
        ({"properties": {"a": NUMBER, "b": TEXT}}, {"a": 1000}, True),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "doubt"),
        ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}, "doubt"),
        # more than the schema names
        ({"properties": {"a": {}}, "additionalProperties": False}, {"a": 1, "b": 2}, "doubt"),
        ({"properties": {"a": NUMBER}, "additionalProperties": False}, {"a": 1, "b": 2}, "doubt"),
        ({"additionalProperties": {"type": "number", "maximum": 3}}, {"b": 4}, "doubt"),
        ({"properties": {"a": {}}, "unevaluatedProperties": False}, {"a": 1, "b": 2}, "doubt"),
        ({"maxProperties": 1}, {"a": 1, "b": 2}, "doubt"),
        ({"minProperties": 1}, {}, "doubt"),
        ({"propertyNames": {"maxLength": 1}}, {"bb": 2}, "doubt"),
        # alternatives
        ({"anyOf": [{"properties": {"a": NUMBER}}, {"properties": {"a": {"const": 7}}}]}, {"a": 8}, False),
        ({"anyOf": [{"properties": {"a": NUMBER}}, {"properties": {"a": TEXT}}]}, {"a": 8}, "doubt"),
        ({"oneOf": [{"properties": {"a": NUMBER}}, {"properties": {"a": {"const": 7}}}]}, {"a": 8}, False),
        ({"oneOf": [{"properties": {"a": NUMBER}}, {"properties": {"a": TEXT}}]}, {"a": None}, "doubt"),
        ({"oneOf": [{"properties": {"a": NUMBER}}, {"properties": {"a": {"const": 1000}}}]}, {"a": 1000}, False),
        ({"oneOf": [{"properties": {"a": NUMBER}}, {"properties": {"a": {"const": 1000}}}]}, {}, "doubt"),
        # negations and conditions
        ({"properties": {"a": {"not": {"const": "good"}}}}, {"a": "good"}, False),
        ({"properties": {"a": {"not": {"const": "good"}}}}, {"a": "bad"}, True),
        ({"properties": {"a": {"not": {"const": "good"}}}}, {"a": None}, True),
        ({"not": {"properties": {"a": {"const": "good"}}}}, {}, "doubt"),
        ({"not": {"not": {"properties": {"a": NUMBER}}}}, {"a": 1}, False),
        ({"not": {"not": {"properties": {"a": NUMBER}}}}, {"a": "5000"}, "doubt"),
        (
            {"if": {"properties": {"c": {"const": "EUR"}}}, "then": {"properties": {"a": NUMBER}}, "else": False},
            {"c": "USD"},
            False,
        ),
        (
            {"if": {"properties": {"c": {"const": "EUR"}}}, "then": {"properties": {"a": NUMBER}}, "else": False},
            {"c": None},
            "doubt",
        ),
        (
            {"if": {"properties": {"c": {"const": "EUR"}}}, "then": False, "else": {"properties": {"a": NUMBER}}},
            {"a": 1},
            False,
        ),
        (
            {"if": {"properties": {"c": {"const": "EUR"}}}, "then": False, "else": {"properties": {"a": NUMBER}}},
            {"a": 5000},
            "doubt",
        ),
        # through a reference, and beside one
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"a": NUMBER}}}}, {"a": 1}, False),
        (
            {"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"a": NUMBER}}}},
            {"a": "5000"},
            "doubt",
        ),
    ],
)
def test_a_deny_policy_is_avoided_only_by_a_certain_difference(
    schema: dict[str, Any], values: dict[str, Any], answer: bool | str
) -> None:
    assert denies(schema, values) == answer


def test_a_deny_policy_names_the_doubtful_argument() -> None:
    found = compiled({"properties": {"a": {"type": "array", "items": NUMBER}}}, "deny").match({"a": [5000, "5000"]})
    assert found == Match(True, True, "/a/1 is not of type number.", "/a/1")


def test_values_that_are_not_json_are_doubt() -> None:
    schema = {"properties": {"a": NUMBER}}
    for value in ({1: 2}, object()):
        assert denies(schema, {"a": value}) == "doubt"
        assert not compiled(schema, "allow").match({"a": value}).matches


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        ({"properties": {"a": NUMBER, "b": TEXT, "c": {}, "d": {"title": "D"}}, "required": ["b"]}, ("a",)),
        ({"allOf": [{"properties": {"a": NUMBER}}]}, ("a",)),
        ({"properties": {"a": False}}, ("a",)),
        ({}, ()),
    ],
)
def test_arguments_that_are_limited_but_optional_are_named(schema: dict[str, Any], names: tuple[str, ...]) -> None:
    assert compiled(schema, "deny").optional_limited == names
    if "allOf" not in schema and False not in schema.get("properties", {}).values():
        assert compiled(schema, "allow").optional_limited == ()


# Schemas that are refused.


@pytest.mark.parametrize(
    ("schema", "pointer", "named"),
    [
        ([], "", "an object such as"),
        (True, "", "an object such as"),
        ({"maximun": 3}, "/maximun", "is not a keyword"),
        ({"properties": {"a": {"type": "number", "Maximum": 3}}}, "/properties/a/Maximum", "is not a keyword"),
        ({"x-note": 1}, "/x-note", "is not a keyword"),
        ({"definitions": {}}, "/definitions", "use $defs"),
        ({"dependencies": {}}, "/dependencies", "use dependentRequired"),
        ({"unevaluatedItems": False}, "/unevaluatedItems", "use items"),
        ({"contentEncoding": "base64"}, "/contentEncoding", "is not a keyword"),
        ({"type": "array"}, "/type", "always an object"),
        ({"type": ["object", "null"]}, "/type", "always an object"),
        ({"maximum": 3}, "/maximum", "the type here is another"),
        ({"properties": {"a": {"maximum": 3}}}, "/properties/a/maximum", 'write "type": "number" beside it'),
        ({"properties": {"a": {"maxLength": 3}}}, "/properties/a/maxLength", 'write "type": "string" beside it'),
        ({"properties": {"a": {"items": {}}}}, "/properties/a/items", 'write "type": "array" beside it'),
        ({"properties": {"a": {"required": []}}}, "/properties/a/required", 'write "type": "object" beside it'),
        ({"properties": {"a": {"type": "string", "maximum": 3}}}, "/properties/a/maximum", "the type here is another"),
        ({"properties": {"a": {"enum": ["x"], "maximum": 3}}}, "/properties/a/maximum", "the type here is another"),
        ({"properties": {"a": {"type": "strin"}}}, "/properties/a/type", "A type is one of"),
        ({"properties": {"a": {"type": "string", "format": "color"}}}, "/properties/a/format", "A format is one of"),
        ({"properties": {"a": {"type": "string", "format": "regex"}}}, "/properties/a/format", "A format is one of"),
        ({"properties": {"a": {"type": "number", "maximum": "3"}}}, "/properties/a/maximum", "not of type"),
        ({"properties": {"a": {"type": "number", "maximum": float("nan")}}}, "/properties/a/maximum", "not finite"),
        ({"properties": {"a": 5}}, "/properties/a", "not of type"),
        ({"properties": []}, "/properties", "not of type"),
        ({"required": "a"}, "/required", "not of type"),
        ({"allOf": []}, "/allOf", "less than 1 item"),
        ({"minProperties": -1}, "/minProperties", "less than the minimum"),
        ({"then": {}}, "/then", "nothing without if"),
        (
            {"properties": {"a": {"type": "array", "maxContains": 1}}},
            "/properties/a/maxContains",
            "nothing without contains",
        ),
        ({"properties": {"a": {"$defs": {}}}}, "/properties/a/$defs", "at the top"),
        (
            {"properties": {"a": {"type": "object", "unevaluatedProperties": False}}},
            "/properties/a/unevaluatedProperties",
            "at the top",
        ),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema", "Only JSON Schema 2020-12"),
        ({"properties": {"a": {"$schema": DIALECT}}}, "/properties/a/$schema", "at the top"),
        ({"$defs": {"a/b": {}}}, "/$defs/a~1b", "letters, digits"),
        ({"$ref": "#/$defs/none"}, "/$ref", "and nowhere else"),
        ({"$ref": "#"}, "/$ref", "and nowhere else"),
        ({"$ref": "#/properties/a", "properties": {"a": {}}}, "/$ref", "and nowhere else"),
        ({"$ref": 5}, "/$ref", "and nowhere else"),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}}, "/$defs/a", "leads back to itself"),
        (
            {
                "$ref": "#/$defs/a",
                "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}},
            },
            "/$defs/a",
            "leads back to itself",
        ),
    ],
)
def test_what_is_not_understood_is_a_fault_with_its_pointer(schema: Any, pointer: str, named: str) -> None:
    found = faults(schema)
    assert list(found) == [pointer]
    assert named in found[pointer]
    assert list(faults(schema, "allow")) == [pointer]


@pytest.mark.parametrize("pattern", ["(", "(?=a)b", "(?<!a)b", r"(a)\1", "a{1000}{1000}", "(?:.{0,500}){50}"])
def test_only_patterns_that_match_in_linear_time_are_taken(pattern: str) -> None:
    assert (
        "linear time" in faults({"properties": {"a": {"type": "string", "pattern": pattern}}})["/properties/a/pattern"]
    )
    assert "linear time" in faults({"patternProperties": {pattern: {}}})[f"/patternProperties/{pattern}"]


def test_every_fault_is_told_at_once() -> None:
    schema = {"maximun": 1, "properties": {"a": {"type": "number", "maximum": "3"}, "b": {"minLength": 1}}, "$id": "x"}
    assert set(faults(schema)) == {"/maximun", "/properties/a/maximum", "/properties/b/minLength", "/$id"}


def test_annotations_limit_nothing_and_are_allowed() -> None:
    notes = {"title": "t", "description": "d", "default": 1, "examples": [1], "$comment": "c", "deprecated": True}
    schema = {"$schema": DIALECT, **notes, "properties": {"a": notes}}
    assert compiled(schema, "allow").match({"a": 5}).matches


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_on_the_list_is_asserted(name: str) -> None:
    schema = {"properties": {"a": {"type": "string", "format": name}}}
    assert compiled(schema, "allow").match({"a": "\x00 {~ [("}) == Match(
        False, False, f"/a is not written as {name}.", "/a"
    )


# Nothing from outside, and bounds.


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}/schema.json", asked
    http.shutdown()
    http.server_close()


def test_nothing_is_ever_fetched(server: tuple[str, list[str]], tmp_path: Path) -> None:
    address, asked = server
    jsonschema_rs.validator_for({"$ref": address})
    assert asked  # the library does fetch when it is let
    asked.clear()
    file = tmp_path / "schema.json"
    file.write_text('{"maxProperties": 0}')
    assert not jsonschema_rs.validator_for({"$ref": file.as_uri()}).is_valid({"a": 1})  # and reads files
    for target in (address, file.as_uri(), str(file), f"//{address.partition('//')[2]}", f"{address}#/$defs/a"):
        for schema in (
            {"$ref": target},
            {"$dynamicRef": target},
            {"$recursiveRef": target},
            {"$schema": target},
            {"$id": target, "$ref": "other.json"},
            {"$id": target, "$ref": "#/$defs/a", "$defs": {"a": {}}},
            {"$vocabulary": {target: True}},
            {"$anchor": "a", "$ref": "#a"},
            {"properties": {"a": {"$ref": target}}},
            {"properties": {"a": {"$id": target}}},
            {"$defs": {"a": {"$ref": target}}},
            {"$defs": {target: {}}, "$ref": f"#/$defs/{target}"},
            {"additionalProperties": {"not": {"$ref": target}}},
        ):
            for effect in ("allow", "deny"):
                assert faults(schema, effect)  # type: ignore[arg-type]
    arguments = compiled({"properties": {"a": {"const": {"$ref": address}}}}, "allow")  # a value, not a reference
    assert arguments.match({"a": {"$ref": address}}).matches
    for target in (address, file.as_uri()):
        with pytest.raises(jsonschema_rs.ValidationError, match="Retrieval is disabled"):
            compile_validator({"$ref": target})  # even if a reference came past the check
    assert asked == []


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


def chain(links: int, each: int = 1) -> dict[str, Any]:
    """Definitions of which each refers `each` times to the next."""
    defs = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * each} for n in range(links)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{links}": {}}}


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        (nested(16), "16 deep"),
        ({"allOf": [{}] * 1000}, "1000 parts"),
        (chain(8), "parts deep"),
        (chain(100), "over 16 others"),
        (chain(7, each=9), "parts and listed values"),
        (chain(40, each=2), "others"),
        ({"properties": {"a": {"enum": list(range(10_000))}}}, "parts and listed values"),
        ({"description": "x" * 65536}, "64 KB"),
        ({"properties": {"a": {"type": "string", "pattern": "a" * 513}}}, "512 characters"),
        ({"patternProperties": {f"a{n}": {} for n in range(MAX_PATTERNS + 1)}}, "100 patterns"),
    ],
)
def test_size_is_bounded(schema: dict[str, Any], named: str) -> None:
    begun = time.process_time()
    assert any(named in message for message in faults(schema).values())
    assert time.process_time() - begun < 5


def test_what_is_within_the_bounds_is_taken() -> None:
    for schema in (
        nested(15),
        {"allOf": [{}] * 999},
        chain(7, each=2),
        {"patternProperties": {f"a{n}": {} for n in range(MAX_PATTERNS)}},
    ):
        compiled(schema, "deny")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ({"type": "string", "pattern": "^(a+)+$"}, "a" * 200_000 + "b"),
        ({"type": "string", "pattern": "a[ab]{500}[^ab]x"}, "ab" * 100_000),
        ({"type": "string", "pattern": "a[ab]{500}[^ab]x"}, "ab" * 32_000),
        ({"type": "array", "items": {"enum": [str(n) for n in range(5000)]}}, ["4999"] * 30_000),
        ({"type": "array", "items": {"allOf": [{"type": "number", "minimum": n} for n in range(900)]}}, [1] * 100_000),
        (
            {"type": "array", "contains": {"anyOf": [{"type": "number", "minimum": n} for n in range(2, 900)]}},
            [1] * 20_000,
        ),
        ({"type": "array", "uniqueItems": True}, [[n] for n in range(30_000)] + [[0]]),
    ],
)
def test_large_arguments_are_compared_in_bounded_time_or_are_doubt(part: dict[str, Any], value: Any) -> None:
    begun = time.process_time()
    allowed = compiled({"properties": {"a": part}}, "allow").match({"a": value})
    denied = compiled({"properties": {"a": part}}, "deny").match({"a": value})
    assert time.process_time() - begun < 10  # about a second; unbounded work would take minutes
    assert not allowed.matches
    assert denied.matches is denied.errored


def test_a_long_text_without_a_pattern_does_not_weigh_on_a_pattern_beside_it() -> None:
    schema = {"properties": {"to": {"type": "string", "pattern": "@evil"}, "body": {"type": "string"}}}
    assert denies(schema, {"to": "a@good", "body": "x" * 200_000}) is False
    assert denies(schema, {"to": "x" * 200_000, "body": ""}) == "doubt"


# Properties.

SCALARS: list[Any] = [None, True, False, 0, 1, 2, 2.5, 5, -1, "", "a", "ab", "evil", "5"]
values_of_any_kind = (
    st.sampled_from(SCALARS)
    | st.lists(st.sampled_from(SCALARS), max_size=3)
    | st.dictionaries(st.sampled_from("xy"), st.sampled_from(SCALARS), max_size=2)
)
calls = st.dictionaries(st.sampled_from("abc"), values_of_any_kind, max_size=3)

_limits: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "number": {
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), st.integers(-1, 5)),
        "multipleOf": st.sampled_from([1, 2, 2.5]),
    },
    "string": {
        **dict.fromkeys(("minLength", "maxLength"), st.integers(0, 3)),
        "pattern": st.sampled_from(["^a", "b$", "evil", "^[0-9]+$"]),
        "format": st.sampled_from(["date", "ipv4", "uri-reference"]),
    },
}


def _extended(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.fixed_dictionaries(
        {"type": st.just("array")},
        optional={
            "items": parts,
            "prefixItems": st.lists(parts, min_size=1, max_size=2),
            "maxItems": st.integers(0, 3),
            "minItems": st.integers(0, 2),
            "uniqueItems": st.booleans(),
            "contains": parts,
        },
    )
    counted = st.fixed_dictionaries(
        {"type": st.just("array"), "contains": parts},
        optional={"minContains": st.integers(0, 2), "maxContains": st.integers(0, 2)},
    )
    objects = st.builds(lambda part: {"type": "object", **part}, _objects(parts))
    combined = st.fixed_dictionaries(
        {},
        optional={
            "allOf": st.lists(parts, min_size=1, max_size=2),
            "anyOf": st.lists(parts, min_size=1, max_size=2),
            "oneOf": st.lists(parts, min_size=1, max_size=3),
            "not": parts,
        },
    )
    conditional = st.fixed_dictionaries({"if": parts}, optional={"then": parts, "else": parts})
    return lists | counted | objects | combined | conditional


def _objects(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from("abxy")
    return st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(names, parts, max_size=2),
            "required": st.lists(names, max_size=1),
            "additionalProperties": parts,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "x"]), parts, max_size=1),
            "minProperties": st.integers(0, 1),
            "maxProperties": st.integers(0, 2),
            "propertyNames": st.just({"maxLength": 1, "pattern": "[abx]"}),
            "dependentRequired": st.just({"a": ["b"]}),
            "dependentSchemas": st.dictionaries(
                st.just("a"), parts.map(lambda part: {"properties": {"b": part}}), max_size=1
            ),
        },
    )


_leaves = (
    st.booleans()
    | st.builds(
        lambda kind: {"type": kind},
        st.sampled_from(["null", "boolean", "integer", ["string", "null"], ["number", "array"]]),
    )
    | st.builds(lambda options: {"enum": options}, st.lists(st.sampled_from(SCALARS), min_size=1, max_size=3))
    | st.builds(lambda value: {"const": value}, values_of_any_kind)
    | st.fixed_dictionaries({"type": st.just("number")}, optional=_limits["number"])
    | st.fixed_dictionaries({"type": st.just("string")}, optional=_limits["string"])
)
parts = st.recursive(_leaves, _extended, max_leaves=6)
schemas = _objects(parts) | st.builds(
    lambda a, b: {**a, **b},
    _objects(parts),
    st.fixed_dictionaries(
        {},
        optional={
            "not": _objects(parts),
            "anyOf": st.lists(_objects(parts), min_size=1, max_size=2),
            "oneOf": st.lists(_objects(parts), min_size=1, max_size=2),
            "if": _objects(parts),
        },
    ),
)


@settings(max_examples=250, deadline=None)
@given(schemas, calls)
def test_the_second_reading_agrees_with_the_library(schema: dict[str, Any], values: dict[str, Any]) -> None:
    """Two implementations: what FITS is valid, what DIFFERS is not."""
    assume(isinstance(compile_arguments(schema, "deny"), Arguments))
    valid = jsonschema_rs.Draft202012Validator(schema, validate_formats=True).is_valid(values)
    rank = Examination(schema, compile_leaves(schema)).verdict(values).rank
    assert rank is not (Rank.DIFFERS if valid else Rank.FITS)
    deny = compiled(schema, "deny").match(values)
    assert deny.matches is (valid or rank is not Rank.DIFFERS)
    assert deny.errored is (deny.matches and not valid)


@settings(max_examples=150, deadline=None)
@given(schemas, calls)
def test_an_allow_policy_matches_only_what_the_schema_as_written_allows_too(
    schema: dict[str, Any], values: dict[str, Any]
) -> None:
    arguments = compile_arguments(schema, "allow")
    assume(isinstance(arguments, Arguments))
    assert isinstance(arguments, Arguments)
    again = compiled(arguments.stored, "allow")
    assert again.stored == arguments.stored
    assert again.match(values) == arguments.match(values)
    if arguments.match(values).matches:
        assert jsonschema_rs.Draft202012Validator(schema, validate_formats=True).is_valid(values)
        assert {name for name, part in schema.get("properties", {}).items() if part is not False} <= set(values)
        if "additionalProperties" not in schema and "patternProperties" not in schema:
            assert set(values) <= set(schema.get("properties", {}))


_more = st.one_of(
    st.tuples(st.just("required"), st.lists(st.sampled_from("abc"), max_size=2, unique=True)),
    st.tuples(st.just("allOf"), st.lists(schemas, min_size=1, max_size=2)),
    st.tuples(st.sampled_from(["not", "if"]), schemas),
    st.tuples(st.sampled_from(["anyOf", "oneOf"]), st.lists(schemas, min_size=1, max_size=2)),
    st.tuples(st.just("maxProperties"), st.integers(0, 2)),
    st.tuples(st.just("minProperties"), st.integers(0, 2)),
    st.tuples(st.just("propertyNames"), st.just({"pattern": "a"})),
    st.tuples(st.just("dependentRequired"), st.just({"a": ["c"]})),
)


@settings(max_examples=250, deadline=None)
@given(schemas, _more, calls)
def test_adding_a_keyword_to_an_allow_policy_never_makes_it_match_more(
    schema: dict[str, Any], more: tuple[str, Any], values: dict[str, Any]
) -> None:
    """Leaving out the keywords that name further arguments, which is what they are for."""
    keyword, value = more
    assume(keyword not in schema)
    fewer, narrower = compile_arguments(schema, "allow"), compile_arguments({**schema, keyword: value}, "allow")
    assume(isinstance(fewer, Arguments))
    if isinstance(narrower, Arguments) and isinstance(fewer, Arguments) and narrower.match(values).matches:
        assert fewer.match(values).matches


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["number", "string"]).flatmap(
        lambda kind: st.tuples(
            st.fixed_dictionaries({"type": st.just(kind)}, optional=_limits[kind]),
            st.sampled_from(sorted(_limits[kind])).flatmap(lambda k: st.tuples(st.just(k), _limits[kind][k])),
        )
    ),
    values_of_any_kind,
)
def test_adding_a_limit_to_an_argument_never_makes_an_allow_policy_match_more(
    limits: tuple[dict[str, Any], tuple[str, Any]], value: Any
) -> None:
    part, (keyword, limit) = limits
    assume(keyword not in part)
    if compiled({"properties": {"a": {**part, keyword: limit}}}, "allow").match({"a": value}).matches:
        assert compiled({"properties": {"a": part}}, "allow").match({"a": value}).matches


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "$ref", "$defs", "allOf", "pattern", "items", "if", "x", "number", "#/$defs/x"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(JSON, st.sampled_from(["allow", "deny"]), calls)
def test_no_document_breaks_the_compiler(document: Any, effect: Effect, values: dict[str, Any]) -> None:
    found = compile_arguments(document, effect)
    if isinstance(found, list):
        assert found
    else:
        assert isinstance(found.match(values), Match)
