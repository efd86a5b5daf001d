"""The decision procedure, pure: policies and a call in, a ruling with its reason out (2-semantics, "Policies").

Rules, in this order:
- What could be read in two ways is denied (`action_malformed`, `resource_malformed`).
- One matching deny policy denies (`policy_denied`); doubt about a deny policy is a match.
- Without a matching allow policy the answer is no (`no_matching_policy`); doubt about an allow policy is no match.
- The constraints of *all* matching allow policies must hold; those that need a counter or a person are handed on.
- A requester other than the agent must pass the same rules itself (`requester_not_permitted`), and its
  constraints join the others.
- Shadow policies change nothing; the ruling says what would have been decided if they were enforced.
The order of policies never matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from act.agents.agent import Agent
from act.enforcement.explain import Near, named, near_misses, no_match
from act.models import ReasonCode
from act.policies.amounts import amount_exceeded
from act.policies.constraints import NONE, ApprovalTerms, ConcurrencyTerms, strictest
from act.policies.globs import action_fault, resource_fault
from act.policies.index import PolicyIndex
from act.policies.match import Call, match
from act.policies.policy import CompiledPolicy

# Enum members as plain names: looking one up costs more than the rest of an ordinary decision's last step.
_ALLOWED = ReasonCode.ALLOWED
_DENIED = ReasonCode.POLICY_DENIED
_NO_MATCH = ReasonCode.NO_MATCHING_POLICY


class Limit(NamedTuple):
    """A concurrency limit to be reserved: counted per policy and per agent at the root of the delegation."""

    policy: CompiledPolicy
    agent_id: str
    terms: ConcurrencyTerms


class Shadow(NamedTuple):
    """What the answer would have been if the shadow policies that match were enforced."""

    code: ReasonCode
    policies: tuple[CompiledPolicy, ...]


class Ruling(NamedTuple):
    """What the policies say. `permitted` means: nothing but `limits` and `approval` stands in the way.

    `obligations` are for the tool to keep, as (name, number).
    """

    permitted: bool
    code: ReasonCode
    reason: str
    policies: tuple[CompiledPolicy, ...] = ()
    near: tuple[Near, ...] = ()
    limits: tuple[Limit, ...] = ()
    approval: ApprovalTerms | None = None
    approval_policies: tuple[CompiledPolicy, ...] = ()
    obligations: tuple[tuple[str, int], ...] = ()
    shadow: Shadow | None = None


def decide(index: PolicyIndex, agent: Agent, call: Call, requester: Agent | None = None) -> Ruling:
    """May `agent` make this call, asked by `requester` when that is another agent?"""
    if fault := action_fault(call.action):
        return Ruling(False, ReasonCode.ACTION_MALFORMED, f"The action cannot be compared. {fault}")
    if fault := resource_fault(call.resource):
        return Ruling(False, ReasonCode.RESOURCE_MALFORMED, f"The resource cannot be compared. {fault}")
    own = _rule(index, agent, call)
    if requester is None or requester.id == agent.id:
        return _with_shadow(own.ruling, own.would, own.shadows)
    asked = _rule(index, requester, call)
    would = None
    if own.shadows or asked.shadows:
        would = _joined(own.would or own.ruling, asked.would or asked.ruling, agent, requester)
    ruling = _joined(own.ruling, asked.ruling, agent, requester)
    return _with_shadow(ruling, would, _union(own.shadows, asked.shadows))


class _Side(NamedTuple):
    """What the policies say to one agent: as enforced, and as it would be with the shadow policies that match."""

    ruling: Ruling
    would: Ruling | None = None
    shadows: tuple[CompiledPolicy, ...] = ()


def _rule(index: PolicyIndex, agent: Agent, call: Call) -> _Side:
    candidates = index.matching(agent, call.action, call.resource)
    if len(candidates) == 1 and candidates[0].plain:  # by far the most usual case
        return _Side(_combine(index, agent, call, candidates, (), None))
    enforced: list[CompiledPolicy] = []
    shadows: list[CompiledPolicy] = []
    missed: list[Near] = []
    doubt: str | None = None
    for policy in candidates:
        if not policy.in_force(call.now):
            missed.append(Near(policy, "", "It is outside its validity window."))
            continue
        found = match(policy, agent, call)
        if not found.matches:
            missed.append(Near(policy, found.pointer, found.message))
        elif policy.shadow:
            shadows.append(policy)
        else:
            enforced.append(policy)
            doubt = doubt or found.doubt
    ruling = _combine(index, agent, call, enforced, missed, doubt)
    if not shadows:
        return _Side(ruling)
    return _Side(ruling, _combine(index, agent, call, enforced + shadows, missed, doubt), tuple(shadows))


def _joined(own: Ruling, asked: Ruling, agent: Agent, requester: Agent) -> Ruling:
    """The agent's ruling and its requester's as one."""
    if not own.permitted:
        return own
    if asked.permitted:
        return _both(own, asked)
    reason = f"'{requester.name}' asked '{agent.name}' for what '{requester.name}' itself may not do: {asked.reason}"
    return asked._replace(code=ReasonCode.REQUESTER_NOT_PERMITTED, reason=reason)


def _with_shadow(ruling: Ruling, would: Ruling | None, shadows: tuple[CompiledPolicy, ...]) -> Ruling:
    if would is None:
        return ruling
    code = ReasonCode.APPROVAL_REQUIRED if would.permitted and would.approval else would.code
    return ruling._replace(shadow=Shadow(code, shadows))


def _combine(
    index: PolicyIndex,
    agent: Agent,
    call: Call,
    matching: Sequence[CompiledPolicy],
    missed: Sequence[Near],
    doubt: str | None,
) -> Ruling:
    """Deny overrides, default deny, and all constraints of all matching allow policies."""
    if not matching:
        near = near_misses(index, agent, call, missed)
        return Ruling(False, _NO_MATCH, no_match(agent, call, near), near=near)
    allowing = tuple(matching)
    if denying := tuple([policy for policy in allowing if policy.effect == "deny"]):
        because = f" because {doubt[:1].lower()}{doubt[1:].rstrip('.')}" if doubt else ""
        return Ruling(False, _DENIED, f"Denied by {named(denying)}{because}.", denying)
    reason = f"Allowed by {named(allowing)}."
    constrained = [policy for policy in allowing if policy.constraints is not NONE]
    if not constrained:
        return Ruling(True, _ALLOWED, reason, allowing)
    return _constrained(agent, call, reason, allowing, constrained)


def _constrained(
    agent: Agent, call: Call, reason: str, allowing: tuple[CompiledPolicy, ...], constrained: list[CompiledPolicy]
) -> Ruling:
    if failed := _unmet(allowing, call):
        return failed
    return Ruling(
        True,
        _ALLOWED,
        reason,
        allowing,
        limits=tuple(
            Limit(policy, agent.id, policy.constraints.concurrency)
            for policy in constrained
            if policy.constraints.concurrency is not None
        ),
        approval=_approval(policy.constraints.approval for policy in constrained),
        approval_policies=tuple(policy for policy in constrained if policy.constraints.approval is not None),
        obligations=_smallest(pair for policy in constrained for pair in policy.constraints.amounts),
    )


def _unmet(allowing: tuple[CompiledPolicy, ...], call: Call) -> Ruling | None:
    """The first constraint that does not hold; in this order whatever the order of the policies."""
    for policy in allowing:
        hours = policy.constraints.hours
        if hours is not None and not hours.allows(call.now):
            reason = f"{policy.label} allows it only in these hours: {hours.text}."
            return Ruling(False, ReasonCode.OUTSIDE_ALLOWED_HOURS, reason, allowing)
    for policy in allowing:
        domains = policy.constraints.domains
        if domains is not None and (refused := domains.refused(call.arguments, call.context)):
            reason = f"{policy.label} allows only certain domains. {refused}"
            return Ruling(False, ReasonCode.DOMAIN_NOT_ALLOWED, reason, allowing)
    for policy in allowing:
        for kind, limit in policy.constraints.amounts:
            if exceeded := amount_exceeded(kind, limit, call.arguments, call.context):
                reason = f"{policy.label} allows {kind} {limit}. {exceeded}"
                return Ruling(False, ReasonCode.LIMIT_EXCEEDED, reason, allowing)
    return None


def _both(own: Ruling, asked: Ruling) -> Ruling:
    """What both the agent and its requester may do, under the constraints of both."""
    return Ruling(
        True,
        ReasonCode.ALLOWED,
        own.reason,
        _union(own.policies, asked.policies),
        limits=own.limits + asked.limits,
        approval=_approval((own.approval, asked.approval)),
        approval_policies=_union(own.approval_policies, asked.approval_policies),
        obligations=_smallest((*own.obligations, *asked.obligations)),
    )


def _approval(terms: Iterable[ApprovalTerms | None]) -> ApprovalTerms | None:
    wanted = [term for term in terms if term is not None]
    return strictest(wanted) if wanted else None


def _smallest(pairs: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    smallest: dict[str, int] = {}
    for name, number in pairs:
        smallest[name] = min(number, smallest.get(name, number))
    return tuple(sorted(smallest.items()))


def _union(one: Sequence[CompiledPolicy], other: Sequence[CompiledPolicy]) -> tuple[CompiledPolicy, ...]:
    return tuple({policy.id: policy for policy in (*one, *other)}.values())
