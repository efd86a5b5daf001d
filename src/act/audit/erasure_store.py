"""What can be erased beside audit records, as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row, Select, select, update

from act.audit.gone import Gone
from act.database.tables import audit_records

_columns = audit_records.c


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose arguments; None is anybody's. `before` is RFC 3339."""

    agent_id: str | None = None
    requester_id: str | None = None
    on_behalf_of: str | None = None
    before: str | None = None


def held(connection: Connection, tenant_id: str, whose: Whose, begin: int, end: int, limit: int) -> Sequence[Row[Any]]:
    """Records from index `begin` to `end` (exclusive) beside which something stands: `idx` and `approval_id`."""
    query: Select[Any] = select(_columns.idx, _columns.approval_id).where(
        _columns.tenant_id == tenant_id, _columns.idx >= begin, _columns.idx < end, _columns.salt.is_not(None)
    )
    wanted = {
        _columns.agent_id: whose.agent_id,
        _columns.requester_id: whose.requester_id,
        _columns.on_behalf_of: whose.on_behalf_of,
    }
    for column, value in wanted.items():
        if value is not None:
            query = query.where(column == value)
    if whose.before is not None:
        query = query.where(_columns.at < whose.before)
    return connection.execute(query.order_by(_columns.idx).limit(limit)).all()


def erase(connection: Connection, tenant_id: str, indexes: Sequence[int]) -> int:
    """Erase what stands beside these records. Answers beside how many of them there was something."""
    here = (_columns.tenant_id == tenant_id) & _columns.idx.in_(indexes) & _columns.salt.is_not(None)
    return connection.execute(update(audit_records).where(here).values(salt=None, arguments=None)).rowcount


def gone(connection: Connection, tenant_id: str) -> Gone:
    """What is gone beside the records of a log whose hashes were checked (`soundness.examined`).

    What erased it comes later in the log than what was erased, so where the one is not archived the other is not.
    """
    found = Gone()
    query = select(_columns.idx, _columns.record).where(_columns.tenant_id == tenant_id, _columns.arguments.is_(None))
    for row in connection.execution_options(yield_per=500).execute(query.order_by(_columns.idx)):
        found.see(orjson.loads(row.record), row.idx, there=False)
    return found
