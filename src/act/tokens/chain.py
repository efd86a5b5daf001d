"""The chain of a delegated token: from the agent that began it to the one that acts. Pure.

A token that was handed down to nobody is a chain of one link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from act.agents.agent import Agent
from act.models import ReasonCode
from act.policies.audience import Audience
from act.tokens.refusal import Refusal
from act.tokens.scope import Scope

MAX_DEPTH = 8
NO_TOKEN: Mapping[str, Any] = {"facts": {}, "task": None, "onBehalfOf": None, "depth": 0}


class Link(NamedTuple):
    """One agent of a chain, and what its token says.

    `seen` is the token as conditions see it. The agent may hand its rights to those in `hand_to` (None: the token does
    not say), and `max_depth` agents may follow it (0: none). One that is not `usable` was
    handed down to be handed on only. `family` is the node of the token that the chain began with.
    """

    agent: Agent
    scope: Scope | None
    seen: Mapping[str, Any]
    hand_to: Audience | None = None
    max_depth: int = MAX_DEPTH
    usable: bool = True
    family: str = ""


def alone(agent: Agent) -> tuple[Link]:
    """The chain of an agent that nobody handed anything to, and whose token narrows nothing."""
    return (Link(agent, None, NO_TOKEN, family=f"agent:{agent.id}"),)


def check_chain(links: Sequence[Link]) -> Refusal | None:
    """What the tokens themselves say of the chain, held against the agents as they are now.

    Whether each agent's policies let it hand down is another question, asked for every request.
    """
    if len(links) == 1:
        return None
    if len({link.agent.id for link in links}) != len(links):
        return Refusal(ReasonCode.CHAIN_CYCLE, "An agent stands twice in the chain.")
    if len(links) > MAX_DEPTH + 1:
        return Refusal(ReasonCode.CHAIN_DEPTH_EXCEEDED, f"The chain is deeper than {MAX_DEPTH}.")
    follow = len(links) - 1
    for link, following in pairwise(links):
        if link.max_depth == 0:
            reason = f"The token of '{link.agent.name}' may not be handed down."
            return Refusal(ReasonCode.CHAIN_NOT_DELEGABLE, reason)
        if follow > link.max_depth:
            reason = f"The token of '{link.agent.name}' lets {link.max_depth} follow, and more do."
            return Refusal(ReasonCode.CHAIN_DEPTH_EXCEEDED, reason)
        if link.hand_to is not None and not link.hand_to.includes(following.agent):
            reason = f"The token of '{link.agent.name}' may not be handed down to '{following.agent.name}'."
            return Refusal(ReasonCode.CHAIN_NOT_DELEGABLE, reason)
        follow -= 1
    return None
