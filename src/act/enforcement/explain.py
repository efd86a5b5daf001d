"""Sentences for people and models: who allowed, and what stood in the way of an allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from act.agents.agent import Agent
from act.policies.index import PolicyIndex
from act.policies.match import Call
from act.policies.policy import CompiledPolicy

MAX_NEAR_MISSES = 5
_PATTERNS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Near:
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
    for policy in index.applying(agent):
        if len(near) >= MAX_NEAR_MISSES:
            break
        if not _could_allow(policy) or not policy.in_force(call.now):
            continue
        fits_action, fits_resource = policy.matches_action(call.action), policy.matches_resource(call.resource)
        if fits_resource and not fits_action:
            near.append(Near(policy, "/action", f"It allows the actions {_listed(policy.actions)}."))
        elif fits_action and not fits_resource:
            near.append(Near(policy, "/resourceId", f"It covers the resources {_listed(policy.resources)}."))
    return tuple(near[:MAX_NEAR_MISSES])


def no_match(agent: Agent, call: Call, near: Sequence[Near]) -> str:
    hint = f" '{near[0].policy.name}' comes close. {near[0].message}" if near else ""
    return f"No policy allows '{agent.name}' to {call.action} {call.resource}.{hint}"


def named(policies: Sequence[CompiledPolicy]) -> str:
    """`policy 'A' v1`, or `policies 'A' v1, 'B' v2`."""
    each = ", ".join(f"'{policy.name}' v{policy.version}" for policy in policies)
    return f"policy {each}" if len(policies) == 1 else f"policies {each}"


def _could_allow(policy: CompiledPolicy) -> bool:
    return policy.effect == "allow" and not policy.shadow


def _listed(patterns: Sequence[str]) -> str:
    shown = ", ".join(patterns[:_PATTERNS_SHOWN])
    return shown if len(patterns) <= _PATTERNS_SHOWN else f"{shown} and {len(patterns) - _PATTERNS_SHOWN} more"
