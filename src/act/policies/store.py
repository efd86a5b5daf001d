"""Policies as rows: one row a policy, one row a version; a version is never changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from act.database.tables import policies, policy_versions

_joined = policies.join(
    policy_versions,
    (policies.c.tenant_id == policy_versions.c.tenant_id) & (policies.c.id == policy_versions.c.policy_id),
)
# What makes a version, beside its number and its warnings: copied as it is when an old version is restored.
DOCUMENT = (
    "name",
    "description",
    "effect",
    "actions",
    "resources",
    "binding",
    "applies_to",
    "arguments",
    "condition",
    "constraints",
    "grants",
    "delegation",
    "mode",
    "enabled",
    "valid_from",
    "valid_until",
)
_born = policies.c.created_at.label("born_at")


def _current() -> Select[Any]:
    query = select(policy_versions, _born, policies.c.deleted_at).select_from(_joined)
    return query.where(policies.c.version == policy_versions.c.version)


def add(connection: Connection, tenant_id: str, id: str, created_at: datetime) -> None:
    connection.execute(insert(policies).values(tenant_id=tenant_id, id=id, version=0, created_at=created_at))


def add_version(connection: Connection, tenant_id: str, id: str, version: int, **values: Any) -> None:
    """Store a new version and make it the current one."""
    connection.execute(insert(policy_versions).values(tenant_id=tenant_id, policy_id=id, version=version, **values))
    here = (policies.c.tenant_id == tenant_id) & (policies.c.id == id)
    connection.execute(update(policies).where(here).values(version=version))


def delete(connection: Connection, tenant_id: str, id: str, at: datetime) -> None:
    here = (policies.c.tenant_id == tenant_id) & (policies.c.id == id)
    connection.execute(update(policies).where(here).values(deleted_at=at))


def exists(connection: Connection, tenant_id: str, id: str) -> bool:
    """Whether the id was ever given."""
    query = select(policies.c.id).where(policies.c.tenant_id == tenant_id, policies.c.id == id)
    return connection.execute(query).first() is not None


def find(connection: Connection, tenant_id: str, id: str) -> Row[Any] | None:
    """The current version of a policy that is not deleted."""
    query = _current().where(policies.c.tenant_id == tenant_id, policies.c.id == id, policies.c.deleted_at.is_(None))
    return connection.execute(query).first()


def page(connection: Connection, tenant_id: str, after: str, limit: int) -> Sequence[Row[Any]]:
    query = _current().where(policies.c.tenant_id == tenant_id, policies.c.id > after, policies.c.deleted_at.is_(None))
    return connection.execute(query.order_by(policies.c.id).limit(limit)).all()


def versions(connection: Connection, tenant_id: str, id: str, after: int, limit: int) -> Sequence[Row[Any]]:
    query = select(policy_versions, _born).select_from(_joined)
    query = query.where(policies.c.tenant_id == tenant_id, policies.c.id == id, policy_versions.c.version > after)
    return connection.execute(query.order_by(policy_versions.c.version).limit(limit)).all()


def version(connection: Connection, tenant_id: str, id: str, number: int) -> Row[Any] | None:
    """One version of a policy, which may be deleted."""
    query = select(policy_versions, _born).select_from(_joined)
    here = (policies.c.tenant_id == tenant_id, policies.c.id == id, policy_versions.c.version == number)
    return connection.execute(query.where(*here)).first()


def current(connection: Connection, tenant_id: str | None = None, ids: Iterable[str] = ()) -> Sequence[Row[Any]]:
    """The current versions of all policies, or of these, deleted ones among them."""
    query = _current()
    if tenant_id is not None:
        query = query.where(policies.c.tenant_id == tenant_id, policies.c.id.in_(list(ids)))
    return connection.execute(query).all()
