"""`POST /v1/delegations`: what it refuses, with a pointer to every fault, and what it answers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.delegations.handing import EVERYTHING, below, further, line, may, root
from tests.in_process import InProcess
from tests.support import Api


def pointers(problem: Any) -> list[str]:
    return [fault["pointer"] for fault in problem["errors"]]


def test_the_answer(api: Api) -> None:
    agents = line(api)
    parent = root(api, agents[0])
    child = below(api, parent, agents[1])
    assert child["agentId"] == agents[1]
    assert child["node"].startswith("nod_")
    assert child["node"] != parent["node"]
    assert child["revision"] > parent["revision"]
    assert child["warnings"] == []
    shown = api.get(f"/v1/tokens/{child['tokenId']}")
    assert "token" not in shown
    assert (shown["parent"], shown["depth"], shown["scope"]) == (parent["node"], 1, EVERYTHING)
    assert shown["grants"] == ["use"]
    assert may(api, child) == "allowed"


def test_a_receiver_is_named_by_id_or_by_name(api: Api) -> None:
    agents = line(api)
    parent = root(api, agents[0])
    name = api.get(f"/v1/agents/{agents[1]}")["name"]
    assert below(api, parent, name)["agentId"] == agents[1]
    assert below(api, parent, "nobody", status=404)["code"] == "not_found"


def test_a_receiver_without_policies_is_warned_of(api: Api) -> None:
    giver, receiver = api.agent(), api.agent()
    to = {"to": {"agentIds": [receiver]}}
    api.policy(appliesTo={"agentIds": [giver]}, grants=["delegate"], delegation=to)
    child = below(api, root(api, giver), receiver)
    assert [warning["code"] for warning in child["warnings"]] == ["no_policies"]
    assert may(api, child) == "no_matching_policy"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"scope": []}, ["/scope"]),
        ({"scope": None}, ["/scope"]),
        ({"scope": [{"actions": [], "resources": ["*"]}]}, ["/scope/0/actions"]),
        ({"scope": [{"actions": ["*"]}]}, ["/scope/0/resources"]),
        ({"scope": EVERYTHING * 17}, ["/scope"]),
        ({"scope": [{"actions": ["*"], "resources": ["*" * 9]}]}, ["/scope/0/resources/0"]),
        ({"grants": []}, ["/grants"]),
        ({"grants": ["admin"]}, ["/grants/0"]),
        ({"maxDepth": 1}, [""]),
        ({"to": {"roles": ["x"]}}, [""]),
        ({"grants": ["use", "delegate"], "to": {}}, ["/to"]),
        ({"grants": ["use", "delegate"], "maxDepth": 9}, ["/maxDepth"]),
        ({"grants": ["use", "delegate"], "maxDepth": 0}, ["/maxDepth"]),
        ({"expiresIn": 0}, ["/expiresIn"]),
        ({"expiresIn": 86_401}, ["/expiresIn"]),
        ({"unknown": 1}, ["/unknown"]),
        ({"parentToken": 1, "toAgentId": ""}, ["/parentToken", "/toAgentId"]),
        ({"cnf": {"jwk": {"kty": "oct", "k": "AAAA"}}}, ["/cnf/jwk"]),
    ],
    ids=repr,
)
def test_a_body_that_is_none(api: Api, fields: dict[str, Any], expected: list[str]) -> None:
    agents = line(api)
    body = {"parentToken": root(api, agents[0])["token"], "toAgentId": agents[1], "scope": EVERYTHING} | fields
    assert pointers(api.post("/v1/delegations", body, status=422)) == expected


def test_a_body_without_its_fields(api: Api) -> None:
    assert pointers(api.post("/v1/delegations", {}, status=422)) == ["/parentToken", "/toAgentId", "/scope"]


def test_all_that_is_too_much_is_named_at_once(api: Api) -> None:
    giver, receiver = api.agent(), api.agent()
    to = {"to": {"agentIds": [receiver]}}
    api.policy(["read"], ["file://a/*"], appliesTo={"agentIds": [giver]}, grants=["delegate"], delegation=to)
    parent = root(api, giver, expiresIn=600, task={"id": "t1", "facts": {"who": "ann"}})
    scope = [
        {"actions": ["read"], "resources": ["file://a/1"]},
        {"actions": ["read", "write"], "resources": ["file://a/*", "file://*"]},
    ]
    task = {"id": "t2", "facts": {"who": "eve"}}
    problem = below(api, parent, receiver, 422, scope=scope, expiresIn=700, task=task)
    assert problem["code"] == "delegation_exceeds_parent"
    found = ["/scope/1/resources/1", "/scope/1/actions/1", "/expiresIn", "/task/id", "/task/facts"]
    assert sorted(pointers(problem)) == sorted(found)


def test_what_the_parent_token_does_not_reach(api: Api) -> None:
    agents = line(api)
    parent = root(api, agents[0], scope=[{"actions": ["read"], "resources": ["file://*"]}])
    wider = [
        {"actions": ["read"], "resources": ["file://a", "mail://a"]},
        {"actions": ["*"], "resources": ["file://a"]},
    ]
    problem = below(api, parent, agents[1], 422, scope=wider)
    assert pointers(problem) == ["/scope/0/resources/1", "/scope/1/actions/0"]


def test_a_parent_token_that_is_not_good(api: Api) -> None:
    agents = line(api)
    parent = root(api, agents[0])
    api.post(f"/v1/tokens/{parent['tokenId']}/revoke", status=200)
    for token, code in ((parent["token"], "token_revoked"), ("nonsense", "token_malformed")):
        problem = below(api, {"token": token}, agents[1], 422)
        assert (problem["code"], pointers(problem)) == (code, ["/parentToken"])


def test_a_deny_on_delegate_stops_it(api: Api) -> None:
    agents = line(api)
    resources = [f"agent://{agents[1]}"]
    api.policy(["delegate"], resources, effect="deny", appliesTo={"agentIds": [agents[0]]})
    parent = root(api, agents[0])
    assert pointers(below(api, parent, agents[1], 422)) == ["/toAgentId"]
    below(api, parent, agents[2])


def test_a_key_of_an_agents_own_process_hands_down_but_states_no_facts(world: InProcess) -> None:
    api = world.api
    agents = line(api)
    enforcing = world.client(api.key("enforce", name="agent")["key"])
    parent = root(api, agents[0])
    assert may(api, below(enforcing, parent, agents[1])) == "allowed"
    problem = below(enforcing, parent, agents[1], 422, task={"id": "t1", "facts": {"who": "eve"}})
    assert "/task/facts" in pointers(problem)
    reading = world.client(api.key("audit", name="reader")["key"])
    assert below(reading, parent, agents[1], 403)["code"] == "scope_missing"


def test_the_task_goes_down_by_itself(api: Api) -> None:
    agents = line(api)
    parent = root(api, agents[0], task={"id": "t1", "facts": {"who": "ann"}}, onBehalfOf="ann")
    child = below(api, further(api, parent, agents[1]), agents[2])
    shown = api.get(f"/v1/tokens/{child['tokenId']}")
    assert shown["task"] == {"id": "t1", "facts": {"who": "ann"}}
    assert shown["onBehalfOf"] == "ann"


def test_a_child_lives_no_longer_than_its_parent(world: InProcess) -> None:
    api = world.api
    agents = line(api)
    parent = root(api, agents[0], expiresIn=100)
    child = below(api, parent, agents[1])
    assert child["expiresAt"] == parent["expiresAt"]
    world.clock.move(60)
    assert below(api, parent, agents[1])["expiresAt"] == parent["expiresAt"]
    assert pointers(below(api, parent, agents[1], 422, expiresIn=60)) == ["/expiresIn"]
    world.clock.move(40)
    assert below(api, parent, agents[1], 422)["code"] == "token_expired"
    assert may(api, child) == "token_expired"


def test_only_so_many_children_at_a_time(world: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a smaller bound, so that it does not take a thousand delegations to see that it holds."""
    from act.tokens import mint

    assert mint.MAX_CHILDREN == 1_000
    monkeypatch.setattr(mint, "MAX_CHILDREN", 3)
    api = world.api
    agents = line(api)
    parent = root(api, agents[0])
    children = [below(api, parent, agents[1], expiresIn=seconds) for seconds in (100, 200, 200)]
    assert below(api, parent, agents[2], 409)["code"] == "too_many_delegations"
    api.post(f"/v1/tokens/{children[1]['tokenId']}/revoke", status=200)
    fourth = further(api, parent, agents[1])
    assert below(api, parent, agents[2], 409)["code"] == "too_many_delegations"
    below(api, fourth, agents[2])
    world.clock.move(100)
    below(api, parent, agents[2])
