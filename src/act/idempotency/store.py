"""Idempotency keys as rows: at most one for each API key and `Idempotency-Key`.

A row without an answer says that its request was carried out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, select, update

from act.database.tables import idempotency_keys
from act.idempotency.claim import Claim


def find(connection: Connection, claim: Claim) -> Row[Any] | None:
    return connection.execute(select(idempotency_keys).where(_place(claim))).first()


def add(connection: Connection, claim: Claim, salt: bytes, now: datetime) -> None:
    """Mark that the request of `claim` is carried out.

    Raises:
        IntegrityError: another was carried out under the same key.
    """
    connection.execute(
        insert(idempotency_keys).values(
            tenant_id=claim.tenant_id,
            key_id=claim.key_id,
            hash=claim.hash,
            fingerprint=claim.fingerprint,
            salt=salt,
            created_at=now,
        )
    )


def fill(connection: Connection, claim: Claim, salt: bytes, answer: bytes) -> None:
    """Keep the sealed answer of the attempt that has this salt."""
    connection.execute(update(idempotency_keys).where(_attempt(claim, salt)).values(answer=answer))


def drop(connection: Connection, claim: Claim, salt: bytes) -> None:
    connection.execute(delete(idempotency_keys).where(_attempt(claim, salt)))


def any_older(connection: Connection, moment: datetime) -> bool:
    query = select(idempotency_keys.c.created_at).where(idempotency_keys.c.created_at <= moment)
    return connection.execute(query.limit(1)).first() is not None


def forget_older(connection: Connection, moment: datetime, most: int) -> None:
    """Delete what is as old as `moment` or older: the oldest, about `most` of them."""
    age = idempotency_keys.c.created_at
    last = connection.execute(select(age).where(age <= moment).order_by(age).offset(most - 1).limit(1)).scalar()
    connection.execute(delete(idempotency_keys).where(age <= (moment if last is None else last)))


def _place(claim: Claim) -> ColumnElement[bool]:
    return and_(idempotency_keys.c.key_id == claim.key_id, idempotency_keys.c.hash == claim.hash)


def _attempt(claim: Claim, salt: bytes) -> ColumnElement[bool]:
    return and_(_place(claim), idempotency_keys.c.salt == salt)
