"""Reading the log."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Row

from act import models
from act.audit import archive_store, store
from act.audit.formats import csv_header, csv_line, ocsf_line
from act.audit.lines import begin_line, end_line, record_line
from act.audit.proving import LogService, refuse_archived
from act.audit.search import search
from act.audit.store import Filter, Order, Record
from act.database.clock import Clock
from act.database.ids import born_at
from act.database.pages import cut_page, read_number_cursor
from act.models import rfc3339
from act.problems import archived, not_found, unprocessable
from act.strict_json import Fault
from act.tenants.tenant import ApiKey

PIECE = 500
GATHERED = 64 * 1024
"""Bytes of an export that are sent together."""


class ArchivedMeanwhile(LookupError):
    """Records that were to be read next are not in the database any more."""


class AuditService:
    """`stopping`: no export goes on."""

    def __init__(self, reader: Engine, log: LogService, clock: Clock) -> None:
        self._reader = reader
        self._log = log
        self._clock = clock
        self.stopping = False

    def stop(self) -> None:
        """Have every export cut off."""
        self.stopping = True

    def search(
        self, caller: ApiKey, wanted: Filter, limit: int, cursor: str | None, order: Order, begin: int = 0
    ) -> models.Page[models.AuditRecord]:
        """Records that are in the database and match, from index `begin` on; a page may be short, or empty.

        Raises:
            ProblemError: 422 for a cursor of another kind; 503 when the database takes too long.
        """
        after, end = read_number_cursor(cursor), self._log.size(caller)
        with self._reader.begin() as connection:
            begin = max(begin, archive_store.held_from(connection, caller.tenant_id))
            if after is not None:
                begin, end = (max(begin, after + 1), end) if order == "asc" else (begin, min(end, after))
            found = search(connection, caller.tenant_id, wanted, (begin, end), limit, order)
        return cut_page(found.rows, None if found.after is None else str(found.after), _answer)

    def get(self, caller: ApiKey, index: int) -> models.AuditRecord:
        """One record.

        Raises:
            ProblemError: 404 when there is none, 410 when it is in an archive.
        """
        with self._reader.begin() as connection:
            refuse_archived(connection, caller.tenant_id, index)
            row = store.at_index(connection, caller.tenant_id, index)
        if row is None:
            raise not_found("audit record", str(index))
        return _answer(row)

    def export(self, caller: ApiKey, begin: int | None = None) -> Iterator[bytes]:
        """The log from index `begin` on as JSON lines, closed by a checkpoint; without that line it is cut off.

        Raises:
            ProblemError: 410 when records from `begin` on are in an archive; 422 when the log is shorter than `begin`.
        """
        first, checkpoint, rows = self._export(caller, begin)

        def lines() -> Iterator[bytes]:
            if first:
                with self._reader.begin() as connection:
                    yield begin_line(self._log.frontier(connection, caller.tenant_id, first)) + b"\n"
            for row in rows:
                yield record_line(row) + b"\n"
            yield end_line(checkpoint) + b"\n"

        return lines()

    def export_csv(self, caller: ApiKey, begin: int | None = None) -> Iterator[bytes]:
        """The log from index `begin` on as CSV (RFC 4180), with a header, and a last row that says that it is whole."""
        first, checkpoint, rows = self._export(caller, begin)

        def lines() -> Iterator[bytes]:
            yield csv_header()
            for row in rows:
                yield csv_line(json.loads(row.record), row.leaf_hash.hex(), row.arguments)
            yield csv_line(self._closing(first, checkpoint), checkpoint.root_hash)

        return lines()

    def export_ocsf(self, caller: ApiKey, begin: int | None = None) -> Iterator[bytes]:
        """The log from index `begin` on as OCSF events, one a line, and a last one that says that it is whole."""
        first, checkpoint, rows = self._export(caller, begin)

        def lines() -> Iterator[bytes]:
            for row in rows:
                yield ocsf_line(json.loads(row.record), row.leaf_hash.hex(), row.arguments)
            yield ocsf_line(self._closing(first, checkpoint), checkpoint.root_hash)

        return lines()

    def _export(self, caller: ApiKey, begin: int | None) -> tuple[int, models.Checkpoint, Iterator[Record]]:
        """Where it begins, what closes it, and the records.

        Raises:
            ProblemError: 410 when records from `begin` on are in an archive; 422 when the log is shorter than `begin`.
        """
        checkpoint = self._log.checkpoint(caller)
        with self._reader.begin() as connection:
            if begin is None:
                begin = archive_store.held_from(connection, caller.tenant_id)
            refuse_archived(connection, caller.tenant_id, begin)
        if begin > checkpoint.size:
            raise unprocessable([Fault("/begin", f"The log has {checkpoint.size} records.")], of="query")
        return begin, checkpoint, self.rows(caller.tenant_id, begin, checkpoint.size)

    def rows(self, tenant_id: str, begin: int, end: int) -> Iterator[Record]:
        """Piece by piece: who reads slowly holds no connection meanwhile, and a log only grows.

        Raises:
            ArchivedMeanwhile: a record is not here any more. What somebody took away is left out, for `verify` to find.
        """
        after = begin - 1
        while after + 1 < end:
            with self._reader.begin() as connection:
                if archive_store.held_from(connection, tenant_id) > after + 1:
                    # Without its end an export is cut off, and can be known to be.
                    raise ArchivedMeanwhile(f"The records from {after + 1} on were archived meanwhile.")
                rows = store.following(connection, tenant_id, after, min(PIECE, end - after - 1))
            if not rows:
                return
            yield from rows
            after = rows[-1].idx

    def _closing(self, first: int, checkpoint: models.Checkpoint) -> dict[str, Any]:
        """What closes an export that cannot be verified: no record, with the index that comes after the last."""
        count = checkpoint.size - first
        return {
            "index": checkpoint.size,
            "at": rfc3339(self._clock.now()),
            "kind": "export.closed",
            "tenantId": checkpoint.tenant_id,
            "status": str(count),
            "reason": f"{count} records; without this line it is cut off. The hash is that of the log.",
        }

    @staticmethod
    def backwards(connection: Connection, tenant_id: str) -> Iterator[models.AuditRecord]:
        """The log from its last record to its first, without holding all of it."""
        return map(_bare, store.backwards(connection, tenant_id))

    @staticmethod
    def of_decision(driver: sqlite3.Connection, tenant_id: str, decision_id: str) -> dict[str, Any] | None:
        """The record of a decision, or None when the tenant has none of this id."""
        found = store.of_decision(driver, tenant_id, decision_id)
        return None if found is None else orjson.loads(found)

    @staticmethod
    def refuse_archived(connection: Connection, tenant_id: str, decision_id: str) -> None:
        """For a decision that is not in the database.

        Raises:
            ProblemError: 410, it may be in an archive.
        """
        last, born = archive_store.last_at(connection, tenant_id), born_at(decision_id)
        # A decision is made before its record, and by another clock's count of milliseconds.
        if last is not None and born is not None and rfc3339(born - timedelta(minutes=1)) <= last:
            detail = f"Decision '{decision_id}' is older than what the database holds: look for it in the archives."
            raise archived(detail)


def _answer(row: Row[Any]) -> models.AuditRecord:
    arguments = None if row.arguments is None else json.loads(row.arguments)
    return _bare(row).model_copy(update={"arguments": arguments})


def _bare(row: Row[Any]) -> models.AuditRecord:
    """The record without what stands beside it."""
    return models.AuditRecord(index=row.idx, leaf_hash=row.leaf_hash.hex(), record=json.loads(row.record))


def gathered(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces, so that a thread is asked for seldom."""
    piece = bytearray()
    for line in lines:
        piece += line
        if len(piece) >= GATHERED:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
