"""What no chain of delegations may ever do, over whole policy documents."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests import reference
from tests.properties.test_laws import DEEP, NO_RIGHT, answered, changed, law, width
from tests.properties.worlds import NOW, Document, Documents, Question, chained, scopes, tenants

pytestmark = pytest.mark.timeout(1500)


def without_delegation_required(tenant: Documents) -> Documents:
    """The same rights, also for whom nobody handed anything."""
    return [
        policy | {"constraints": {k: v for k, v in policy["constraints"].items() if k != "requiresDelegation"}}
        if policy["constraints"]
        else policy
        for policy in tenant
    ]


def with_links(asked: Question, links: list[Document]) -> Question:
    return asked._replace(agent=links[-1]["agent"], chain=tuple(links))


@settings(max_examples=5_000 if DEEP else 200)
@given(tenants, chained)
def test_a_chain_never_has_more_than_any_of_its_links(tenant: Documents, asked: Question) -> None:
    """The last agent could do it by itself, and each one above it has a policy that hands it down."""
    answer = answered(tenant, asked)
    if answer.code != "allowed":
        return
    by_itself = asked._replace(chain=({**asked.links[-1], "scope": None, "policyIds": None},))
    assert answered(without_delegation_required(tenant), by_itself).code == "allowed"
    call = reference.Asked(asked.action, asked.resource, NOW, asked.arguments, asked.context)
    for at, link in enumerate(asked.links[:-1]):
        following, follow = asked.links[at + 1]["agent"], len(asked.links) - 1 - at
        assert any(
            policy["mode"] == "enforce"
            and reference.fits(policy, link["agent"], reference.seen(link, call))
            and "delegate" in policy.get("grants", [])
            and reference.applies({"appliesTo": policy["delegation"]["to"]}, following)
            and policy["delegation"]["maxDepth"] >= follow
            for policy in tenant
        ), link
        assert answer.policies & {policy["id"] for policy in tenant if "delegate" in policy.get("grants", [])}
    places = {holder for _, name, holder, _ in answer.limits if name == "leases"}
    assert places <= {asked.links[0]["agent"]["id"]}, "counted at the first agent"


@law
@given(tenants, chained, st.integers(0, 2), scopes)
def test_adding_a_scope_never_allows(tenant: Documents, asked: Question, which: int, scope: Document) -> None:
    links = asked.links
    at = which % len(links)
    assume(links[at]["scope"] is None)
    before = answered(tenant, asked)
    after = answered(tenant, with_links(asked, [*links[:at], links[at] | {"scope": scope}, *links[at + 1 :]]))
    assert after == before or after.code == "chain_scope_exceeded"


@law
@given(tenants, chained, st.integers(0, 2), st.lists(st.sampled_from(["handing", "p0", "p1"]), min_size=1))
def test_naming_policies_never_allows(tenant: Documents, asked: Question, which: int, ids: list[str]) -> None:
    links = asked.links
    at = which % len(links)
    assume(links[at]["policyIds"] is None)
    narrowed = with_links(asked, [*links[:at], links[at] | {"policyIds": ids}, *links[at + 1 :]])
    assert width(answered(tenant, narrowed)) <= width(answered(tenant, asked))


@law
@given(tenants, chained, st.integers(0, 2))
def test_a_deny_on_any_agent_of_the_chain_denies(tenant: Documents, asked: Question, which: int) -> None:
    link = asked.links[which % len(asked.links)]
    deny = {
        "id": "never",
        "name": "Never",
        "effect": "deny",
        "actions": ["*"],
        "resources": ["*"],
        "mode": "enforce",
        "enabled": True,
        "appliesTo": {"roles": [], "agentIds": [link["agent"]["id"]]},
    } | dict.fromkeys(("arguments", "when", "constraints", "validFrom", "validUntil"))
    assert answered([*tenant, deny], asked).code in ("policy_denied", "chain_scope_exceeded")


@law
@given(tenants, chained, st.integers(0, 7))
def test_taking_back_a_right_to_hand_down_never_allows(tenant: Documents, asked: Question, which: int) -> None:
    giving = [at for at, policy in enumerate(tenant) if "delegate" in policy.get("grants", [])]
    assume(giving)
    at = giving[which % len(giving)]
    kept = {name: value for name, value in tenant[at].items() if name not in ("grants", "delegation")}
    # What is left of a policy that was for handing down only is nothing.
    less = [kept] if "use" in tenant[at]["grants"] else []
    before, after = answered(tenant, asked), answered([*tenant[:at], *less, *tenant[at + 1 :]], asked)
    if before.code in NO_RIGHT:
        assert after.code in NO_RIGHT
    if not tenant[at]["constraints"]:
        assert width(after) <= width(before)


@law
@given(tenants, chained, st.integers(0, 7), st.integers(1, 2))
def test_a_lesser_depth_never_allows(tenant: Documents, asked: Question, which: int, depth: int) -> None:
    giving = [at for at, policy in enumerate(tenant) if "delegate" in policy.get("grants", [])]
    assume(giving)
    at = giving[which % len(giving)]
    rule = tenant[at]["delegation"]
    assume(depth < rule["maxDepth"])
    less = changed(tenant, at, delegation=rule | {"maxDepth": depth})
    assert width(answered(less, asked)) <= width(answered(tenant, asked))


@law
@given(tenants, chained, st.randoms(use_true_random=False))
def test_the_order_never_matters_to_a_chain(tenant: Documents, asked: Question, random: Random) -> None:
    assert answered(random.sample(tenant, len(tenant)), asked) == answered(tenant, asked)


@law
@given(tenants, chained, st.integers(0, 2))
def test_an_agent_of_the_chain_may_have_asked(tenant: Documents, asked: Question, which: int) -> None:
    asking = asked.links[which % len(asked.links)]["agent"]
    assert answered(tenant, asked._replace(requester=asking)) == answered(tenant, asked)
