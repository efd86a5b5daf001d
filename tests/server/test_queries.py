"""What stands in a request beside its body is read in one way only: on every route, whatever its room."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from act.queries import rather
from tests.attacks.surface import ROUTES, Route, World, new_world
from tests.in_process import InProcess
from tests.support import ADMIN_KEY, Api, Server

RAW = [route for route in ROUTES if route.decides or route.path.endswith("/outcome")]
LISTS = [
    "/v1/agents",
    "/v1/policies",
    "/v1/policies/{policy_id}/versions",
    "/v1/approvals",
    "/v1/tokens",
    "/v1/audit",
    "/v1/audit/archives",
    "/v1/api-keys",
    "/v1/keys",
    "/v1/webhooks",
    "/v1/webhooks/{webhook_id}/deliveries",
]
LIMITED = [*LISTS, "/v1/events"]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with (
        Server(tmp_path_factory.mktemp("queries"), {"ACT_WEBHOOK_ALLOW_PRIVATE": "true"}) as server,
        server.api() as api,
    ):
        yield api


@pytest.fixture(scope="module")
def world(api: Api) -> World:
    return new_world(api)


def refused(answer: Any, *pointers: str) -> None:
    """By a fault of each of these names, and for nothing else."""
    assert answer.status_code == 422, answer.text[:200]
    problem = answer.json()
    assert problem["code"] == "document_invalid"
    assert problem["detail"].startswith("The query has ")
    assert "changed" not in problem["detail"]
    assert [fault["pointer"] for fault in problem["errors"]] == list(pointers)


def asked(api: Api, world: World, route: Route, more: str) -> Any:
    path = world.path(route)
    body = route.body(world) if route.body else None
    return api.send(route.method, f"{path}{'&' if '?' in path else '?'}{more}", body)


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_parameter_that_is_not_there(api: Api, world: World, route: Route) -> None:
    """Also of a call that changes something: what it was to say is not known."""
    refused(asked(api, world, route, "foo=1"), "/foo")


@pytest.mark.parametrize("route", RAW, ids=str)
def test_a_parameter_where_there_is_no_framework(api: Api, world: World, route: Route) -> None:
    """It says what it says everywhere, and nothing was decided."""
    before = api.get("/v1/audit/checkpoint")["size"]
    refused(asked(api, world, route, "dryRun=true&dryRun=true&a/b=1"), "/dryRun", "/a~1b")
    problem = asked(api, world, route, "dryRun=true").json()
    assert problem.get("decision") == ("denied" if route.decides else None)
    assert api.get("/v1/audit/checkpoint")["size"] == before
    assert asked(api, world, route, "").status_code == 200  # a question mark alone asks for nothing
    with Api(str(api.client.base_url), "wrong") as nobody:
        assert asked(nobody, world, route, "foo=1").json()["code"] == "api_key_invalid"


def test_the_key_comes_first(api: Api) -> None:
    with Api(str(api.client.base_url), "wrong") as nobody:
        assert nobody.get("/v1/agents?foo=1", status=401)["code"] == "api_key_invalid"


@pytest.mark.parametrize("path", LIMITED)
def test_numbers_are_digits(api: Api, world: World, path: str) -> None:
    for value in ("1_0", "1.0", "%2B1", "%201", "1%20", "1e1", "0x1", "", "%D9%A1", "a", "--1", "-0"):
        refused(api.send("GET", f"{path.format_map(vars(world))}?limit={value}"), "/limit")


@pytest.mark.parametrize("path", LIMITED)
def test_a_parameter_that_is_given_twice(api: Api, world: World, path: str) -> None:
    refused(api.send("GET", f"{path.format_map(vars(world))}?limit=1&limit=2"), "/limit")
    refused(api.send("GET", f"{path.format_map(vars(world))}?limit=1&limit=1&foo=1&foo=1"), "/limit", "/foo")


@pytest.mark.parametrize("path", LISTS)
def test_a_value_that_is_no_text(api: Api, world: World, path: str) -> None:
    for value in ("%ff", "%00", "a%00b", "%ED%A0%80", "%c3"):
        refused(api.send("GET", f"{path.format_map(vars(world))}?cursor={value}"), "/cursor")


@pytest.mark.parametrize("name", ["agent", "action", "task", "conversation", "requestId"])
def test_a_filter_that_is_no_text(api: Api, name: str) -> None:
    refused(api.send("GET", f"/v1/audit?{name}=%ff"), f"/{name}")
    refused(api.send("GET", f"/v1/audit?{name}=%00"), f"/{name}")
    assert api.get(f"/v1/audit?{name}=%EF%BF%BD")["items"] == []  # the replacement character may be looked for


def cursor(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_that_no_page_has_told(api: Api, world: World, path: str) -> None:
    for key in ("", " ", "a b", "a\x00", "1 ", "\u0661", "\u00e9", "a/b", "x" * 129):
        refused(api.send("GET", f"{path.format_map(vars(world))}?cursor={cursor(key)}"), "/cursor")


@pytest.mark.parametrize("path", ["/v1/audit", "/v1/audit/archives", "/v1/policies/{policy_id}/versions"])
def test_a_cursor_of_a_number_is_written_as_the_server_does(api: Api, world: World, path: str) -> None:
    path = path.format_map(vars(world))
    for key in ("01", "+1", "-1", "1_0", "1.0", "key_1", "9" * 16):
        refused(api.send("GET", f"{path}?cursor={cursor(key)}"), "/cursor")
    assert api.send("GET", f"{path}?cursor={cursor('1')}").status_code == 200


def test_the_cursor_of_a_page_is_taken(api: Api, world: World) -> None:
    api.agent()
    for path in ("/v1/agents", "/v1/audit", "/v1/keys"):
        first = api.get(f"{path}?limit=1")
        second = api.get(f"{path}?limit=1&cursor={first['nextCursor']}")
        assert first["items"] != second["items"]


@pytest.mark.parametrize("index", ["1_0", "1.0", "+1", "%201", "one", "%ff", "-0"])
def test_the_index_of_a_record(api: Api, world: World, index: str) -> None:
    refused(api.send("GET", f"/v1/audit/{index}"), "/index")
    refused(api.send("POST", f"/v1/audit/{index}/erase", {"reason": "a test"}), "/index")


def listening(api: Api, *ids: str) -> Any:
    headers = [("X-Api-Key", ADMIN_KEY), *(("Last-Event-ID", id) for id in ids)]
    return api.client.get("/v1/events?limit=1", headers=headers)


@pytest.mark.parametrize("ids", [("5.0",), ("1_0",), ("+1",), ("",), ("a",), ("-2",), ("1", "1"), ("0", "1")], ids=str)
def test_where_a_listener_was(api: Api, ids: tuple[str, ...]) -> None:
    refused(listening(api, *ids), "/Last-Event-ID")


def test_a_listener_goes_on_from_where_it_was(api: Api) -> None:
    assert listening(api, "-1").text.startswith("id: 0\n")
    assert listening(api, "1").text.startswith("id: 2\n")


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("inclusion?index=1&index=2", ["/index"]),
        ("inclusion?index=1&foo=2", ["/foo"]),
        ("inclusion?index=1_0", ["/index"]),
        ("inclusion", ["/index"]),
        ("consistency?first=1&second=+2", ["/second"]),
        ("consistency?first=2&second=1", ["/first"]),
    ],
)
def test_proofs(api: Api, query: str, pointers: list[str]) -> None:
    refused(api.send("GET", f"/v1/audit/proof/{query}"), *pointers)


def test_what_is_beyond_the_log_is_not_there(api: Api) -> None:
    size = api.get("/v1/audit/checkpoint")["size"]
    for query in (
        f"consistency?first={size + 1}",
        f"consistency?first={size + 1}&second={size}",
        f"consistency?first=1&second={size + 1}",
        f"consistency?first={size + 2}&second={size + 1}",
        f"inclusion?index=0&size={size + 1}",
    ):
        problem = api.get(f"/v1/audit/proof/{query}", status=404)
        assert problem["code"] == "not_found"
        assert f"; it has {size}." in problem["detail"]
    assert api.get(f"/v1/audit/proof/inclusion?index={size}", status=404)["detail"] == (
        f"There is no record {size} in a log of {size} records."
    )
    assert api.get(f"/v1/audit/proof/consistency?first={size}&second={size}")["hashes"] == []


def test_a_moment_may_end_with_a_small_z(api: Api) -> None:
    assert api.get("/v1/audit?since=2026-01-01T00:00:00z") == api.get("/v1/audit?since=2026-01-01T00:00:00Z")
    refused(api.send("GET", "/v1/audit?since=2026-01-01T00:00:00zz"), "/since")
    refused(api.send("GET", "/v1/audit?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z"), "/until")


def test_who_scrapes_may_say_more(api: Api) -> None:
    assert api.send("GET", "/metrics?name=act").status_code == 200


# --- headers ---

PLAIN = ["text/plain", "Text/Plain", "text/plain;charset=utf-8", "text/plain, */*;q=0.1", "text/*", "text/plain;q=0.5"]
JSON = [
    None,
    "",
    "*/*",
    "application/json",
    "application/json, text/plain, */*",
    "text/plain;q=0.5, application/json",
    "text/plain;q=0, */*",
    "text/plain;q=0",
    "text/plain;q=2",
    "text/plain;q=-1",
    "text/plain;q=1.0000",
    "text/html",
    "text/*;q=0.5, application/*",
]


@pytest.mark.parametrize("accept", PLAIN)
def test_who_would_rather_have_the_note(api: Api, accept: str) -> None:
    answer = api.client.get("/v1/audit/checkpoint", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("text/plain")
    assert rather(accept, "text/plain", "application/json")


@pytest.mark.parametrize("accept", JSON)
def test_who_would_rather_have_json(accept: str | None) -> None:
    assert not rather(accept, "text/plain", "application/json")


def test_two_keys_are_told(tmp_path: Path) -> None:
    node = InProcess(tmp_path)
    try:
        client = node.api.client
        for method, path in (("GET", "/v1/agents"), ("POST", "/v1/agents"), ("POST", "/v1/enforce")):
            for keys in ((ADMIN_KEY, ADMIN_KEY), ("", ""), (ADMIN_KEY, "wrong")):
                answer = client.request(method, path, headers=[("X-Api-Key", key) for key in keys], json={})
                assert (answer.status_code, answer.json()["code"]) == (401, "api_key_missing")
                assert answer.json()["detail"].endswith("; there are several.")
        assert "several" not in client.get("/v1/agents", headers={"X-Api-Key": ""}).json()["detail"]
    finally:
        node.close()


BODIES = ["/v1/agents", "/v1/enforce"]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([], "Send the body as application/json, and say so in the header Content-Type."),
        ([("content-type", "application/json")] * 2, "; there are several headers Content-Type."),
        ([("content-type", "x" * 10_000)], f", not as '{'x' * 64}...'."),
        ([("content-type", "text/json")], ", not as 'text/json'."),
        ([("content-type", "application/json; charset=latin-1")], " in UTF-8, not in 'latin-1'."),
        ([("content-type", "application/json;charset=utf-16")], " in UTF-8, not in 'utf-16'."),
        ([("content-type", "application/json"), ("content-encoding", "gzip")], ", not coded as 'gzip'."),
        ([("content-type", "application/json"), ("content-encoding", "br")], ", not coded as 'br'."),
        ([("content-type", "application/json"), ("content-encoding", "identity, deflate")], "'identity, deflate'."),
        ([("content-type", "application/json"), *[("content-encoding", "identity")] * 2], "headers Content-Encoding."),
    ],
)
def test_a_body_of_another_kind(api: Api, path: str, headers: list[tuple[str, str]], said: str) -> None:
    answer = api.client.post(path, headers=[("X-Api-Key", ADMIN_KEY), *headers], content=b'{"name":"never"}')
    assert (answer.status_code, answer.json()["code"]) == (415, "media_type_unsupported")
    assert answer.json()["detail"].endswith(said)


@pytest.mark.parametrize(
    "media_type",
    ["Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"', "application/json;v=1"],
)
def test_a_body_of_json(api: Api, media_type: str) -> None:
    headers = {"content-type": media_type, "content-encoding": "identity"}
    assert api.client.post("/v1/policies/validate", headers=headers, content=b"{}").status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"NaN", "The text is not JSON: NaN is not a JSON number."),
        (b"[" * 100_000, "The text cannot be read: it is nested deeper than 32 levels."),
        (b'{"a":' * 40_000, "The text cannot be read: it is nested deeper than 32 levels."),
        (b"\xff", "The text is not JSON: it is not UTF-8."),
    ],
    ids=["nan", "arrays", "objects", "bytes"],
)
@pytest.mark.parametrize("path", BODIES)
def test_a_body_that_is_no_json(api: Api, path: str, body: bytes, said: str) -> None:
    answer = api.client.post(path, headers={"content-type": "application/json"}, content=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (400, "json_malformed", said)
