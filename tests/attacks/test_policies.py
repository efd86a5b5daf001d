"""Hostile policies, and calls that try to slip past good ones, through HTTP (6-threats, "Policies and conditions")."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest

from tests.attacks.log import caused, size
from tests.attacks.raw import exchange, head
from tests.support import ADMIN_KEY, Api, Server

BOUND = 5.0
"""Seconds that no hostile document or call may keep the server; generous, for slow and shared machines."""


@dataclass(frozen=True)
class Subject:
    """An agent without any policy, and what it is answered."""

    api: Api
    agent: str
    token: str

    def allow(self, **more: Any) -> Any:
        return self.api.policy(**({"appliesTo": {"agentIds": [self.agent]}} | more))

    def deny(self, **more: Any) -> Any:
        return self.allow(effect="deny", **more)

    def ask(self, resource: str = "bank://1", action: str = "pay", **more: Any) -> Any:
        decision = self.api.enforce(self.token, action, resource, **more)
        assert (decision["decision"] == "allowed") is (decision["reasonCode"] == "allowed")
        return decision

    def code(self, resource: str = "bank://1", action: str = "pay", **more: Any) -> str:
        return str(self.ask(resource, action, **more)["reasonCode"])


@pytest.fixture
def subject(api: Api) -> Subject:
    agent = api.agent()
    return Subject(api, agent, api.token(agent))


@pytest.fixture
def bait() -> Iterator[tuple[str, list[str]]]:
    """A server that nobody may ask: its URL, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"true")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as bait:
        thread = Thread(target=bait.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{bait.server_port}", asked
        bait.shutdown()
        thread.join(10)


def draft(**more: Any) -> dict[str, Any]:
    return {"name": f"p-{uuid4().hex}", "actions": ["*"], "resources": ["*"], "appliesTo": {"roles": ["none"]}, **more}


def pointers(api: Api, body: Any) -> list[str]:
    """The faults of a document that must be refused, and quickly, by both ways in; nothing is stored."""
    before = size(api)
    start = time.monotonic()
    problem = api.post("/v1/policies", body, status=422)
    validated = api.post("/v1/policies/validate", body, status=200)
    assert time.monotonic() - start < BOUND
    assert problem["code"] == "document_invalid"
    assert (validated["valid"], validated["errors"]) == (False, problem["errors"])
    assert caused(api, before) == []
    return [fault["pointer"] for fault in problem["errors"]]


def test_validating_tells_nothing_of_another_tenant(api: Api, stranger: Api) -> None:
    stored = api.post("/v1/policies", draft(id=f"pol-{uuid4().hex}"))
    next_version = stranger.post(f"/v1/policies/validate?policyId={stored['id']}", draft(), status=404)
    assert next_version["code"] == "not_found"
    assert stranger.post("/v1/policies/validate", draft(id=stored["id"]), status=200)["valid"] is True


# --- what errors ------------------------------------------------------------------------------------------------------

ERRORS: dict[str, dict[str, Any]] = {
    "missing field": {},
    "null": {"amount": None},
    "string for a number": {"amount": "5"},
    "a number with a comma": {"amount": "1,000"},
    "NaN as text": {"amount": "NaN"},
    "boolean": {"amount": True},
    "list": {"amount": [5]},
    "object": {"amount": {"value": 5}},
    "another case": {"Amount": 5},
}
errors = pytest.mark.parametrize("arguments", ERRORS.values(), ids=ERRORS.keys())


@errors
def test_a_deny_whose_condition_errors_denies(subject: Subject, arguments: dict[str, Any]) -> None:
    subject.allow()
    deny = subject.deny(when="args.amount > 1000")
    assert subject.code(arguments={"amount": 5}) == "allowed"
    decision = subject.ask(arguments=arguments)
    assert decision["reasonCode"] == "policy_denied"
    assert [policy["id"] for policy in decision["policies"]] == [deny["id"]]
    assert "condition" in decision["reason"]


@errors
def test_a_deny_whose_schema_cannot_be_compared_denies(subject: Subject, arguments: dict[str, Any]) -> None:
    subject.allow()
    subject.deny(arguments={"properties": {"amount": {"type": "number", "minimum": 1000}}, "required": ["amount"]})
    assert subject.code(arguments={"amount": 5}) == "allowed"
    assert subject.code(arguments=arguments) == "policy_denied"


@errors
def test_an_allow_whose_condition_errors_allows_nothing(subject: Subject, arguments: dict[str, Any]) -> None:
    subject.allow(when="args.amount <= 1000")
    assert subject.code(arguments={"amount": 5}) == "allowed"
    assert subject.code(arguments=arguments) == "no_matching_policy"


@errors
def test_an_allow_is_not_met_by_what_its_schema_cannot_compare(subject: Subject, arguments: dict[str, Any]) -> None:
    policy = subject.allow(arguments={"properties": {"amount": {"type": "number", "maximum": 1000}}})
    assert subject.code(arguments={"amount": 5}) == "allowed"
    decision = subject.ask(arguments=arguments)
    assert decision["reasonCode"] == "no_matching_policy"
    [near] = decision["nearMisses"]
    assert near["policyId"] == policy["id"]
    assert near["pointer"].startswith("/arguments")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
def test_a_number_that_is_none_reaches_no_condition(server: Server, subject: Subject, number: bytes) -> None:
    subject.allow()
    answer = enforced(server, subject, b'{"amount": ' + number + b"}")
    assert (answer.status, answer.json()["code"], answer.json()["decision"]) == (400, "json_malformed", "denied")


@pytest.mark.parametrize(
    "arguments",
    [b'{"amount": 5, "amount": 5000}', b'{"amount": 9007199254740993}', b'{"a":' * 40 + b"1" + b"}" * 40],
    ids=["duplicate key", "beyond 2^53", "nested"],
)
def test_what_two_readers_read_differently_reaches_no_policy(
    server: Server, subject: Subject, arguments: bytes
) -> None:
    subject.allow()
    answer = enforced(server, subject, arguments)
    assert (answer.status, answer.json()["decision"]) == (422, "denied")
    assert answer.json()["errors"][0]["pointer"].startswith("/arguments")


def enforced(server: Server, subject: Subject, arguments: bytes) -> Any:
    """Ask with arguments as these very bytes."""
    body = (
        b'{"requestId": "r-%s", "capabilityToken": "%s", "action": "pay", "resourceId": "bank://1", "arguments": %s}'
        % (uuid4().hex.encode(), subject.token.encode(), arguments)
    )
    lines = (f"X-Api-Key: {ADMIN_KEY}", "Content-Type: application/json", f"Content-Length: {len(body)}")
    return exchange(server.url, head("POST", "/v1/enforce", *lines) + body)


# --- arguments --------------------------------------------------------------------------------------------------------


def test_nothing_is_smuggled_past_a_limit(subject: Subject) -> None:
    subject.allow(arguments={"properties": {"to": {"enum": ["bob"]}}})
    assert subject.code(arguments={"to": "bob"}) == "allowed"
    beside = [{"target": "eve"}, {"To": "eve"}, {"to ": "eve"}, {"t\u043e": "eve"}, {"": "eve"}, {"__proto__": {}}]
    for more in beside:
        assert subject.code(arguments={"to": "bob"} | more) == "no_matching_policy", more
    for instead in ({}, *beside):
        assert subject.code(arguments=instead) == "no_matching_policy", instead
    for value in (["bob"], ["bob", "eve"], None, "bob ", "Bob", "bob,eve", "bob\u0000", {"bob": "bob"}):
        assert subject.code(arguments={"to": value}) == "no_matching_policy", value


def test_a_branch_of_a_schema_is_closed_too(subject: Subject) -> None:
    """A limit in one alternative cannot be avoided by leaving out its argument, or by adding one."""
    branches = [
        {"properties": {"kind": {"const": "small"}, "amount": {"maximum": 10, "type": "number"}}},
        {"properties": {"kind": {"const": "large"}, "amount": {"maximum": 99, "type": "number"}}},
    ]
    subject.allow(arguments={"properties": {"kind": {}, "amount": {}}, "anyOf": branches})
    assert subject.code(arguments={"kind": "small", "amount": 10}) == "allowed"
    assert subject.code(arguments={"kind": "large", "amount": 11}) == "allowed"
    for arguments in ({"kind": "small", "amount": 11}, {"amount": 5}, {"kind": "large"}, {"kind": "huge", "amount": 1}):
        assert subject.code(arguments=arguments) == "no_matching_policy", arguments
    assert subject.code(arguments={"kind": "small", "amount": 1, "x": 1}) == "no_matching_policy"


# --- domains ----------------------------------------------------------------------------------------------------------

URLS = [
    "http://allowed.com\\@127.0.0.1/",
    "http://allowed.com@127.0.0.1/",
    "http://127.0.0.1\\@allowed.com/",
    "http://allowed.com%2f@evil.com/",
    "http://LOCALHOST./",
    "http://localhost/",
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://metadata.google.internal/",
    "http://169.254.169.254/latest/meta-data/",
    "http://allowed.com./",
    "http://allowed.com.evil.com/",
    "http://evil.com/allowed.com",
    "http:evil.com",
    "http:/evil.com",
    "http:///evil.com",
    "//evil.com/",
    "\\\\evil.com\\share",
    "/\\evil.com",
    " http://evil.com",
    "ht\ntp://evil.com/",
    "http://ev\til.com/",
    "http://\u0430llowed.com/",
    "http://allowed\u3002com/",
    "http://allowed.com\u200b.evil.com/",
    "http://\uff45vil.com/",
    "http://allowed.com:80@evil.com/",
    "http://allowed.com,evil.com/",
    "http://allowed.com http://evil.com",
    "javascript://allowed.com/%0aalert(1)//@evil.com",
    "mailto:eve@evil.com",
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("name", ["link", "url"])
def test_no_url_leads_outside(guarded: Subject, name: str, url: str) -> None:
    assert guarded.code(arguments={name: url}) == "domain_not_allowed"
    assert guarded.code(arguments={"deep": [{"in": {name: [url]}}]}) == "domain_not_allowed"


@pytest.mark.parametrize(
    "to",
    [
        "bob@allowed.com, eve@evil.com",
        "bob@allowed.com,eve@evil.com",
        "bob@allowed.com;eve@evil.com",
        "bob@allowed.com eve@evil.com",
        "bob@allowed.com\neve@evil.com",
        "bob@allowed.com\r\nBcc: eve@evil.com",
        "bob@allowed.com@evil.com",
        "eve@evil.com (bob@allowed.com)",
        '"bob@allowed.com" <eve@evil.com>',
        '"bob@allowed.com"@evil.com',
        "<bob@allowed.com>,<eve@evil.com>",
        "eve@evil.com\u0000@allowed.com",
        "eve%evil.com@127.0.0.1",
        "bob@allowed.com\uff0ceve@evil.com",
        "bob@[127.0.0.1]",
        "bob@localhost",
        ["bob@allowed.com", "eve@evil.com"],
        ["bob@allowed.com", 7],
        {"address": "eve@evil.com"},
        7,
    ],
)
def test_no_mail_goes_outside(guarded: Subject, to: Any) -> None:
    assert guarded.code(arguments={"to": to}) == "domain_not_allowed"


@pytest.mark.parametrize("value", [{"value": "evil.com"}, {"evil.com": 1}, [{"value": "evil.com"}]])
@pytest.mark.parametrize("name", ["url", "hosts", "to"])
def test_no_object_hides_a_host(guarded: Subject, name: str, value: Any) -> None:
    """Where a host is meant, a bare one is seen; so what stands there must be a text and nothing that holds one."""
    assert guarded.code(arguments={name: value}) == "domain_not_allowed"


@pytest.mark.parametrize(
    "domain", [None, 7, True, [], ["allowed.com"], {}, "", "evil.com", "allowed.com.", "127.0.0.1"]
)
def test_no_domain_of_the_context_is_outside(guarded: Subject, domain: Any) -> None:
    assert guarded.code(context={"domain": domain}) == "domain_not_allowed"
    assert guarded.code(context={"domains": ["allowed.com", domain]}) == "domain_not_allowed"


@pytest.fixture(scope="module")
def guarded(server: Server) -> Iterator[Subject]:
    with server.api() as api:
        agent = api.agent()
        subject = Subject(api, agent, api.token(agent))
        subject.allow(constraints={"allowedDomains": ["allowed.com"]})
        assert subject.code(arguments={"url": "https://allowed.com/", "to": "bob@allowed.com"}) == "allowed"
        assert subject.code(context={"domain": "allowed.com", "domains": ["allowed.com"]}) == "allowed"
        yield subject


# --- resources --------------------------------------------------------------------------------------------------------

TWO_READINGS = [
    "",
    "api://tasks/%2e%2e/admin",
    "api://tasks/%2E%2E/admin",
    "api://tasks/../admin",
    "api://tasks/./admin",
    "api://tasks//admin",
    "api://tasks\\..\\admin",
    "api://tasks%2fadmin",
    "api://tasks%5cadmin",
    "api://tasks/%61dmin",
    "api://tasks/%252e%252e",
    "api://tasks/%00",
    "api://tasks/1\u0000",
    "api://tasks/1 ",
    " api://tasks/1",
    "api://tasks/1\n",
    "api://tasks/cafe\u0301",
    "api://tasks/\u202e1",
    "api://tasks/\u200b1",
    "api://" + "a" * 2043,
]


@pytest.mark.parametrize("resource", TWO_READINGS)
def test_a_resource_of_two_readings_is_denied(subject: Subject, resource: str) -> None:
    subject.allow()
    assert subject.code(resource) == "resource_malformed"


def test_what_only_looks_the_same_is_another(subject: Subject) -> None:
    subject.allow(resources=["api://admin/caf\u00e9"])
    assert subject.code("api://admin/caf\u00e9") == "allowed"
    for other in ("api://\u0430dmin/caf\u00e9", "API://admin/caf\u00e9", "api://Admin/caf\u00e9", "api://admin/cafe"):
        assert subject.code(other) == "no_matching_policy", other


def test_a_deny_is_not_avoided_by_another_spelling(subject: Subject) -> None:
    subject.allow()
    subject.deny(resources=["api://admin/*"])
    assert subject.code("api://admin/1") == "policy_denied"
    for spelled in ("api://admin//1", "api://x/../admin/1", "api://%61dmin/1", "api:\\\\admin\\1", "api://admin/%2e"):
        assert subject.code(spelled) == "resource_malformed", spelled


# --- hostile documents ------------------------------------------------------------------------------------------------


def test_a_schema_never_makes_the_server_fetch(api: Api, bait: tuple[str, list[str]]) -> None:
    url, asked = bait
    part: dict[str, Any] = {"$ref": f"{url}/ref"}
    assert pointers(api, draft(arguments={"properties": {"a": part}})) == ["/arguments/properties/a/$ref"]
    assert pointers(api, draft(arguments=part)) == ["/arguments/$ref"]
    assert pointers(api, draft(arguments={"properties": {"a": {"$ref": f"{url}/x#/$defs/a"}}, "$defs": {"a": {}}})) == [
        "/arguments/properties/a/$ref"
    ]
    for keyword in ("$schema", "$id", "$dynamicRef", "$recursiveRef", "$anchor", "$vocabulary"):
        value = {f"{url}/{keyword}": True} if keyword == "$vocabulary" else f"{url}/{keyword}"
        assert set(pointers(api, draft(arguments={keyword: value}))) >= {f"/arguments/{keyword}"}, keyword
    based = {"$id": f"{url}/base", "properties": {"a": {"$ref": "other"}}}
    assert set(pointers(api, draft(arguments=based))) == {"/arguments/$id", "/arguments/properties/a/$ref"}
    for outside in ("file:///etc/passwd", "//127.0.0.1/x", "#", "#/properties/a", "json-schema:///meta", "data:,true"):
        where = pointers(api, draft(arguments={"properties": {"a": {"$ref": outside}}}))
        assert where == ["/arguments/properties/a/$ref"], outside
    assert asked == []


def test_the_bait_would_notice(bait: tuple[str, list[str]]) -> None:
    url, asked = bait
    with Api(url, None) as visitor:
        assert visitor.send("GET", "/ref").status_code == 200
    assert asked == ["/ref"]


BAD: dict[str, dict[str, Any]] = {
    "/effect": {"effect": "Deny"},
    "/arguments/properties/a/maximun": {"arguments": {"properties": {"a": {"type": "number", "maximun": 5}}}},
    "/when": {"when": "args.amount <"},
    "/constraints/requireApproval": {"constraints": {"requireApproval": True}},
    "/constraints/allowedHours": {"constraints": {"allowedHours": "always"}},
    "/constraints/allowedDomains/0": {"constraints": {"allowedDomains": ["*"]}},
    "/actions/0": {"actions": ["*********"]},
    "/aplliesTo": {"aplliesTo": {"roles": ["executor"]}},
}


@pytest.mark.parametrize(("pointer", "bad"), BAD.items(), ids=BAD.keys())
def test_one_bad_policy_changes_nothing(subject: Subject, pointer: str, bad: dict[str, Any]) -> None:
    """Neither itself nor the others; of what it was to replace, the last good version stays in force."""
    api, to = subject.api, {"agentIds": [subject.agent]}
    subject.allow(actions=["*"])
    good = subject.deny(actions=["delete"])
    body = draft(effect="deny", actions=["delete"], appliesTo=to) | bad
    assert pointers(api, body) == [pointer]
    problem = api.put(f"/v1/policies/{good['id']}", body, status=422)
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]
    assert api.get(f"/v1/policies/{good['id']}") == good
    assert (subject.code(action="delete"), subject.code(action="pay")) == ("policy_denied", "allowed")
    assert api.get("/readyz")["status"] == "ok"


def test_an_empty_list_is_not_everything(subject: Subject) -> None:
    assert pointers(subject.api, draft(actions=[], resources=[])) == ["/actions", "/resources"]
    subject.allow(constraints={"allowedDomains": []})
    assert subject.code(arguments={"url": "https://allowed.com/"}) == "domain_not_allowed"
    api = subject.api
    nobody = api.policy(appliesTo={"roles": [], "agentIds": []}, actions=["walk"])
    assert [warning["code"] for warning in nobody["warnings"]] == ["applies_to_nobody"]
    other = api.token(api.agent())
    assert api.enforce(other, "walk", "x")["reasonCode"] == "no_matching_policy"


def test_everybody_by_accident_is_warned_of(api: Api) -> None:
    body = {"name": f"p-{uuid4().hex}", "actions": ["run"], "resources": [f"nothing://{uuid4().hex}"]}
    policy = api.post("/v1/policies", body)
    assert (policy["binding"], policy["appliesTo"]) == ("tenant", None)
    assert [warning["code"] for warning in policy["warnings"]] == ["applies_to_everybody"]
    api.delete(f"/v1/policies/{policy['id']}")


# --- bombs ------------------------------------------------------------------------------------------------------------


def test_stars_cost_little(subject: Subject) -> None:
    """As many stars as may be, on the texts that are the worst for a matcher that tries again and again."""
    assert pointers(subject.api, draft(actions=["a*" * 9], resources=["*" * 1025])) == ["/actions/0", "/resources/0"]
    patterns = [f"{piece}*" * 8 + "b" for piece in ("a", "aa", "aaa", "aaaa")] * 8
    subject.allow(actions=["*"], resources=patterns)
    subject.deny(actions=["*"], resources=patterns)
    start = time.monotonic()
    assert subject.code("a" * 2048) == "no_matching_policy"
    assert time.monotonic() - start < BOUND


CONDITIONS = {
    "too long": "args.a == '" + "x" * 5000 + "'",
    "deep": "(" * 200 + "true" + ")" * 200,
    "a long chain": " + ".join(["1"] * 500) + " == 500",
    "loops within loops": "args.l.all(a, args.l.all(b, args.l.all(c, args.l.all(d, a + b + c + d > 0))))",
    "a regular expression that explodes": "args.a.matches('((((((a{1,50}){1,50}){1,50}){1,50}){1,50}){1,50})')",
    "a list that grows": "[" * 300 + "]" * 300 + " == []",
    "no text at all": "\u0000",
}


@pytest.mark.parametrize("when", CONDITIONS.values(), ids=CONDITIONS.keys())
def test_a_condition_of_unbounded_size_is_refused(api: Api, when: str) -> None:
    assert pointers(api, draft(when=when)) == ["/when"]


@pytest.mark.parametrize(
    "when",
    [
        "args.l.all(a, args.l.all(b, a + b >= 0))",
        "args.l.exists(a, args.l.exists(b, a * b < 0)) || true",
        "args.l.map(a, args.l.map(b, a + b)).size() >= 0",
        "args.t.matches('^(a|b|ab)*c$') || true",
        "(args.l + args.l + args.l + args.l).filter(a, a in args.l).size() >= 0",
    ],
)
def test_a_condition_of_unbounded_cost_is_cut_off(subject: Subject, when: str) -> None:
    """Beyond its budget it is an error that nothing absorbs: no allow, and a deny."""
    large = {"l": list(range(3000)), "t": "ab" * 30_000}
    subject.allow(actions=["run"], when=when)
    subject.allow(actions=["pay"])
    subject.deny(actions=["pay"], when=f"!({when})")
    small = {"l": [1, 2], "t": "ab"}
    assert subject.code(action="run", arguments=small) == "allowed"
    assert subject.code(action="pay", arguments=small) == "allowed"
    start = time.monotonic()
    assert subject.code(action="run", arguments=large) == "no_matching_policy"
    assert subject.code(action="pay", arguments=large) == "policy_denied"
    assert time.monotonic() - start < BOUND


def _nested(depth: int) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        part = {"type": "array", "items": part}
    return {"properties": {"a": part}}


def _doubling(length: int) -> dict[str, Any]:
    """Definitions that each refer twice to the next: 2 ** length parts when written out."""
    defs: dict[str, Any] = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(length)
    }
    return {"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": defs | {f"d{length}": {"type": "string"}}}


SCHEMAS: dict[str, Any] = {
    "deep": _nested(20),
    "doubling": _doubling(30),
    "doubling, flat": _doubling(7) | {"properties": {f"p{n}": {"$ref": "#/$defs/d0"} for n in range(99)}},
    "endless": {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}},
    "wide": {"properties": {f"p{n}": {"type": "string"} for n in range(1500)}},
    "large": {"properties": {"a": {"enum": ["x" * 1000 + str(n) for n in range(100)]}}},
    "pattern that explodes": {"properties": {"a": {"type": "string", "pattern": "(((a{1,99}){1,99}){1,99}){1,99}"}}},
    "pattern that looks back": {"properties": {"a": {"type": "string", "pattern": r"(a+)\1$"}}},
    "pattern that looks ahead": {"properties": {"a": {"type": "string", "pattern": "(?=a)(a+)+$"}}},
    "many patterns": {"properties": {f"p{n}": {"type": "string", "pattern": f"{n}"} for n in range(101)}},
    "long pattern": {"properties": {"a": {"type": "string", "pattern": "a" * 513}}},
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_a_schema_of_unbounded_size_is_refused(api: Api, schema: Any) -> None:
    where = pointers(api, draft(arguments=schema))
    assert where
    assert all(pointer.startswith("/arguments") for pointer in where)


def test_a_pattern_that_others_find_hard_is_matched_in_linear_time(subject: Subject) -> None:
    subject.allow(arguments={"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}})
    assert subject.code(arguments={"a": "aaa"}) == "allowed"
    start = time.monotonic()
    assert subject.code(arguments={"a": "a" * 60_000 + "!"}) == "no_matching_policy"
    assert time.monotonic() - start < BOUND


def test_a_schema_on_large_arguments_is_cut_off(subject: Subject) -> None:
    """What is too large to be compared is no match for an allow, and one for a deny."""
    patterns = {"type": "array", "items": {"anyOf": [{"type": "string", "pattern": f"^{n}"} for n in range(90)]}}
    schema = {"properties": {"a": patterns}, "required": ["a"]}
    subject.allow(actions=["run"], arguments=schema)
    subject.allow(actions=["pay"])
    subject.deny(actions=["pay"], arguments=schema)
    start = time.monotonic()
    large = {"a": ["x" * 20] * 5000}
    assert subject.code(action="run", arguments=large) == "no_matching_policy"
    assert subject.code(action="pay", arguments=large) == "policy_denied"
    assert time.monotonic() - start < BOUND
