"""Sessions as rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, insert, literal, or_, select, update

from act.database.tables import nodes, sessions
from act.sessions.session import Session

_NODE = "node:"


def find(connection: Connection, tenant_id: str, key: str) -> Session | None:
    here = (sessions.c.tenant_id == tenant_id) & (sessions.c.key == key)
    row = connection.execute(select(sessions).where(here)).first()
    return None if row is None else value(row)


def add(connection: Connection, tenant_id: str, key: str, session: Session, at: datetime) -> None:
    connection.execute(insert(sessions).values(tenant_id=tenant_id, key=key, **_written(session, at)))


def replace(connection: Connection, tenant_id: str, key: str, session: Session, at: datetime) -> None:
    here = (sessions.c.tenant_id == tenant_id) & (sessions.c.key == key)
    connection.execute(update(sessions).where(here).values(**_written(session, at)))


def needed(connection: Connection, since: datetime) -> Sequence[Row[Any]]:
    """Those that a token can still lead to. Of a node's, those whose node was alive after `since`."""
    alive = or_(nodes.c.id.is_(None), nodes.c.expires_at > since, nodes.c.renew_until > since)
    return connection.execute(_with_node().where(alive)).all()


def rows(connection: Connection, tenant_id: str, keys: Iterable[str]) -> Sequence[Row[Any]]:
    here = (sessions.c.tenant_id == tenant_id) & sessions.c.key.in_(list(keys))
    return connection.execute(_with_node().where(here)).all()


def value(row: Row[Any]) -> Session:
    return Session(frozenset(row.labels), tuple(row.created))


def _with_node() -> Select[Any]:
    """Each session with the times of its node, which are None for a task's session.

    The part of the key behind its kind finds the node by its primary key; the whole of it has to agree, because a
    task may be named as a node is.
    """
    node = and_(
        nodes.c.id == func.substr(sessions.c.key, len(_NODE) + 1),
        sessions.c.key == literal(_NODE).concat(nodes.c.id),
        nodes.c.tenant_id == sessions.c.tenant_id,
    )
    return select(sessions, nodes.c.expires_at, nodes.c.renew_until).outerjoin(nodes, node)


def _written(session: Session, at: datetime) -> dict[str, Any]:
    return {"labels": sorted(session.labels), "created": list(session.created), "updated_at": at}
