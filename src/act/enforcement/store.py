"""Outcomes as rows: at most one a decision."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from act.audit.transaction import Sealed
from act.database.many import Insert


class Known(NamedTuple):
    """An outcome that was reported; `digest` is that of everything that was."""

    status: str
    digest: bytes
    sealed: Sealed


_insert = Insert("outcomes", ("tenant_id", "decision_id", "status", "digest", "record_index", "leaf_hash"))
_FIND = "SELECT status, digest, record_index, leaf_hash FROM outcomes WHERE tenant_id = ? AND decision_id = ?"


def find(driver: sqlite3.Connection, tenant_id: str, decision_id: str) -> Known | None:
    row = driver.execute(_FIND, (tenant_id, decision_id)).fetchone()
    return None if row is None else Known(row[0], row[1], Sealed(row[2], row[3]))


def add(driver: sqlite3.Connection, tenant_id: str, decision_id: str, known: Known) -> None:
    index, leaf_hash = known.sealed.index, known.sealed.leaf_hash
    _insert(driver, [(tenant_id, decision_id, known.status, known.digest, index, leaf_hash)])
