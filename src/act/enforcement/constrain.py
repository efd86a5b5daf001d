"""The constraints of all policies that allow: those that must hold now, and those that are handed on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from act.agents.agent import Agent
from act.enforcement.ruling import Limit, Ruling, smallest, strictest_of
from act.models import ReasonCode
from act.policies.amounts import amount_exceeded
from act.policies.budgets import BudgetTerms, amount_of
from act.policies.constraints import QuotaTerms
from act.policies.match import Call
from act.policies.policy import CompiledPolicy
from act.tokens.chain import Link

# As in `decide`: enum members as plain names, named tuples by their fields.
_ALLOWED: Final = ReasonCode.ALLOWED
_made: Final = tuple.__new__


def constrained(
    root: Link,
    delegator: Agent | None,
    call: Call,
    reason: str,
    allowing: tuple[CompiledPolicy, ...],
    guards: Sequence[CompiledPolicy],
) -> Ruling:
    """What is left of an allow once the constraints of `guards` hold.

    Args:
        root: what counters count at, the first of the chain.
        delegator: who handed the right to the agent, if anybody did.
    """
    holding = [policy for policy in guards if policy.constraints.held]
    if holding and (failed := _unmet(delegator, call, allowing, holding)):
        return failed
    limits = _limits(root, call, guards)
    if isinstance(limits, str):
        return Ruling(False, ReasonCode.BUDGET_EXCEEDED, limits, allowing)
    asking = tuple([policy for policy in guards if policy.constraints.approval is not None])
    approval = strictest_of(policy.constraints.approval for policy in asking) if asking else None
    obligations = smallest(pair for policy in holding for pair in policy.constraints.amounts) if holding else ()
    return _made(Ruling, (True, _ALLOWED, reason, allowing, (), limits, approval, asking, obligations, None))


def _limits(root: Link, call: Call, guards: Sequence[CompiledPolicy]) -> tuple[Limit, ...] | str:
    """What has to be counted, or why it cannot be."""
    found: list[Limit] = []
    for policy in guards:
        for terms in policy.constraints.limits:
            holder, amount = root.agent.id, 1
            if isinstance(terms, QuotaTerms):
                holder = root.family
            elif isinstance(terms, BudgetTerms):
                told = amount_of(terms, call.arguments)
                if isinstance(told, str):
                    return f"{policy.label} allows it within a budget. {told}"
                holder, amount = _budget_of(root, terms), told
            found.append(_made(Limit, (policy, holder, terms, amount)))
    return tuple(found)


def _budget_of(root: Link, terms: BudgetTerms) -> str:
    if terms.per == "day":
        return root.agent.id
    task = root.seen.get("task") if terms.per == "task" else None
    # A token without a task has a budget together with everything that was delegated from it.
    return root.family if task is None else f"task:{task}"


def _unmet(
    delegator: Agent | None, call: Call, allowing: tuple[CompiledPolicy, ...], guards: Sequence[CompiledPolicy]
) -> Ruling | None:
    """The first constraint that does not hold; in this order whatever the order of the policies."""
    for policy in guards:
        delegation = policy.constraints.delegation
        if delegation is not None and (delegator is None or not delegation.by.includes(delegator)):
            who = "nobody handed it down" if delegator is None else f"'{delegator.name}' may not hand it down"
            reason = f"{policy.label} allows it only under a delegation, and {who}."
            return Ruling(False, ReasonCode.DELEGATION_REQUIRED, reason, allowing)
    for policy in guards:
        hours = policy.constraints.hours
        if hours is not None and not hours.allows(call.now):
            reason = f"{policy.label} allows it only in these hours: {hours.text}."
            return Ruling(False, ReasonCode.OUTSIDE_ALLOWED_HOURS, reason, allowing)
    for policy in guards:
        domains = policy.constraints.domains
        if domains is not None and (refused := domains.refused(call.arguments, call.context)):
            reason = f"{policy.label} allows only certain domains. {refused}"
            return Ruling(False, ReasonCode.DOMAIN_NOT_ALLOWED, reason, allowing)
    for policy in guards:
        for kind, limit in policy.constraints.amounts:
            if exceeded := amount_exceeded(kind, limit, call.arguments, call.context):
                reason = f"{policy.label} allows {kind} {limit}. {exceeded}"
                return Ruling(False, ReasonCode.LIMIT_EXCEEDED, reason, allowing)
    return None
