"""The delegation tree: shown, counted, renewed, and in the permissions of the agents in it."""

from __future__ import annotations

from typing import Any

from tests.delegations.handing import EVERYTHING, below, further, line, may, root
from tests.in_process import InProcess
from tests.support import Api


def tree(api: Api, issued: Any, status: int = 200) -> Any:
    return api.get(f"/v1/delegations/{issued['tokenId']}/tree", status=status)


def revoke(api: Api, issued: Any) -> Any:
    return api.post(f"/v1/tokens/{issued['tokenId']}/revoke", status=200)


def shape(node: Any) -> Any:
    return (node["agentId"], node["status"], [shape(child) for child in node["children"]])


def test_the_tree_of_a_token(api: Api) -> None:
    agents = line(api)
    first = root(api, agents[0])
    middle = further(api, first, agents[1], depth=2)
    last = below(api, middle, agents[2], scope=[{"actions": ["read"], "resources": ["file://a"]}])
    beside = below(api, first, agents[2])
    shown = tree(api, first)
    assert shape(shown) == (
        agents[0],
        "active",
        [(agents[1], "active", [(agents[2], "active", [])]), (agents[2], "active", [])],
    )
    assert (shown["node"], shown["depth"], shown["scope"], shown["maxDepth"]) == (first["node"], 0, None, 8)
    below_it = shown["children"][0]
    assert (below_it["node"], below_it["depth"], below_it["scope"], below_it["maxDepth"]) == (
        middle["node"],
        1,
        EVERYTHING,
        2,
    )
    leaf = below_it["children"][0]
    assert leaf["scope"] == [{"actions": ["read"], "resources": ["file://a"]}]
    assert leaf["grants"] == ["use"]
    assert leaf["tokenIds"] == [last["tokenId"]]
    assert [child["tokenIds"] for child in shown["children"]] == [[middle["tokenId"]], [beside["tokenId"]]]
    assert tree(api, middle) == below_it
    assert last["token"] not in str(shown)


def test_a_token_that_does_not_exist(api: Api) -> None:
    assert tree(api, {"tokenId": "tok_none"}, 404)["code"] == "not_found"


def test_the_tree_shows_what_is_over(world: InProcess) -> None:
    api = world.api
    agents = line(api)
    first = root(api, agents[0], expiresIn=1000)
    middle = further(api, first, agents[1])
    last = below(api, middle, agents[2])
    below(api, first, agents[2], expiresIn=50)
    revoke(api, middle)
    world.clock.move(50)
    under: Any = (agents[1], "revoked", [(agents[2], "revoked", [])])
    assert shape(tree(api, first)) == (agents[0], "active", [under, (agents[2], "expired", [])])
    assert shape(tree(api, last)) == (agents[2], "revoked", [])


def test_a_revocation_says_how_much_it_took(world: InProcess) -> None:
    api = world.api
    agents = line(api, 4)
    first = root(api, agents[0])
    middle = further(api, first, agents[1], depth=2)
    deep = further(api, middle, agents[2])
    leaves = [below(api, deep, agents[3]), below(api, middle, agents[3]), below(api, first, agents[3], expiresIn=10)]
    told = revoke(api, leaves[0])
    assert (told["revoked"], told["delegated"]) == (1, 0)
    assert revoke(api, leaves[0])["revoked"] == 0
    world.clock.move(10)
    told = revoke(api, middle)
    assert (told["revoked"], told["delegated"]) == (3, 2), "the middle, the deep one, and one leaf"
    assert may(api, deep) == may(api, leaves[1]) == "token_revoked"
    assert may(api, first) == "allowed"
    told = revoke(api, first)
    assert (told["revoked"], told["delegated"]) == (1, 0), "what is expired or revoked is not taken again"


def test_rotated_tokens_are_counted_while_they_are_good(world: InProcess) -> None:
    api = world.api
    agents = line(api)
    first = root(api, agents[0])
    below(api, first, agents[1])
    rotated = api.post(f"/v1/tokens/{first['tokenId']}/rotate", {"grace": 30})
    assert rotated["node"] == first["node"]
    assert [len(node["tokenIds"]) for node in (tree(api, first), *tree(api, first)["children"])] == [2, 1]
    world.clock.move(30)
    told = revoke(api, rotated)
    assert (told["revoked"], told["delegated"]) == (2, 1), "the new one and the child; the old one is over"


def test_the_children_of_a_rotated_token_live_on(world: InProcess) -> None:
    api = world.api
    agents = line(api)
    first = root(api, agents[0], expiresIn=100)
    child = further(api, first, agents[1])
    rotated = api.post(f"/v1/tokens/{first['tokenId']}/rotate", {"grace": 5, "expiresIn": 1000})
    world.clock.move(90)
    assert may(api, child) == "allowed"
    assert may(api, below(api, rotated, agents[2])) == "allowed"


def test_a_child_is_renewed_up_to_the_end_of_its_parent(world: InProcess) -> None:
    api = world.api
    agents = line(api)
    first = root(api, agents[0], expiresIn=600)
    child = below(api, first, agents[1], expiresIn=100)
    world.clock.move(50)
    renewed = api.post(f"/v1/tokens/{child['tokenId']}/rotate", {"expiresIn": 3600})
    assert renewed["expiresAt"] == first["expiresAt"]
    world.clock.move(549)
    assert may(api, renewed) == "allowed"
    world.clock.move(1)
    assert may(api, renewed) == "token_expired"
    assert api.post(f"/v1/tokens/{renewed['tokenId']}/rotate", {}, status=409)["code"] == "token_expired"


def test_a_renewed_parent_lets_the_child_be_renewed(world: InProcess) -> None:
    api = world.api
    agents = line(api)
    first = root(api, agents[0], expiresIn=100)
    child = below(api, first, agents[1])
    again = api.post(f"/v1/tokens/{first['tokenId']}/rotate", {"expiresIn": 1000})
    renewed = api.post(f"/v1/tokens/{child['tokenId']}/rotate", {"expiresIn": 1000})
    assert renewed["expiresAt"] == again["expiresAt"]
    world.clock.move(500)
    assert may(api, renewed) == "allowed"


def test_a_child_of_what_is_revoked_is_not_renewed(api: Api) -> None:
    agents = line(api)
    first = root(api, agents[0])
    child = below(api, first, agents[1])
    revoke(api, first)
    assert api.post(f"/v1/tokens/{child['tokenId']}/rotate", {}, status=409)["code"] == "token_revoked"


def test_permissions_show_what_was_handed_down(world: InProcess) -> None:
    api = world.api
    agents = line(api)
    first = root(api, agents[0], expiresIn=1000)
    scope = [{"actions": ["read"], "resources": ["file://a"]}]
    child = below(api, first, agents[1], scope=scope)
    short = below(api, first, agents[1], expiresIn=50)

    def received() -> Any:
        return api.get(f"/v1/agents/{agents[1]}/permissions")["delegations"]

    assert [one["node"] for one in received()] == [child["node"], short["node"]]
    assert received()[0] == {
        "node": child["node"],
        "fromAgentId": agents[0],
        "scope": scope,
        "grants": ["use"],
        "expiresAt": first["expiresAt"],
    }
    assert api.get(f"/v1/agents/{agents[0]}/permissions")["delegations"] == []
    world.clock.move(50)
    assert [one["node"] for one in received()] == [child["node"]]
    revoke(api, first)
    assert received() == []


def test_permissions_show_the_grants_of_policies(api: Api) -> None:
    agents = line(api)
    (permission,) = api.get(f"/v1/agents/{agents[0]}/permissions")["permissions"]
    assert permission["grants"] == ["use", "delegate"]
    assert permission["delegation"] == {"to": {"roles": [], "agentIds": list(agents.agents)}, "maxDepth": 8}


def test_openapi_knows_the_calls(api: Api) -> None:
    document = api.get("/openapi.json")
    assert "post" in document["paths"]["/v1/delegations"]
    assert "get" in document["paths"]["/v1/delegations/{token_id}/tree"]
    schemas = document["components"]["schemas"]
    assert schemas["DelegationRequest"]["required"] == ["parentToken", "toAgentId", "scope"]
    assert schemas["DelegationNode"]["properties"]["children"]["items"] == {
        "$ref": "#/components/schemas/DelegationNode"
    }
    for name in ("DelegationRequest", "ScopeItem", "Delegators"):
        assert schemas[name]["additionalProperties"] is False
