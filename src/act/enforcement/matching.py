"""The policies of one agent that match a call, and what was in the way of the others. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from act.agents.agent import Agent
from act.policies.constraints import NONE
from act.policies.index import PolicyIndex
from act.policies.match import Call, Match, match
from act.policies.policy import CompiledPolicy, Near
from act.policies.shelf import Nears, Policies


class Found(NamedTuple):
    """`fitting` are those whose action and resource fit; each of them is enforced, a shadow, or missed.

    `doubtful` are allow policies with constraints that could not be held against the call: they allow nothing, and
    guard what others allow. `doubt` says why a deny policy matches although it could not be held against the call.
    """

    fitting: Policies
    enforced: Policies
    shadows: Policies
    missed: list[Near]
    doubtful: list[CompiledPolicy]
    doubt: str | None


_made: Final = tuple.__new__
_FOUND: Final = Found
_NEAR: Final = Near
_NONE: Final[Policies] = ()
_NO_DOUBT: Final[list[CompiledPolicy]] = []
_NO_NEAR: Final[list[Near]] = []


def find(index: PolicyIndex, agent: Agent, call: Call) -> Found:
    return held(fitting(index, agent, call), agent, call)


def fitting(index: PolicyIndex, agent: Agent, call: Call, close: list[Nears] | None = None) -> Policies:
    """The policies of the agent whose action and resource fit, in the order of ids; `close`, if there is none."""
    found = index.matching(agent, call.action, call.resource, close)
    return found if call.alias is None else _with_alias(found, index.matching(agent, call.action, call.alias))


def held(fitting: Policies, agent: Agent, call: Call) -> Found:
    """Hold those that fit against the rest of the call."""
    for policy in fitting:
        if not policy.plain:
            return _one_by_one(fitting, agent, call)
    return _made(_FOUND, (fitting, fitting, _NONE, _NO_NEAR, _NO_DOUBT, None))


def missing(policy: CompiledPolicy, matched: Match) -> Near:
    """A policy whose action and resource fit, and that does not match."""
    return _made(_NEAR, (policy.id, matched.pointer, matched.message, policy, policy.timeless))


def _with_alias(fitting: Policies, others: Policies) -> Policies:
    found = {policy.id: policy for policy in (*fitting, *others)}
    return tuple([found[id] for id in sorted(found)])


def _one_by_one(fitting: Policies, agent: Agent, call: Call) -> Found:
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
            missed.append(missing(policy, matched))
            if matched.doubt and policy.constraints is not NONE and not policy.shadow:
                doubtful.append(policy)
        elif policy.shadow:
            shadows.append(policy)
        else:
            enforced.append(policy)
            doubt = doubt or matched.doubt
    return _made(_FOUND, (fitting, tuple(enforced), tuple(shadows), missed, doubtful, doubt))
