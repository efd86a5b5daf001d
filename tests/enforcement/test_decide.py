"""The decision procedure, held against a second implementation and against what must be true of any.

`tests.reference` says what 2-semantics says; the properties say what no change of policies may ever do.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.agents.agent import Agent
from act.enforcement import decide as engine
from act.enforcement.explain import MAX_NEAR_MISSES
from act.enforcement.ruling import Limit, Ruling
from act.models import ReasonCode
from act.policies.audience import Audience
from act.policies.constraints import ConcurrencyTerms, Constraints
from act.policies.demands import ApprovalTerms, Demand
from act.policies.index import PolicyIndex
from act.policies.match import Call
from act.policies.policy import CompiledPolicy, compile_policy
from act.tokens.chain import alone
from act.tokens.scope import scope_of
from tests import reference
from tests.policies.strategies import (
    NOW,
    agent_documents,
    agent_of,
    constraints,
    documents,
    policy_documents,
    policy_of,
    questions,
)

Documents = list[dict[str, Any]]


def decide(
    index: PolicyIndex, agent: Agent, action: str, resource: str, now: datetime, requester: Agent | None = None
) -> Ruling:
    return engine.decide(index, alone(agent), Call(action, resource, now), alone(requester) if requester else None)


requesters = st.none() | agent_documents()


def ruled(policies: Documents, agent: dict[str, Any], question: tuple[str, str], asking: Any = None) -> Ruling:
    index = PolicyIndex(policy_of(policy) for policy in policies)
    return decide(index, agent_of(agent), *question, NOW, agent_of(asking) if asking else None)


def width(ruling: Ruling) -> int:
    """How much a ruling gives: nothing, something that is guarded, everything."""
    if not ruling.permitted:
        return 0
    return 1 if ruling.limits or ruling.approval else 2


def told(ruling: Ruling) -> reference.Answer:
    """A ruling in the words of the reference."""
    approval = ruling.approval
    return reference.Answer(
        str(ruling.code),
        frozenset(policy.id for policy in ruling.policies),
        frozenset((limit.policy.id, limit.terms.name, limit.holder, limit.amount) for limit in ruling.limits),
        (approval.approvers, approval.expires_in) if approval else None,
    )


@given(documents, agent_documents(), questions, requesters)
def test_it_says_what_the_reference_says(
    policies: Documents, agent: dict[str, Any], question: tuple[str, str], asking: dict[str, Any] | None
) -> None:
    if asking and asking["id"] == agent["id"]:
        asking = agent  # one id is one agent
    assert told(ruled(policies, agent, question, asking)) == reference.decide(policies, agent, *question, NOW, asking)


@given(documents, agent_documents(), questions, requesters, st.randoms())
def test_the_order_of_policies_never_matters(
    policies: Documents, agent: dict[str, Any], question: tuple[str, str], asking: dict[str, Any] | None, random: Random
) -> None:
    shuffled = list(policies)
    random.shuffle(shuffled)
    assert ruled(shuffled, agent, question, asking) == ruled(policies, agent, question, asking)


@given(documents, policy_documents("deny"), agent_documents(), questions, requesters)
def test_adding_a_deny_never_allows(
    policies: Documents,
    deny: dict[str, Any],
    agent: dict[str, Any],
    question: tuple[str, str],
    asking: dict[str, Any] | None,
) -> None:
    more = [*policies, deny | {"id": "added"}]
    assert width(ruled(more, agent, question, asking)) <= width(ruled(policies, agent, question, asking))


@given(documents, st.integers(0, 7), agent_documents(), questions, requesters)
def test_removing_an_allow_never_permits(
    policies: Documents,
    which: int,
    agent: dict[str, Any],
    question: tuple[str, str],
    asking: dict[str, Any] | None,
) -> None:
    """It may lift a guard, because guards come with allow policies; it never makes a yes out of a no."""
    allows = [policy for policy in policies if policy["effect"] == "allow"]
    if not allows:
        return
    removed = allows[which % len(allows)]
    fewer = [policy for policy in policies if policy is not removed]
    before, after = ruled(policies, agent, question, asking), ruled(fewer, agent, question, asking)
    assert after.permitted <= before.permitted
    if not removed["constraints"]:
        assert width(after) <= width(before)


@given(documents, st.integers(0, 7), constraints, agent_documents(), questions, requesters)
def test_adding_a_constraint_never_allows(
    policies: Documents,
    which: int,
    added: dict[str, Any],
    agent: dict[str, Any],
    question: tuple[str, str],
    asking: dict[str, Any] | None,
) -> None:
    free = [index for index, policy in enumerate(policies) if policy["effect"] == "allow" and not policy["constraints"]]
    if not free:
        return
    guarded = list(policies)
    at = free[which % len(free)]
    guarded[at] = policies[at] | {"constraints": added}
    before, after = ruled(policies, agent, question, asking), ruled(guarded, agent, question, asking)
    assert width(after) <= width(before)
    assert after.permitted == before.permitted
    assert set(told(before).limits) <= set(told(after).limits)


@given(documents, agent_documents(), questions, agent_documents())
def test_a_requester_only_narrows(
    policies: Documents, agent: dict[str, Any], question: tuple[str, str], asking: dict[str, Any]
) -> None:
    alone, together = ruled(policies, agent, question), ruled(policies, agent, question, asking)
    assert width(together) <= width(alone)
    assert set(told(alone).limits) <= set(told(together).limits) or not together.permitted
    if asking["id"] == agent["id"]:
        assert together == alone
    elif alone.permitted:
        assert together.permitted == ruled(policies, asking, question).permitted
    else:
        assert together == alone, "a requester changes nothing about a no"


@given(documents, agent_documents(), questions)
def test_what_is_outside_its_window_is_as_if_deleted(
    policies: Documents, agent: dict[str, Any], question: tuple[str, str]
) -> None:
    left = [policy for policy in policies if reference.in_force(policy, NOW)]
    with_near, without = ruled(policies, agent, question), ruled(left, agent, question)
    assert told(with_near) == told(without)


@given(documents, agent_documents(), questions)
def test_every_ruling_explains_itself(policies: Documents, agent: dict[str, Any], question: tuple[str, str]) -> None:
    ruling = ruled(policies, agent, question)
    assert ruling.permitted == (ruling.code is ReasonCode.ALLOWED)
    assert all(f"'policy {policy.id}' v1" in ruling.reason for policy in ruling.policies)
    assert bool(ruling.policies) == (ruling.code is not ReasonCode.NO_MATCHING_POLICY)
    assert not ruling.near or ruling.code is ReasonCode.NO_MATCHING_POLICY
    guarding = {policy.id for policy in ruling.policies if policy.constraints.approval}
    assert {policy.id for policy in ruling.approval_policies} == (guarding if ruling.permitted else set())


@given(documents, agent_documents(), questions)
def test_near_misses_miss_in_one_respect(policies: Documents, agent: dict[str, Any], question: tuple[str, str]) -> None:
    action, resource = question
    by_id = {policy["id"]: policy for policy in policies}
    ruling = ruled(policies, agent, question)
    for near in ruling.near:
        missed = by_id[near.policy.id]
        assert missed["effect"] == "allow"
        assert reference.applies(missed, agent)
        mended = {"/action": {"actions": [action]}, "/resourceId": {"resources": [resource]}}
        window = {"validFrom": None, "validUntil": None}
        assert reference.matches(missed | mended.get(near.pointer, window), agent, action, resource, NOW)
    assert len(ruling.near) <= MAX_NEAR_MISSES


# --- by hand: what the strategies cannot reach ---


AGENT = Agent("a1", "Executor", ("executor",), "active", 0)
PLANNER = Agent("a2", "Planner", ("planner",), "active", 0)


def policy(id: str, effect: Any = "allow", **changed: Any) -> CompiledPolicy:
    fields: dict[str, Any] = {"audience": Audience(everyone=True), "actions": ["*"], "resources": ["*"]}
    return compile_policy(id=id, name=id.title(), version=3, effect=effect, **(fields | changed))


@pytest.mark.parametrize(
    ("action", "resource", "code"),
    [
        ("", "api://a", ReasonCode.ACTION_MALFORMED),
        ("a" * 257, "api://a", ReasonCode.ACTION_MALFORMED),
        ("exe\x00cute", "api://a", ReasonCode.ACTION_MALFORMED),
        ("execute", "", ReasonCode.RESOURCE_MALFORMED),
        ("execute", "api://a/../b", ReasonCode.RESOURCE_MALFORMED),
        ("execute", "api://a%2fb", ReasonCode.RESOURCE_MALFORMED),
        ("", "", ReasonCode.ACTION_MALFORMED),
    ],
)
@pytest.mark.parametrize("effect", ["allow", "deny"])
def test_what_cannot_be_compared_is_denied_whatever_the_policies_say(
    effect: str, action: str, resource: str, code: ReasonCode
) -> None:
    ruling = decide(PolicyIndex([policy("all", effect)]), AGENT, action, resource, NOW, PLANNER)
    assert (ruling.permitted, ruling.code, ruling.policies) == (False, code, ())


def test_the_sentence_of_a_yes_names_policy_and_version() -> None:
    index = PolicyIndex([policy("executor capabilities")])
    assert decide(index, AGENT, "x", "y", NOW).reason == "Allowed by policy 'Executor Capabilities' v3."


def test_a_no_tells_what_came_close() -> None:
    index = PolicyIndex([policy("tasks", resources=["api://tasks/*"]), policy("mail", actions=["send"])])
    ruling = decide(index, AGENT, "execute", "api://admin", NOW)
    assert [(near.policy.id, near.pointer) for near in ruling.near] == [("mail", "/action"), ("tasks", "/resourceId")]
    assert ruling.reason == (
        "No policy allows 'Executor' to execute api://admin. 'Mail' comes close. It allows the actions send."
    )


def test_a_token_that_is_only_for_handing_on_is_not_used_whoever_it_was_given_to() -> None:
    """One that was given to nobody else says so as well, should there ever be one."""
    link = alone(AGENT)[0]._replace(usable=False)
    ruling = engine.decide(PolicyIndex([policy("all")]), (link,), Call("execute", "api://a", NOW))
    assert (ruling.permitted, ruling.code) == (False, ReasonCode.CHAIN_SCOPE_EXCEEDED)


def test_a_narrowed_token_that_nobody_handed_down_names_nobody() -> None:
    scope = scope_of([(["execute"], ["api://*"])])
    link = alone(AGENT)[0]._replace(scope=scope)
    ruling = engine.decide(PolicyIndex([policy("all")]), (link,), Call("execute", "api://a", NOW))
    assert ruling.reason == "Allowed by policy 'All' v3."


def test_a_no_tells_every_condition_that_did_not_hold() -> None:
    index = PolicyIndex([policy("one", when="action == 'send'"), policy("two", when="false")])
    near = decide(index, AGENT, "execute", "api://a", NOW).near
    assert [miss.policy.id for miss in near] == ["one", "two"]
    assert all("condition" in miss.message for miss in near)


def test_a_policy_of_another_agent_is_never_told() -> None:
    others = policy("others", audience=Audience(roles=frozenset(["planner"])), resources=["api://secret/*"])
    ruling = decide(PolicyIndex([others]), AGENT, "x", "api://tasks", NOW)
    assert ruling.near == ()
    assert "secret" not in ruling.reason


def test_a_requester_that_may_not_is_told_why() -> None:
    own = policy("own", audience=Audience(roles=frozenset(["executor"])))
    ruling = decide(PolicyIndex([own]), AGENT, "execute", "api://a", NOW, PLANNER)
    assert ruling.code is ReasonCode.REQUESTER_NOT_PERMITTED
    assert ruling.reason.startswith("'Planner' asked 'Executor' for what 'Planner' itself may not do:")


def test_a_requester_under_a_deny_is_not_permitted() -> None:
    deny = policy("deny", "deny", audience=Audience(agent_ids=frozenset(["a2"])))
    ruling = decide(PolicyIndex([policy("all"), deny]), AGENT, "execute", "api://a", NOW, PLANNER)
    assert ruling.code is ReasonCode.REQUESTER_NOT_PERMITTED
    assert [policy.id for policy in ruling.policies] == ["deny"]


def test_both_sides_are_counted_and_the_strictest_approval_holds() -> None:
    one = policy("one", constraints=Constraints(ApprovalTerms((Demand(1),), 60), ConcurrencyTerms(2, 300)))
    two = policy(
        "two",
        constraints=Constraints(ApprovalTerms((Demand(3),), 900)),
        audience=Audience(roles=frozenset(["planner"])),
    )
    ruling = decide(PolicyIndex([one, two]), AGENT, "execute", "api://a", NOW, PLANNER)
    assert ruling.permitted
    terms = ConcurrencyTerms(2, 300)
    assert ruling.limits == (Limit(one, "a1", terms), Limit(one, "a2", terms))
    assert ruling.approval == ApprovalTerms((Demand(3),), 60)
    assert [policy.id for policy in ruling.approval_policies] == ["one", "two"]


def test_a_requester_that_is_the_agent_itself_changes_nothing() -> None:
    index = PolicyIndex([policy("one", constraints=Constraints(None, ConcurrencyTerms(2, 300)))])
    same = replace(AGENT, roles=())
    assert decide(index, AGENT, "x", "y", NOW, same) == decide(index, AGENT, "x", "y", NOW)


@pytest.mark.parametrize("offset", [timedelta(0), timedelta(hours=9), timedelta(days=3650)])
def test_time_comes_in_as_an_argument(offset: timedelta) -> None:
    moment: datetime = NOW + offset
    index = PolicyIndex([policy("then", valid_from=moment, valid_until=moment + timedelta(seconds=1))])
    assert decide(index, AGENT, "x", "y", moment).permitted
    assert decide(index, AGENT, "x", "y", moment - timedelta(seconds=1)).code is ReasonCode.NO_MATCHING_POLICY
