"""Keys as rows: their public halves and where each is in its life. Private keys are files (`KeyFiles`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, insert, or_, select, update

from act.database.tables import signing_keys


def add(connection: Connection, **values: Any) -> None:
    connection.execute(insert(signing_keys).values(**values))


def change(connection: Connection, kid: str, **values: Any) -> None:
    connection.execute(update(signing_keys).where(signing_keys.c.kid == kid).values(**values))


def rows(connection: Connection, kids: Iterable[str] | None = None) -> Sequence[Row[Any]]:
    query = select(signing_keys)
    return connection.execute(query if kids is None else query.where(signing_keys.c.kid.in_(list(kids)))).all()


def find(connection: Connection, tenant_id: str, kid: str) -> Row[Any] | None:
    query = select(signing_keys).where(signing_keys.c.tenant_id == tenant_id, signing_keys.c.kid == kid)
    return connection.execute(query).first()


def of_status(connection: Connection, tenant_id: str, status: str) -> Row[Any]:
    """The tenant's one token key of a status that exactly one has: `active` or `next`."""
    query = select(signing_keys).where(
        signing_keys.c.tenant_id == tenant_id, signing_keys.c.use == "token", signing_keys.c.status == status
    )
    return connection.execute(query).one()


def page(connection: Connection, tenant_id: str, after: Row[Any] | None, limit: int) -> Sequence[Row[Any]]:
    """In the order in which they were made."""
    kid, created = signing_keys.c.kid, signing_keys.c.created_at
    query = select(signing_keys).where(signing_keys.c.tenant_id == tenant_id)
    if after is not None:
        query = query.where(or_(created > after.created_at, and_(created == after.created_at, kid > after.kid)))
    return connection.execute(query.order_by(created, kid).limit(limit)).all()
