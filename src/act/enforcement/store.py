"""Outcomes as rows: at most one a decision."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, insert, select

from act.audit.transaction import Sealed
from act.database.tables import outcomes


def find(connection: Connection, tenant_id: str, decision_id: str) -> Row[Any] | None:
    query = select(outcomes).where(outcomes.c.tenant_id == tenant_id, outcomes.c.decision_id == decision_id)
    return connection.execute(query).first()


def add(connection: Connection, tenant_id: str, decision_id: str, status: str, digest: bytes, sealed: Sealed) -> None:
    """`digest` is that of everything that was reported."""
    connection.execute(
        insert(outcomes).values(
            tenant_id=tenant_id,
            decision_id=decision_id,
            status=status,
            digest=digest,
            record_index=sealed.index,
            leaf_hash=sealed.leaf_hash,
        )
    )
