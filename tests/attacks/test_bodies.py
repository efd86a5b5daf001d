"""Bodies and connections that are meant to harm: refused with the right status, all faults told, nothing stored."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.attacks.log import caused, size
from tests.attacks.raw import Answer, connect, exchange, head, read_answer
from tests.support import ADMIN_KEY, Api, Server

PATHS = ("/v1/enforce", "/v1/enforce/batch", "/v1/agents", "/v1/policies")
LIMIT = 256 * 1024
AUTH = f"X-Api-Key: {ADMIN_KEY}"
JSON = "Content-Type: application/json"

paths = pytest.mark.parametrize("path", PATHS)


@pytest.fixture(autouse=True)
def _nothing_is_stored(api: Api) -> Iterator[None]:
    before = size(api)
    yield
    assert caused(api, before) == []


def post(server: Server, path: str, body: bytes, *lines: str, content_type: str | None = JSON) -> Answer:
    lines = (AUTH, f"Content-Length: {len(body)}", *lines, *([content_type] if content_type else []))
    return exchange(server.url, head("POST", path, *lines) + body)


def refused(answer: Answer, path: str) -> tuple[int, str]:
    assert answer.values("content-type") == ["application/problem+json"]
    problem = answer.json()
    assert problem["status"] == answer.status
    assert problem.get("decision") == ("denied" if path.startswith("/v1/enforce") else None)
    return answer.status, problem["code"]


# --- work -------------------------------------------------------------------------------------------------------------


@paths
def test_no_text_takes_long_to_look_through_for_secrets(server: Server, path: str) -> None:
    """A problem names the fields that are too many, without what looks like a token in them."""
    body = b'{"' + b"eyJ" * 80_000 + b'":1}'
    began = time.monotonic()
    assert refused(post(server, path, body), path)[0] == 422
    assert time.monotonic() - began < 5.0


# --- not JSON ---------------------------------------------------------------------------------------------------------

MALFORMED = {
    "cut": b'{"name": "a"',
    "trailing": b'{"name": "a"} x',
    "two documents": b"{}{}",
    "single quotes": b"{'name': 'a'}",
    "comment": b'{"name": "a" /* b */}',
    "trailing comma": b'{"name": "a",}',
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"metadata": {"x": -Infinity}}',
    "leading zero": b'{"name": 01}',
    "byte order mark": b'\xef\xbb\xbf{"name": "a"}',
    "invalid UTF-8": b'{"name": "\xff"}',
    "overlong UTF-8": b'{"name": "\xc0\xaf"}',
    "UTF-8 surrogate": b'{"name": "\xed\xa0\x80"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "control character": b'{"name": "a\x00b"}',
    "deep": b"[" * 100_000,
    "deep object": b'{"a":' * 40_000,
    "many digits": b'{"name": ' + b"9" * 5000 + b"}",
}


@paths
@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_json(server: Server, path: str, body: bytes) -> None:
    assert refused(post(server, path, body), path) == (400, "json_malformed")


AMBIGUOUS = {
    "duplicate key": (b'{"name": "a", "name": "b"}', "/name"),
    "duplicate key by escape": (b'{"name": "a", "n\\u0061me": "b"}', "/name"),
    "duplicate key below": (b'{"metadata": {"a/b": {"x~": 1, "x~": 1}}}', "/metadata/a~1b/x~0"),
    "2^53": (b'{"metadata": {"x": 9007199254740992}}', "/metadata/x"),
    "2^53 + 1": (b'{"metadata": {"x": 9007199254740993}}', "/metadata/x"),
    "-(2^53) - 1": (b'{"metadata": {"x": [0, -9007199254740993]}}', "/metadata/x/1"),
    "1e400": (b'{"metadata": {"x": 1e400}}', "/metadata/x"),
    "lone surrogate": (b'{"metadata": {"x": "\\ud800"}}', "/metadata/x"),
    "surrogates the wrong way round": (b'{"metadata": {"x": "\\udc00\\ud800"}}', "/metadata/x"),
    "lone surrogate in a key": (b'{"metadata": {"\\udfff": 1}}', "/metadata"),
    "33 levels": (b'{"metadata":' + b"[" * 32 + b"]" * 32 + b"}", "/metadata" + "/0" * 31),
}


@paths
@pytest.mark.parametrize(("body", "pointer"), AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_json_that_reads_in_two_ways(server: Server, path: str, body: bytes, pointer: str) -> None:
    answer = post(server, path, body)
    assert refused(answer, path) == (422, "document_invalid")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


@paths
def test_all_ambiguities_are_told_at_once(server: Server, path: str) -> None:
    answer = post(server, path, b'{"a": 1e999, "b": [9007199254740993, "\\ud800"], "c": {"d": 1, "d": 2}}')
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/a", "/b/0", "/b/1", "/c/d"]


@paths
@pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"true", b"null", b"[{}]"])
def test_json_that_is_no_object(server: Server, path: str, body: bytes) -> None:
    assert refused(post(server, path, body), path) == (422, "document_invalid")


@paths
def test_no_body(server: Server, path: str) -> None:
    expected = (400, "json_malformed") if path.startswith("/v1/enforce") else (422, "document_invalid")
    assert refused(post(server, path, b""), path) == expected


# --- media types ------------------------------------------------------------------------------------------------------


@paths
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "Content-Type: text/plain",
        "Content-Type: text/json",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: multipart/form-data; boundary=x",
        "Content-Type: application/json5",
        "Content-Type: application/jsonp, application/json",
        "Content-Type: */*",
        "Content-Type:",
        "Content-Type: application/json\r\nContent-Type: text/plain",
    ],
)
def test_another_media_type(server: Server, path: str, content_type: str | None) -> None:
    answer = post(server, path, b'{"name": "smuggled"}', content_type=content_type)
    assert refused(answer, path) == (415, "media_type_unsupported")


@paths
def test_a_charset_beside_the_media_type_is_no_fault(server: Server, path: str) -> None:
    answer = post(server, path, b"{}", content_type="Content-Type: Application/JSON; charset=utf-8")
    assert refused(answer, path) == (422, "document_invalid")


# --- faults of the document -------------------------------------------------------------------------------------------

FAULTY: dict[str, tuple[str, Any, set[str]]] = {
    "agent": (
        "/v1/agents",
        {
            "id": "../x",
            "name": " a",
            "description": 1,
            "roles": ["ok", 7, "x\u0000"],
            "metadata": [],
            "admin": True,
            "tenantId": "other-tenant",
        },
        {"/id", "/name", "/description", "/roles/1", "/roles/2", "/metadata", "/admin", "/tenantId"},
    ),
    "policy": (
        "/v1/policies",
        {
            "name": "",
            "effect": "ALLOW",
            "actions": [],
            "resources": ["a", "*" * 9, "", 5, "x" * 1025],
            "appliesTo": {"roles": "planner", "agentIds": ["ok", "no/slash"], "everyone": True},
            "constraints": {"requiresApproval": "yes", "maxConcurrentTasks": -1, "maxConcurentTasks": 5},
            "mode": "dark",
            "enabled": "true",
            "validFrom": "2026-01-01",
            "when": "tru",
        },
        {
            "/name",
            "/effect",
            "/actions",
            "/resources/1",
            "/resources/2",
            "/resources/3",
            "/resources/4",
            "/appliesTo/roles",
            "/appliesTo/agentIds/1",
            "/appliesTo/everyone",
            "/constraints/requiresApproval",
            "/constraints/maxConcurrentTasks",
            "/constraints/maxConcurentTasks",
            "/mode",
            "/enabled",
            "/validFrom",
            "/when",
        },
    ),
    "required": ("/v1/policies", {}, {"/name", "/actions", "/resources"}),
    "snake case": (
        "/v1/policies",
        {"name": "a", "actions": ["a"], "resources": ["a"], "applies_to": {"roles": []}, "valid_from": None},
        {"/applies_to", "/valid_from"},
    ),
    "approval": (
        "/v1/policies",
        {
            "name": "a",
            "actions": ["a"],
            "resources": ["a"],
            "constraints": {"requiresApproval": {"approvers": 0, "expiresIn": 0, "from": []}},
        },
        {
            "/constraints/requiresApproval/approvers",
            "/constraints/requiresApproval/expiresIn",
            "/constraints/requiresApproval/from",
        },
    ),
    "token": (
        "/v1/tokens",
        {"agentId": 1, "expiresIn": 0, "scope": ["admin"]},
        {"/agentId", "/expiresIn", "/scope/0"},
    ),
    "api key": (
        "/v1/api-keys",
        {"name": 1, "scopes": ["root", "admin", 1], "agentId": "", "expiresIn": -5, "key": "chosen"},
        {"/name", "/scopes/0", "/scopes/2", "/agentId", "/expiresIn", "/key"},
    ),
    "enforce": (
        "/v1/enforce",
        {
            "requestId": "",
            "capabilityToken": 1,
            "action": ["execute"],
            "resourceId": None,
            "tenantId": 5,
            "context": [],
            "arguments": "none",
            "requester": {},
            "dryRun": "true",
            "approved": True,
            "decision": "allowed",
        },
        {
            "/requestId",
            "/capabilityToken",
            "/action",
            "/resourceId",
            "/tenantId",
            "/context",
            "/arguments",
            "/requester",
            "/dryRun",
            "/approved",
            "/decision",
        },
    ),
    "enforce required": ("/v1/enforce", {}, {"/requestId", "/capabilityToken", "/action", "/resourceId"}),
}


@pytest.mark.parametrize(("path", "body", "pointers"), FAULTY.values(), ids=FAULTY.keys())
def test_every_fault_is_told_with_its_pointer(api: Api, path: str, body: Any, pointers: set[str]) -> None:
    problem = api.call("POST", path, body, status=422)
    assert problem["code"] == "document_invalid"
    assert {fault["pointer"] for fault in problem["errors"]} == pointers
    assert all(fault["message"] for fault in problem["errors"])
    assert problem.get("decision") == ("denied" if path.startswith("/v1/enforce") else None)


def test_constraints_on_a_deny_policy(api: Api) -> None:
    body = {
        "name": "a",
        "effect": "deny",
        "actions": ["a"],
        "resources": ["a"],
        "constraints": {"maxConcurrentTasks": 1},
    }
    assert len(api.post("/v1/policies", body, status=422)["errors"]) == 1


def test_null_is_no_way_to_clear_a_field(api: Api, agent: str) -> None:
    problem = api.patch(f"/v1/agents/{agent}", {"roles": None}, status=422)
    assert problem["code"] == "document_invalid"
    assert api.get(f"/v1/agents/{agent}")["roles"] == ["keeper"]


@pytest.fixture(scope="module")
def agent(server: Server) -> str:
    with server.api() as api:
        return api.agent(None, "keeper")


# --- the work a refusal makes -----------------------------------------------------------------------------------------


@paths
def test_without_a_key_no_body_is_read_for_its_faults(server: Server, path: str) -> None:
    """Else anybody could have the server read, and answer, a quarter of a megabyte of faults."""
    for body in (b"{", b'{"a": 1e999}', b"\xff", b"[" * 1000):
        for key in (None, "X-Api-Key: act_00000000_wrong"):
            lines = (JSON, f"Content-Length: {len(body)}", *([key] if key else []))
            answer = exchange(server.url, head("POST", path, *lines) + body)
            assert refused(answer, path) == (401, "api_key_invalid" if key else "api_key_missing")


@paths
@pytest.mark.parametrize(
    "body",
    [
        b"[" + b",".join([b"1e999"] * 40_000) + b"]",
        b"{" + b",".join(b'"%d":1' % number for number in range(20_000)) + b"}",
        b"{" + b",".join(b'"%d":{"a":1,"a":1}' % number for number in range(8_000)) + b"}",
    ],
    ids=["values", "fields", "keys"],
)
def test_the_faults_that_are_told_are_bounded(server: Server, path: str, body: bytes) -> None:
    answer = post(server, path, body)
    assert refused(answer, path) == (422, "document_invalid")
    assert 20 <= len(answer.json()["errors"]) <= 1000
    assert len(answer.body) < LIMIT


# --- size and time ----------------------------------------------------------------------------------------------------


@paths
def test_oversize_by_declaration(server: Server, path: str) -> None:
    request = head("POST", path, AUTH, JSON, f"Content-Length: {LIMIT + 1}")
    assert refused(exchange(server.url, request), path) == (413, "body_too_large")
    request = head("POST", path, AUTH, JSON, f"Content-Length: {10**18}")
    assert refused(exchange(server.url, request), path) == (413, "body_too_large")


@paths
def test_oversize_in_chunks(server: Server, path: str) -> None:
    with connect(server.url) as connection:
        connection.sendall(head("POST", path, AUTH, JSON, "Transfer-Encoding: chunked"))
        chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
        with contextlib.suppress(ConnectionError):
            for _ in range(9):
                connection.sendall(chunk)
        assert refused(read_answer(connection), path) == (413, "body_too_large")


@paths
def test_the_largest_body_is_read(server: Server, path: str) -> None:
    assert refused(post(server, path, b"{}".ljust(LIMIT)), path) == (422, "document_invalid")
    assert refused(post(server, path, b"{}".ljust(LIMIT + 1)), path) == (413, "body_too_large")


@pytest.mark.parametrize(
    "lines",
    [
        (f"Content-Length: {LIMIT}", "Content-Length: 2"),
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
        ("Content-Length: -1",),
        ("Content-Length: +2",),
        ("Content-Length: 2x",),
        ("Transfer-Encoding: chunked, identity",),
    ],
)
def test_two_lengths_for_one_body(server: Server, lines: tuple[str, ...]) -> None:
    """A request that a proxy and the server could cut differently is refused, or read once and answered once."""
    smuggled = head("GET", "/healthz")
    with connect(server.url) as connection:
        connection.sendall(head("POST", "/v1/enforce", AUTH, JSON, *lines) + b"0\r\n\r\n" + smuggled)
        connection.settimeout(3)
        received = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while chunk := connection.recv(65536):
                received += chunk
    assert b'"status":"ok"' not in received
    assert received.startswith(b"HTTP/1.1 4") or received == b""


@pytest.mark.timeout(150)
def test_a_slow_body_is_cut_off_and_holds_up_nobody(server: Server, api: Api) -> None:
    def trickle(path: str) -> Answer:
        with connect(server.url, timeout=30) as connection:
            connection.sendall(head("POST", path, AUTH, JSON, "Content-Length: 1000") + b'{"name": "')
            connection.settimeout(0.5)
            for _ in range(50):
                try:
                    return read_answer(connection)
                except TimeoutError:
                    connection.sendall(b"x")  # always a little more: only the whole time counts
            pytest.fail("the slow body is still being read")

    with ThreadPoolExecutor(4 * len(PATHS)) as pool:
        slow = [pool.submit(trickle, path) for path in PATHS * 4]
        for _ in range(10):
            started = time.monotonic()
            api.get("/v1/agents")
            assert time.monotonic() - started < 5
        for path, answer in zip(PATHS * 4, slow, strict=True):
            assert refused(answer.result(), path) == (408, "body_timeout")


def test_a_client_that_leaves_in_mid_body(server: Server, api: Api) -> None:
    for path in PATHS * 5:
        with connect(server.url) as connection:
            connection.sendall(head("POST", path, AUTH, JSON, "Content-Length: 1000") + b"{")
    assert api.get("/healthz")["status"] == "ok"


def test_five_hundred_idle_connections(server: Server, api: Api) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft >= 2000 or hard >= 2000, "the machine gives too few file descriptors for this test"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4000)), hard))
    idle: list[socket.socket] = []
    try:
        for number in range(500):
            idle.append(connect(server.url))
            if number % 2:  # half of them have begun a request and say no more
                idle[-1].sendall(b"POST /v1/enforce HTTP/1.1\r\nHost: act\r\nX-Slow: ")
        for _ in range(20):
            started = time.monotonic()
            assert api.get("/healthz")["status"] == "ok"
            assert time.monotonic() - started < 5
        with server.api() as another:
            assert another.get("/v1/audit/checkpoint")["size"] > 0
    finally:
        for connection in idle:
            connection.close()


# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claimed",
    [
        b"a b",
        b"a\tb",
        b"x" * 129,
        b"\xc3\xa9",
        b"a%0d%0aX-Evil: 1;",
        b"<script>",
        b'"',
        b"a\x0bX-Evil: 1",
        b"",
        b"{{7*7}}",
    ],
)
@pytest.mark.parametrize("path", ["/v1/enforce", "/v1/nowhere", "/v1/agents"])
def test_a_request_id_that_could_inject(server: Server, path: str, claimed: bytes) -> None:
    request = head("POST", path, "Content-Length: 2", JSON, b"X-Request-ID: " + claimed) + b"{}"
    answer = exchange(server.url, request)
    if answer.status == 400 and not answer.values("x-request-id"):
        return  # refused by the HTTP parser before anything was read of it
    assert len(answer.values("x-request-id")) == 1
    assert answer.values("x-request-id")[0].startswith("req_")
    assert answer.values("x-evil") == []
    assert answer.json()["requestId"] == answer.values("x-request-id")[0]


def test_a_folded_header_and_a_doubled_one(server: Server) -> None:
    for lines in (
        ["X-Request-ID: a", " X-Evil: 1"],
        ["X-Request-ID: a", "X-Request-ID: b"],
        ["X-Request-ID: a\rX-Evil: 1"],
    ):
        answer = exchange(server.url, head("POST", "/v1/enforce", "Content-Length: 0", *lines))
        assert answer.status in (400, 401)
        assert answer.values("x-evil") == []
        assert not set(answer.values("x-request-id")) & {"a", "b"}


def test_a_harmless_request_id_is_echoed(server: Server) -> None:
    answer = exchange(server.url, head("POST", "/v1/enforce", "Content-Length: 0", "X-Request-ID: job-1:2/3+4=@a.b_c"))
    assert answer.values("x-request-id") == ["job-1:2/3+4=@a.b_c"]


def test_two_api_keys_are_none(server: Server) -> None:
    for keys in ([AUTH, "X-Api-Key: wrong"], ["X-Api-Key: wrong", AUTH]):
        for path in PATHS:
            answer = exchange(server.url, head("POST", path, *keys, JSON, "Content-Length: 2") + b"{}")
            assert answer.status == 401


def test_another_method(server: Server) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        for path in ("/v1/enforce", "/v1/enforce/batch"):
            answer = exchange(server.url, head(method, path, AUTH))
            assert refused(answer, path) == (405, "method_not_allowed")
            assert answer.values("allow") == ["POST"]


@pytest.mark.parametrize("path", ["/v1/%65nforce", "/v1/enforce?x=1", "http://other/v1/enforce"])
def test_other_spellings_of_the_enforcement_path_lead_to_the_same_check(server: Server, path: str) -> None:
    answer = exchange(server.url, head("POST", path, JSON, "Content-Length: 2") + b"{}")
    assert refused(answer, "/v1/enforce") == (401, "api_key_missing")


@pytest.mark.parametrize(
    "path",
    ["/v1//enforce", "/v1/enforce/", "/v1/./enforce", "/V1/enforce", "/v1/enforce;x", "/v1/enforce/batch/"],
)
def test_what_is_not_the_enforcement_path_allows_nothing(server: Server, path: str) -> None:
    answer = exchange(server.url, head("POST", path, AUTH, JSON, "Content-Length: 2") + b"{}")
    assert answer.status in (307, 404)
    assert b"allowed" not in answer.body


def test_every_refusal_of_the_enforcement_route_says_denied(server: Server) -> None:
    """The naive client reads `decision` and nothing else."""
    requests = {
        400: head("POST", "/v1/enforce", AUTH, JSON, "Content-Length: 1") + b"{",
        401: head("POST", "/v1/enforce", JSON, "Content-Length: 2") + b"{}",
        405: head("GET", "/v1/enforce", AUTH),
        413: head("POST", "/v1/enforce", AUTH, JSON, "Content-Length: 999999"),
        415: head("POST", "/v1/enforce", AUTH, "Content-Length: 2") + b"{}",
        422: head("POST", "/v1/enforce", AUTH, JSON, "Content-Length: 2") + b"{}",
    }
    for status, request in requests.items():
        answer = exchange(server.url, request)
        assert (answer.status, answer.json()["decision"]) == (status, "denied")
