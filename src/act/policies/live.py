"""Policies in memory: one immutable index a tenant, replaced by one assignment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row

from act import models
from act.policies import constraints, store
from act.policies.draft import Bound, hand_down
from act.policies.index import PolicyIndex
from act.policies.policy import CompiledPolicy, compile_policy

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
        changed = {
            row.policy_id: _compiled(row) if _effective(row) else None
            for row in store.current(connection, tenant_id, ids)
        }
        self._indexes[tenant_id] = self.of_tenant(tenant_id).replace(changed)

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
        audience=Bound(row.binding, row.applies_to).audience,
        actions=row.actions,
        resources=row.resources,
        constraints=constraints.from_stored(row.constraints),
        arguments=row.arguments,
        when=row.condition,
        usable="use" in row.grants,
        hand_down=hand_down(models.HandDown.model_validate(row.delegation) if row.delegation else None),
        shadow=row.mode == "shadow",
        valid_from=row.valid_from,
        valid_until=row.valid_until,
    )
