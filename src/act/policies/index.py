"""The policies of one tenant, arranged so that a decision looks only at those that can matter.

An index is never changed: a policy change makes a new one, which replaces the old one by one assignment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from act.agents.agent import Agent
from act.policies.policy import CompiledPolicy


@dataclass(frozen=True, slots=True)
class _Shelf:
    """The policies of one audience: by exact action, and those whose action is a pattern."""

    exact: dict[str, list[CompiledPolicy]] = field(default_factory=dict)
    patterned: list[CompiledPolicy] = field(default_factory=list)
    all: list[CompiledPolicy] = field(default_factory=list)

    def add(self, policy: CompiledPolicy) -> None:
        self.all.append(policy)
        if any("*" in action for action in policy.actions):
            self.patterned.append(policy)
        else:
            for action in set(policy.actions):
                self.exact.setdefault(action, []).append(policy)


class PolicyIndex:
    """Immutable once made. `matching` and `applying` never yield a policy twice."""

    __slots__ = ("_by_agent", "_by_role", "_everyone", "policies")

    def __init__(self, policies: Iterable[CompiledPolicy] = ()) -> None:
        self.policies: dict[str, CompiledPolicy] = {policy.id: policy for policy in policies}
        self._everyone = _Shelf()
        self._by_role: dict[str, _Shelf] = {}
        self._by_agent: dict[str, _Shelf] = {}
        for policy in self.policies.values():
            audience = policy.audience
            if audience.everyone:
                self._everyone.add(policy)
                continue
            for role in audience.roles:
                self._by_role.setdefault(role, _Shelf()).add(policy)
            for agent_id in audience.agent_ids:
                self._by_agent.setdefault(agent_id, _Shelf()).add(policy)

    def _shelves(self, agent: Agent) -> Iterator[_Shelf]:
        yield self._everyone
        for role in agent.roles:
            if shelf := self._by_role.get(role):
                yield shelf
        if shelf := self._by_agent.get(agent.id):
            yield shelf

    def matching(self, agent: Agent, action: str, resource: str) -> list[CompiledPolicy]:
        """The policies that apply to the agent and match action and resource, by id."""
        found: dict[str, CompiledPolicy] = {}
        for shelf in self._shelves(agent):
            for policy in shelf.exact.get(action, ()):
                if policy.id not in found and policy.matches_resource(resource):
                    found[policy.id] = policy
            for policy in shelf.patterned:
                if policy.id not in found and policy.matches_action(action) and policy.matches_resource(resource):
                    found[policy.id] = policy
        return [found[id] for id in sorted(found)]

    def applying(self, agent: Agent) -> list[CompiledPolicy]:
        """All policies that apply to the agent, by id."""
        found = {policy.id: policy for shelf in self._shelves(agent) for policy in shelf.all}
        return [found[id] for id in sorted(found)]
