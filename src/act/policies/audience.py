"""Agents named by role or by id, or all of a tenant. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from act.agents.agent import Agent


@dataclass(frozen=True, slots=True)
class Audience:
    """The agents with one of `roles`, those in `agent_ids`, or `everyone` of the tenant.

    An audience that names nobody is nobody: only `everyone` widens.
    """

    everyone: bool = False
    roles: frozenset[str] = frozenset()
    agent_ids: frozenset[str] = frozenset()

    def includes(self, agent: Agent) -> bool:
        return self.everyone or agent.id in self.agent_ids or not self.roles.isdisjoint(agent.roles)
