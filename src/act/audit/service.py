"""Reading the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, Row

from act import models
from act.audit import store
from act.audit.formats import csv_header, csv_line, ocsf_line
from act.audit.proving import LogService
from act.audit.store import Filter, Order, Record
from act.database.pages import page, read_number_cursor
from act.problems import not_found
from act.tenants.tenant import ApiKey

PIECE = 500
GATHERED = 64 * 1024
"""Bytes of an export that are sent together."""


class AuditService:
    def __init__(self, reader: Engine, log: LogService) -> None:
        self._reader = reader
        self._log = log

    def search(
        self, caller: ApiKey, wanted: Filter, limit: int, cursor: str | None, order: Order
    ) -> models.Page[models.AuditRecord]:
        after = read_number_cursor(cursor)
        with self._reader.begin() as connection:
            rows = store.search(connection, caller.tenant_id, wanted, after, limit + 1, order)
        return page(rows, limit, lambda row: str(row.idx), _answer)

    def get(self, caller: ApiKey, index: int) -> models.AuditRecord:
        with self._reader.begin() as connection:
            row = store.at_index(connection, caller.tenant_id, index)
        if row is None:
            raise not_found("audit record", str(index))
        return _answer(row)

    def export(self, caller: ApiKey, begin: int = 0) -> Iterator[bytes]:
        """The log from index `begin` on as JSON lines, closed by a checkpoint; without that line it is cut off."""
        checkpoint = self._log.checkpoint(caller)
        for row in self._rows(caller, begin, checkpoint.size):
            # The record is spliced in as it is stored: what is exported is what was hashed.
            line = f'{{"index":{row.idx},"leafHash":"{row.leaf_hash.hex()}","record":{row.record}}}\n'
            yield line.encode()
        yield f'{{"checkpoint":{checkpoint.model_dump_json()}}}\n'.encode()

    def export_csv(self, caller: ApiKey, begin: int = 0) -> Iterator[bytes]:
        """The log from index `begin` on as CSV (RFC 4180), with a header."""
        yield csv_header()
        for row in self._rows(caller, begin, self._log.checkpoint(caller).size):
            yield csv_line(json.loads(row.record), row.leaf_hash.hex())

    def export_ocsf(self, caller: ApiKey, begin: int = 0) -> Iterator[bytes]:
        """The log from index `begin` on as OCSF events, one a line."""
        for row in self._rows(caller, begin, self._log.checkpoint(caller).size):
            yield ocsf_line(json.loads(row.record), row.leaf_hash.hex())

    def _rows(self, caller: ApiKey, begin: int, end: int) -> Iterator[Record]:
        """Piece by piece: who reads slowly holds no connection meanwhile, and a log only grows."""
        after = begin - 1
        while after + 1 < end:
            with self._reader.begin() as connection:
                rows = store.following(connection, caller.tenant_id, after, min(PIECE, end - after - 1))
            if not rows:
                return
            yield from rows
            after = rows[-1].idx

    @staticmethod
    def backwards(connection: Connection, tenant_id: str) -> Iterator[models.AuditRecord]:
        """The log from its last record to its first, without holding all of it."""
        return map(_answer, store.backwards(connection, tenant_id))

    @staticmethod
    def of_decision(connection: Connection, tenant_id: str, decision_id: str) -> dict[str, Any] | None:
        """The record of a decision, or None when the tenant has none of this id."""
        for row in store.of_decision(connection, tenant_id, decision_id):
            if row.kind == "decision":
                found: dict[str, Any] = json.loads(row.record)
                return found
        return None


def _answer(row: Row[Any]) -> models.AuditRecord:
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
