"""Attacks on delegation through HTTP: nothing that is handed down is ever more than each link allows (6-threats)."""

from __future__ import annotations

import threading
import time
from typing import Any
from uuid import uuid4

import pytest

from tests.attacks.conftest import OTHER_KEY
from tests.attacks.forge import Forger
from tests.attacks.lines import SCOPE, TASK, TASKS, Line, claims_of, code, delegated, holder, line, told, within
from tests.support import Api, Server


@pytest.fixture
def enforcer(server: Server, api: Api) -> Any:
    """The key of an agent's own process: for `enforce` and nothing else."""
    with server.api(api.key("enforce")["key"]) as enforcer:
        yield enforcer


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
    """The scopes above are not those that the token tells."""
    narrow = [{"actions": ["run"], "resources": [TASK]}]
    made = line(api, 1).longer(scope=narrow).longer(scope=narrow)
    forger = Forger(server.database, made.leaf)
    wide = [{"type": "act", "actions": ["*"], "resources": ["*"]}]
    assert code(api, forger.claiming(authorization_details=wide)) == "allowed"
    assert code(api, forger.claiming(authorization_details=wide), "run", TASK + "0") == "chain_scope_exceeded"
    assert code(api, forger.claiming(authorization_details=...), "run", TASK + "0") == "chain_scope_exceeded"


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


def test_a_longer_life(api: Api) -> None:
    made = line(api, 1, root={"expiresIn": 100})
    problem = delegated(api, made.leaf, made.agent(), expiresIn=200, status=422)
    assert (problem["code"], told(problem)) == ("delegation_exceeds_parent", ["/expiresIn"])
    for more in ({}, {"expiresIn": 50}, {"expiresIn": 99}):
        child = delegated(api, made.leaf, made.agent(), **more)["token"]
        assert claims_of(child)["exp"] <= claims_of(made.leaf)["exp"]
    assert delegated(api, made.leaf, made.agent(), expiresIn=2**40, status=422)["code"] == "document_invalid"


def test_a_rotated_child_does_not_outlive_its_parent(api: Api) -> None:
    made = line(api, 1, root={"expiresIn": 100}).longer()
    rotated = api.post(f"/v1/tokens/{made.issued[1]['tokenId']}/rotate", {"expiresIn": 5000})["token"]
    assert code(api, rotated) == "allowed"
    assert claims_of(rotated)["exp"] <= claims_of(made.tokens[0])["exp"]


def test_a_child_ends_with_its_parent(api: Api) -> None:
    made = line(api, 1, root={"expiresIn": 2}).longer()
    assert code(api, made.leaf) == "allowed"
    deadline = time.monotonic() + 6
    while (last := code(api, made.leaf)) == "allowed" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert last == "token_expired"
    problem = delegated(api, made.tokens[0], made.agent(), status=422)
    assert problem["code"] == "token_expired"


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


# --- the right to hand down -------------------------------------------------------------------------------------------


def test_who_may_only_use_hands_nothing_down(api: Api) -> None:
    role = f"role-{uuid4().hex}"
    giver, taker = api.agent(None, role), api.agent(None, role)
    api.policy(["run"], [TASKS], appliesTo={"roles": [role]})
    parent = api.token(giver)
    assert code(api, parent) == "allowed"
    problem = delegated(api, parent, taker, status=422)
    assert (problem["code"], told(problem)) == ("delegation_exceeds_parent", ["/scope/0/actions/0"])


def test_who_may_only_hand_down_does_not_do_it(api: Api) -> None:
    """The planner tasks the executor, and still does not execute; neither does its own token become usable."""
    planner, executor = api.agent(), api.agent()
    to = {"to": {"agentIds": [executor]}, "maxDepth": 1}
    api.policy(["run"], [TASKS], appliesTo={"agentIds": [planner]}, grants=["delegate"], delegation=to)
    api.policy(["run"], [TASKS], appliesTo={"agentIds": [executor]})
    parent = api.token(planner)
    child = delegated(api, parent, executor)["token"]
    assert code(api, child) == "allowed"
    assert code(api, parent) == "no_matching_policy"
    # A token that was handed down to be handed on only is used by nobody.
    made = line(api, 1).longer(grants=["delegate"])
    assert code(api, made.leaf) == "chain_scope_exceeded"
    assert code(api, made.longer().leaf) == "allowed"


def test_the_receivers_own_policies_stay_its_ceiling(api: Api) -> None:
    giver, taker = api.agent(), api.agent()
    to = {"to": {"agentIds": [taker]}, "maxDepth": 1}
    api.policy(["run"], [TASKS], appliesTo={"agentIds": [giver]}, grants=["use", "delegate"], delegation=to)
    child = delegated(api, api.token(giver), taker)
    assert [warned["code"] for warned in child["warnings"]] == ["no_policies"]
    assert code(api, child["token"]) == "no_matching_policy"


def test_to_an_agent_that_the_rule_does_not_name(api: Api) -> None:
    made = line(api, 2)
    stranger = api.agent()
    api.policy(["run"], [TASKS], appliesTo={"agentIds": [stranger]})
    for parent in made.tokens:
        assert told(delegated(api, parent, stranger, status=422)) == ["/scope/0/actions/0"]


def test_the_right_was_lost_since(api: Api) -> None:
    made = line(api, 3)
    assert made.codes() == ["allowed"] * 3
    api.delete(f"/v1/policies/{made.gives}")
    assert made.codes() == ["allowed", "chain_not_delegable", "chain_not_delegable"]


@pytest.mark.parametrize(
    "change",
    [
        {"enabled": False},
        {"mode": "shadow"},
        {"validUntil": "2001-01-01T00:00:00Z"},
        {"actions": ["walk"]},
        {"resources": ["api://other/*"]},
        {"grants": ["use"], "delegation": ...},
        {"delegation": {"to": {"roles": ["somebody-else"]}, "maxDepth": 8}},
        {"appliesTo": {"agentIds": ["nobody"]}},
        {"when": "context.missing == 'x'"},
        {"when": "token.depth > 5"},
        {"arguments": {"type": "object", "properties": {"amount": {"type": "number", "maximum": 5}}}},
    ],
    ids=str,
)
def test_the_rule_that_gave_the_right_was_changed(api: Api, change: dict[str, Any]) -> None:
    made = line(api, 2)
    assert code(api, made.leaf) == "allowed"
    rule = {
        "name": "changed",
        "actions": ["run"],
        "resources": [TASKS],
        "appliesTo": {"roles": [made.role]},
        "grants": ["delegate"],
        "delegation": within(made.role, 8),
    }
    written = {name: value for name, value in (rule | change).items() if value is not ...}
    api.put(f"/v1/policies/{made.gives}", written)
    assert made.codes() == ["allowed", "chain_not_delegable"]


def test_the_agent_lost_the_role_since(api: Api) -> None:
    made = line(api, 3)
    api.policy(["run"], [TASKS], appliesTo={"agentIds": list(made.agents)})
    api.patch(f"/v1/agents/{made.agents[1]}", {"roles": []})
    # The one in the middle hands nothing down any more, and to it nothing may be handed.
    assert made.codes() == ["allowed", "chain_not_delegable", "chain_not_delegable"]


def test_a_right_of_the_root_does_not_stand_for_one_in_the_middle(api: Api) -> None:
    """Root and leaf may, the one between them may not hand down: the chain is as good as its worst link."""
    made = line(api, 3)
    api.delete(f"/v1/policies/{made.gives}")
    made.policy(["run"], [TASKS], 0, grants=["delegate"], delegation=within(made.role, 8))
    assert made.codes() == ["allowed", "allowed", "chain_not_delegable"]


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_deny_policy_on_any_agent_of_the_chain(api: Api, place: int) -> None:
    made = line(api, 4)
    assert code(api, made.leaf) == "allowed"
    made.policy(["run"], [TASK], place, effect="deny")
    assert made.codes() == ["allowed"] * place + ["policy_denied"] * (4 - place)
    assert code(api, made.leaf, "run", TASK + "0") == "allowed"


def test_a_deny_policy_whose_condition_errors_for_an_ancestor(api: Api) -> None:
    made = line(api, 2)
    made.policy(["run"], ["*"], 0, effect="deny", when="context.missing == 'x'")
    assert code(api, made.leaf) == "policy_denied"


def test_a_deny_policy_on_handing_down(api: Api) -> None:
    for label in ("id", "name"):
        made = line(api, 1)
        to = made.agent()
        resource = f"agent://{api.get(f'/v1/agents/{to}')[label]}"
        made.policy(["delegate"], [resource], 0, effect="deny")
        assert told(delegated(api, made.leaf, to, status=422)) == ["/toAgentId"]
        delegated(api, made.leaf, made.agent())


def test_the_constraints_of_every_link_hold(api: Api) -> None:
    made = line(api, 3)
    limit = {"type": "object", "properties": {"amount": {"type": "number", "maximum": 5}}}
    made.policy(["run"], [TASKS], 0, constraints={"requiresApproval": True})
    made.policy(["run"], [TASKS], 1, constraints={"allowedDomains": ["example.com"]})
    assert code(api, made.leaf) == "approval_required"
    assert code(api, made.leaf, arguments={"to": "eve@evil.example"}) == "domain_not_allowed"
    made.policy(["run"], [TASKS], 1, constraints={"maxRows": 1}, arguments=limit)
    assert code(api, made.leaf, arguments={"amount": 1}, context={"rows": 2}) in ("limit_exceeded", "approval_required")


def test_conditions_of_an_ancestor_see_its_own_token(api: Api) -> None:
    """Facts that only the child has give the ancestor no right to hand down."""
    made = line(api, 1)
    api.delete(f"/v1/policies/{made.gives}")
    made.policy(
        ["run"],
        [TASKS],
        0,
        grants=["delegate"],
        delegation=within(made.role),
        when="token.facts.cleared == true",
    )
    taker = made.agent()
    child = delegated(api, made.leaf, taker, task={"id": uuid4().hex, "facts": {"cleared": True}})["token"]
    assert code(api, child) == "chain_not_delegable"
    cleared = api.token(made.agents[0], task={"id": uuid4().hex, "facts": {"cleared": True}})
    assert code(api, delegated(api, cleared, taker)["token"]) == "allowed"


# --- ancestors that are no more ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("revoke", "token_revoked"),
        ("mark", "token_revoked"),
        ("suspend", "agent_suspended"),
        ("delete", "agent_deleted"),
    ],
)
def test_an_ancestor_that_is_no_more(api: Api, place: int, how: str, reason: str) -> None:
    made = line(api, 4)
    beside = delegated(api, made.tokens[0], made.agent())["token"] if place else None
    assert made.codes() == ["allowed"] * 4
    agent = f"/v1/agents/{made.agents[place]}"
    if how == "revoke":
        revoked = api.post(f"/v1/tokens/{made.issued[place]['tokenId']}/revoke", status=200)
        assert (revoked["revoked"], revoked["delegated"]) == (4 - place, 3 - place)
    elif how == "mark":
        api.post(f"{agent}/revoke-tokens", status=200)
    elif how == "suspend":
        api.post(f"{agent}/suspend", status=200)
    else:
        api.delete(agent)
    assert made.codes() == ["allowed"] * place + [reason] * (4 - place)
    if beside is not None:
        assert code(api, beside) == "allowed"
    for parent in made.tokens[place:3]:
        assert delegated(api, parent, made.agent(), status=422)["code"] == reason
    if how == "suspend":
        api.post(f"{agent}/resume", status=200)
        assert made.codes() == ["allowed"] * 4


@pytest.mark.parametrize("place", [0, 1])
def test_a_rotated_child_after_the_ancestors_mark(api: Api, place: int) -> None:
    made = line(api, 3)
    rotated = api.post(f"/v1/tokens/{made.issued[2]['tokenId']}/rotate", {})
    assert code(api, rotated["token"]) == "allowed"
    api.post(f"/v1/agents/{made.agents[place]}/revoke-tokens", status=200)
    assert code(api, rotated["token"]) == "token_revoked"
    for old in (rotated, made.issued[2]):
        assert api.post(f"/v1/tokens/{old['tokenId']}/rotate", {}, status=409)["code"] == "token_revoked"
    # A rotated ancestor is no new ancestor.
    assert api.post(f"/v1/tokens/{made.issued[place]['tokenId']}/rotate", {}, status=409)["code"] == "token_revoked"


def test_revoking_the_first_token_of_a_node_ends_what_was_rotated_and_handed_down_since(api: Api) -> None:
    made = line(api, 1)
    rotated = api.post(f"/v1/tokens/{made.issued[0]['tokenId']}/rotate", {})["token"]
    child = delegated(api, rotated, made.agent())["token"]
    assert [code(api, token) for token in (rotated, child)] == ["allowed"] * 2
    api.post(f"/v1/tokens/{made.issued[0]['tokenId']}/revoke", status=200)
    assert [code(api, token) for token in (rotated, child)] == ["token_revoked"] * 2


@pytest.mark.parametrize("how", ["revoke", "mark"])
def test_children_made_while_the_parent_is_revoked(server: Server, api: Api, how: str) -> None:
    """Whatever the order in which they come: afterwards nothing below is ever allowed."""
    made = line(api, 1)
    takers = [made.agent() for _ in range(3)]
    rounds, seen = 12, set[int]()
    for _ in range(rounds):
        root = api.post("/v1/tokens", {"agentId": made.agents[0]})
        middle = delegated(api, root["token"], takers[0], grants=["use", "delegate"])
        children: list[str] = []
        done, ready = threading.Event(), threading.Barrier(3)

        def mint(parent: str, to: str) -> None:
            with server.api() as own:
                own.get("/healthz")
                ready.wait()
                while not done.is_set():
                    answer = own.send(
                        "POST", "/v1/delegations", {"parentToken": parent, "toAgentId": to, "scope": SCOPE}
                    )
                    seen.add(answer.status_code)
                    if answer.status_code != 201:
                        return
                    children.append(answer.json()["token"])

        threads = [
            threading.Thread(target=mint, args=(root["token"], takers[1])),
            threading.Thread(target=mint, args=(middle["token"], takers[2])),
        ]
        for thread in threads:
            thread.start()
        ready.wait()
        time.sleep(0.02)
        if how == "revoke":
            api.post(f"/v1/tokens/{root['tokenId']}/revoke", status=200)
        else:
            api.post(f"/v1/agents/{made.agents[0]}/revoke-tokens", status=200)
        # Made before or after: the threads go on until they are refused.
        for thread in threads:
            thread.join(20)
        done.set()
        assert children
        assert {code(api, token) for token in children[-40:]} == {"token_revoked"}
    assert seen <= {201, 409, 422}
    assert len(seen) > 1


def test_a_child_of_another_tenant(server: Server, api: Api, stranger: Api) -> None:
    made = line(api, 2)
    foreign = stranger.agent()
    stranger.policy(["run"], ["*"], appliesTo={"agentIds": [foreign]})
    assert delegated(api, made.leaf, foreign, status=404)["code"] == "not_found"
    with server.api(OTHER_KEY) as other:
        for to in (foreign, made.agents[0], made.agent()):
            problem = delegated(other, made.leaf, to, status=422)
            assert problem["code"] == "token_tenant_mismatch"
        assert code(other, made.leaf) == "token_tenant_mismatch"
        token_id = made.issued[1]["tokenId"]
        assert other.get(f"/v1/delegations/{token_id}/tree", status=404)["code"] == "not_found"
        assert other.post(f"/v1/tokens/{token_id}/rotate", {}, status=404)["code"] == "not_found"
        assert other.post("/v1/tokens/introspect", {"token": made.leaf}, status=200) == {"active": False}
    # The other tenant's key over claims of a chain of this one.
    theirs = Forger(server.database, stranger.token(foreign))
    assert code(api, theirs.make(claims_of(made.leaf))) == "token_tenant_mismatch"


# --- counting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", ["root", "leaf"])
def test_ten_children_do_not_get_ten_budgets(api: Api, owner: str) -> None:
    made = line(api, 1)
    takers = [made.agent("taker") for _ in range(10)]
    api.policy(
        ["run"],
        [TASKS],
        appliesTo={"agentIds": [made.agents[0]] if owner == "root" else takers},
        constraints={"maxConcurrentTasks": 3},
    )
    children = [delegated(api, made.leaf, taker)["token"] for taker in takers]
    codes = [code(api, child) for child in children]
    assert (codes.count("allowed"), codes.count("concurrency_exceeded")) == (3, 7)
    if owner == "root":
        assert code(api, made.leaf) == "concurrency_exceeded"
    # Neither another root token nor a rotation is a new budget.
    again = api.token(made.agents[0])
    assert code(api, delegated(api, again, takers[9])["token"]) == "concurrency_exceeded"
    rotated = api.post(f"/v1/tokens/{made.issued[0]['tokenId']}/rotate", {})["token"]
    assert code(api, delegated(api, rotated, takers[8])["token"]) == "concurrency_exceeded"


def test_a_short_life_does_not_free_a_place(api: Api, enforcer: Api) -> None:
    """How long a child lives, or a token that is renewed by its holder, is the holder's choice."""
    made = line(api, 1)
    made.policy(["run"], [TASKS], 0, constraints={"maxConcurrentTasks": 2})
    short = delegated(enforcer, made.leaf, made.agent(), expiresIn=1)["token"]
    path = f"/v1/tokens/{made.issued[0]['tokenId']}/rotate"
    renewed = enforcer.post(path, {"token": made.leaf, "expiresIn": 1})["token"]
    beside = delegated(enforcer, made.leaf, made.agent())["token"]
    assert [code(api, token) for token in (short, renewed, beside)] == ["allowed", "allowed", "concurrency_exceeded"]
    time.sleep(1.5)
    assert [code(api, token) for token in (short, beside)] == ["token_expired", "concurrency_exceeded"]


def test_children_of_children_share_it_too_all_at_once(server: Server, api: Api) -> None:
    made = line(api, 2)
    made.policy(["run"], [TASKS], 0, constraints={"maxConcurrentTasks": 5})
    children = [delegated(api, made.tokens[at % 2], made.agent())["token"] for at in range(20)]
    codes: list[str] = []

    def ask(token: str) -> None:
        with server.api() as own:
            codes.append(code(own, token))

    threads = [threading.Thread(target=ask, args=(token,)) for token in children]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (codes.count("allowed"), codes.count("concurrency_exceeded")) == (5, 15)


# --- only under a delegation ------------------------------------------------------------------------------------------


@pytest.fixture
def spawned(api: Api) -> Line:
    """A line whose last agent runs tasks only when one with the role `lead` has handed it the task."""
    made = line(api, 2)
    api.patch(f"/v1/agents/{made.agents[0]}", {"roles": [made.role, "lead"]})
    made.policy(["run"], [TASKS], 1, constraints={"requiresDelegation": {"from": {"roles": ["lead"]}}})
    return made


def test_a_delegation_by_the_right_role(spawned: Line) -> None:
    assert code(spawned.api, spawned.leaf) == "allowed"
    assert code(spawned.api, spawned.api.token(spawned.agents[1])) == "delegation_required"


def test_a_delegation_by_the_wrong_role(spawned: Line) -> None:
    api = spawned.api
    other = api.token(spawned.agent())
    child = delegated(api, other, spawned.agents[1])["token"]
    assert code(api, child) == "delegation_required"
    # A lead further up is not the one who handed it down.
    lead = api.token(spawned.agents[0])
    middle = delegated(api, lead, spawned.agent(), grants=["use", "delegate"])["token"]
    assert code(api, delegated(api, middle, spawned.agents[1])["token"]) == "delegation_required"


def test_a_lead_that_is_none_any_more(spawned: Line) -> None:
    api = spawned.api
    assert code(api, spawned.leaf) == "allowed"
    api.patch(f"/v1/agents/{spawned.agents[0]}", {"roles": [spawned.role]})
    assert code(api, spawned.leaf) == "delegation_required"


def test_naming_a_lead_as_the_requester_is_no_delegation(spawned: Line) -> None:
    api = spawned.api
    own, lead = api.token(spawned.agents[1]), api.token(spawned.agents[0])
    for more in ({"requester": spawned.agents[0]}, {"requesterToken": lead}, {"requesterToken": spawned.leaf}):
        assert code(api, own, **more) == "delegation_required"


# --- what the holder of a token adds ----------------------------------------------------------------------------------


def test_facts_smuggled_by_an_agent(api: Api, enforcer: Api) -> None:
    task = uuid4().hex
    made = line(api, 1, root={"task": {"id": task, "facts": {"limit": 5}}})
    smuggled = {"task": {"id": task, "facts": {"recipients": ["eve@evil.example"]}}}
    problem = delegated(enforcer, made.leaf, made.agent(), status=422, **smuggled)
    assert told(problem) == ["/task/facts"]
    other = {"task": {"id": uuid4().hex}}
    assert told(delegated(enforcer, made.leaf, made.agent(), status=422, **other)) == ["/task/id"]
    assert told(delegated(api, made.leaf, made.agent(), status=422, **other)) == ["/task/id"]
    # Not even an operator changes what was said; it may add to it.
    changed = {"task": {"id": task, "facts": {"limit": 500}}}
    assert told(delegated(api, made.leaf, made.agent(), status=422, **changed)) == ["/task/facts"]
    child = delegated(enforcer, made.leaf, made.agent(), task={"id": task})["token"]
    assert claims_of(child)["task"] == {"id": task, "facts": {"limit": 5}}


def test_a_task_begun_by_an_agent(api: Api, enforcer: Api) -> None:
    """The task is the key of the session: a fresh one would have forgotten what was read, and opens what asks for it."""
    made = line(api, 1)
    problem = delegated(enforcer, made.leaf, made.agent(), task={"id": uuid4().hex}, status=422)
    assert told(problem) == ["/task/id"]


def test_what_was_read_before_it_was_handed_down_is_not_forgotten(api: Api, enforcer: Api) -> None:
    made = line(api, 2)
    api.policy(["run"], ["*"], appliesTo={"roles": [made.role]}, effect="deny", when="'untrusted' in session.labels")
    decision = enforcer.enforce(made.tokens[0], "run", TASK)
    assert decision["reasonCode"] == "allowed"
    report = {"status": "succeeded", "labels": ["untrusted"]}
    enforcer.post(f"/v1/decisions/{decision['decisionId']}/outcome", report, status=200)
    assert made.codes() == ["policy_denied"] * 2
    fresh = delegated(enforcer, made.tokens[0], made.agent())["token"]
    rotated = enforcer.post(f"/v1/tokens/{made.issued[0]['tokenId']}/rotate", {"token": made.tokens[0]})["token"]
    assert [code(api, token) for token in (fresh, rotated)] == ["policy_denied"] * 2


def test_the_user_on_whose_behalf_stays(api: Api) -> None:
    made = line(api, 1, root={"onBehalfOf": "mallory"}).longer().longer()
    api.policy(
        ["run"], ["*"], appliesTo={"agentIds": [made.agents[2]]}, effect="deny", when="token.onBehalfOf == 'mallory'"
    )
    assert made.codes() == ["allowed", "allowed", "policy_denied"]
    assert [claims_of(token)["sub"] for token in made.tokens] == ["mallory"] * 3


def test_whom_it_may_be_handed_on_to(api: Api) -> None:
    """`to` of a token narrows what the policies would let its holder do."""
    made = line(api, 1)
    chosen, other = made.agent("chosen"), made.agent()
    middle = made.longer(to={"roles": ["chosen"]})
    assert delegated(api, middle.leaf, other, status=422)["code"] == "chain_not_delegable"
    child = delegated(api, middle.leaf, chosen)["token"]
    assert code(api, child) == "allowed"
    api.patch(f"/v1/agents/{chosen}", {"roles": [made.role]})
    assert code(api, child) == "chain_not_delegable"
    for to in ({}, {"roles": [], "agentIds": []}):
        problem = delegated(api, made.leaf, other, grants=["use", "delegate"], to=to, status=422)
        assert problem["code"] == "document_invalid"


# --- narrowed to policies ---------------------------------------------------------------------------------------------


def test_a_token_for_certain_policies(api: Api) -> None:
    made = line(api, 1)
    other = made.policy(["walk"], ["*"], 0)["id"]
    narrowed = api.token(made.agents[0], policyIds=[other])
    assert code(api, narrowed, "walk", "x") == "allowed"
    assert code(api, narrowed) == "chain_scope_exceeded"
    # Nor does it hand down what only another policy lets it.
    problem = delegated(api, narrowed, made.agent(), scope=SCOPE)
    assert code(api, problem["token"]) == "chain_not_delegable"
    both = api.token(made.agents[0], policyIds=[other, made.gives])
    assert code(api, both) == "chain_scope_exceeded"
    assert code(api, delegated(api, both, made.agent())["token"]) == "allowed"
    # A policy beside it still guards.
    made.policy(["walk"], ["*"], 0, constraints={"requiresApproval": True})
    assert code(api, narrowed, "walk", "x") == "approval_required"


@pytest.mark.parametrize("ids", [["nobody"], [], None])
def test_policies_that_are_none(api: Api, ids: Any) -> None:
    made = line(api, 1)
    if ids == []:
        api.post("/v1/tokens", {"agentId": made.agents[0], "policyIds": ids}, status=422)
    elif ids:
        token = api.token(made.agents[0], policyIds=ids)
        assert code(api, token) == "chain_scope_exceeded"


# --- bound to a key ---------------------------------------------------------------------------------------------------


def test_the_child_of_a_bound_parent_as_a_bearer(api: Api, enforcer: Api) -> None:
    own = holder(api)
    made = line(api, 1, root={"cnf": own.cnf})
    assert own.code(made.leaf) == "allowed"
    assert code(api, made.leaf) == "proof_required"
    to = made.agent()
    assert delegated(enforcer, made.leaf, to, status=403)["code"] == "proof_required"
    problem = delegated(enforcer, made.leaf, to, status=422, **own.handing(made.leaf, to))
    assert told(problem) == ["/cnf"]
    theirs = holder(api)
    child = delegated(enforcer, made.leaf, to, **own.handing(made.leaf, to, cnf=theirs.cnf))["token"]
    assert theirs.code(child) == "allowed"
    assert own.code(child) == "proof_invalid"
    assert code(api, child) == "proof_required"


def test_a_proof_of_handing_down_is_for_this_one(api: Api) -> None:
    own, theirs = holder(api), holder(api)
    made = line(api, 1, root={"cnf": own.cnf})
    to, other = made.agent(), made.agent()
    asked = own.handing(made.leaf, to, cnf=theirs.cnf)
    eve = holder(api)
    for changed in (
        {"cnf": eve.cnf},
        {"expiresIn": 60},
        {"grants": ["use", "delegate"]},
        {"scope": [{"actions": ["run"], "resources": [TASK]}]},
        {"requestId": "another"},
    ):
        assert delegated(api, made.leaf, to, status=403, **(asked | changed))["code"] == "proof_invalid"
    assert delegated(api, made.leaf, other, status=403, **asked)["code"] == "proof_invalid"
    another = api.token(made.agents[0], cnf=own.cnf)
    assert delegated(api, another, to, status=403, **asked)["code"] == "proof_invalid"
    delegated(api, made.leaf, to, **asked)
    assert delegated(api, made.leaf, to, status=403, **asked)["code"] == "proof_replayed"


def test_one_proof_shown_many_times_at_once_hands_down_once(server: Server, api: Api) -> None:
    own, theirs = holder(api), holder(api)
    made = line(api, 1, root={"cnf": own.cnf})
    to = made.agent()
    for _ in range(5):
        asked = own.handing(made.leaf, to, cnf=theirs.cnf)
        statuses: list[int] = []

        def hand(asked: dict[str, Any] = asked, statuses: list[int] = statuses) -> None:
            with server.api() as api:
                body = {"parentToken": made.leaf, "toAgentId": to, "scope": SCOPE} | asked
                statuses.append(api.send("POST", "/v1/delegations", body).status_code)

        threads = [threading.Thread(target=hand) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [201] + [403] * 7


# --- keys and approvals -----------------------------------------------------------------------------------------------


def test_the_key_of_another_agent_hands_nothing_down(server: Server, api: Api) -> None:
    made = line(api, 2)
    key = api.key("enforce", agentId=made.agents[1])["key"]
    with server.api(key) as bound:
        assert delegated(bound, made.tokens[0], made.agent(), status=422)["code"] == "token_agent_mismatch"
        assert code(bound, made.tokens[0]) == "token_agent_mismatch"
        assert code(bound, made.leaf) == "allowed"
        child = delegated(bound, made.leaf, made.agent())["token"]
        assert code(bound, child) == "token_agent_mismatch"
        path = f"/v1/tokens/{made.issued[0]['tokenId']}/rotate"
        assert bound.post(path, {"token": made.tokens[0]}, status=422)["code"] == "token_agent_mismatch"
        assert bound.post(path, {"token": made.leaf}, status=403)["code"] == "token_mismatch"
        assert bound.post(path, {}, status=403)["code"] == "scope_missing"


def test_an_approval_belongs_to_the_root_it_was_asked_under(api: Api, enforcer: Api) -> None:
    made = line(api, 2)
    made.policy(["run"], [TASKS], 1, constraints={"requiresApproval": True})
    asked = enforcer.enforce(made.leaf, "run", TASK)
    assert asked["reasonCode"] == "approval_required"
    api.post(f"/v1/approvals/{asked['approval']['id']}/approve", {}, status=200)
    other = delegated(api, api.token(made.agents[0]), made.agents[1])["token"]
    assert code(enforcer, other) == "approval_required"
    assert code(enforcer, api.token(made.agents[1])) == "approval_required"
    assert code(enforcer, made.leaf, "run", TASK + "0") == "approval_required"
    rotated = api.post(f"/v1/tokens/{made.issued[1]['tokenId']}/rotate", {})["token"]
    assert [code(enforcer, rotated), code(enforcer, made.leaf)] == ["allowed", "approval_required"]


def test_a_replay_ends_when_the_chain_does(api: Api) -> None:
    made = line(api, 3)
    once = {"requestId": uuid4().hex}
    first = api.enforce(made.leaf, "run", TASK, **once)
    assert api.enforce(made.leaf, "run", TASK, **once)["decisionId"] == first["decisionId"]
    api.delete(f"/v1/policies/{made.gives}")
    again = api.enforce(made.leaf, "run", TASK, **once)
    assert (again["reasonCode"], again["replayed"]) == ("chain_not_delegable", False)


@pytest.mark.parametrize("parent", ["", "x", "a.b.c", "{leaf}x", "{leaf} ", "x{leaf}"])
def test_a_parent_that_is_no_token(api: Api, parent: str) -> None:
    made = line(api, 1)
    problem = delegated(api, parent.format(leaf=made.leaf), made.agent(), status=422)
    assert problem["code"] in ("token_malformed", "token_signature_invalid")
    assert told(problem) == ["/parentToken"]
