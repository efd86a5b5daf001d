"""Agents as rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update

from act.database.tables import agents


def add(connection: Connection, **values: Any) -> None:
    connection.execute(insert(agents).values(**values))


def change(connection: Connection, tenant_id: str, id: str, **values: Any) -> None:
    connection.execute(update(agents).where(agents.c.tenant_id == tenant_id, agents.c.id == id).values(**values))


def find(connection: Connection, tenant_id: str, id: str) -> Row[Any] | None:
    return connection.execute(select(agents).where(agents.c.tenant_id == tenant_id, agents.c.id == id)).first()


def claiming(connection: Connection, tenant_id: str, *labels: str) -> Sequence[Row[Any]]:
    """Agents known by one of these labels: by id (also when deleted), or by name."""
    named = agents.c.name.in_(labels) & (agents.c.status != "deleted")
    query = select(agents).where(agents.c.tenant_id == tenant_id, or_(agents.c.id.in_(labels), named))
    return connection.execute(query).all()


def page(connection: Connection, tenant_id: str, after: str, limit: int) -> Sequence[Row[Any]]:
    query = select(agents).where(agents.c.tenant_id == tenant_id, agents.c.id > after, agents.c.status != "deleted")
    return connection.execute(query.order_by(agents.c.id).limit(limit)).all()


def rows(connection: Connection, tenant_id: str | None = None, ids: Iterable[str] = ()) -> Sequence[Row[Any]]:
    """All agents, or those of one tenant with these ids."""
    query = select(agents)
    if tenant_id is not None:
        query = query.where(agents.c.tenant_id == tenant_id, agents.c.id.in_(list(ids)))
    return connection.execute(query).all()
