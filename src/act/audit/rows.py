"""Records and trees as the writer leaves them: a commit has few statements, however many records it makes durable."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, select

from act.audit.merkle import Frontier
from act.database.many import Insert
from act.database.tables import audit_trees


class RecordRow(NamedTuple):
    """One record; the names are the columns."""

    tenant_id: str
    idx: int
    leaf_hash: bytes
    salt: bytes | None
    record: str
    arguments: str | None = None


add = Insert("audit_records", RecordRow._fields)
"""Appends records, in their order."""

add_subtrees = Insert("audit_subtrees", ("tenant_id", "level", "number", "hash"))
"""Keeps the hashes of complete subtrees of 256^level records, so that no proof has to read all records again."""

_GROW = (
    "INSERT INTO audit_trees (tenant_id, size, frontier) VALUES (?, ?, ?) "
    "ON CONFLICT (tenant_id) DO UPDATE SET size = excluded.size, frontier = excluded.frontier"
)


def grow(driver: sqlite3.Connection, trees: Mapping[str, Frontier]) -> None:
    """Keep how far the logs of these tenants have grown."""
    for tenant_id, tree in trees.items():
        driver.execute(_GROW, (tenant_id, tree.size, tree.to_bytes()))


def trees(connection: Connection) -> dict[str, Frontier]:
    """How far the log of each tenant has grown."""
    rows = connection.execute(select(audit_trees)).all()
    return {row.tenant_id: Frontier.from_bytes(row.size, row.frontier) for row in rows}
