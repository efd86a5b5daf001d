"""Sentences for people and models: who allowed, and what stood in the way of an allow."""

from __future__ import annotations

from collections.abc import Sequence

from act.agents.agent import Agent
from act.enforcement.ruling import Ruling
from act.models import ReasonCode
from act.policies.index import PolicyIndex
from act.policies.match import Call
from act.policies.policy import CompiledPolicy, Near

MAX_NEAR_MISSES = 5


def near_misses(
    index: PolicyIndex, agent: Agent, call: Call, fitting: Sequence[CompiledPolicy], missed: Sequence[Near]
) -> tuple[Near, ...]:
    """Enforced allow policies of the agent that fail in exactly one respect; looked for only after a denial.

    Args:
        fitting: those whose action and resource fit.
        missed: of those, the ones that do not match, with what else was in the way.
    """
    near: list[Near] = []
    if missed:
        near = [miss for miss in missed if miss.policy.effect == "allow" and not miss.policy.shadow][:MAX_NEAR_MISSES]
    known = {policy.id for policy in fitting} if fitting else _NONE
    last = ""
    for miss in index.near(agent, call.action, call.resource):
        id, _, _, policy = miss
        if id == last or id in known:
            continue
        if len(near) == MAX_NEAR_MISSES:
            break
        last = id
        if policy.timeless or policy.in_force(call.now):
            near.append(miss)
    return tuple(near)


_NONE: frozenset[str] = frozenset()


def no_match(agent: Agent, call: Call, near: Sequence[Near]) -> str:
    hint = f" '{near[0].policy.name}' comes close. {near[0].message}" if near else ""
    return f"No policy allows '{agent.name}' to {call.action} {call.resource}.{hint}"


def named(policies: Sequence[CompiledPolicy]) -> str:
    """`policy 'A' v1`, or `policies 'A' v1, 'B' v2`."""
    if len(policies) == 1:
        return f"policy {policies[0].label}"
    return f"policies {', '.join([policy.label for policy in policies])}"


def denied(matching: Sequence[CompiledPolicy], doubt: str | None) -> Ruling:
    """The ruling when a deny policy is among those that match."""
    denying = tuple([policy for policy in matching if policy.effect == "deny"])
    because = f" because {doubt[:1].lower()}{doubt[1:].rstrip('.')}" if doubt else ""
    return Ruling(False, ReasonCode.POLICY_DENIED, f"Denied by {named(denying)}{because}.", denying)
