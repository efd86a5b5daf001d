"""May this be handed down? The delegation check (2-semantics, "Delegation"). Pure.

What is found here is for people: it refuses early what could never be used. Nothing rests on it, because every
request is held against every link of its chain again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from act.agents.agent import Agent
from act.policies.globs import compile_pattern
from act.policies.index import PolicyIndex
from act.policies.policy import CompiledPolicy
from act.strict_json import Fault
from act.tokens.chain import Link
from act.tokens.scope import Wanted, excess, uncovered


def excesses(
    index: PolicyIndex, links: Sequence[Link], to: Agent, wanted: Wanted, now: datetime, further: int = 0
) -> list[Fault]:
    """Every part of a scope that is more than the chain can hand down to `to`; pointers are into the scope.

    Args:
        links: the chain of the parent token, which `to` is to follow.
        further: how many agents are to follow `to`.
    """
    for link in links:
        if faults := excess(wanted, link.scope):
            return faults
    receivers = [*(link.agent for link in links[1:]), to]
    for at, (link, receiver) in enumerate(zip(links, receivers, strict=True)):
        giving = [
            policy
            for policy in index.applying(link.agent)
            if _hands_down(policy, receiver, len(links) - at + further, now)
        ]
        if faults := _not_given(giving, link.agent, receiver, wanted):
            return faults
    return []


def _hands_down(policy: CompiledPolicy, receiver: Agent, distance: int, now: datetime) -> bool:
    return (
        policy.effect == "allow"
        and not policy.shadow
        and policy.hand_down is not None
        and policy.hand_down.max_depth >= distance
        and policy.hand_down.to.includes(receiver)
        and (policy.valid_until is None or now < policy.valid_until)
    )


def _not_given(giving: Sequence[CompiledPolicy], giver: Agent, receiver: Agent, wanted: Wanted) -> list[Fault]:
    parts = [
        (
            [compile_pattern(pattern) for pattern in policy.actions],
            [compile_pattern(pattern) for pattern in policy.resources],
        )
        for policy in giving
    ]
    return uncovered(
        wanted,
        parts,
        lambda action: f"No policy lets '{giver.name}' hand '{action}' down to '{receiver.name}'.",
        lambda action, resource: (
            f"No policy lets '{giver.name}' hand '{action}' on '{resource}' down to '{receiver.name}'."
        ),
    )
