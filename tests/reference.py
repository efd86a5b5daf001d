"""The decision rules of 2-semantics once more: slow, plain, and written without a look at the code under test.

Policies and agents are dicts as they are on the wire (`appliesTo` None means the whole tenant). No import from `act`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

Document = Mapping[str, Any]


class Answer(NamedTuple):
    """`code` is the reason code before limits and people; `limits` are pairs of policy id and agent id."""

    code: str
    policies: frozenset[str] = frozenset()
    limits: frozenset[tuple[str, str]] = frozenset()
    approval: tuple[int, int] | None = None


def glob_matches(pattern: str, text: str) -> bool:
    """`*` is any run of characters, everything else is itself: tries every run."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(glob_matches(pattern[1:], text[taken:]) for taken in range(len(text) + 1))
    return bool(text) and text[0] == pattern[0] and glob_matches(pattern[1:], text[1:])


def applies(policy: Document, agent: Document) -> bool:
    to = policy["appliesTo"]
    if to is None:
        return True
    return agent["id"] in to["agentIds"] or any(role in to["roles"] for role in roles_of(agent))


def roles_of(agent: Document) -> list[str]:
    role = agent.get("metadata", {}).get("role")
    return list(agent["roles"]) + ([role] if isinstance(role, str) and role else [])


def in_force(policy: Document, now: datetime) -> bool:
    if policy.get("enabled") is False:
        return False
    begins, ends = policy.get("validFrom"), policy.get("validUntil")
    return not (begins is not None and now < begins) and not (ends is not None and now >= ends)


def matches(policy: Document, agent: Document, action: str, resource: str, now: datetime) -> bool:
    return (
        in_force(policy, now)
        and applies(policy, agent)
        and any(glob_matches(pattern, action) for pattern in policy["actions"])
        and any(glob_matches(pattern, resource) for pattern in policy["resources"])
    )


def decide(
    policies: Iterable[Document],
    agent: Document,
    action: str,
    resource: str,
    now: datetime,
    requester: Document | None = None,
) -> Answer:
    """What the policies say about an action and a resource that have no fault."""
    policies = list(policies)
    own = _decide_for(policies, agent, action, resource, now)
    if own.code != "allowed" or requester is None or requester["id"] == agent["id"]:
        return own
    asked = _decide_for(policies, requester, action, resource, now)
    if asked.code != "allowed":
        return Answer("requester_not_permitted", asked.policies)
    approvals = [answer.approval for answer in (own, asked) if answer.approval]
    return Answer("allowed", own.policies | asked.policies, own.limits | asked.limits, _strictest(approvals))


def _decide_for(policies: list[Document], agent: Document, action: str, resource: str, now: datetime) -> Answer:
    matching = [policy for policy in policies if matches(policy, agent, action, resource, now)]
    denying = frozenset(policy["id"] for policy in matching if policy["effect"] == "deny")
    if denying:
        return Answer("policy_denied", denying)
    if not matching:
        return Answer("no_matching_policy")
    limits, approvals = set(), []
    for policy in matching:
        constraints = policy.get("constraints") or {}
        if "maxConcurrentTasks" in constraints:
            limits.add((policy["id"], agent["id"]))
        wanted = constraints.get("requiresApproval", False)
        if wanted is True:
            approvals.append((1, 900))
        elif wanted is not False:
            approvals.append((wanted.get("approvers", 1), wanted.get("expiresIn", 900)))
    return Answer("allowed", frozenset(p["id"] for p in matching), frozenset(limits), _strictest(approvals))


def _strictest(approvals: list[tuple[int, int]]) -> tuple[int, int] | None:
    if not approvals:
        return None
    return max(people for people, _ in approvals), min(seconds for _, seconds in approvals)
