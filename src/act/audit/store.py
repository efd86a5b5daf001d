"""Audit records as rows, for reading; only the writer adds any."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, select

from act.audit import archive_store
from act.database.tables import audit_records, audit_subtrees

_shown = (audit_records.c.idx, audit_records.c.leaf_hash, audit_records.c.record)
_whole = (*_shown, audit_records.c.arguments, audit_records.c.salt, audit_records.c.kept_hash)

Order = Literal["asc", "desc"]
Record = Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Filter:
    """What to look for; None is anything. `resource` is a pattern, `since` and `until` are RFC 3339."""

    agent: str | None = None
    requester: str | None = None
    action: str | None = None
    resource: str | None = None
    decision: str | None = None
    reason_code: str | None = None
    request_id: str | None = None
    decision_id: str | None = None
    task: str | None = None
    conversation: str | None = None
    kind: str | None = None
    since: str | None = None
    until: str | None = None

    @property
    def indexed(self) -> bool:
        """Whether the table has an index that leads to the records."""
        return not (self.decision_id is None and self.task is None and self.conversation is None)

    def only_indexed(self) -> Filter:
        return Filter(decision_id=self.decision_id, task=self.task, conversation=self.conversation)


def search(
    connection: Connection,
    tenant_id: str,
    wanted: Filter,
    after: int | None,
    limit: int,
    order: Order,
    within: tuple[int, int] | None = None,
) -> Sequence[Record]:
    """Records in the order of the log, or against it, after an index, or among the indexes `within`."""
    query = _matching(select(*_whole), tenant_id, wanted, within)
    columns = audit_records.c
    if after is not None:
        query = query.where(columns.idx > after if order == "asc" else columns.idx < after)
    ordering = columns.idx.asc() if order == "asc" else columns.idx.desc()
    return connection.execute(query.order_by(ordering).limit(limit)).all()


def reached(
    connection: Connection, tenant_id: str, wanted: Filter, count: int, order: Order, within: tuple[int, int]
) -> int | None:
    """The index of the record with which `count` of those that match are seen; None when there are no more."""
    index = audit_records.c.idx
    query = _matching(select(index), tenant_id, wanted, within)
    ordering = index.asc() if order == "asc" else index.desc()
    rows = list(connection.execute(query.order_by(ordering).offset(count - 1).limit(2)).scalars())
    return rows[0] if len(rows) > 1 else None


def _matching(query: Select[Any], tenant_id: str, wanted: Filter, within: tuple[int, int] | None) -> Select[Any]:
    columns = audit_records.c
    query = query.where(columns.tenant_id == tenant_id)
    if within is not None:
        query = query.where(columns.idx >= within[0], columns.idx < within[1])
    exact = {
        columns.agent_id: wanted.agent,
        columns.requester_id: wanted.requester,
        columns.action: wanted.action,
        columns.decision: wanted.decision,
        columns.reason_code: wanted.reason_code,
        columns.request_id: wanted.request_id,
        columns.decision_id: wanted.decision_id,
        columns.task_id: wanted.task,
        columns.conversation_id: wanted.conversation,
        columns.kind: wanted.kind,
    }
    for column, value in exact.items():
        if value is not None:
            query = query.where(column == value)
    if wanted.resource is not None:
        query = query.where(columns.resource_id.op("GLOB")(_sqlite_glob(wanted.resource)))
    if wanted.since is not None:
        query = query.where(columns.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(columns.at < wanted.until)
    return query


def at_index(connection: Connection, tenant_id: str, index: int) -> Record | None:
    query = select(*_whole).where(audit_records.c.tenant_id == tenant_id, audit_records.c.idx == index)
    return connection.execute(query).first()


def following(connection: Connection, tenant_id: str, after: int, limit: int) -> Sequence[Record]:
    """The records after an index, in order."""
    columns = audit_records.c
    query = select(*_whole, columns.kind).where(columns.tenant_id == tenant_id, columns.idx > after)
    return connection.execute(query.order_by(columns.idx).limit(limit)).all()


def backwards(connection: Connection, tenant_id: str) -> Iterator[Record]:
    """All records, the last first, without holding all of them."""
    query = select(*_shown).where(audit_records.c.tenant_id == tenant_id)
    yield from connection.execution_options(yield_per=500).execute(query.order_by(audit_records.c.idx.desc()))


def of_decision(driver: sqlite3.Connection, tenant_id: str, decision_id: str) -> str | None:
    """The record of a decision as JSON; every outcome asks for one."""
    query = "SELECT record FROM audit_records WHERE tenant_id = ? AND decision_id = ? AND kind = 'decision'"
    row = driver.execute(query, (tenant_id, decision_id)).fetchone()
    return None if row is None else str(row[0])


def hashes(connection: Connection, tenant_id: str, level: int, begin: int, count: int) -> list[bytes]:
    """Neighbouring hashes of a level: of records (0), or of complete subtrees of 256^level records.

    Raises:
        LookupError: not all of them are there.
    """
    if level == 0:
        at, value, table = audit_records.c.idx, audit_records.c.leaf_hash, audit_records
        mine = table.c.tenant_id == tenant_id
    else:
        at, value, table = audit_subtrees.c.number, audit_subtrees.c.hash, audit_subtrees
        mine = (table.c.tenant_id == tenant_id) & (table.c.level == level)
    query = select(value).where(mine, at >= begin, at < begin + count).order_by(at)
    found = list(connection.execute(query).scalars())
    if level == 0 and len(found) < count:
        found = archive_store.leaf_hashes(connection, tenant_id, begin, begin + count - len(found)) + found
    if len(found) != count:
        raise LookupError(f"Of {count} hashes of level {level} from {begin} on, {len(found)} are there.")
    return found


def entries(connection: Connection, tenant_id: str, begin: int, count: int) -> list[bytes]:
    """Neighbouring records, as they were hashed."""
    at = audit_records.c.idx
    query = select(audit_records.c.record).where(
        audit_records.c.tenant_id == tenant_id, at >= begin, at < begin + count
    )
    return [record.encode() for record in connection.execute(query.order_by(at)).scalars()]


def _sqlite_glob(pattern: str) -> str:
    """Our pattern in SQLite's language, where `?` and `[` would be special."""
    return "".join(f"[{character}]" if character in "?[" else character for character in pattern)
