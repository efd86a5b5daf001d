"""The policies of one agent that match a call, and what was in the way of the others. Pure."""

from __future__ import annotations

from typing import NamedTuple

from act.agents.agent import Agent
from act.policies.constraints import NONE
from act.policies.index import PolicyIndex
from act.policies.match import Call, match
from act.policies.policy import CompiledPolicy, Near


class Found(NamedTuple):
    """`fitting` are those whose action and resource fit; each of them is enforced, a shadow, or missed.

    `doubtful` are allow policies with constraints that could not be held against the call: they allow nothing, and
    guard what others allow. `doubt` says why a deny policy matches although it could not be held against the call.
    """

    fitting: list[CompiledPolicy]
    enforced: list[CompiledPolicy]
    shadows: list[CompiledPolicy]
    missed: list[Near]
    doubtful: list[CompiledPolicy]
    doubt: str | None


_made = tuple.__new__
_NONE: list[CompiledPolicy] = []
_NO_NEAR: list[Near] = []


def find(index: PolicyIndex, agent: Agent, call: Call) -> Found:
    return held(fitting(index, agent, call), agent, call)


def fitting(index: PolicyIndex, agent: Agent, call: Call) -> list[CompiledPolicy]:
    """The policies of the agent whose action and resource fit, in the order of ids."""
    found = index.matching(agent, call.action, call.resource)
    return found if call.alias is None else _with_alias(found, index.matching(agent, call.action, call.alias))


def held(fitting: list[CompiledPolicy], agent: Agent, call: Call) -> Found:
    """Hold those that fit against the rest of the call."""
    for policy in fitting:
        if not policy.plain:
            return _one_by_one(fitting, agent, call)
    return _made(Found, (fitting, fitting, _NONE, _NO_NEAR, _NONE, None))


def _with_alias(fitting: list[CompiledPolicy], others: list[CompiledPolicy]) -> list[CompiledPolicy]:
    found = {policy.id: policy for policy in (*fitting, *others)}
    return [found[id] for id in sorted(found)]


def _one_by_one(fitting: list[CompiledPolicy], agent: Agent, call: Call) -> Found:
    """Hold conditions, arguments and validity windows against the call."""
    enforced: list[CompiledPolicy] = []
    shadows: list[CompiledPolicy] = []
    missed: list[Near] = []
    doubtful: list[CompiledPolicy] = []
    doubt: str | None = None
    for policy in fitting:
        if policy.plain:
            enforced.append(policy)
            continue
        if not policy.timeless and not policy.in_force(call.now):
            missed.append(Near(policy.id, "", "It is outside its validity window.", policy))
            continue
        matched = match(policy, agent, call)
        if not matched.matches:
            missed.append(Near(policy.id, matched.pointer, matched.message, policy))
            if matched.doubt and policy.constraints is not NONE and not policy.shadow:
                doubtful.append(policy)
        elif policy.shadow:
            shadows.append(policy)
        else:
            enforced.append(policy)
            doubt = doubt or matched.doubt
    return Found(fitting, enforced, shadows, missed, doubtful, doubt)
