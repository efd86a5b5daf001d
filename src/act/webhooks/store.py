"""Webhooks and their deliveries as rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from act.database.tables import from_microseconds, microseconds, webhook_deliveries, webhooks
from act.webhooks.webhook import Attempt, Secret, Webhook

MAX_ATTEMPTS = 50
"""So many attempts of a delivery are kept, the last ones."""

# --- webhooks ---------------------------------------------------------------------------------------------------------


def add(connection: Connection, **values: Any) -> None:
    connection.execute(insert(webhooks).values(**_written(values)))


def change(connection: Connection, tenant_id: str, id: str, **values: Any) -> None:
    here = (webhooks.c.tenant_id == tenant_id) & (webhooks.c.id == id)
    connection.execute(update(webhooks).where(here).values(**_written(values)))


def remove(connection: Connection, tenant_id: str, id: str) -> None:
    """Delete a webhook and all its deliveries."""
    there = (webhook_deliveries.c.tenant_id == tenant_id) & (webhook_deliveries.c.webhook_id == id)
    connection.execute(delete(webhook_deliveries).where(there))
    connection.execute(delete(webhooks).where(webhooks.c.tenant_id == tenant_id, webhooks.c.id == id))


def find(connection: Connection, tenant_id: str, id: str) -> Row[Any] | None:
    return connection.execute(select(webhooks).where(webhooks.c.tenant_id == tenant_id, webhooks.c.id == id)).first()


def count(connection: Connection, tenant_id: str) -> int:
    query = select(func.count()).select_from(webhooks).where(webhooks.c.tenant_id == tenant_id)
    return int(connection.execute(query).scalar_one())


def page(connection: Connection, tenant_id: str, after: str, limit: int) -> Sequence[Row[Any]]:
    query = select(webhooks).where(webhooks.c.tenant_id == tenant_id, webhooks.c.id > after)
    return connection.execute(query.order_by(webhooks.c.id).limit(limit)).all()


def rows(connection: Connection, ids: Iterable[str] | None = None) -> Sequence[Row[Any]]:
    """All webhooks, or those of these ids."""
    query = select(webhooks)
    if ids is not None:
        query = query.where(webhooks.c.id.in_(list(ids)))
    return connection.execute(query).all()


def value(row: Row[Any]) -> Webhook:
    return Webhook(
        row.id, row.tenant_id, row.url, frozenset(row.events), row.include_arguments, row.enabled, secrets(row)
    )


def secrets(row: Row[Any]) -> tuple[Secret, ...]:
    return tuple(
        Secret(kept["id"], None if kept["until"] is None else from_microseconds(kept["until"])) for kept in row.secrets
    )


def _written(values: dict[str, Any]) -> dict[str, Any]:
    if "secrets" in values:
        kept = [{"id": s.id, "until": None if s.until is None else microseconds(s.until)} for s in values["secrets"]]
        return values | {"secrets": kept}
    return values


# --- deliveries -------------------------------------------------------------------------------------------------------


def put_out(connection: Connection, **values: Any) -> None:
    """Store a new delivery, due at once."""
    connection.execute(
        insert(webhook_deliveries).values(
            status="pending", tries=0, attempts=[], next_at=values["created_at"], finished_at=None, **values
        )
    )


def delivery(connection: Connection, tenant_id: str, webhook_id: str, id: str) -> Row[Any] | None:
    table = webhook_deliveries.c
    here = (table.tenant_id == tenant_id) & (table.webhook_id == webhook_id) & (table.id == id)
    return connection.execute(select(webhook_deliveries).where(here)).first()


def page_of_deliveries(
    connection: Connection, tenant_id: str, webhook_id: str, before: str, limit: int
) -> Sequence[Row[Any]]:
    """The newest first."""
    table = webhook_deliveries.c
    query = select(webhook_deliveries).where(table.tenant_id == tenant_id, table.webhook_id == webhook_id)
    if before:
        query = query.where(table.id < before)
    return connection.execute(query.order_by(table.id.desc()).limit(limit)).all()


def waiting(connection: Connection, now: datetime) -> Sequence[str]:
    """The ids of the webhooks for which something is due, the one that waits longest first."""
    table = webhook_deliveries.c
    first = func.min(table.next_at)
    due = (table.status == "pending") & (table.next_at <= now)
    query = select(table.webhook_id).where(due).group_by(table.webhook_id).order_by(first)
    return connection.execute(query).scalars().all()


def due(
    connection: Connection, webhook_id: str, now: datetime, without: Collection[str], limit: int
) -> Sequence[Row[Any]]:
    """What is due for a webhook, but for the deliveries `without`."""
    table = webhook_deliveries.c
    here = (table.status == "pending") & (table.webhook_id == webhook_id) & (table.next_at <= now)
    query = select(webhook_deliveries).where(here, table.id.not_in(list(without)))
    return connection.execute(query.order_by(table.next_at, table.id).limit(limit)).all()


def attempted(connection: Connection, row: Row[Any], attempt: Attempt, **following: Any) -> None:
    """Store an attempt, and what follows from it."""
    kept = {
        "at": microseconds(attempt.at),
        "status": attempt.status,
        "error": attempt.error,
        "answer": attempt.answer,
        "durationMs": attempt.duration_ms,
    }
    change_delivery(connection, row.id, attempts=[*row.attempts, kept][-MAX_ATTEMPTS:], **following)


def attempts(row: Row[Any]) -> list[Attempt]:
    return [
        Attempt(from_microseconds(kept["at"]), kept["durationMs"], kept["status"], kept["error"], kept["answer"])
        for kept in row.attempts
    ]


def change_delivery(connection: Connection, id: str, **values: Any) -> None:
    connection.execute(update(webhook_deliveries).where(webhook_deliveries.c.id == id).values(**values))


def give_up(connection: Connection, webhook_id: str, now: datetime) -> None:
    """End everything that waits for a webhook."""
    table = webhook_deliveries.c
    here = (table.status == "pending") & (table.webhook_id == webhook_id)
    ended = {"status": "failed", "next_at": None, "finished_at": now}
    connection.execute(update(webhook_deliveries).where(here).values(**ended))


def forget(connection: Connection, before: datetime) -> int:
    """Delete the deliveries that were finished before; how many."""
    return connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.finished_at < before)).rowcount


def has_finished(connection: Connection, before: datetime) -> bool:
    """Whether there is anything for `forget`."""
    query = select(webhook_deliveries.c.id).where(webhook_deliveries.c.finished_at < before).limit(1)
    return connection.execute(query).first() is not None
