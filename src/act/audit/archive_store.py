"""Archives as rows: which records are in which file, and the leaf hashes that stay when the records go."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from act.audit.archive_files import Stored
from act.audit.merkle import HASH_SIZE
from act.audit.tiles import WIDTH
from act.database.tables import (
    approvals,
    audit_archives,
    audit_records,
    audit_tiles,
    leases,
)

_columns: Final = audit_archives.c
_OPEN: Final = ("pending", "approved")


def held_from(connection: Connection, tenant_id: str) -> int:
    """The first index that is not in an archive."""
    return connection.execute(select(func.max(_columns.end)).where(_columns.tenant_id == tenant_id)).scalar() or 0


def containing(connection: Connection, tenant_id: str, index: int) -> Row[Any] | None:
    """The archive that holds a record."""
    mine = (_columns.tenant_id == tenant_id) & (_columns.first <= index) & (_columns.end > index)
    return connection.execute(select(audit_archives).where(mine)).first()


def last_at(connection: Connection, tenant_id: str) -> str | None:
    """The latest time of a record that is in an archive."""
    return connection.execute(select(func.max(_columns.last_at)).where(_columns.tenant_id == tenant_id)).scalar()


def archives(connection: Connection, tenant_id: str, after: int, limit: int) -> Sequence[Row[Any]]:
    """In the order of the log, those that begin after an index."""
    query = select(audit_archives).where(_columns.tenant_id == tenant_id, _columns.first > after)
    return connection.execute(query.order_by(_columns.first).limit(limit)).all()


def files(connection: Connection, tenant_id: str) -> frozenset[str]:
    """The names of all archives of a tenant."""
    return frozenset(connection.execute(select(_columns.file).where(_columns.tenant_id == tenant_id)).scalars())


def unfinished(connection: Connection) -> Sequence[Row[Any]]:
    """Archives whose records are not all removed yet, of all tenants."""
    query = select(audit_archives).where(_columns.removed < _columns.end)
    return connection.execute(query.order_by(_columns.tenant_id, _columns.first)).all()


def sealed(row: Row[Any]) -> Stored:
    """The file, as it was when the log told of it."""
    return Stored(row.bytes, row.sha256)


def add(connection: Connection, **values: Any) -> None:
    connection.execute(insert(audit_archives).values(**values))


def first_not_before(connection: Connection, tenant_id: str, begin: int, end: int, moment: str) -> int:
    """The first index from `begin` to `end` whose record is of `moment` (RFC 3339) or later; `end` when none is."""
    columns = audit_records.c
    query = select(columns.idx).where(
        columns.tenant_id == tenant_id,
        columns.idx >= begin,
        columns.idx < end,
        func.coalesce(columns.at, "~") >= moment,
    )
    found = connection.execute(query.order_by(columns.idx).limit(1)).scalar()
    return end if found is None else found


def first_needed(connection: Connection, tenant_id: str, now: datetime) -> int | None:
    """The first record that something still rests on: a place that is taken, or a question that waits for an answer."""
    open_leases = select(leases.c.decision_id).where(leases.c.tenant_id == tenant_id)
    # Approved ones too: what redeems them comes later.
    waiting = select(approvals.c.decision_id).where(
        approvals.c.tenant_id == tenant_id,
        approvals.c.status.in_(_OPEN),
        approvals.c.expires_at > now,
    )
    columns = audit_records.c
    needed = columns.decision_id.in_(open_leases.union(waiting))
    query = select(columns.idx).where(columns.tenant_id == tenant_id, needed)
    # Or SQLite might walk through the log to find the smallest.
    query = query.with_hint(audit_records, "INDEXED BY audit_records_decision", "sqlite")
    return min(connection.execute(query).scalars(), default=None)


def erased_since(connection: Connection, tenant_id: str, begin: int) -> bool:
    """Whether arguments were erased, by a record from an index on."""
    columns = audit_records.c
    query = select(columns.idx).where(columns.tenant_id == tenant_id, columns.idx >= begin)
    return connection.execute(query.where(columns.kind == "arguments.erased").limit(1)).first() is not None


def times(connection: Connection, tenant_id: str, begin: int, end: int) -> tuple[str, str]:
    """The earliest and the latest time of records."""
    columns = audit_records.c
    query = select(func.min(columns.at), func.max(columns.at)).where(
        columns.tenant_id == tenant_id, columns.idx >= begin, columns.idx < end
    )
    earliest, latest = connection.execute(query).one()
    return earliest, latest


def remove(connection: Connection, tenant_id: str, first: int, begin: int) -> None:
    """Put the leaf hashes of 256 records, from `begin` on, in the place of the records.

    Args:
        first: where the archive begins that has them.

    Raises:
        LookupError: the records are not all there; nothing is removed.
    """
    columns = audit_records.c
    these = (columns.tenant_id == tenant_id) & (columns.idx >= begin) & (columns.idx < begin + WIDTH)
    hashes = list(connection.execute(select(columns.leaf_hash).where(these).order_by(columns.idx)).scalars())
    if len(hashes) != WIDTH:
        raise LookupError(f"Of the {WIDTH} records from {begin} on, {len(hashes)} are there.")
    row = {"tenant_id": tenant_id, "number": begin // WIDTH, "hashes": b"".join(hashes)}
    connection.execute(insert(audit_tiles).values(row))
    connection.execute(delete(audit_records).where(these))
    mine = (_columns.tenant_id == tenant_id) & (_columns.first == first) & (_columns.removed == begin)
    if connection.execute(update(audit_archives).where(mine).values(removed=begin + WIDTH)).rowcount != 1:
        raise LookupError(f"No archive is at {begin}.")


def forget_arguments(connection: Connection, tenant_id: str, begin: int, now: datetime) -> None:
    """Take from approvals what was asked by the 256 records from `begin` on: it could not be erased without them.

    What is asked stays until it is settled, and the hash by which a no is known until its time is over.
    """
    records, asked = audit_records.c, approvals.c
    these = (records.tenant_id == tenant_id) & (records.idx >= begin) & (records.idx < begin + WIDTH)
    ids = select(records.approval_id).where(these, records.approval_id.is_not(None))
    query = select(asked.id, asked.status, asked.context, asked.expires_at)
    for row in connection.execute(query.where(asked.tenant_id == tenant_id, asked.id.in_(ids))).all():
        values: dict[str, Any] = {"erase": True}
        if row.status not in _OPEN:
            kept = {name: value for name, value in row.context.items() if name == "conversationId"}
            values |= {"arguments": None, "context": kept}
            if row.expires_at <= now:
                values["binding"] = secrets.token_bytes(HASH_SIZE)
        connection.execute(update(approvals).where(asked.id == row.id).values(**values))


def leaf_hashes(connection: Connection, tenant_id: str, begin: int, end: int) -> list[bytes]:
    """Those, from `begin` to `end` (exclusive), that stand for records that are gone."""
    number = audit_tiles.c.number
    query = select(audit_tiles).where(
        audit_tiles.c.tenant_id == tenant_id, number >= begin // WIDTH, number < -(-end // WIDTH)
    )
    found: list[bytes] = []
    for row in connection.execute(query.order_by(number)):
        first = row.number * WIDTH
        for index in range(max(begin, first), min(end, first + WIDTH)):
            at = (index - first) * HASH_SIZE
            found.append(row.hashes[at : at + HASH_SIZE])
    return found
