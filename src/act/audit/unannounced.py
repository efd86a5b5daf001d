"""Are records away that no record says were archived?

Whoever can write the database can put hashes in the place of records, or say in a row that an archive has them: then
every hash is right, and the records are gone, or no search finds them. But what was archived is told in the log.
"""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import Connection, select

from act.audit import archive_store
from act.database.tables import audit_archives, audit_records

KIND: Final = "audit.archived"
_TOLD: Final = ("first", "end", "file", "bytes", "sha256")


def unannounced(connection: Connection, tenant_id: str, gone: int) -> int | None:
    """The first index of a log that verifies whose record is away, or counts as archived, without being told of.

    An archive whose announcement went into a later one is proven by the file of that one, and not here.

    Args:
        gone: how many of the first records are not in the database.
    """
    columns = audit_archives.c
    rows = connection.execute(
        select(audit_archives).where(columns.tenant_id == tenant_id).order_by(columns.first)
    ).all()
    told, end = _announced(connection, tenant_id), 0
    for row in rows:
        last = row is rows[-1]
        if row.first != end or ((row.end in told or last) and told.get(row.end) != _fields(row._mapping)):
            return min(row.first, end) if isinstance(row.first, int) else end
        end = row.end
    return end if gone > end else None


def _announced(connection: Connection, tenant_id: str) -> dict[int, tuple[Any, ...]]:
    """What the records tell that are there, by where the archive ends."""
    begin = archive_store.held_from(connection, tenant_id)
    columns = audit_records.c
    query = select(columns.record).where(columns.tenant_id == tenant_id, columns.kind == KIND, columns.idx >= begin)
    records = (json.loads(record) for record in connection.execute(query).scalars())
    return {record["end"]: _fields(record) for record in records if record["kind"] == KIND}


def _fields(told: Any) -> tuple[Any, ...]:
    return tuple(told[name] for name in _TOLD)
