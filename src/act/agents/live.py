"""Agents in memory, for every decision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, Row

from act.agents import store
from act.agents.agent import Agent, effective_roles


class LiveAgents:
    """Follows the change kind `agent`. Deleted agents stay known, so that their tokens are denied by name."""

    def __init__(self) -> None:
        self._by_id: dict[tuple[str, str], Agent] = {}
        self._by_name: dict[tuple[str, str], Agent] = {}

    def load(self, connection: Connection) -> None:
        for row in store.rows(connection):
            self._put(row)

    def apply(self, connection: Connection, tenant_id: str, ids: Iterable[str]) -> None:
        for row in store.rows(connection, tenant_id, ids):
            self._put(row)

    def _put(self, row: Row[Any]) -> None:
        old = self._by_id.get((row.tenant_id, row.id))
        # By identity: the old name may by now belong to another agent.
        if old is not None and self._by_name.get((row.tenant_id, old.name)) is old:
            del self._by_name[row.tenant_id, old.name]
        agent = Agent(row.id, row.name, effective_roles(row.roles, row.metadata), row.status, row.mark, row.metadata)
        self._by_id[row.tenant_id, row.id] = agent
        if agent.status != "deleted":
            self._by_name[row.tenant_id, agent.name] = agent

    def get(self, tenant_id: str, id: str) -> Agent | None:
        return self._by_id.get((tenant_id, id))

    def find(self, tenant_id: str, label: str) -> Agent | None:
        """By id or by name; no two agents of a tenant answer to the same label."""
        return self._by_id.get((tenant_id, label)) or self._by_name.get((tenant_id, label))

    def of_tenant(self, tenant_id: str) -> Iterator[Agent]:
        """The agents of a tenant that are not deleted."""
        for (tenant, _), agent in list(self._by_id.items()):
            if tenant == tenant_id and agent.status != "deleted":
                yield agent
