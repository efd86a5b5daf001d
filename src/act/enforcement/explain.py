"""Sentences for people and models: who allowed, and what stood in the way of an allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from act.agents.agent import Agent
from act.policies.index import PolicyIndex
from act.policies.match import Call
from act.policies.policy import CompiledPolicy

MAX_NEAR_MISSES = 5
_PATTERNS_SHOWN = 5
_LOOKED_AT = 20


class Near(NamedTuple):
    """A policy that would have matched but for what `pointer` (into the enforce request) names."""

    policy: CompiledPolicy
    pointer: str
    message: str


def near_misses(index: PolicyIndex, agent: Agent, call: Call, missed: Sequence[Near]) -> tuple[Near, ...]:
    """Enforced allow policies of the agent that fail in exactly one respect; looked for only after a denial.

    Args:
        missed: those whose action and resource fit, with what else was in the way.
    """
    near = [miss for miss in missed if _could_allow(miss.policy)]
    for policy in index.near(agent, call.action, call.resource, _LOOKED_AT):
        if len(near) >= MAX_NEAR_MISSES:
            break
        if not _could_allow(policy) or not policy.in_force(call.now):
            continue
        fits_resource = policy.matches_resource(call.resource)
        if fits_resource and policy.matches_action(call.action):
            continue  # it is among the missed, for what else was in the way
        if fits_resource:
            near.append(Near(policy, "/action", f"It allows the actions {_listed(policy.actions)}."))
        else:
            near.append(Near(policy, "/resourceId", f"It covers the resources {_listed(policy.resources)}."))
    return tuple(near[:MAX_NEAR_MISSES])


def no_match(agent: Agent, call: Call, near: Sequence[Near]) -> str:
    hint = f" '{near[0].policy.name}' comes close. {near[0].message}" if near else ""
    return f"No policy allows '{agent.name}' to {call.action} {call.resource}.{hint}"


def named(policies: Sequence[CompiledPolicy]) -> str:
    """`policy 'A' v1`, or `policies 'A' v1, 'B' v2`."""
    if len(policies) == 1:
        return f"policy {policies[0].label}"
    return f"policies {', '.join([policy.label for policy in policies])}"


def _could_allow(policy: CompiledPolicy) -> bool:
    return policy.effect == "allow" and not policy.shadow


def _listed(patterns: Sequence[str]) -> str:
    shown = ", ".join(patterns[:_PATTERNS_SHOWN])
    return shown if len(patterns) <= _PATTERNS_SHOWN else f"{shown} and {len(patterns) - _PATTERNS_SHOWN} more"
