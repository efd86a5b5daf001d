"""The two calls that FastAPI documents and does not serve do what is documented: same bodies, same answers, same words.

They are asked as ASGI, in this process, so that a body may come in any form or never.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema_rs
import pytest
from fastapi import FastAPI, Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from act import bodies
from act.enforcement.batch import BATCH_PATH
from act.enforcement.route import PATH
from act.server import openapi, problems
from act.server.middleware import RequestId, StrictBodies
from act.tenants.access import Access
from tests.in_process import InProcess
from tests.support import ADMIN_KEY

PATHS = (PATH, BATCH_PATH)
JSON = {"content-type": "application/json"}
KEY = {"x-api-key": ADMIN_KEY}
REF = "#/components/schemas/"


@dataclass
class Heard:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def ask(app: Any, path: str, body: bytes | None, headers: dict[str, str], method: str = "POST") -> Heard:
    """One call; a body of None never comes."""
    heard = Heard()

    async def receive() -> Any:
        if body is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            heard.status = message["status"]
            heard.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            heard.body += message.get("body", b"")

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, "query_string": b"", "http_version": "1.1"}
    asyncio.run(app(scope, receive, send))
    return heard


class Contract:
    """A node, what its document says, and the stub that documents it as an application of its own."""

    def __init__(self, inside: InProcess) -> None:
        self.inside = inside
        self.app = inside.node.app
        self.document = ask(self.app, "/openapi.json", b"", {}, "GET").document
        access = Access(inside.node.api_keys, inside.clock)
        framework = FastAPI()
        problems.install(framework)
        framework.add_exception_handler(AssertionError, _taken)
        framework.include_router(openapi.enforce_stub(access))
        self._stub = RequestId(StrictBodies(framework, access))
        self._validators: dict[str, Any] = {}

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Heard:
        return self.checked(path, ask(self.app, path, json.dumps(body).encode(), KEY | JSON | (headers or {})))

    def checked(self, path: str, heard: Heard) -> Heard:
        """The answer, which is one that is documented, in its status, its form and its code."""
        documented = self.document["paths"][path]["post"]["responses"][str(heard.status)]["content"]
        [(media_type, content)] = documented.items()
        assert heard.headers["content-type"] == media_type
        self._validator(content["schema"]["$ref"]).validate(heard.document)
        if heard.status != 200:
            assert heard.document["code"] in openapi.DECISION_PROBLEMS[path][heard.status]
            assert (heard.document["status"], heard.document["decision"]) == (heard.status, "denied")
        return heard

    def asked_for(self, path: str, body: Any) -> bool:
        """Whether a body is as the document wants it."""
        schema = self.document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        return bool(self._validator(schema["$ref"]).is_valid(body))

    def stub(self, path: str, body: Any) -> Any:
        """The problem that the stub has with a body, or None."""
        heard = ask(self._stub, path, json.dumps(body).encode(), KEY | JSON)
        assert heard.status in (422, 299)
        return heard.document if heard.status == 422 else None

    def _validator(self, reference: str) -> Any:
        if reference not in self._validators:
            schemas = {name: _closed(schema) for name, schema in self.document["components"]["schemas"].items()}
            whole = {"$ref": reference, "components": {"schemas": schemas}}
            self._validators[reference] = jsonschema_rs.Draft202012Validator(whole)
        return self._validators[reference]


async def _taken(_: Any, error: Exception) -> Response:
    """What the stub does with a body that it takes is to fail."""
    assert str(error) == "served outside FastAPI"
    return Response(status_code=299)


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """An object with no members but those that are documented."""
    return {"additionalProperties": False} | schema if "properties" in schema else schema


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contract]:
    inside = InProcess(tmp_path_factory.mktemp("contract"))
    yield Contract(inside)
    inside.close()


def question(**more: Any) -> dict[str, Any]:
    return {"requestId": uuid4().hex, "capabilityToken": "x", "action": "run", "resourceId": "api://x"} | more


def body_for(path: str, **more: Any) -> Any:
    return question(**more) if path == PATH else {"requests": [question(**more)]}


# --- every problem that is documented ---


def _with(contract: Contract, path: str, headers: dict[str, str], body: bytes | None = None) -> Heard:
    sent = json.dumps(body_for(path)).encode() if body is None else body
    return ask(contract.app, path, sent, headers)


def _never(contract: Contract, path: str, monkeypatch: pytest.MonkeyPatch) -> Heard:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.01)
    return ask(contract.app, path, None, KEY | JSON)


def _without_scope(contract: Contract, path: str) -> Heard:
    key = contract.inside.api.key("audit")["key"]
    return _with(contract, path, {"x-api-key": key} | JSON)


def _failing(contract: Contract, path: str, monkeypatch: pytest.MonkeyPatch) -> Heard:
    def fail(*_: Any) -> Any:
        raise RuntimeError("as a defect would")

    monkeypatch.setattr(bodies, "parse", fail)
    return _with(contract, path, KEY | JSON)


def _reused(contract: Contract, path: str) -> Heard:
    body = question()
    contract.post(path, body)
    return ask(contract.app, path, json.dumps(body | {"action": "other"}).encode(), KEY | JSON)


def _stopped(contract: Contract, path: str, folder: Path) -> Heard:
    other = InProcess(folder)
    other.node._writer.stop()
    heard = ask(other.node.app, path, json.dumps(body_for(path)).encode(), KEY | JSON)
    other.close()
    return heard


PRODUCED: dict[str, Callable[[Contract, str, pytest.MonkeyPatch, Path], Heard]] = {
    "json_malformed": lambda c, path, m, f: _with(c, path, KEY | JSON, b"{"),
    "api_key_missing": lambda c, path, m, f: _with(c, path, JSON),
    "api_key_invalid": lambda c, path, m, f: _with(c, path, {"x-api-key": "wrong"} | JSON),
    "scope_missing": lambda c, path, m, f: _without_scope(c, path),
    "method_not_allowed": lambda c, path, m, f: ask(c.app, path, b"{}", KEY | JSON, "PUT"),
    "body_timeout": lambda c, path, m, f: _never(c, path, m),
    "request_id_reused": lambda c, path, m, f: _reused(c, path),
    "body_too_large": lambda c, path, m, f: _with(c, path, KEY | JSON, b" " * (bodies.MAX_BODY + 1)),
    "media_type_unsupported": lambda c, path, m, f: _with(c, path, KEY),
    "document_invalid": lambda c, path, m, f: _with(c, path, KEY | JSON, b"{}"),
    "internal_error": lambda c, path, m, f: _failing(c, path, m),
    "overloaded": lambda c, path, m, f: _stopped(c, path, f),
    "stale_state": lambda c, path, m, f: _with(c, path, KEY | JSON, json.dumps(question(minRevision=10**9)).encode()),
}
DOCUMENTED = [
    (path, status, code)
    for path, found in openapi.DECISION_PROBLEMS.items()
    for status, codes in sorted(found.items())
    for code in sorted(codes)
]


@pytest.mark.parametrize(("path", "status", "code"), DOCUMENTED)
def test_every_documented_problem_comes(
    contract: Contract, path: str, status: int, code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard = PRODUCED[code](contract, path, monkeypatch, tmp_path)
    assert (heard.status, heard.document["code"]) == (status, code)
    contract.checked(path, heard)
    assert f"`{code}`" in contract.document["paths"][path]["post"]["responses"][str(status)]["description"]


def test_no_status_is_documented_that_has_no_code(contract: Contract) -> None:
    for path in PATHS:
        documented = contract.document["paths"][path]["post"]["responses"].keys()
        assert documented == {"200", *map(str, openapi.DECISION_PROBLEMS[path])}


def test_what_a_batch_cannot_decide_stands_in_its_place(contract: Contract) -> None:
    once = question()
    requests = [once, once | {"action": "other"}, question(minRevision=10**9)]
    answers = contract.post(BATCH_PATH, {"requests": requests}).document["decisions"]
    assert [answer.get("code") for answer in answers] == [None, "request_id_reused", "stale_state"]
    assert {answer["code"] for answer in answers[1:]} <= {
        code for codes in openapi.DECISION_PROBLEMS[PATH].values() for code in codes
    }


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_post_is_documented_and_answered(contract: Contract, path: str, method: str) -> None:
    assert contract.document["paths"][path].keys() == {"post"}
    heard = ask(contract.app, path, b"{}", KEY | JSON, method)
    assert (heard.status, heard.document["code"], heard.headers["allow"]) == (405, "method_not_allowed", "POST")


# --- every body ---

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.sampled_from([0.5, -1.5])
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "requestId": st.uuids().map(str),
    "capabilityToken": st.text(max_size=5),
    "action": st.text(max_size=5),
    "resourceId": st.text(max_size=5),
    "tenantId": st.none() | st.just("default-tenant"),
    "context": st.dictionaries(st.text(max_size=3), VALUES, max_size=2),
    "arguments": st.dictionaries(st.text(max_size=3), VALUES, max_size=2),
    "requester": st.none() | st.text(max_size=5),
    "requesterToken": st.none() | st.text(max_size=5),
    "proof": st.none() | st.text(max_size=5),
    "requesterProof": st.none() | st.text(max_size=5),
    "minRevision": st.none() | st.just(0),
    "dryRun": st.booleans(),
}
NEEDED = ("requestId", "capabilityToken", "action", "resourceId")


@st.composite
def questions(draw: st.DrawFn) -> Any:
    """Good ones, and such as have a few things wrong."""
    optional = sorted(draw(st.sets(st.sampled_from(sorted(GOOD.keys() - {*NEEDED})), max_size=3)))
    found: dict[str, Any] = {name: draw(GOOD[name]) for name in (*NEEDED, *optional)}
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        name = draw(st.sampled_from([*GOOD, "unknown", "dry_run"]))
        if draw(st.booleans()):
            found[name] = draw(VALUES | st.sampled_from(["", "x" * 129, -1, "1", 1, "true"]))
        else:
            found.pop(name, None)
    return found


BODIES = {
    PATH: questions() | VALUES,
    BATCH_PATH: st.fixed_dictionaries({"requests": st.lists(questions() | VALUES, max_size=3)})
    | st.fixed_dictionaries({"requests": VALUES}, optional={"more": VALUES})
    | VALUES,
}
FEW = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.mark.parametrize("path", PATHS)
def test_the_stub_and_the_route_refuse_the_same_bodies_in_the_same_words(contract: Contract, path: str) -> None:
    seen = {True: 0, False: 0}

    @FEW
    @given(BODIES[path])
    def same(body: Any) -> None:
        heard = contract.post(path, body, {"x-request-id": "r"})
        wanted = contract.stub(path, body)
        taken = heard.status in (200, 409)  # the same id may be drawn again
        seen[taken] += 1
        # The values are none that are an integer for one reader and a float for another, as 1.0 is.
        assert contract.asked_for(path, body) is taken
        if taken:
            assert wanted is None
        else:
            assert heard.status == 422
            told = heard.document
            assert (told.pop("decision"), told.pop("requestId")) == ("denied", "r")
            assert wanted is not None
            wanted.pop("requestId")
            assert told == wanted

    same()
    assert min(seen.values()) > 3, seen  # both have been tried


@pytest.mark.parametrize("path", PATHS)
def test_any_bytes_get_an_answer_that_is_documented(contract: Contract, path: str) -> None:
    types = st.sampled_from(["application/json", "application/json; charset=utf-8", "text/plain", ""])

    @FEW
    @given(st.binary(max_size=40) | VALUES.map(lambda value: json.dumps(value).encode()[:30]), types)
    def answered(body: bytes, media_type: str) -> None:
        heard = contract.checked(path, ask(contract.app, path, body, KEY | {"content-type": media_type}))
        assert heard.status in (400, 415, 422)

    answered()
