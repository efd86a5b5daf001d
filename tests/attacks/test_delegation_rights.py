"""Handing down is a right of its own, held against every link for every request (6-threats, "Delegation")."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.attacks.lines import SCOPE, TASK, TASKS, Line, code, delegated, line, told, within
from tests.support import Api

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
    task = uuid4().hex
    unsure = api.token(made.agents[0], task={"id": task})
    child = delegated(api, unsure, taker, task={"id": task, "facts": {"cleared": True}})["token"]
    assert code(api, child) == "chain_not_delegable"
    cleared = api.token(made.agents[0], task={"id": uuid4().hex, "facts": {"cleared": True}})
    assert code(api, delegated(api, cleared, taker)["token"]) == "allowed"


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
