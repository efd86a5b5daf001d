"""Does a policy, whose action and resource fit already, match this call? (2-semantics, "Matching")

Doubt narrows: an `arguments` or `when` that errors does not match in an allow policy, and matches in a deny policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from act.agents.agent import Agent
from act.policies.conditions import ConditionError
from act.policies.policy import CompiledPolicy

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked for. `now` is in UTC; `token` and `session` are as conditions see them."""

    action: str
    resource: str
    now: datetime
    arguments: Json = field(default_factory=dict)
    context: Json = field(default_factory=dict)
    token: Json = field(default_factory=lambda: {"facts": {}, "task": None, "onBehalfOf": None, "depth": 0})
    session: Json = field(default_factory=lambda: {"labels": [], "created": []})


@dataclass(frozen=True, slots=True)
class Match:
    """Whether it matches. Otherwise `pointer` (into the enforce request) and `message` say what is in the way.

    `doubt` says why a deny policy matches although its own words could not be held against the call.
    """

    matches: bool
    pointer: str = ""
    message: str = ""
    doubt: str | None = None


_YES = Match(True)


def match(policy: CompiledPolicy, agent: Agent, call: Call) -> Match:
    """Hold the policy's `arguments` and `when` against the call."""
    if policy.arguments is None and policy.condition is None:
        return _YES
    doubt = None
    if policy.arguments is not None:
        found = policy.arguments.match(call.arguments)
        if not found.matches:
            return Match(False, f"/arguments{found.pointer}", found.reason)
        doubt = found.reason if found.errored else None
    if policy.condition is not None:
        answer = policy.condition.evaluate(_variables(policy.condition.variables, agent, call))
        if isinstance(answer, ConditionError):
            if policy.effect == "allow":
                return Match(False, "", f"Its condition cannot be held against the call: {answer.message}.")
            doubt = doubt or f"its condition cannot be held against the call ({answer.message})"
        elif not answer:
            return Match(False, "", f"Its condition is false: {policy.condition.text}")
    return _YES if doubt is None else Match(True, doubt=doubt)


def _variables(wanted: frozenset[str], agent: Agent, call: Call) -> dict[str, Any]:
    """Only what the condition uses."""
    found: dict[str, Any] = {}
    for name in wanted:
        if name == "agent":
            found[name] = {
                "id": agent.id,
                "name": agent.name,
                "roles": list(agent.roles),
                "metadata": agent.metadata,
            }
        elif name == "args":
            found[name] = call.arguments
        else:
            found[name] = getattr(call, name)
    return found
