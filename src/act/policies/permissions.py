"""`GET /v1/agents/{id}/permissions`: what an agent may do now, with the policy that gives each right."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, Row

from act import models
from act.agents.agent import Agent
from act.agents.live import LiveAgents
from act.database.changes import ChangeFeed
from act.database.clock import Clock
from act.policies import store
from act.policies.live import LivePolicies
from act.policies.policy import CompiledPolicy
from act.problems import not_found
from act.tenants.live import LiveTenants
from act.tenants.tenant import ApiKey
from act.tokens.tree import Tree


class PermissionService:
    def __init__(
        self,
        reader: Engine,
        clock: Clock,
        feed: ChangeFeed,
        tenants: LiveTenants,
        agents: LiveAgents,
        live: LivePolicies,
        tree: Tree,
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._feed = feed
        self._tenants = tenants
        self._agents = agents
        self._live = live
        self._tree = tree

    def of_agent(self, caller: ApiKey, agent_id: str) -> models.Permissions:
        """Every live policy that applies to the agent, allows and denies, by id, and what was handed down to it."""
        revision = self._feed.revision
        agent = self._agents.get(caller.tenant_id, agent_id)
        if agent is None or agent.status == "deleted":
            raise not_found("agent", agent_id)
        applying = self._live.of_tenant(caller.tenant_id).applying(agent)
        with self._reader.begin() as connection:
            ids = [policy.id for policy in applying]
            rows = {row.policy_id: row for row in store.current(connection, caller.tenant_id, ids)}
        return models.Permissions(
            agent_id=agent.id,
            can_act=agent.status == "active" and not self._tenants.get(caller.tenant_id).frozen,
            permissions=[self._one(policy, rows[policy.id], agent) for policy in applying if policy.id in rows],
            delegations=self._tree.received(caller.tenant_id, agent.id),
            revision=revision,
        )

    def _one(self, policy: CompiledPolicy, row: Row[Any], agent: Agent) -> models.Permission:
        return models.Permission(
            policy_id=policy.id,
            name=policy.name,
            version=policy.version,
            effect=policy.effect,
            mode="shadow" if policy.shadow else "enforce",
            via=_via(policy, agent),
            actions=list(policy.actions),
            resources=list(policy.resources),
            arguments=row.arguments,
            when=row.condition,
            constraints=row.constraints,
            grants=row.grants,
            delegation=row.delegation,
            valid_from=policy.valid_from,
            valid_until=policy.valid_until,
            in_force=policy.in_force(self._clock.now()),
        )


def _via(policy: CompiledPolicy, agent: Agent) -> str:
    if policy.audience.everyone:
        return "tenant"
    if agent.id in policy.audience.agent_ids:
        return "agent"
    return f"role:{next(role for role in agent.roles if role in policy.audience.roles)}"
