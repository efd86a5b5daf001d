"""Sentences for people and models: who allowed, and what stood in the way of an allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from act.agents.agent import Agent
from act.enforcement.ruling import Ruling, by_itself
from act.models import ReasonCode
from act.policies.match import Call
from act.policies.policy import CompiledPolicy, Near
from act.policies.shelf import Nears, Policies, by_id

MAX_NEAR_MISSES: Final = 5

_NO_NEAR: Final[Nears] = ()
_NO_IDS: Final[set[str]] = set()


def near_misses(call: Call, close: list[Nears], fitting: Policies, missed: Sequence[Near]) -> tuple[Near, ...]:
    """Enforced allow policies of the agent that fail in exactly one respect; looked for only after a denial.

    Args:
        close: what the index finds near the call.
        fitting: those whose action and resource fit.
        missed: of those, the ones that do not match, with what else was in the way.
    """
    near: list[Near] = []
    if missed:
        near = [miss for miss in missed if miss.policy.effect == "allow" and not miss.policy.shadow][:MAX_NEAR_MISSES]
    if close:
        one = close[0]
        other = close[1] if len(close) == 2 else _NO_NEAR
        if len(close) > 2:
            one = tuple(sorted([miss for some in close for miss in some], key=by_id))
        _merge(one, other, fitting, call, near)
    return tuple(near)


def _merge(one: Nears, other: Nears, fitting: Policies, call: Call, near: list[Near]) -> None:
    """Fill `near` from two tuples in the order of ids, with what does not fit and is in force."""
    known = {policy.id for policy in fitting} if fitting else _NO_IDS
    at, at_other = 0, 0
    last: CompiledPolicy | None = None
    while len(near) < MAX_NEAR_MISSES:
        if at < len(one):
            miss = one[at]
            if at_other < len(other) and other[at_other].id < miss.id:
                miss = other[at_other]
                at_other += 1
            else:
                at += 1
        elif at_other < len(other):
            miss = other[at_other]
            at_other += 1
        else:
            return
        policy = miss.policy
        if policy is last or (fitting and miss.id in known):
            continue
        last = policy
        if miss.timeless or policy.in_force(call.now):
            near.append(miss)


def no_match(agent: Agent, call: Call, near: tuple[Near, ...]) -> str:
    if not near:
        return f"No policy allows '{agent.name}' to {call.action} {call.resource}."
    first = near[0]
    return (
        f"No policy allows '{agent.name}' to {call.action} {call.resource}."
        f" '{first.policy.name}' comes close. {first.message}"
    )


def named(policies: Sequence[CompiledPolicy]) -> str:
    """`policy 'A' v1`, or `policies 'A' v1, 'B' v2`."""
    if len(policies) == 1:
        return f"policy {policies[0].label}"
    return f"policies {', '.join([policy.label for policy in policies])}"


def denied(matching: Sequence[CompiledPolicy], doubt: str | None) -> Ruling:
    """The ruling when a deny policy is among those that match."""
    denying = tuple([policy for policy in matching if policy.effect == "deny"])
    if len(denying) == 1 and not doubt:
        return by_itself(denying[0])
    because = f" because {doubt[:1].lower()}{doubt[1:].rstrip('.')}" if doubt else ""
    return Ruling(False, ReasonCode.POLICY_DENIED, f"Denied by {named(denying)}{because}.", denying)
