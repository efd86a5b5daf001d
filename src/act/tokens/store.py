"""Tokens and signing keys as rows. The token string is never stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from act.database.tables import signing_keys, tokens


def add(connection: Connection, **values: Any) -> None:
    connection.execute(insert(tokens).values(**values))


def find(connection: Connection, tenant_id: str, id: str) -> Row[Any] | None:
    return connection.execute(select(tokens).where(tokens.c.tenant_id == tenant_id, tokens.c.id == id)).first()


def revoke(connection: Connection, id: str, at: datetime) -> None:
    connection.execute(update(tokens).where(tokens.c.id == id).values(revoked_at=at))


def page(connection: Connection, tenant_id: str, agent_id: str | None, after: str, limit: int) -> Sequence[Row[Any]]:
    query = select(tokens).where(tokens.c.tenant_id == tenant_id, tokens.c.id > after)
    if agent_id is not None:
        query = query.where(tokens.c.agent_id == agent_id)
    return connection.execute(query.order_by(tokens.c.id).limit(limit)).all()


def last_sequence(connection: Connection, tenant_id: str) -> int:
    return connection.execute(select(func.max(tokens.c.sequence)).where(tokens.c.tenant_id == tenant_id)).scalar() or 0


def count_live(connection: Connection, tenant_id: str, agent_id: str, mark: int, now: datetime) -> int:
    """Tokens of an agent that are neither expired nor revoked, alone or by a mark."""
    query = select(func.count()).where(
        tokens.c.tenant_id == tenant_id,
        tokens.c.agent_id == agent_id,
        tokens.c.sequence > mark,
        tokens.c.expires_at > now,
        tokens.c.revoked_at.is_(None),
    )
    return connection.execute(query).scalar_one()


def unexpired(connection: Connection, now: datetime) -> Sequence[Row[Any]]:
    return connection.execute(select(tokens).where(tokens.c.expires_at > now)).all()


def rows(connection: Connection, ids: Iterable[str]) -> Sequence[Row[Any]]:
    return connection.execute(select(tokens).where(tokens.c.id.in_(list(ids)))).all()


def add_key(connection: Connection, **values: Any) -> None:
    connection.execute(insert(signing_keys).values(**values))


def key_rows(connection: Connection, ids: Iterable[str] | None = None) -> Sequence[Row[Any]]:
    query = select(signing_keys)
    return connection.execute(query if ids is None else query.where(signing_keys.c.kid.in_(list(ids)))).all()
