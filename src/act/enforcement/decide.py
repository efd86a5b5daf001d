"""The decision procedure, pure: policies and a question in, a ruling with its reason out (2-semantics, "Policies").

Rules, in this order:
- What could be read in two ways is denied (`action_malformed`, `resource_malformed`).
- One matching deny policy denies (`policy_denied`).
- Without a matching allow policy the answer is no (`no_matching_policy`).
- The constraints of *all* matching allow policies are handed on; none of them is settled here.
- A requester other than the agent must pass the same rules itself (`requester_not_permitted`), and its
  constraints join the others.
The order of policies never matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from act.agents.agent import Agent
from act.models import ReasonCode
from act.policies.constraints import ApprovalTerms, ConcurrencyTerms, strictest
from act.policies.globs import action_fault, resource_fault
from act.policies.index import PolicyIndex
from act.policies.policy import CompiledPolicy

MAX_NEAR_MISSES = 5


@dataclass(frozen=True, slots=True)
class Near:
    """A policy that would have matched but for what `pointer` (into the enforce request) names."""

    policy: CompiledPolicy
    pointer: str
    message: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A concurrency limit to be reserved: counted per policy and per agent at the root of the delegation."""

    policy: CompiledPolicy
    agent_id: str
    terms: ConcurrencyTerms


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the policies say. `permitted` means: nothing but `limits` and `approval` stands in the way."""

    permitted: bool
    code: ReasonCode
    reason: str
    policies: tuple[CompiledPolicy, ...] = ()
    near: tuple[Near, ...] = ()
    limits: tuple[Limit, ...] = ()
    approval: ApprovalTerms | None = None
    approval_policies: tuple[CompiledPolicy, ...] = ()


def decide(
    index: PolicyIndex, agent: Agent, action: str, resource: str, now: datetime, requester: Agent | None = None
) -> Ruling:
    """May `agent` do `action` on `resource`, asked by `requester` when that is another agent?

    Args:
        index: the live policies of the tenant.
        now: the moment that validity windows are held against, in UTC.
    """
    if fault := action_fault(action):
        return Ruling(False, ReasonCode.ACTION_MALFORMED, f"The action cannot be compared. {fault}")
    if fault := resource_fault(resource):
        return Ruling(False, ReasonCode.RESOURCE_MALFORMED, f"The resource cannot be compared. {fault}")
    own = _rule(index, agent, action, resource, now)
    if not own.permitted or requester is None or requester.id == agent.id:
        return own
    asked = _rule(index, requester, action, resource, now)
    if not asked.permitted:
        return Ruling(
            False,
            ReasonCode.REQUESTER_NOT_PERMITTED,
            f"'{requester.name}' asked '{agent.name}' for what '{requester.name}' itself may not do: {asked.reason}",
            asked.policies,
            asked.near,
        )
    return _both(own, asked)


def _rule(index: PolicyIndex, agent: Agent, action: str, resource: str, now: datetime) -> Ruling:
    matching = [policy for policy in index.matching(agent, action, resource) if policy.in_force(now)]
    denying = tuple(policy for policy in matching if policy.effect == "deny")
    if denying:
        return Ruling(False, ReasonCode.POLICY_DENIED, f"Denied by {_names(denying)}.", denying)
    if not matching:
        near = _near_misses(index, agent, action, resource, now)
        return Ruling(False, ReasonCode.NO_MATCHING_POLICY, _no_match(agent, action, resource, near), near=near)
    return Ruling(
        True,
        ReasonCode.ALLOWED,
        f"Allowed by {_names(matching)}.",
        tuple(matching),
        limits=tuple(
            Limit(policy, agent.id, policy.constraints.concurrency)
            for policy in matching
            if policy.constraints.concurrency is not None
        ),
        approval=_approval(matching),
        approval_policies=tuple(policy for policy in matching if policy.constraints.approval is not None),
    )


def _approval(matching: Sequence[CompiledPolicy]) -> ApprovalTerms | None:
    terms = [policy.constraints.approval for policy in matching if policy.constraints.approval is not None]
    return strictest(terms) if terms else None


def _both(own: Ruling, asked: Ruling) -> Ruling:
    terms = [ruling.approval for ruling in (own, asked) if ruling.approval is not None]
    return Ruling(
        True,
        ReasonCode.ALLOWED,
        own.reason,
        _union(own.policies, asked.policies),
        limits=own.limits + asked.limits,
        approval=strictest(terms) if terms else None,
        approval_policies=_union(own.approval_policies, asked.approval_policies),
    )


def _union(one: Sequence[CompiledPolicy], other: Sequence[CompiledPolicy]) -> tuple[CompiledPolicy, ...]:
    return tuple({policy.id: policy for policy in (*one, *other)}.values())


def _near_misses(index: PolicyIndex, agent: Agent, action: str, resource: str, now: datetime) -> tuple[Near, ...]:
    """Allow policies of the agent that fail in exactly one respect; only looked for when nothing matched."""
    near = []
    for policy in index.applying(agent):
        if policy.effect == "deny":
            continue
        fits_action, fits_resource = policy.matches_action(action), policy.matches_resource(resource)
        in_force = policy.in_force(now)
        if [fits_action, fits_resource, in_force].count(False) != 1:
            continue
        if not fits_action:
            near.append(Near(policy, "/action", f"It allows the actions {', '.join(policy.actions)}."))
        elif not fits_resource:
            near.append(Near(policy, "/resourceId", f"It covers the resources {', '.join(policy.resources)}."))
        else:
            near.append(Near(policy, "", "It is outside its validity window."))
        if len(near) == MAX_NEAR_MISSES:
            break
    return tuple(near)


def _no_match(agent: Agent, action: str, resource: str, near: tuple[Near, ...]) -> str:
    hint = f" '{near[0].policy.name}' comes close. {near[0].message}" if near else ""
    return f"No policy allows '{agent.name}' to {action} {resource}.{hint}"


def _names(policies: Sequence[CompiledPolicy]) -> str:
    named = ", ".join(f"'{policy.name}' v{policy.version}" for policy in policies)
    return f"policy {named}" if len(policies) == 1 else f"policies {named}"
