"""Tenants and API keys as rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from act.database.tables import api_keys, tenants


def insert_tenant(connection: Connection, **values: Any) -> None:
    connection.execute(insert(tenants).values(**values))


def tenant_rows(connection: Connection, ids: Iterable[str] | None = None) -> Sequence[Row[Any]]:
    query = select(tenants)
    return connection.execute(query if ids is None else query.where(tenants.c.id.in_(list(ids)))).all()


def tenant_row(connection: Connection, id: str) -> Row[Any] | None:
    return connection.execute(select(tenants).where(tenants.c.id == id)).first()


def change_tenant(connection: Connection, id: str, **values: Any) -> None:
    connection.execute(update(tenants).where(tenants.c.id == id).values(**values))


def insert_key(connection: Connection, **values: Any) -> None:
    connection.execute(insert(api_keys).values(**values))


def key_rows(connection: Connection, ids: Iterable[str] | None = None) -> Sequence[Row[Any]]:
    query = select(api_keys)
    return connection.execute(query if ids is None else query.where(api_keys.c.id.in_(list(ids)))).all()


def page_of_keys(connection: Connection, tenant_id: str, after: str, limit: int) -> Sequence[Row[Any]]:
    query = select(api_keys).where(api_keys.c.tenant_id == tenant_id, api_keys.c.id > after)
    return connection.execute(query.order_by(api_keys.c.id).limit(limit)).all()


def key_row(connection: Connection, tenant_id: str, id: str) -> Row[Any] | None:
    return connection.execute(select(api_keys).where(api_keys.c.tenant_id == tenant_id, api_keys.c.id == id)).first()


def revoke_key(connection: Connection, id: str, at: datetime) -> None:
    connection.execute(update(api_keys).where(api_keys.c.id == id).values(revoked_at=at))
