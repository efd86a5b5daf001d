"""Attacks on delegation through HTTP: nothing that is handed down is ever more than each link allows (6-threats)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.attacks.forge import Forger
from tests.attacks.lines import SCOPE, TASK, TASKS, claims_of, code, delegated, line, told, within
from tests.in_process import InProcess
from tests.support import Api, Server


def test_what_is_handed_down_rightly_is_allowed(api: Api) -> None:
    """The base of all attacks: eight links below the root, each of which may."""
    made = line(api, 9)
    assert made.codes() == ["allowed"] * 9
    claims = claims_of(made.leaf)
    assert (claims["dlg"]["depth"], claims["dlg"]["maxDepth"], claims["dlg"]["grants"]) == (8, 0, ["use"])
    assert claims["dlg"]["path"] == [issued["node"] for issued in made.issued[:-1]]


# --- more than the parent has -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "pointer"),
    [
        ([{"actions": ["*"], "resources": [TASKS]}], "/scope/0/actions/0"),
        ([{"actions": ["ru*"], "resources": [TASKS]}], "/scope/0/actions/0"),
        ([{"actions": ["run", "erase"], "resources": [TASKS]}], "/scope/0/actions/1"),
        ([{"actions": ["run"], "resources": ["*"]}], "/scope/0/resources/0"),
        ([{"actions": ["run"], "resources": ["api://*"]}], "/scope/0/resources/0"),
        ([{"actions": ["run"], "resources": ["api://tasks*"]}], "/scope/0/resources/0"),
        ([{"actions": ["run"], "resources": [TASKS, "api://other/1"]}], "/scope/0/resources/1"),
        ([*SCOPE, {"actions": ["run"], "resources": ["*/tasks/*"]}], "/scope/1/resources/0"),
    ],
    ids=str,
)
@pytest.mark.parametrize("narrowed", ["by the token", "by the policies"])
def test_a_wider_scope_is_refused_and_named(api: Api, scope: Any, pointer: str, narrowed: str) -> None:
    if narrowed == "by the token":
        made = line(api, 1, root={"scope": SCOPE})
        made.policy(["*"], ["*"], 0, grants=["use", "delegate"], delegation=within(made.role))
    else:
        made = line(api, 1)
    problem = delegated(api, made.leaf, made.agent(), scope=scope, status=422)
    assert (problem["code"], told(problem)) == ("delegation_exceeds_parent", [pointer])


def test_a_scope_that_two_parts_would_only_cover_together(api: Api) -> None:
    """run on a and erase on b is neither run on b nor erase on a."""
    parts = [{"actions": ["run"], "resources": ["api://a/*"]}, {"actions": ["erase"], "resources": ["api://b/*"]}]
    made = line(api, 1, root={"scope": parts})
    made.policy(["*"], ["*"], 0, grants=["use", "delegate"], delegation=within(made.role))
    crossed = [{"actions": ["run", "erase"], "resources": ["api://a/*", "api://b/*"]}]
    problem = delegated(api, made.leaf, made.agent(), scope=crossed, status=422)
    assert told(problem) == ["/scope/0/resources/1", "/scope/0/resources/0"]
    child = delegated(api, made.leaf, made.agent(), scope=parts)["token"]
    api.policy(["*"], ["*"], appliesTo={"roles": [made.role]})
    assert code(api, child, "run", "api://a/1") == "allowed"
    assert code(api, child, "run", "api://b/1") == "chain_scope_exceeded"
    assert code(api, child, "erase", "api://a/1") == "chain_scope_exceeded"


@pytest.mark.parametrize("scope", [None, [], {}, [{}], [{"actions": [], "resources": ["*"]}], [{"actions": ["run"]}]])
def test_no_scope_is_not_every_scope(api: Api, scope: Any) -> None:
    made = line(api, 1)
    assert delegated(api, made.leaf, made.agent(), scope=scope, status=422)["code"] == "document_invalid"


def test_a_scope_holds_although_the_receiver_and_the_giver_may_more(api: Api) -> None:
    made = line(api, 1)
    api.policy(["*"], ["*"], appliesTo={"roles": [made.role]}, grants=["use", "delegate"], delegation=within(made.role))
    child = delegated(api, made.leaf, made.agent(), scope=[{"actions": ["run"], "resources": [TASK]}])["token"]
    assert code(api, child) == "allowed"
    assert code(api, child, "run", TASK + "0") == "chain_scope_exceeded"
    assert code(api, child, "erase", TASK) == "chain_scope_exceeded"


def test_a_scope_in_the_middle_binds_what_is_below(api: Api) -> None:
    """A grandchild whose own scope is as wide as its parent's reaches no further, also when it is forged wider."""
    narrow = [{"actions": ["run"], "resources": [TASK]}]
    made = line(api, 1).longer(scope=narrow).longer(scope=narrow)
    assert code(api, made.leaf) == "allowed"
    assert code(api, made.leaf, "run", TASK + "0") == "chain_scope_exceeded"


def test_a_chain_whose_claims_were_widened_with_the_servers_own_key(server: Server, api: Api) -> None:
    """A token that tells another scope than its node's is none, however rightly it is signed."""
    narrow = [{"actions": ["run"], "resources": [TASK]}]
    made = line(api, 1).longer(scope=narrow).longer(scope=narrow)
    forger = Forger(server.database, made.leaf)
    wide = [{"type": "act", "actions": ["*"], "resources": ["*"]}]
    assert code(api, made.leaf, "run", TASK + "0") == "chain_scope_exceeded"
    for claims in ({"authorization_details": wide}, {"authorization_details": ...}):
        assert code(api, forger.claiming(**claims)) == "token_revoked"
        assert code(api, forger.claiming(**claims), "run", TASK + "0") == "token_revoked"


def test_claims_about_the_chain_that_are_not_on_record(server: Server, api: Api) -> None:
    made, other = line(api, 3), line(api, 2)
    forger, claims = Forger(server.database, made.leaf), claims_of(made.leaf)
    dlg, act = claims["dlg"], claims["act"]
    nodes = [issued["node"] for issued in other.issued]
    assert code(api, forger.make()) == "allowed"
    shorter = {"dlg": dlg | {"path": [], "depth": 0}, "act": ...}
    assert code(api, forger.claiming(**shorter)) == "token_revoked"
    cut = {"dlg": dlg | {"path": dlg["path"][1:], "depth": 1}, "act": {"sub": act["sub"], "act": {"sub": "x"}}}
    assert code(api, forger.claiming(**cut)) == "token_revoked"
    foreign = {"dlg": dlg | {"path": [nodes[0], dlg["path"][1]]}}
    assert code(api, forger.claiming(**foreign)) == "token_revoked"
    assert code(api, forger.claiming(dlg=dlg | {"node": nodes[1]})) == "token_revoked"
    assert code(api, forger.claiming(dlg=dlg | {"node": made.issued[0]["node"], "path": nodes})) == "token_revoked"
    swapped = dlg | {"path": dlg["path"][::-1]}
    assert code(api, forger.claiming(dlg=swapped)) == "token_revoked"
    # The token of another agent on this one's node, and this one's token on the other's.
    assert code(api, forger.claiming(jti=other.issued[1]["tokenId"])) == "token_revoked"


def test_a_longer_life(tmp_path: Path) -> None:
    node = InProcess(tmp_path)
    api, made = node.api, line(node.api, 1, root={"expiresIn": 100})
    node.clock.move(40)
    for seconds in (80, 200):
        problem = delegated(api, made.leaf, made.agent(), expiresIn=seconds, status=422)
        assert (problem["code"], told(problem)) == ("delegation_exceeds_parent", ["/expiresIn"])
    for more, left in (({}, 60), ({"expiresIn": 50}, 50), ({"expiresIn": 60}, 60)):
        child = delegated(api, made.leaf, made.agent(), **more)["token"]
        assert claims_of(child)["exp"] - claims_of(made.leaf)["exp"] == left - 60
    assert delegated(api, made.leaf, made.agent(), expiresIn=2**40, status=422)["code"] == "document_invalid"
    node.close()


def test_a_rotated_child_does_not_outlive_its_parent(api: Api) -> None:
    made = line(api, 1, root={"expiresIn": 100}).longer()
    rotated = api.post(f"/v1/tokens/{made.issued[1]['tokenId']}/rotate", {"expiresIn": 5000})["token"]
    assert code(api, rotated) == "allowed"
    assert claims_of(rotated)["exp"] <= claims_of(made.tokens[0])["exp"]


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    node = InProcess(tmp_path)
    api, made = node.api, line(node.api, 1, root={"expiresIn": 60}).longer()
    for seconds, expected in ((0, "allowed"), (59, "allowed"), (1, "token_expired")):
        node.clock.move(seconds)
        assert code(api, made.leaf) == expected
    problem = delegated(api, made.tokens[0], made.agent(), status=422)
    assert problem["code"] == "token_expired"
    node.close()


# --- deeper, in circles, to oneself -----------------------------------------------------------------------------------


def test_deeper_than_eight(api: Api) -> None:
    made = line(api, 9)
    assert code(api, made.leaf) == "allowed"
    problem = delegated(api, made.leaf, made.agent(), status=422)
    assert problem["code"] == "chain_depth_exceeded"
    assert delegated(api, made.tokens[0], made.agent(), grants=["use", "delegate"], maxDepth=9, status=422)["code"] == (
        "document_invalid"
    )
    too_deep = delegated(api, made.tokens[0], made.agent(), grants=["use", "delegate"], maxDepth=8, status=422)
    assert set(told(too_deep)) == {"/maxDepth"}


def test_deeper_than_the_parent_says(api: Api) -> None:
    made = line(api, 1).longer(grants=["use", "delegate"], maxDepth=1)
    problem = delegated(api, made.leaf, made.agent(), grants=["use", "delegate"], status=422)
    assert (problem["code"], told(problem)) == ("delegation_exceeds_parent", ["/maxDepth"])
    last = made.longer(grants=["use"], maxDepth=None)
    assert code(api, last.leaf) == "allowed"
    assert delegated(api, last.leaf, made.agent(), status=422)["code"] == "chain_depth_exceeded"


def test_a_token_without_the_grant_to_hand_on(api: Api) -> None:
    made = line(api, 1).longer(grants=["use"], maxDepth=None)
    assert code(api, made.leaf) == "allowed"
    assert delegated(api, made.leaf, made.agent(), status=422)["code"] == "chain_not_delegable"


def test_deeper_than_the_policies_say_since(api: Api) -> None:
    made = line(api, 4)
    assert code(api, made.leaf) == "allowed"
    rule = {"name": "less", "actions": ["run"], "resources": [TASKS], "appliesTo": {"roles": [made.role]}}
    api.put(f"/v1/policies/{made.gives}", rule | {"grants": ["delegate"], "delegation": within(made.role, 2)})
    assert made.codes() == ["allowed", "allowed", "allowed", "chain_depth_exceeded"]
    problem = delegated(api, made.leaf, made.agent(), status=422)
    assert problem["code"] == "delegation_exceeds_parent"


def test_an_agent_twice(api: Api) -> None:
    made = line(api, 3)
    for earlier in made.agents:
        problem = delegated(api, made.leaf, earlier, status=422)
        assert (problem["code"], told(problem)) == ("chain_cycle", ["/toAgentId"])
    name = api.get(f"/v1/agents/{made.agents[0]}")["name"]
    assert delegated(api, made.leaf, name, status=422)["code"] == "chain_cycle"


def test_to_oneself(api: Api) -> None:
    made = line(api, 1)
    for label in (made.agents[0], api.get(f"/v1/agents/{made.agents[0]}")["name"]):
        assert delegated(api, made.leaf, label, status=422)["code"] == "chain_cycle"


@pytest.mark.parametrize("to", ["nobody", "*", "agt_" + "0" * 32])
def test_to_nobody(api: Api, to: str) -> None:
    made = line(api, 1)
    assert delegated(api, made.leaf, to, status=404)["code"] == "not_found"


def test_to_the_suspended_and_the_deleted(api: Api) -> None:
    made = line(api, 1)
    to = made.agent()
    api.post(f"/v1/agents/{to}/suspend", status=200)
    assert delegated(api, made.leaf, to, status=409)["code"] == "agent_suspended"
    api.delete(f"/v1/agents/{to}")
    assert delegated(api, made.leaf, to, status=404)["code"] == "not_found"
