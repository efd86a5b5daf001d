"""Logs with records from long ago, as a server has written them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.changes import ChangeFeed
from act.database.clock import SystemClock
from act.database.engine import writing_engine
from act.models import rfc3339
from act.tenants.tenant import DEFAULT_TENANT

TENANT = DEFAULT_TENANT


def write_old(writer: Writer, count: int, days: int = 20, tenant_id: str = TENANT, mark: str = "old") -> None:
    """Append records that were made `days` ago."""
    at = datetime.now(UTC) - timedelta(days=days)
    writer.write(partial(_append, tenant_id, count, at, mark))


def _append(tenant_id: str, count: int, at: datetime, mark: str, transaction: Transaction) -> None:
    for number in range(count):
        fields = {"at": rfc3339(at), "agentId": f"agt_{number % 3}", "action": mark, "resourceId": f"api://{number}"}
        transaction.record(tenant_id, "decision", fields | {"decision": "denied", "reasonCode": "no_matching_policy"})


def fill(database: Path, count: int, days: int = 20) -> None:
    """The same, in the database of a server that is stopped."""
    engine, feed = writing_engine(database), ChangeFeed({})
    with engine.connect() as connection:
        feed.load(connection)
    writer = Writer(engine, feed, SystemClock())
    writer.start()
    write_old(writer, count, days)
    writer.stop()
    engine.dispose()
