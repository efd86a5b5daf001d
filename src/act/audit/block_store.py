"""What is known of each block of the log, as rows. Written after the records, never with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from act.audit.blocks import BLOCK, FIELDS
from act.database.tables import audit_block_values, audit_blocks, audit_records


def known_until(connection: Connection, tenant_id: str) -> int:
    """The index up to which (exclusive) blocks are known; they are made in order."""
    last = connection.execute(
        select(func.max(audit_blocks.c.number)).where(audit_blocks.c.tenant_id == tenant_id)
    ).scalar()
    return 0 if last is None else (last + 1) * BLOCK


def content(connection: Connection, tenant_id: str, number: int) -> Sequence[Row[Any]]:
    """The fields of all records of a block, and their times."""
    columns = audit_records.c
    query = select(columns.at, *(columns[name] for name in FIELDS)).where(
        columns.tenant_id == tenant_id, columns.idx >= number * BLOCK, columns.idx < (number + 1) * BLOCK
    )
    return connection.execute(query).all()


def add(
    connection: Connection, tenant_id: str, number: int, first_at: str, last_at: str, marks: Mapping[str, bytes]
) -> None:
    connection.execute(
        insert(audit_blocks).values(tenant_id=tenant_id, number=number, first_at=first_at, last_at=last_at)
    )
    rows = [
        {"tenant_id": tenant_id, "field": field, "number": number, "marks": found} for field, found in marks.items()
    ]
    if rows:
        connection.execute(insert(audit_block_values), rows)


def forget(connection: Connection, tenant_id: str, end: int) -> None:
    """Forget the blocks that end at or before an index: their records are gone."""
    for table in (audit_blocks, audit_block_values):
        for_these = (table.c.tenant_id == tenant_id) & (table.c.number < end // BLOCK)
        if table is audit_block_values:
            for_these &= table.c.field.in_(FIELDS)
        connection.execute(delete(table).where(for_these))


def candidates(
    connection: Connection,
    tenant_id: str,
    wanted: Mapping[str, bytes],
    since: str | None,
    until: str | None,
    first: int,
    end: int,
    limit: int,
    *,
    newest_first: bool,
) -> list[int]:
    """The numbers, from `first` to `end` (exclusive), of blocks that may have the marks wanted and are of that time."""
    blocks, values = audit_blocks.c, audit_block_values.c
    query = select(blocks.number).where(blocks.tenant_id == tenant_id, blocks.number >= first, blocks.number < end)
    if since is not None:
        query = query.where(blocks.last_at >= since)
    if until is not None:
        query = query.where(blocks.first_at < until)
    for field in FIELDS:
        if field in wanted:
            there = select(values.marks).where(
                values.tenant_id == tenant_id, values.field == field, values.number == blocks.number
            )
            # Not at a multiple of four it is another value: looked through in vain, as any that shares a mark.
            query = query.where(func.instr(there.scalar_subquery(), wanted[field]) > 0)
    ordering = blocks.number.desc() if newest_first else blocks.number.asc()
    return list(connection.execute(query.order_by(ordering).limit(limit)).scalars())
