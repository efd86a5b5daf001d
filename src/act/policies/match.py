"""Does a policy, whose action and resource fit already, match this call? (2-semantics, "Matching")

Doubt narrows: an `arguments` or `when` that errors does not match in an allow policy, and matches in a deny policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from act.agents.agent import Agent
from act.policies.conditions import ConditionError
from act.policies.policy import CompiledPolicy

Json = Mapping[str, Any]


# Shared by all calls: nothing changes a call. Conditions know no maps but `dict`.
_NOTHING: Json = {}
_NO_TOKEN: Json = {"facts": {}, "task": None, "onBehalfOf": None, "depth": 0}
_NO_SESSION: Json = {"labels": [], "created": []}


class Call(NamedTuple):
    """What is asked for. `now` is in UTC; `token` and `session` are as conditions see them.

    `alias` is another spelling of the resource, where it has one: of an agent the id, or the name.
    """

    action: str
    resource: str
    now: datetime
    arguments: Json = _NOTHING
    context: Json = _NOTHING
    token: Json = _NO_TOKEN
    session: Json = _NO_SESSION
    alias: str | None = None

    def with_token(self, token: Json) -> Call:
        """The same call as it is seen with another token; `_replace`, in a fifth of the time."""
        action, resource, now, arguments, context, _, session, alias = self
        return tuple.__new__(Call, (action, resource, now, arguments, context, token, session, alias))


class Match(NamedTuple):
    """Whether it matches. Otherwise `pointer` (into the enforce request) and `message` say what is in the way.

    `doubt` says that the policy could not be held against the call at all, and why: a deny policy then matches, an
    allow policy does not.
    """

    matches: bool
    pointer: str = ""
    message: str = ""
    doubt: str | None = None


_made: Final = tuple.__new__  # a named tuple by its fields: half the time
_MATCH: Final = Match
_YES: Final = Match(True)


def match(policy: CompiledPolicy, agent: Agent, call: Call) -> Match:
    """Hold the policy's `arguments` and `when` against the call."""
    if policy.arguments is None and policy.condition is None:
        return _YES
    doubt: str | None = None
    if policy.arguments is not None:
        found = policy.arguments.match(call.arguments)
        if not found.matches:
            doubt = found.reason if found.errored else None
            return _made(_MATCH, (False, f"/arguments{found.pointer}", found.reason, doubt))
        doubt = found.reason if found.errored else None
    if policy.condition is not None:
        answer = policy.condition.evaluate(_variables(policy.condition.variables, agent, call))
        if isinstance(answer, ConditionError):
            if policy.effect == "allow":
                message = f"Its condition cannot be held against the call: {answer.message}."
                return _made(_MATCH, (False, "", message, answer.message))
            doubt = doubt or f"its condition cannot be held against the call ({answer.message})"
        elif not answer:
            return _made(_MATCH, (False, "", f"Its condition is false: {policy.condition.text}", None))
    return _YES if doubt is None else Match(True, doubt=doubt)


def _variables(wanted: frozenset[str], agent: Agent, call: Call) -> dict[str, Any]:
    """Only what the condition uses."""
    found: dict[str, Any] = {}
    for name in wanted:
        if name == "context":
            found[name] = call.context
        elif name == "args":
            found[name] = call.arguments
        elif name == "agent":
            found[name] = {
                "id": agent.id,
                "name": agent.name,
                "roles": list(agent.roles),
                "metadata": agent.metadata,
            }
        else:
            found[name] = getattr(call, name)
    return found
