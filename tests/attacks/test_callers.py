"""Who may call what: no key, a wrong one, one of another scope, one of another tenant; for every route there is."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import httpx2
import pytest

from tests.attacks.log import caused, size
from tests.attacks.surface import PUBLIC, ROUTES, SCOPES, Route, World, new_world
from tests.support import ADMIN_KEY, Api, Server

ids = pytest.mark.parametrize("route", ROUTES, ids=str)


@pytest.fixture(scope="module")
def victim(server: Server) -> Iterator[World]:
    with server.api() as api:
        yield new_world(api)


def refusal(answer: httpx2.Response, route: Route) -> tuple[int, str]:
    """Status and code of a problem; a refusal of an enforcement route also says `denied`."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem.get("decision") == ("denied" if route.decides else None)
    return answer.status_code, problem["code"]


def test_no_route_is_forgotten_here(api: Api) -> None:
    documented = {
        (method.upper(), path): operation
        for path, operations in api.get("/openapi.json")["paths"].items()
        for method, operation in operations.items()
    }
    assert documented.keys() == PUBLIC | {(route.method, route.path) for route in ROUTES}
    assert {key for key, operation in documented.items() if not operation.get("security")} == PUBLIC


# --- the key ----------------------------------------------------------------------------------------------------------


@ids
def test_no_key_and_a_wrong_one(server: Server, victim: World, route: Route) -> None:
    body = route.body(victim) if route.body else None
    with server.api(None) as nobody:
        for headers, code in [
            ({}, "api_key_missing"),
            ({"X-Api-Key": ""}, "api_key_missing"),
            ({"X-Api-Key": "act_00000000_wrong"}, "api_key_invalid"),
            ({"X-Api-Key": ADMIN_KEY[:-1]}, "api_key_invalid"),
            ({"X-Api-Key": ADMIN_KEY + "0"}, "api_key_invalid"),
            ({"X-Api-Key": ADMIN_KEY.upper()}, "api_key_invalid"),
            ({"X-Api-Key": f"{ADMIN_KEY},{ADMIN_KEY}"}, "api_key_invalid"),
            ({"Authorization": f"Bearer {ADMIN_KEY}"}, "api_key_missing"),
            ({"Cookie": f"X-Api-Key={ADMIN_KEY}"}, "api_key_missing"),
        ]:
            answer = nobody.send(route.method, victim.path(route), body, headers=headers)
            assert refusal(answer, route) == (401, code)
            assert "www-authenticate" in answer.headers
        answer = nobody.send(route.method, victim.path(route), body, params={"X-Api-Key": ADMIN_KEY})
        assert refusal(answer, route) == (401, "api_key_missing")


def test_a_revoked_and_an_expired_key(api: Api, server: Server, victim: World) -> None:
    revoked, expired = api.key("admin"), api.key("admin", expiresIn=1)
    with server.api(revoked["key"]) as before:
        before.get("/v1/agents")
        api.delete(f"/v1/api-keys/{revoked['id']}", status=200)
        assert before.get("/v1/agents", status=401)["code"] == "api_key_invalid"
        assert before.post("/v1/enforce", {}, status=401)["decision"] == "denied"
    with server.api(expired["key"]) as caller:
        deadline = time.monotonic() + 30
        while caller.send("GET", "/v1/agents").status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        for route in ROUTES:
            body = route.body(victim) if route.body else None
            answer = caller.send(route.method, victim.path(route), body)
            assert refusal(answer, route) == (401, "api_key_invalid")


def test_no_path_has_a_second_spelling(api: Api) -> None:
    """Else what is done for a path alone, as for those that make tokens in a frozen tenant, would have a way round."""
    world = new_world(api)
    for route in ROUTES:
        path, _, query = world.path(route).partition("?")
        body = route.body(world) if route.body else None
        for other in (f"{path}%0A", f"/{path}"):
            answer = api.send(route.method, f"{other}?{query}", body)
            assert answer.status_code == 404, (route, other)
            assert answer.json()["code"] == "not_found"
            assert len(answer.headers.get_list("x-request-id")) == 1


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_opens_its_routes_and_no_other(api: Api, server: Server, scope: str) -> None:
    names: dict[str, Any] = dict.fromkeys((field.name for field in fields(World)), "nothing")
    nothing = World(**names | {"index": 2**40})  # objects that are not there: nothing is changed by the calls
    with server.api(api.key(scope)["key"]) as caller:
        for route in ROUTES:
            body = route.body(nothing) if route.body else None
            answer = caller.send(route.method, nothing.path(route), body)
            if scope in route.scopes or scope == "admin":
                assert answer.status_code not in (401, 403), route
                assert answer.status_code < 500, route
            else:
                assert refusal(answer, route) == (403, "scope_missing"), route


def test_a_key_with_all_other_scopes_is_no_admin(api: Api, server: Server) -> None:
    with server.api(api.key(*SCOPES[1:])["key"]) as caller:
        body = {"name": "more", "scopes": ["admin"]}
        assert caller.post("/v1/api-keys", body, status=403)["code"] == "scope_missing"
        assert caller.get("/v1/api-keys", status=403)["code"] == "scope_missing"


def test_a_key_cannot_revoke_itself(api: Api, server: Server) -> None:
    key = api.key("admin")
    with server.api(key["key"]) as caller:
        assert caller.delete(f"/v1/api-keys/{key['id']}", status=403)["code"] == "own_key"


def test_a_key_that_is_bound_to_an_agent_can_only_enforce(api: Api) -> None:
    agent = api.agent()
    for scopes in (["approve"], ["enforce", "approve"], ["admin"], ["enforce", "tokens"]):
        problem = api.post("/v1/api-keys", {"name": "bound", "scopes": scopes, "agentId": agent}, status=422)
        assert [fault["pointer"] for fault in problem["errors"]] == ["/scopes"]


def test_a_bound_key_cannot_report_for_another_agent(api: Api, server: Server, victim: World) -> None:
    with server.api(api.key("enforce", agentId=api.agent())["key"]) as bound:
        body = {"status": "succeeded"}
        assert bound.post(f"/v1/decisions/{victim.decision_id}/outcome", body, status=404)["code"] == "not_found"
        assert bound.get(f"/v1/approvals/{victim.approval_id}", status=404)["code"] == "not_found"


# --- the other tenant -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", [route for route in ROUTES if "_id}" in route.path], ids=str)
def test_an_object_of_another_tenant_is_not_there(api: Api, stranger: Api, victim: World, route: Route) -> None:
    before = size(api)
    body = route.body(victim) if route.body else None
    answer = stranger.send(route.method, victim.path(route), body)
    assert refusal(answer, route) == (404, "not_found")
    # Word for word what is said of an object that is nowhere, so that nothing can be probed.
    name = route.path.partition("{")[2].partition("}")[0]
    nowhere = World(**(vars(victim) | {name: "nowhere"}))
    other = stranger.send(route.method, nowhere.path(route), body)
    assert other.json()["detail"] == answer.json()["detail"].replace(getattr(victim, name), "nowhere")
    assert caused(api, before) == []


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.method == "GET" and "_id}" not in route.path], ids=str
)
def test_lists_show_nothing_of_another_tenant(stranger: Api, victim: World, route: Route) -> None:
    answer = stranger.send("GET", route.path.format(index=0, tile="0/000.p/1") + route.query)
    assert answer.status_code == 200
    for name, value in vars(victim).items():
        if name not in ("index", "tile"):
            assert value not in answer.text, name
    assert "default-tenant" not in answer.text


def test_filters_show_nothing_of_another_tenant(stranger: Api, victim: World) -> None:
    assert stranger.get("/v1/audit", params={"agent": victim.agent_id})["items"] == []
    assert stranger.get("/v1/tokens", params={"agentId": victim.agent_id})["items"] == []
    cursor = base64.urlsafe_b64encode(victim.agent_id[:-1].encode()).decode()
    for path in ("/v1/agents", "/v1/policies", "/v1/tokens", "/v1/approvals", "/v1/api-keys"):
        assert victim.agent_id not in stranger.client.get(path, params={"cursor": cursor}).text
    assert stranger.get(f"/v1/audit/{size(stranger)}", status=404)["code"] == "not_found"


def test_naming_an_agent_of_another_tenant_in_a_body(stranger: Api, victim: World) -> None:
    assert stranger.post("/v1/tokens", {"agentId": victim.agent_id}, status=404)["code"] == "not_found"
    body = {"name": "bound", "scopes": ["enforce"], "agentId": victim.agent_id}
    problem = stranger.post("/v1/api-keys", body, status=422)
    assert [fault["pointer"] for fault in problem["errors"]] == ["/agentId"]
    policy = stranger.policy(appliesTo={"agentIds": [victim.agent_id]})
    assert [warning["code"] for warning in policy["warnings"]] == ["applies_to_nobody"]
    decision = stranger.enforce(victim.token, "run", "x")
    assert decision["reasonCode"] == "token_tenant_mismatch"
    agent = stranger.agent()
    stranger.policy(["run"], appliesTo={"agentIds": [agent]})
    decision = stranger.enforce(stranger.token(agent), "run", "x", requester=victim.agent_id)
    assert decision["reasonCode"] == "requester_unknown"


def test_the_same_ids_and_names_in_two_tenants_are_two_things(api: Api, stranger: Api) -> None:
    name = f"twin-{time.time_ns()}"
    for tenant in (api, stranger):
        tenant.post("/v1/agents", {"id": name, "name": name, "roles": [name]})
    api.policy(["run"], appliesTo={"agentIds": [name], "roles": [name]})
    assert api.enforce(api.token(name), "run", "x")["reasonCode"] == "allowed"
    assert stranger.enforce(stranger.token(name), "run", "x")["reasonCode"] == "no_matching_policy"
    stranger.post(f"/v1/agents/{name}/suspend", status=200)
    assert api.enforce(api.token(name), "run", "x")["reasonCode"] == "allowed"
    stranger.delete(f"/v1/agents/{name}")
    assert api.enforce(api.token(name), "run", "x")["reasonCode"] == "allowed"


# --- parameters -------------------------------------------------------------------------------------------------------

STRANGE_IDS = ["%00", "..%2f..%2fetc", "'%20OR%20'1'='1", "%ff%fe", "x" * 5000, "%F0%9F%92%A9", "*", "null", "-1"]


@pytest.mark.parametrize("route", [route for route in ROUTES if route.names_an_object], ids=str)
def test_strange_ids_are_not_found(api: Api, victim: World, route: Route) -> None:
    start, _, end = route.path.partition("{")
    for strange in STRANGE_IDS:
        path = start + strange + end.partition("}")[2]
        answer = api.send(route.method, path, route.body(victim) if route.body else None)
        assert answer.status_code in (404, 422), path[:60]
        assert answer.json()["code"] in ("not_found", "document_invalid")


STRANGE_CURSORS = ["", "²", "٣", "9" * 30, "9" * 5000, "-1", "1.5", "\x00", "' OR 1=1 --", "\ud7ff", "z" * 3000]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/agents",
        "/v1/policies",
        "/v1/policies/{policy_id}/versions",
        "/v1/tokens",
        "/v1/approvals",
        "/v1/audit",
        "/v1/api-keys",
    ],
)
def test_strange_cursors_are_refused_or_lead_nowhere(api: Api, victim: World, path: str) -> None:
    cursors = [base64.urlsafe_b64encode(cursor.encode()).decode() for cursor in STRANGE_CURSORS]
    for cursor in [*cursors, "%", "=", "é", "A", base64.urlsafe_b64encode(b"\xff\xfe").decode()]:
        answer = api.send("GET", path.format(policy_id=victim.policy_id), params={"cursor": cursor})
        assert answer.status_code in (200, 422), cursor[:40]
        if answer.status_code == 422:
            assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/cursor"]


@pytest.mark.parametrize(
    ("path", "parameter", "value"),
    [
        ("/v1/agents", "limit", "0"),
        ("/v1/agents", "limit", "201"),
        ("/v1/agents", "limit", "-1"),
        ("/v1/agents", "limit", "1e3"),
        ("/v1/audit", "since", "0001-01-01T00:00:00+14:00"),
        ("/v1/audit", "until", "9999-12-31T23:59:59-14:00"),
        ("/v1/audit", "since", "2026-01-01T00:00:00"),
        ("/v1/audit", "since", "yesterday"),
        ("/v1/audit", "order", "up"),
        ("/v1/audit", "decision", "maybe"),
        ("/v1/audit", "reasonCode", "because"),
        ("/v1/audit/export", "format", "xml"),
        ("/v1/approvals", "status", "open"),
        ("/v1/approvals/{approval_id}", "wait", "61"),
        ("/v1/approvals/{approval_id}", "wait", "-1"),
    ],
)
def test_a_parameter_with_a_fault(api: Api, victim: World, path: str, parameter: str, value: str) -> None:
    problem = api.get(path.format_map(vars(victim)), params={parameter: value}, status=422)
    assert [fault["pointer"] for fault in problem["errors"]] == [f"/{parameter}"]


def test_a_pattern_full_of_stars_does_not_hold_up_a_search(api: Api, victim: World) -> None:
    api.enforce(victim.token, "run", "a" * 2000)
    started = time.monotonic()
    for pattern in ("*a" * 500 + "*b", "*" * 5000, "[" * 500, "a*" * 8 + "b"):
        assert api.send("GET", "/v1/audit", params={"resource": pattern}).status_code in (200, 422)
    assert time.monotonic() - started < 10


# --- values that reach further than the document ----------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, -1, 1.5, 60.0, "60", True, 86401, 10**12, [60]], ids=repr)
def test_the_life_of_a_token(api: Api, victim: World, seconds: Any) -> None:
    problem = api.post("/v1/tokens", {"agentId": victim.agent_id, "expiresIn": seconds}, status=422)
    assert [fault["pointer"] for fault in problem["errors"]] == ["/expiresIn"]


def test_a_token_for_an_agent_that_is_not_there(api: Api) -> None:
    problem = api.post("/v1/tokens", {"agentId": "agt_missing"}, status=404)
    assert problem["code"] == "not_found"
    assert "agt_missing" in problem["detail"]


def test_names_are_unique(api: Api) -> None:
    name = f"only-{time.time_ns()}"
    first = api.agent(name)
    assert api.post("/v1/agents", {"name": name}, status=409)["code"] == "agent_name_taken"
    assert api.post("/v1/agents", {"id": first, "name": "another"}, status=409)["code"] == "agent_id_taken"
    # Neither may the name of one be the id of another: a requester is named by either.
    assert api.post("/v1/agents", {"name": first}, status=409)["code"] == "agent_id_taken"
    second = api.agent()
    assert api.patch(f"/v1/agents/{second}", {"name": name}, status=409)["code"] == "agent_name_taken"
    assert api.patch(f"/v1/agents/{second}", {"name": first}, status=409)["code"] == "agent_id_taken"


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_moment_beyond_the_calendar(api: Api, moment: str) -> None:
    body = {"name": "far", "actions": ["a"], "resources": ["b"], "validFrom": moment}
    problem = api.post("/v1/policies", body, status=422)
    assert [fault["pointer"] for fault in problem["errors"]] == ["/validFrom"]


def test_the_edges_of_the_calendar_do_not_break_the_feed(api: Api) -> None:
    for moment in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
        policy = api.policy(["edge"], appliesTo={"roles": ["nobody"]}, validUntil=moment)
        assert policy["validUntil"][:4] == moment[:4]
    assert api.get("/readyz")["checks"]["state"] == "ok"
