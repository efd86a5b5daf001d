"""Do searches pass over a block of the log that has what they look for?

What is known of a block (`act.audit.blocks`) is made of its records, and no hash covers it. Whoever can write the
database can take a value out of it: then every record is there and verifies, and no search finds it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, LargeBinary, cast, delete, func, select

from act.audit import archive_store, block_store
from act.audit.blocks import BLOCK, FIELDS, marks_of_block
from act.database.engine import writing_engine
from act.database.tables import audit_block_values, audit_blocks, audit_trees

_MARK = 4
"""Bytes."""

_blocks, _values = audit_blocks.c, audit_block_values.c


def hidden(connection: Connection, tenant_id: str, size: int) -> int | None:
    """The first index that searches pass over wrongly, in a log of `size` records that verify; None when there is none.

    What is known of a block may be more than what is in it, as when its first records went into an archive.
    """
    query = select(_blocks.number, _blocks.first_at, _blocks.last_at).where(_blocks.tenant_id == tenant_id)
    known = {row.number: (row.first_at, row.last_at) for row in connection.execute(query)}
    complete = size // BLOCK
    if any(not isinstance(number, int) or number >= complete for number in known):
        return complete * BLOCK  # what comes before the last block counts as known, and is not looked through
    for number in range(archive_store.held_from(connection, tenant_id) // BLOCK, max(known, default=-1) + 1):
        if number not in known or not _says_all(connection, tenant_id, number, *known[number]):
            return number * BLOCK
    return None


def _says_all(connection: Connection, tenant_id: str, number: int, first_at: Any, last_at: Any) -> bool:
    """Whether what is known of a block has every value, and every time, of its records."""
    rows = block_store.content(connection, tenant_id, number)
    if not (isinstance(first_at, str) and isinstance(last_at, str)):
        return False
    if not all(first_at <= row.at <= last_at for row in rows if isinstance(row.at, str)):
        return False
    there = marks_of_block({field: [getattr(row, field) for row in rows] for field in FIELDS})
    kept = _kept(connection, tenant_id, number)
    return all(_within(marks, kept.get(field, b"")) for field, marks in there.items())


def _kept(connection: Connection, tenant_id: str, number: int) -> dict[str, bytes]:
    """The marks that are known. As text they are none: SQLite finds no bytes in it."""
    query = select(_values.field, cast(_values.marks, LargeBinary).label("marks")).where(
        _values.tenant_id == tenant_id,
        _values.field.in_(FIELDS),
        _values.number == number,
        func.typeof(_values.marks) == "blob",
    )
    return {row.field: row.marks for row in connection.execute(query)}


def _within(marks: bytes, kept: bytes) -> bool:
    return marks == kept or all(marks[at : at + _MARK] in kept for at in range(0, len(marks), _MARK))


def mend(path: Path) -> list[str]:
    """Forget all that is known of the blocks of tenants where it hides something; those tenants.

    A server makes it again in the background, and looks through every record meanwhile. Nobody else may have the
    database open.
    """
    engine = writing_engine(path)
    try:
        with engine.begin() as connection:
            logs = connection.execute(select(audit_trees.c.tenant_id, audit_trees.c.size)).all()
            mended = [tenant_id for tenant_id, size in logs if hidden(connection, tenant_id, size) is not None]
            for table in (audit_blocks, audit_block_values):
                connection.execute(delete(table).where(table.c.tenant_id.in_(mended)))
        return mended
    finally:
        engine.dispose()
