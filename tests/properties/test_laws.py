"""What no change of policies may ever do, over whole policy documents.

"Gives less" means: no longer permitted, or guarded (a limit, a person) where it was not.
"""

from __future__ import annotations

import os
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from act.policies.index import PolicyIndex
from tests import reference
from tests.properties.worlds import (
    KINDS,
    NOW,
    Document,
    Documents,
    Question,
    agent_of,
    agents,
    alone,
    compiled,
    denies,
    questions,
    ruled,
    schemas,
    tenants,
    told,
)

NO_RIGHT = {
    "policy_denied",
    "no_matching_policy",
    "chain_scope_exceeded",
    "chain_not_delegable",
    "chain_depth_exceeded",
}
DEEP = os.environ.get("ACT_DEEP") == "1"
pytestmark = pytest.mark.timeout(1500)
law = settings(max_examples=2_000 if DEEP else 60)


def width(answer: reference.Answer) -> int:
    """How much it gives: nothing, something that is guarded, everything."""
    if answer.code != "allowed":
        return 0
    return 1 if answer.limits or answer.approval or answer.obligations else 2


def answered(tenant: Documents, asked: Question) -> reference.Answer:
    return told(ruled(tenant, asked))


def one_of(tenant: Documents, which: int, effect: str = "allow") -> int:
    """The position of a policy with this effect; examples without one are thrown away."""
    found = [at for at, policy in enumerate(tenant) if policy["effect"] == effect]
    assume(found)
    return found[which % len(found)]


def changed(tenant: Documents, at: int, **fields: object) -> Documents:
    return [policy | fields if position == at else policy for position, policy in enumerate(tenant)]


@law
@given(tenants, questions, st.randoms(use_true_random=False))
def test_order_never_matters(tenant: Documents, asked: Question, random: Random) -> None:
    shuffled = random.sample(tenant, len(tenant))
    one, other = ruled(tenant, asked), ruled(shuffled, asked)
    assert told(one) == told(other)
    assert one.reason == other.reason
    assert [near.policy.id for near in one.near] == [near.policy.id for near in other.near]


@law
@given(tenants, denies, questions)
def test_adding_a_deny_never_allows(tenant: Documents, deny: Document, asked: Question) -> None:
    before, after = answered(tenant, asked), answered([*tenant, deny], asked)
    assert width(after) <= width(before)
    if deny["mode"] == "shadow" or not deny["enabled"]:
        assert after._replace(shadow=None) == before._replace(shadow=None)


@law
@given(tenants, st.integers(0, 6), questions)
def test_removing_an_allow_never_permits(tenant: Documents, which: int, asked: Question) -> None:
    """Unless the allow carried a constraint that was not met: guards go when their policy goes."""
    at = one_of(tenant, which)
    before = answered(tenant, asked)
    after = answered([policy for position, policy in enumerate(tenant) if position != at], asked)
    if before.code in NO_RIGHT:
        assert after.code in NO_RIGHT
    if not tenant[at]["constraints"]:
        assert width(after) <= width(before)


@law
@given(tenants, st.integers(0, 6), st.sampled_from(sorted(KINDS)), st.data(), questions)
def test_adding_a_constraint_never_allows(
    tenant: Documents, which: int, kind: str, data: st.DataObject, asked: Question
) -> None:
    at = one_of(tenant, which)
    kept = tenant[at]["constraints"] or {}
    assume(kind not in kept)
    guarded = changed(tenant, at, constraints=kept | {kind: data.draw(KINDS[kind])})
    before, after = answered(tenant, asked), answered(guarded, asked)
    assert width(after) <= width(before)
    if after.code == "allowed":
        assert after.policies == before.policies
        assert after.limits >= before.limits
        assert {name for name, _ in after.obligations} >= {name for name, _ in before.obligations}


@law
@given(tenants, alone)
def test_the_constraints_of_all_that_match_hold(tenant: Documents, asked: Question) -> None:
    """Each policy that allows, alone, would give at least as much as all of them together."""
    together = ruled(tenant, asked)
    if not together.permitted:
        return
    for id in [policy.id for policy in together.policies]:
        one = ruled([policy for policy in tenant if policy["id"] == id], asked)
        assert one.permitted, "what does not hold alone does not hold together"
        assert told(one).limits <= told(together).limits
        for name, most in one.obligations:
            assert dict(together.obligations)[name] <= most  # type: ignore[index]
        if one.approval:
            assert together.approval
            assert together.approval.approvers >= one.approval.approvers
            assert together.approval.expires_in <= one.approval.expires_in


@law
@given(tenants, st.integers(0, 6), questions)
def test_disabling_is_deleting(tenant: Documents, which: int, asked: Question) -> None:
    assume(tenant)
    at = which % len(tenant)
    without = [policy for position, policy in enumerate(tenant) if position != at]
    one, other = ruled(changed(tenant, at, enabled=False), asked), ruled(without, asked)
    assert told(one) == told(other)
    assert one.reason == other.reason


@law
@given(tenants, questions)
def test_shadows_change_no_decision(tenant: Documents, asked: Question) -> None:
    without = [policy for policy in tenant if policy["mode"] == "enforce"]
    with_them, alone = answered(tenant, asked), answered(without, asked)
    assert alone.shadow is None
    assert with_them._replace(shadow=None) == alone


@law
@given(tenants, alone, agents("a1", "a2"))
def test_a_requester_only_narrows(tenant: Documents, asked: Question, requester: Document) -> None:
    requester = asked.agent if requester["id"] == asked.agent["id"] else requester
    by_itself = answered(tenant, asked)
    together = answered(tenant, asked._replace(requester=requester))
    assert width(together) <= width(by_itself)
    if together.code == "allowed":
        assert together.limits >= by_itself.limits
        assert answered(tenant, asked._replace(agent=requester)).code == "allowed"


TIGHTER = {
    "n": ({"maximum": 4}, {"minimum": 5}, {"const": 5}, {"multipleOf": 2}),
    "rows": ({"maximum": 5}, {"minimum": 6}, {"enum": [5]}),
    "who": ({"enum": ["a"]}, {"const": "b"}, {"pattern": "^a$"}),
    "note": ({"maxLength": 4}, {"minLength": 5}, {"format": "uri"}),
}


@law
@given(tenants, st.integers(0, 6), schemas(), st.integers(0, 3), questions)
def test_adding_to_the_arguments_of_an_allow_never_permits(
    tenant: Documents, which: int, schema: Document, keyword: int, asked: Question
) -> None:
    at = one_of(tenant, which)
    schema = tenant[at]["arguments"] or schema
    name = sorted(schema["properties"])[0]
    more = TIGHTER[name][keyword % len(TIGHTER[name])]
    tightened = schema | {"properties": schema["properties"] | {name: schema["properties"][name] | more}}
    before = answered(changed(tenant, at, arguments=schema), asked)
    after = answered(changed(tenant, at, arguments=tightened), asked)
    if before.code in ("policy_denied", "no_matching_policy"):
        assert after.code == before.code
    if not tenant[at]["constraints"]:
        assert width(after) <= width(before)


@law
@given(tenants, alone)
def test_the_index_is_a_naive_scan(tenant: Documents, asked: Question) -> None:
    index = PolicyIndex(compiled(policy) for policy in tenant)
    found = index.matching(agent_of(asked.agent), asked.action, asked.resource)
    without_time = [policy | {"enabled": True, "validFrom": None, "validUntil": None} for policy in tenant]
    naive = sorted(
        policy["id"]
        for policy in without_time
        if reference.matches(policy, asked.agent, asked.action, asked.resource, NOW)
    )
    assert [policy.id for policy in found] == naive
