"""Leases as rows: the durable side of the lease book."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from act.database.tables import leases
from act.limits.leases import LeaseKey


def add(connection: Connection, decision_id: str, token_id: str, held: Sequence[tuple[LeaseKey, datetime]]) -> None:
    """Write the leases of a decision."""
    rows = [
        {
            "decision_id": decision_id,
            "tenant_id": key.tenant_id,
            "policy_id": key.policy_id,
            "agent_id": key.agent_id,
            "token_id": token_id,
            "expires_at": expires_at,
        }
        for key, expires_at in held
    ]
    connection.execute(insert(leases), rows)


def end(connection: Connection, decision_id: str) -> int:
    """Delete the leases of a decision; how many there were."""
    return connection.execute(delete(leases).where(leases.c.decision_id == decision_id)).rowcount


def of_decision(connection: Connection, decision_id: str) -> Row[Any] | None:
    return connection.execute(select(leases).where(leases.c.decision_id == decision_id)).first()


def all_leases(connection: Connection) -> Sequence[Row[Any]]:
    return connection.execute(select(leases)).all()
