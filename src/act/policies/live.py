"""Policies in memory: one immutable index a tenant, replaced by one assignment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row

from act.policies import constraints, store
from act.policies.index import PolicyIndex
from act.policies.policy import Audience, CompiledPolicy, compile_policy

_EMPTY = PolicyIndex()


class LivePolicies:
    """Follows the change kind `policy`."""

    def __init__(self) -> None:
        self._indexes: dict[str, PolicyIndex] = {}

    def load(self, connection: Connection) -> None:
        by_tenant: dict[str, list[CompiledPolicy]] = {}
        for row in store.current(connection):
            if _effective(row):
                by_tenant.setdefault(row.tenant_id, []).append(_compiled(row))
        self._indexes = {tenant_id: PolicyIndex(policies) for tenant_id, policies in by_tenant.items()}

    def apply(self, connection: Connection, tenant_id: str, ids: Iterable[str]) -> None:
        policies = dict(self.of_tenant(tenant_id).policies)
        for row in store.current(connection, tenant_id, ids):
            policies.pop(row.policy_id, None)
            if _effective(row):
                policies[row.policy_id] = _compiled(row)
        self._indexes[tenant_id] = PolicyIndex(policies.values())

    def of_tenant(self, tenant_id: str) -> PolicyIndex:
        return self._indexes.get(tenant_id, _EMPTY)


def _effective(row: Row[Any]) -> bool:
    return row.enabled and row.deleted_at is None


def _compiled(row: Row[Any]) -> CompiledPolicy:
    return compile_policy(
        id=row.policy_id,
        name=row.name,
        version=row.version,
        effect=row.effect,
        audience=audience_of(row),
        actions=row.actions,
        resources=row.resources,
        constraints=constraints.from_stored(row.constraints),
        valid_from=row.valid_from,
        valid_until=row.valid_until,
    )


def audience_of(row: Row[Any]) -> Audience:
    """Everyone only where the binding says so in as many words; a missing audience is nobody."""
    if row.applies_to is None:
        return Audience(everyone=row.binding == "tenant")
    return Audience(roles=frozenset(row.applies_to["roles"]), agent_ids=frozenset(row.applies_to["agentIds"]))
