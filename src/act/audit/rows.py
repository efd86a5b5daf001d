"""Records and trees as the writer leaves them: a commit has few statements, however many records it makes durable.

Each statement hands the interpreter over to other threads and waits to get it back, which costs more than a row does.
So many rows are one statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from sqlalchemy import Connection, select

from act.audit.merkle import Frontier
from act.database.tables import audit_trees


class RecordRow(NamedTuple):
    """One record; the names are the columns."""

    tenant_id: str
    idx: int
    leaf_hash: bytes
    salt: bytes | None
    record: str
    arguments: str | None = None


_COLUMNS = ", ".join(RecordRow._fields)
_ROW = f"({', '.join('?' for _ in RecordRow._fields)})"
_AT_ONCE = (256, 64, 16, 4, 1)
_INSERTS = {count: f"INSERT INTO audit_records ({_COLUMNS}) VALUES {', '.join([_ROW] * count)}" for count in _AT_ONCE}  # noqa: S608
_GROW = (
    "INSERT INTO audit_trees (tenant_id, size, frontier) VALUES (?, ?, ?) "
    "ON CONFLICT (tenant_id) DO UPDATE SET size = excluded.size, frontier = excluded.frontier"
)


def add(driver: sqlite3.Connection, rows: Sequence[RecordRow]) -> None:
    """Append records, in their order."""
    at = 0
    for count in _AT_ONCE:
        while len(rows) - at >= count:
            driver.execute(_INSERTS[count], tuple(chain.from_iterable(rows[at : at + count])))
            at += count


def grow(driver: sqlite3.Connection, trees: Mapping[str, Frontier]) -> None:
    """Keep how far the logs of these tenants have grown."""
    for tenant_id, tree in trees.items():
        driver.execute(_GROW, (tenant_id, tree.size, tree.to_bytes()))


def trees(connection: Connection) -> dict[str, Frontier]:
    """How far the log of each tenant has grown."""
    rows = connection.execute(select(audit_trees)).all()
    return {row.tenant_id: Frontier.from_bytes(row.size, row.frontier) for row in rows}
