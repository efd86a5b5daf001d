"""Any JSON as a policy document: refused with faults or stored whole, never a crash, a hang or half a policy."""

from __future__ import annotations

import json
import os
import time
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.deep.loading import GOOD, loaded_or_faults
from tests.support import Api

DEEP = os.environ.get("ACT_DEEP") == "1"
SECONDS = 10.0
"""For one document: far above what any takes, far below a hang."""

pytestmark = pytest.mark.timeout(1500)

_KEYWORDS = (
    *("type", "properties", "required", "additionalProperties", "$ref", "$defs", "allOf", "anyOf", "oneOf", "not"),
    *("if", "then", "else", "enum", "const", "pattern", "format", "items", "prefixItems", "contains", "maximum"),
    *("multipleOf", "minLength", "maxItems", "uniqueItems", "$id", "$schema", "$dynamicRef", "unevaluatedProperties"),
    *("patternProperties", "propertyNames", "dependentRequired", "dependentSchemas", "minProperties", "$anchor"),
)
_WORDS = st.sampled_from(
    [
        *("", "*", "a", "object", "number", "true", "args.n", "args.n <", "09:00-17:00 UTC", "25:00-26:00 UTC"),
        *("2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "allow", "deny", "shadow"),
        *(
            "*" * 9,
            "a" * 5000,
            "\x00",
            "e\u0301",
            "\u202e",
            " a",
            "..",
            "%2e",
            "#",
            "#/$defs/a",
            "http://127.0.0.1:1/x",
        ),
        *(
            "file:///etc/passwd",
            "(a+)+$",
            "[",
            "\\p{L}",
            "(?=a)",
            "example.com",
            "*.",
            "xn--a",
            "1.2.3.4",
            "🙂",
            "((((" * 99,
        ),
    ]
)
_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, 1, -1, 2**53, 1e308, -0.0])
    | _WORDS
    | st.text(max_size=8)
)
_keys = st.sampled_from([*GOOD, *GOOD["constraints"], *_KEYWORDS, "id", "a", "from", "to", "roles"]) | _WORDS  # type: ignore[misc]
anything = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4), max_leaves=20
)


def places(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at]
    for key, inner in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        found += places(inner, (*at, key))
    return found


def put(tree: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[at[0]] = put(copy[at[0]], at[1:], value)
    return copy


@st.composite
def nearly_good(draw: st.DrawFn) -> Any:
    """A good document with something else in one or two places, or with some fields left out."""
    kept = [key for key in GOOD if key in ("name", "actions", "resources") or draw(st.booleans())]
    written: Any = {key: GOOD[key] for key in kept}
    if draw(st.booleans()):
        written = {key: value for key, value in written.items() if key != "constraints"} | {"effect": "deny"}
    for _ in range(draw(st.integers(0, 2))):
        written = put(written, draw(st.sampled_from(places(written))), draw(anything))
    return written


written_documents = (
    nearly_good()
    | anything
    | st.fixed_dictionaries(
        {"name": st.just("n"), "actions": st.just(["*"]), "resources": st.just(["*"])},
        optional=dict.fromkeys(("arguments", "when", "constraints", "appliesTo", "validFrom", "id"), anything),
    )
)


def refused(written: Any) -> bool:
    """Whether it was refused, and then with a fault that says where."""
    began = time.monotonic()
    loaded, faults = loaded_or_faults(written)
    assert time.monotonic() - began < SECONDS
    assert loaded is not None or faults, "a refusal says where"
    return loaded is None


@settings(max_examples=5_000 if DEEP else 300)
@given(written_documents)
def test_a_document_is_loaded_or_refused_with_faults(written: Any) -> None:
    refused(written)


def test_the_good_document_is_good() -> None:
    assert not refused(GOOD)


@pytest.mark.parametrize(
    "written",
    [
        None,
        [],
        "",
        {},
        GOOD | {"arguments": {"$ref": "http://127.0.0.1:1/x"}},
        GOOD | {"arguments": {"properties": {"a": {"pattern": "(a+)+$" * 2000}}}},
        GOOD | {"arguments": {"$defs": {"a": {"$ref": "#/$defs/a"}}, "properties": {"n": {"$ref": "#/$defs/a"}}}},
        GOOD | {"when": "(" * 5000},
        GOOD | {"when": "args.l.all(a, args.l.all(b, args.l.all(c, true)))"},
        GOOD | {"actions": ["*" * 9]},
        GOOD | {"constraints": {"maxRequestsPerMoon": 1}},
        GOOD | {"name": "\ud800"},
    ],
)
def test_what_is_known_to_be_bad_is_refused(written: Any) -> None:
    assert refused(written)


def stored(api: Api) -> dict[str, Any]:
    """All policies by id."""
    found, cursor = {}, None
    while True:
        page = api.get("/v1/policies", params={"limit": 100} | ({"cursor": cursor} if cursor else {}))
        found |= {policy["id"]: policy for policy in page["items"]}
        cursor = page.get("nextCursor")
        if not cursor:
            return found


@settings(max_examples=500 if DEEP else 40, suppress_health_check=list(HealthCheck))
@given(written_documents)
def test_a_server_answers_and_keeps_all_or_nothing(api: Api, written: Any) -> None:
    body = json.dumps(written).encode()
    send = {"content": body, "headers": {"Content-Type": "application/json"}}
    judged = api.send("POST", "/v1/policies/validate", **send)
    assert judged.status_code in (200, 400, 422), judged.text
    before = stored(api)
    if isinstance(written, dict) and isinstance(written.get("id"), str) and written["id"] in before:
        return
    answer = api.send("POST", "/v1/policies", **send)
    assert answer.status_code in (201, 400, 409, 422), answer.text
    after = stored(api)
    if answer.status_code == 201:
        made = answer.json()
        assert judged.json()["valid"] is True
        assert after == before | {made["id"]: made}
        api.delete(f"/v1/policies/{made['id']}")
    else:
        assert after == before
        if judged.status_code == 200 and answer.status_code != 409:
            assert judged.json()["valid"] is False
            assert answer.json()["errors"]
    assert stored(api) == before
    assert api.get("/healthz")["status"] == "ok"


def test_a_bad_change_leaves_the_good_version(api: Api) -> None:
    agent = api.agent(f"worker-{uuid4().hex}", "worker")
    made = api.policy(["read"], ["api://a"], appliesTo={"agentIds": [agent]})
    for bad in ({"when": "args.n <"}, {"constraints": {"maxRows": -1}}, {"arguments": {"$ref": "http://x"}}, {"x": 1}):
        body = {"name": "n", "actions": ["*"], "resources": ["*"], "appliesTo": {"agentIds": [agent]}} | bad
        problem = api.put(f"/v1/policies/{made['id']}", body, status=422)
        assert problem["errors"], problem
    assert api.get(f"/v1/policies/{made['id']}") == made
