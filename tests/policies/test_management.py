"""Policies over HTTP: strict load, versions under ETags, compare, restore, permissions, warnings, shadow mode."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from act.models import Constraints, PolicyDraft
from tests.attacks.log import caused, size
from tests.support import Api, Server

DOCUMENT = Path(__file__).parents[2] / "docs" / "policies.md"
WARNINGS = (
    "applies_to_everybody",
    "applies_to_nobody",
    "never_matches",
    "optional_argument_in_deny",
    "shadowed_by_deny",
)

BAD = {
    "name": "",
    "effect": "maybe",
    "actions": ["run", ""],
    "resources": "all",
    "appliesTo": {"role": "executor"},
    "arguments": {"properties": {"amount": {"type": "number", "maximun": 5}, "to": {"type": "text"}}},
    "when": "args.amount <",
    "constraints": {"allowedHours": "9-17", "allowedDomains": ["ok.com", "*"], "maxRows": -1, "maxTasks": 3},
    "mode": "dry",
    "enabled": "yes",
    "validFrom": "soon",
    "extra": 1,
}
FAULTS = {
    "/name",
    "/effect",
    "/actions/1",
    "/resources",
    "/appliesTo/role",
    "/arguments/properties/amount/maximun",
    "/arguments/properties/to/type",
    "/when",
    "/constraints/allowedHours",
    "/constraints/allowedDomains/1",
    "/constraints/maxRows",
    "/constraints/maxTasks",
    "/mode",
    "/enabled",
    "/validFrom",
    "/extra",
}


@pytest.fixture
def bare(server: Server) -> Iterator[Api]:
    """A client that sends no If-Match of its own."""
    with server.api() as api:
        del api.client.headers["If-Match"]
        yield api


@pytest.fixture
def agent(api: Api) -> str:
    return api.agent(None, f"role-{uuid4().hex}")


def draft(agent: str, **more: Any) -> dict[str, Any]:
    to = {"agentIds": [agent]}
    return {"name": f"p-{uuid4().hex}", "actions": ["run"], "resources": ["job://*"], "appliesTo": to, **more}


def code(api: Api, agent: str, **more: Any) -> str:
    return str(api.enforce(api.token(agent), "run", "job://1", **more)["reasonCode"])


def warned(answer: Any) -> list[str]:
    return [warning["code"] for warning in answer["warnings"]]


# --- strict load ------------------------------------------------------------------------------------------------------


def test_validate_tells_all_faults_at_once_and_stores_nothing(api: Api) -> None:
    before = size(api)
    answer = api.post("/v1/policies/validate", BAD, status=200)
    assert answer["valid"] is False
    assert [fault["pointer"] for fault in answer["errors"]].count("/when") == 1
    assert {fault["pointer"] for fault in answer["errors"]} == FAULTS
    assert all(fault["message"].endswith(".") for fault in answer["errors"])
    assert (answer["binding"], answer["warnings"]) == (None, [])
    assert caused(api, before) == []


def test_creating_tells_the_same_faults_and_stores_nothing(api: Api) -> None:
    before = size(api)
    problem = api.post("/v1/policies", BAD, status=422)
    assert problem["code"] == "document_invalid"
    assert {fault["pointer"] for fault in problem["errors"]} == FAULTS
    assert caused(api, before) == []


def test_a_policy_that_is_valid_is_not_stored_by_validating_it(api: Api, agent: str) -> None:
    before = size(api)
    body = draft(agent, id=f"pol-{uuid4().hex}")
    answer = api.post("/v1/policies/validate", body, status=200)
    assert (answer["valid"], answer["errors"], answer["binding"]) == (True, [], "explicit")
    assert answer["appliesTo"] == {"roles": [], "agentIds": [agent]}
    assert caused(api, before) == []
    assert api.get(f"/v1/policies/{body['id']}", status=404)["code"] == "not_found"
    assert code(api, agent) == "no_matching_policy"


def test_validate_says_that_an_id_is_taken_where_creating_would(api: Api, agent: str) -> None:
    stored = api.post("/v1/policies", draft(agent, id=f"pol-{uuid4().hex}"))
    again = draft(agent, id=stored["id"])
    for _ in range(2):  # the id of a deleted policy is not given again
        answer = api.post("/v1/policies/validate", again, status=200)
        detail = api.post("/v1/policies", again, status=409)["detail"]
        assert (answer["valid"], answer["errors"]) == (False, [{"pointer": "/id", "message": detail}])
        api.send("DELETE", f"/v1/policies/{stored['id']}")


def test_validate_of_a_next_version_answers_as_replacing_would(api: Api, agent: str) -> None:
    stored = api.post("/v1/policies", draft(agent))
    path, query = f"/v1/policies/{stored['id']}", f"/v1/policies/validate?policyId={stored['id']}"
    for body in (draft(agent, id=stored["id"]), draft(agent), draft(agent, appliesTo=None)):
        answer = api.post(query, body, status=200)
        replaced = api.put(path, body)
        assert (answer["valid"], answer["errors"]) == (True, [])
        assert {key: answer[key] for key in ("binding", "appliesTo", "warnings")} == {
            key: replaced[key] for key in ("binding", "appliesTo", "warnings")
        }
        assert answer["binding"] == "explicit"  # as it was, also where appliesTo is left out
    other = draft(agent, id="another")
    answer = api.post(query, other, status=200)
    assert (answer["valid"], answer["errors"]) == (False, api.put(path, other, status=422)["errors"])
    assert [fault["pointer"] for fault in answer["errors"]] == ["/id"]
    assert api.get(f"{path}/versions")["items"][-1]["version"] == 4


def test_validate_of_a_next_version_needs_the_policy(api: Api, agent: str) -> None:
    stored = api.post("/v1/policies", draft(agent))
    api.delete(f"/v1/policies/{stored['id']}")
    for id in (stored["id"], "never-given"):
        assert api.post(f"/v1/policies/validate?policyId={id}", draft(agent), status=404)["code"] == "not_found"


def test_what_is_no_object_has_a_fault_too(api: Api) -> None:
    for body in ([], "run", 7, True):
        answer = api.post("/v1/policies/validate", body, status=200)
        assert (answer["valid"], [fault["pointer"] for fault in answer["errors"]]) == (False, [""])


def test_the_stored_schema_shows_the_closed_world(api: Api, agent: str) -> None:
    schema = {"properties": {"amount": {"type": "number"}, "bcc": False}, "required": ["note"]}
    stored = api.post("/v1/policies", draft(agent, arguments=schema))
    assert stored["arguments"] == schema | {"required": ["note", "amount"], "additionalProperties": False}
    assert api.get(f"/v1/policies/{stored['id']}")["arguments"] == stored["arguments"]
    again = api.put(f"/v1/policies/{stored['id']}", draft(agent, arguments=stored["arguments"]))
    assert again["arguments"] == stored["arguments"]


def test_an_open_world_and_a_deny_are_stored_as_written(api: Api, agent: str) -> None:
    written = {"properties": {"amount": {"type": "number"}}, "additionalProperties": {"type": "string"}}
    opened = api.post("/v1/policies", draft(agent, arguments=written))
    assert opened["arguments"] == written | {"required": ["amount"]}
    closed = {"properties": {"amount": {"type": "number", "minimum": 5}}, "required": ["amount"]}
    assert api.post("/v1/policies", draft(agent, effect="deny", arguments=closed))["arguments"] == closed


# --- warnings ---------------------------------------------------------------------------------------------------------


def test_each_warning(api: Api, agent: str) -> None:
    """On create and on validate alike; a document without a flaw has none."""
    deny_all = draft(agent, effect="deny", actions=["*"], resources=["shadowed://*"])
    api.post("/v1/policies", deny_all)
    limited = {"properties": {"amount": {"type": "number", "minimum": 5}}}
    cases: dict[str, dict[str, Any]] = {
        "applies_to_everybody": draft(agent, appliesTo=None, resources=[f"nothing://{uuid4().hex}"]),
        "applies_to_nobody": draft(agent, appliesTo={"roles": [f"none-{uuid4().hex}"]}),
        "never_matches": draft(agent, resources=["job://a/../b"]),
        "optional_argument_in_deny": draft(agent, effect="deny", arguments=limited),
        "shadowed_by_deny": draft(agent, resources=["shadowed://1/*"]),
    }
    assert tuple(cases) == WARNINGS
    for expected, body in cases.items():
        assert warned(api.post("/v1/policies/validate", body, status=200)) == [expected]
        stored = api.post("/v1/policies", body)
        assert warned(stored) == [expected]
        assert warned(api.get(f"/v1/policies/{stored['id']}")) == [expected]
        api.delete(f"/v1/policies/{stored['id']}")
    assert warned(api.post("/v1/policies", draft(agent))) == []


def test_an_action_pattern_that_is_longer_than_an_action_never_matches(api: Api, agent: str) -> None:
    """Its stars count for nothing, because they match nothing, too."""
    can = ["a" * 256, "*" + "a" * 256, "a*" * 8 + "a" * 248]
    assert warned(api.post("/v1/policies/validate", draft(agent, actions=can), status=200)) == []
    for pattern in ("a" * 257, "a" * 200 + "*" + "a" * 57):
        answer = api.post("/v1/policies/validate", draft(agent, actions=["run", pattern]), status=200)
        assert answer["warnings"] == [
            {
                "code": "never_matches",
                "message": "No action can match /actions/1. The action has more than 256 characters.",
            }
        ]


def test_a_restored_version_has_the_warnings_of_now(api: Api) -> None:
    role, place = f"later-{uuid4().hex}", f"covered-{uuid4().hex}"
    body = {
        "name": f"p-{uuid4().hex}",
        "actions": ["run"],
        "resources": [f"{place}://*"],
        "appliesTo": {"roles": [role]},
    }
    stored = api.post("/v1/policies", body)
    path = f"/v1/policies/{stored['id']}"
    assert warned(stored) == ["applies_to_nobody"]
    agent = api.agent(None, role)
    api.post(
        "/v1/policies",
        draft(agent, appliesTo={"roles": [role]}, effect="deny", actions=["*"], resources=[f"{place}://*"]),
    )
    restored = api.post(f"{path}/restore", {"version": 1}, status=200)
    assert warned(restored) == ["shadowed_by_deny"] == warned(api.get(path))
    assert warned(api.get(f"{path}/versions")["items"][0]) == ["applies_to_nobody"]
    unchanged = api.get(f"{path}/compare?from=1&to=2")["changes"]
    assert unchanged == []


def test_what_is_not_quite_covered_by_a_deny_is_not_warned_of(api: Api, agent: str) -> None:
    api.post("/v1/policies", draft(agent, effect="deny", actions=["run"], resources=["half://a*"]))
    api.post("/v1/policies", draft(agent, effect="deny", actions=["*"], resources=["when://*"], when="context.x == 1"))
    api.post("/v1/policies", draft(agent, effect="deny", actions=["*"], resources=["maybe://*"], mode="shadow"))
    for resources in (["half://*"], ["half://a", "half://b"], ["when://*"], ["maybe://*"]):
        assert warned(api.post("/v1/policies/validate", draft(agent, resources=resources), status=200)) == []


# --- versions ---------------------------------------------------------------------------------------------------------


def test_the_etag_is_that_of_the_version(bare: Api, agent: str) -> None:
    created = bare.send("POST", "/v1/policies", draft(agent))
    path = f"/v1/policies/{created.json()['id']}"
    assert created.headers["etag"] == '"v1"' == bare.send("GET", path).headers["etag"]
    replaced = bare.send("PUT", path, draft(agent), headers={"If-Match": '"v1"'})
    assert (replaced.status_code, replaced.headers["etag"], replaced.json()["version"]) == (200, '"v2"', 2)
    restored = bare.send("POST", f"{path}/restore", {"version": 1}, headers={"If-Match": '"v2"'})
    assert (restored.status_code, restored.headers["etag"], restored.json()["version"]) == (200, '"v3"', 3)


def test_without_if_match_nothing_is_changed(bare: Api, agent: str) -> None:
    path = f"/v1/policies/{bare.policy(appliesTo={'agentIds': [agent]})['id']}"
    before = size(bare)
    assert bare.put(path, draft(agent), status=428)["code"] == "precondition_required"
    assert bare.post(f"{path}/restore", {"version": 1}, status=428)["code"] == "precondition_required"
    assert (bare.get(path)["version"], caused(bare, before)) == (1, [])


@pytest.mark.parametrize("tag", ['"v2"', "v1", '"1"', 'W/"v1"', '""', '"v1', '"v3", "v2"'])
def test_another_tag_than_the_current_changes_nothing(bare: Api, agent: str, tag: str) -> None:
    path = f"/v1/policies/{bare.policy(appliesTo={'agentIds': [agent]})['id']}"
    before, headers = size(bare), {"If-Match": tag}
    assert bare.put(path, draft(agent), status=412, headers=headers)["code"] == "precondition_failed"
    restored = bare.post(f"{path}/restore", {"version": 1}, status=412, headers=headers)
    assert restored["code"] == "precondition_failed"
    assert bare.delete(path, status=412, headers=headers)["code"] == "precondition_failed"
    assert (bare.get(path)["version"], caused(bare, before)) == (1, [])


def test_any_version_and_one_of_several(bare: Api, agent: str) -> None:
    path = f"/v1/policies/{bare.policy(appliesTo={'agentIds': [agent]})['id']}"
    assert bare.put(path, draft(agent), headers={"If-Match": "*"})["version"] == 2
    assert bare.put(path, draft(agent), headers={"If-Match": '"v1", "v2"'})["version"] == 3
    bare.delete(path, headers={"If-Match": '"v3"'})
    assert bare.get(path, status=404)["code"] == "not_found"


def test_the_first_of_two_writers_wins(bare: Api, agent: str) -> None:
    path = f"/v1/policies/{bare.policy(appliesTo={'agentIds': [agent]})['id']}"
    tag = {"If-Match": bare.send("GET", path).headers["etag"]}
    first = bare.put(path, draft(agent, description="first"), headers=tag)
    assert bare.put(path, draft(agent, description="second"), status=412, headers=tag)["code"] == "precondition_failed"
    assert bare.get(path) == first


def test_versions_are_immutable(api: Api, agent: str) -> None:
    stored = api.post("/v1/policies", draft(agent, description="one"))
    path = f"/v1/policies/{stored['id']}"
    first = api.get(f"{path}/versions")["items"]
    assert [item["description"] for item in first] == ["one"]
    api.put(path, draft(agent, description="two", when="context.ok", actions=["walk"]))
    api.post(f"{path}/restore", {"version": 1}, status=200)
    items = api.get(f"{path}/versions")["items"]
    assert [(item["version"], item["description"]) for item in items] == [(1, "one"), (2, "two"), (3, "one")]
    assert items[0] == first[0]
    api.delete(path)
    assert api.get(f"{path}/versions")["items"] == items
    taken = api.post("/v1/policies", draft(agent, id=stored["id"]), status=409)
    assert taken["code"] == "policy_id_taken"


def test_compare_names_every_difference(api: Api, agent: str) -> None:
    name = f"p-{uuid4().hex}"
    stored = api.post("/v1/policies", draft(agent, name=name, constraints={"maxRows": 5, "requiresApproval": True}))
    path = f"/v1/policies/{stored['id']}"
    api.put(path, draft(agent, name=name, actions=["run", "walk"], constraints={"maxRows": 6}, when="context.ok"))
    answer = api.get(f"{path}/compare?from=1&to=2")
    assert (answer["policyId"], answer["fromVersion"], answer["toVersion"]) == (stored["id"], 1, 2)
    assert {change["pointer"]: (change["before"], change["after"]) for change in answer["changes"]} == {
        "/actions": (["run"], ["run", "walk"]),
        "/constraints/maxRows": (5, 6),
        "/constraints/requiresApproval": (True, None),
        "/when": (None, "context.ok"),
    }
    back = api.get(f"{path}/compare?from=2&to=1")["changes"]
    assert {change["pointer"]: change["after"] for change in back}["/actions"] == ["run"]
    assert api.get(f"{path}/compare?from=2&to=2")["changes"] == []
    assert api.get(f"{path}/compare?from=1&to=3", status=404)["code"] == "not_found"


def test_restore_is_live_at_once_and_has_its_old_binding(api: Api, agent: str) -> None:
    other = api.agent()
    stored = api.post("/v1/policies", draft(agent))
    path = f"/v1/policies/{stored['id']}"
    api.put(path, draft(other))
    assert (code(api, agent), code(api, other)) == ("no_matching_policy", "allowed")
    restored = api.post(f"{path}/restore", {"version": 1}, status=200)
    assert (code(api, agent), code(api, other)) == ("allowed", "no_matching_policy")
    assert restored["appliesTo"] == stored["appliesTo"]
    assert api.get(f"{path}/compare?from=1&to=3")["changes"] == []
    assert api.post(f"{path}/restore", {"version": 9}, status=404)["code"] == "not_found"
    missing = api.post(f"/v1/policies/pol_{uuid4().hex}/restore", {"version": 1}, status=404)
    assert missing["code"] == "not_found"


def test_leaving_out_the_audience_does_not_widen_it(api: Api, agent: str) -> None:
    stored = api.post("/v1/policies", draft(agent))
    without = {name: value for name, value in draft(agent).items() if name != "appliesTo"}
    assert api.put(f"/v1/policies/{stored['id']}", without)["appliesTo"] == stored["appliesTo"]
    assert code(api, api.agent()) == "no_matching_policy"


def test_a_policy_that_is_disabled_has_no_effect_until_it_is_enabled(api: Api, agent: str) -> None:
    path = f"/v1/policies/{api.post('/v1/policies', draft(agent))['id']}"
    assert code(api, agent) == "allowed"
    assert api.put(path, draft(agent, enabled=False))["enabled"] is False
    assert code(api, agent) == "no_matching_policy"
    assert api.get(f"/v1/agents/{agent}/permissions")["permissions"] == []
    api.put(path, draft(agent, enabled=True))
    assert code(api, agent) == "allowed"


def test_a_binding_can_be_demanded(tmp_path: Path) -> None:
    with Server(tmp_path, {"ACT_REQUIRE_BINDING": "true"}) as server, server.api() as api:
        api.agent("Executor", "executor")
        for name in ("Executor Rights", "Rights"):
            body = {"name": name, "actions": ["run"], "resources": ["job://*"]}
            for path, status in (("/v1/policies", 422), ("/v1/policies/validate", 200)):
                answer = api.post(path, body, status=status)
                assert [fault["pointer"] for fault in answer["errors"]] == ["/appliesTo"]
        assert api.get("/v1/policies")["items"] == []
        assert api.post("/v1/policies", body | {"effect": "deny"})["binding"] == "tenant"
        stored = api.post("/v1/policies", body | {"appliesTo": {"roles": ["executor"]}})
        assert api.put(f"/v1/policies/{stored['id']}", body, status=422)["errors"][0]["pointer"] == "/appliesTo"


# --- permissions ------------------------------------------------------------------------------------------------------


def test_permissions_say_by_what_each_policy_applies(api: Api) -> None:
    role = f"role-{uuid4().hex}"
    agent = api.agent(None, "unused", role)
    schema = {"properties": {"amount": {"type": "number", "maximum": 5}}}
    own = api.post("/v1/policies", draft(agent, arguments=schema, constraints={"maxRows": 5}))
    by_role = api.post("/v1/policies", draft(agent, appliesTo={"roles": [role]}, when="context.ok", mode="shadow"))
    resource = f"nothing://{uuid4().hex}"
    for_all = api.post("/v1/policies", draft(agent, appliesTo=None, effect="deny", resources=[resource]))
    over = api.post("/v1/policies", draft(agent, validUntil="2002-01-01T00:00:00Z"))
    other = api.post("/v1/policies", draft(api.agent()))
    answer = api.get(f"/v1/agents/{agent}/permissions")
    assert (answer["agentId"], answer["canAct"]) == (agent, True)
    found = {permission["policyId"]: permission for permission in answer["permissions"]}
    assert list(found) == sorted(found)
    assert other["id"] not in found
    assert found[own["id"]]["via"] == "agent"
    assert found[by_role["id"]]["via"] == f"role:{role}"
    assert found[for_all["id"]]["via"] == "tenant"
    assert [found[policy["id"]]["inForce"] for policy in (own, by_role, for_all, over)] == [True, True, True, False]
    assert (found[own["id"]]["constraints"], found[own["id"]]["arguments"]) == ({"maxRows": 5}, own["arguments"])
    assert (found[by_role["id"]]["mode"], found[by_role["id"]]["when"]) == ("shadow", "context.ok")
    assert (found[for_all["id"]]["effect"], found[for_all["id"]]["resources"]) == ("deny", [resource])
    api.delete(f"/v1/policies/{for_all['id']}")


def test_permissions_of_agents_that_cannot_act(api: Api, agent: str) -> None:
    stored = api.post("/v1/policies", draft(agent))
    api.post(f"/v1/agents/{agent}/suspend", status=200)
    answer = api.get(f"/v1/agents/{agent}/permissions")
    assert answer["canAct"] is False
    assert stored["id"] in [permission["policyId"] for permission in answer["permissions"]]
    api.post(f"/v1/agents/{agent}/resume", status=200)
    assert api.get(f"/v1/agents/{agent}/permissions")["canAct"] is True
    api.delete(f"/v1/agents/{agent}")
    assert api.get(f"/v1/agents/{agent}/permissions", status=404)["code"] == "not_found"
    assert api.get("/v1/agents/nobody/permissions", status=404)["code"] == "not_found"


# --- shadow mode ------------------------------------------------------------------------------------------------------


def recorded(api: Api, decision: Any) -> Any:
    return api.get(f"/v1/audit/{decision['audit']['index']}")["record"]


def test_a_shadow_deny_is_recorded_and_changes_nothing(api: Api, agent: str) -> None:
    allow = api.post("/v1/policies", draft(agent))
    deny = api.post("/v1/policies", draft(agent, effect="deny", mode="shadow"))
    decision = api.enforce(api.token(agent), "run", "job://1")
    assert (decision["decision"], decision["reasonCode"]) == ("allowed", "allowed")
    assert [policy["id"] for policy in decision["policies"]] == [allow["id"]]
    record = recorded(api, decision)
    assert (record["decision"], record["reasonCode"]) == ("allowed", "allowed")
    named = {"id": deny["id"], "version": 1, "effect": "deny"}
    assert record["shadow"] == {"reasonCode": "policy_denied", "policies": [named]}


def test_a_shadow_allow_is_recorded_and_changes_nothing(api: Api, agent: str) -> None:
    allow = api.post("/v1/policies", draft(agent, mode="shadow"))
    decision = api.enforce(api.token(agent), "run", "job://1")
    assert (decision["reasonCode"], decision["policies"], decision["nearMisses"]) == ("no_matching_policy", [], [])
    named = {"id": allow["id"], "version": 1, "effect": "allow"}
    assert recorded(api, decision)["shadow"] == {"reasonCode": "allowed", "policies": [named]}


def test_a_shadow_constraint_is_recorded_and_changes_nothing(api: Api, agent: str) -> None:
    api.post("/v1/policies", draft(agent))
    api.post("/v1/policies", draft(agent, mode="shadow", constraints={"maxRows": 5}))
    decision = api.enforce(api.token(agent), "run", "job://1", arguments={"rows": 6})
    assert (decision["reasonCode"], decision["obligations"]) == ("allowed", {})
    assert recorded(api, decision)["shadow"]["reasonCode"] == "limit_exceeded"


def test_without_a_matching_shadow_policy_nothing_is_recorded(api: Api, agent: str) -> None:
    api.post("/v1/policies", draft(agent))
    api.post("/v1/policies", draft(agent, effect="deny", mode="shadow", actions=["walk"]))
    api.post("/v1/policies", draft(agent, effect="deny", mode="shadow", when="context.x == 1"))
    decision = api.enforce(api.token(agent), "run", "job://1", context={"x": 2})
    assert decision["reasonCode"] == "allowed"
    assert "shadow" not in recorded(api, decision)


def test_a_shadow_policy_is_enforced_when_it_is_told_to(api: Api, agent: str) -> None:
    api.post("/v1/policies", draft(agent))
    deny = api.post("/v1/policies", draft(agent, effect="deny", mode="shadow"))
    assert code(api, agent) == "allowed"
    api.put(f"/v1/policies/{deny['id']}", draft(agent, effect="deny", mode="enforce"))
    assert code(api, agent) == "policy_denied"


# --- docs/policies.md -------------------------------------------------------------------------------------------------

BLOCK = re.compile(r"^```json( stored)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documented(stored: bool) -> list[Any]:
    found = BLOCK.findall(DOCUMENT.read_text())
    return [json.loads(text) for kind, text in found if bool(kind) is stored]


def test_the_documented_policies_are_accepted(api: Api) -> None:
    examples = documented(stored=False)
    assert len(examples) == 3
    for example in examples:
        answer = api.post("/v1/policies/validate", example, status=200)
        assert (answer["valid"], answer["errors"]) == (True, [])


def test_the_documented_policies_do_what_is_said_of_them(api: Api, agent: str) -> None:
    pay, no_large, _ = documented(stored=False)
    [closed] = documented(stored=True)
    to, hours = {"agentIds": [agent]}, {"constraints": {"allowedHours": "00:00-24:00 UTC"}}
    allow = api.post("/v1/policies", pay | {"id": f"pol-{uuid4().hex}", "appliesTo": to} | hours)
    assert allow["arguments"] == closed
    token, prod = api.token(agent), {"env": "prod"}

    def answered(arguments: Any, context: Any = prod) -> str:
        answer = api.enforce(token, "pay", "bank://accounts/1", arguments=arguments, context=context)
        return str(answer["reasonCode"])

    assert answered({"amount": 500}) == "allowed"
    for refused in ({}, {"amount": 501}, {"amount": "5"}, {"amount": 5, "to": "eve"}):
        assert answered(refused) == "no_matching_policy"
    assert answered({"amount": 5}, {}) == answered({"amount": 5}, {"env": "test"}) == "no_matching_policy"
    api.post("/v1/policies", no_large | {"appliesTo": to})
    assert answered({"amount": 500}) == "allowed"
    for denied in ({}, {"amount": 501}, {"amount": "5"}):
        assert answered(denied) == "policy_denied"


def test_every_field_and_constraint_is_documented() -> None:
    text = DOCUMENT.read_text()
    for model in (PolicyDraft, Constraints):
        for field in model.model_fields.values():
            assert f"`{field.alias}`" in text, field.alias


def test_every_warning_is_documented() -> None:
    for warning in WARNINGS:
        assert f"| `{warning}` |" in DOCUMENT.read_text(), warning


def test_a_condition_with_a_secret_is_refused_without_a_word_of_it(api: Api) -> None:
    part = "A" * 30 + "-" + "B" * 30
    for secret in (f"eyJhbGciOiJub25lIn0.{part}.{part}", f"act_1234abcd_{part}"):
        body = {"name": "x", "actions": ["a"], "resources": ["b"], "when": f"{secret} == '1'"}
        answer = api.send("POST", "/v1/policies", body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/when")
        assert "AAAA" not in answer.text
        assert "BBBB" not in answer.text
