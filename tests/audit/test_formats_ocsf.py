"""Every record that the product writes is an event which a reader of OCSF takes, and says who did it.

What class 6003 and its objects require is written down here as in schema 1.4.0 (events/application/api_activity.json,
events/base_event.json and objects/ of github.com/ocsf/ocsf-schema).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from act.audit.formats import OCSF_VERSION, ocsf_line
from act.models import RecordKind
from tests.attacks.surface import ROUTES, Route, World, new_world
from tests.support import Api, Server

KINDS = get_args(RecordKind)
REQUIRED = (
    "activity_id",
    "actor",
    "api",
    "category_uid",
    "class_uid",
    "metadata",
    "severity_id",
    "src_endpoint",
    "time",
    "type_uid",
)
ENUMS: dict[str, dict[int, str | None]] = {
    "activity_id": {0: "Unknown", 1: "Create", 2: "Read", 3: "Update", 4: "Delete", 99: None},
    "severity_id": {
        0: "Unknown", 1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical", 6: "Fatal", 99: None,
    },
    "status_id": {0: "Unknown", 1: "Success", 2: "Failure", 99: None},
}  # fmt: skip
"""With the caption that stands beside each; that of 99 is the source's own."""
SIBLINGS = {"activity_id": "activity_name", "severity_id": "severity", "status_id": "status"}
ACTOR = {"process", "user", "invoked_by", "session", "app_name", "app_uid"}
USER_TYPES = {0, 1, 2, 3, 99}
ENDPOINT = {"ip", "uid", "name", "hostname", "svc_name", "instance_uid", "interface_uid", "interface_name"}


def faults(event: dict[str, Any]) -> Iterator[str]:
    """What a validator would say."""
    yield from (f"{name} is missing" for name in REQUIRED if name not in event)
    if (event["class_uid"], event["category_uid"], event["type_uid"]) != (6003, 6, 600300 + event["activity_id"]):
        yield "it is of another class"
    for name, captions in ENUMS.items():
        value, told = event[name], event[SIBLINGS[name]]
        if value not in captions or not told or captions[value] not in (None, told):
            yield f"{name} is {value}, {told}"
    if event["metadata"].get("version") != "1.4.0" or not event["metadata"]["product"].keys() >= {
        "name",
        "vendor_name",
    }:
        yield "metadata"
    if not event["api"].get("operation") or ("request" in event["api"] and "uid" not in event["api"]["request"]):
        yield "api"
    if not ACTOR & event["actor"].keys():
        yield "actor has none of its members"
    user = event["actor"].get("user")
    if user is not None and (not {"uid", "name"} & user.keys() or user.get("type_id", 0) not in USER_TYPES):
        yield "actor.user"
    if not ENDPOINT & event["src_endpoint"].keys():
        yield "src_endpoint has none of its members"
    for each in event.get("resources", [{"name": "none"}]) or [{}]:
        if not {"name", "uid"} & each.keys():
            yield "resources"
    if empty := list(_empty(event)):
        yield f"empty: {empty}"


def _empty(value: Any, name: str = "") -> Iterator[str]:
    if value is None or value in ({}, "", []):
        yield name
    elif isinstance(value, dict):
        for key, each in value.items():
            if key not in ("unmapped", "data"):
                yield from _empty(each, f"{name}/{key}")


def event(kind: str, **fields: Any) -> dict[str, Any]:
    record = {"index": 0, "at": "2026-11-22T18:00:00.000Z", "tenantId": "t", "v": 1, "kind": kind, **fields}
    found: dict[str, Any] = json.loads(ocsf_line(record, "00"))
    return found


PRIVATE = {"ACT_WEBHOOK_ALLOW_PRIVATE": "true"}
KEY = {"user": {"uid": "key_1", "type_id": 99, "type": "API key"}}


@pytest.mark.parametrize("kind", [*KINDS, "export.closed"])
def test_every_kind_is_sound_and_done_by_a_key_or_by_act(kind: str) -> None:
    assert OCSF_VERSION == "1.4.0"
    bare, by_key = event(kind), event(kind, keyId="key_1")
    of_agent = event(kind, keyId="key_1", agentId="agt_1", agentName="A", tokenId="tok_1", requestId="r")
    assert [*faults(bare), *faults(by_key), *faults(of_agent)] == []
    assert (bare["actor"], bare["src_endpoint"]) == ({"app_name": "ACT"}, {"name": "ACT"})
    assert (by_key["actor"], by_key["src_endpoint"]) == (KEY, {"name": "key_1"})
    if kind in ("decision", "decision.outcome"):
        assert of_agent["actor"] == {"app_name": "A", "app_uid": "agt_1", "session": {"uid": "tok_1"}}
        assert "resources" not in of_agent
    else:
        assert of_agent["actor"] == KEY
        things = [{"uid": "agt_1", "name": "A", "type": "agent"}, {"uid": "tok_1", "type": "token"}]
        assert of_agent["resources"] == things


def test_what_did_not_happen_is_a_failure() -> None:
    assert event("delegation.refused")["status_id"] == 2
    assert [event("decision.outcome", status=status)["status_id"] for status in ("succeeded", "failed")] == [1, 2]


def test_a_fault_would_be_found() -> None:
    sound = event("decision", keyId="key_1")
    for broken in ({"actor": {}}, {"src_endpoint": {}}, {"severity": "Bad"}, {"status_id": 7}, {"resources": [{}]}):
        assert [*faults(sound | broken)]
    assert [*faults({name: value for name, value in sound.items() if name != "src_endpoint"} | {"src_endpoint": {}})]


def called(api: Api, route: Route, world: World) -> bool:
    answer = api.send(route.method, world.path(route), route.body(world) if route.body else None)
    assert answer.status_code < 500, str(route)
    return answer.status_code == route.status


def test_what_the_server_writes(tmp_path: Path) -> None:
    """One call of every route, by which most kinds of records come to be."""
    with Server(tmp_path, PRIVATE) as server, server.api() as api:
        world = new_world(api)
        for route in ROUTES:
            if route.changes:
                if not called(api, route, world):  # what it is about was ended by another
                    world = new_world(api)
                    assert called(api, route, world), str(route)
                if route.path.endswith("/freeze"):
                    api.post(f"/v1/tenants/{world.tenant_id}/unfreeze", status=200)
        api.enforce("no token", "run", "x")
        text = api.send("GET", "/v1/audit/export?format=ocsf").text
    events = [json.loads(line) for line in text.splitlines()]
    assert {f"{each['metadata']['event_code']}: {fault}" for each in events for fault in faults(each)} == set()
    kinds = {each["metadata"]["event_code"] for each in events}
    assert len(kinds) > len(KINDS) * 3 // 5
    by_agents = {each["metadata"]["event_code"] for each in events if "app_uid" in each["actor"]}
    assert by_agents == {"decision", "decision.outcome"}
    keys = {each["actor"]["user"]["uid"] for each in events if each["metadata"]["event_code"] == "agent.suspended"}
    assert {each["unmapped"]["keyId"] for each in events if each["metadata"]["event_code"] == "agent.suspended"} == keys
