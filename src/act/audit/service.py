"""Reading the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, Row

from act import models
from act.audit import store
from act.audit.proving import LogService
from act.audit.store import Filter, Order
from act.database.pages import page, read_number_cursor
from act.problems import not_found
from act.tenants.tenant import ApiKey


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

    def export(self, caller: ApiKey) -> Iterator[bytes]:
        """The whole log as JSON lines, closed by a signed checkpoint; a file without that last line is cut off."""
        checkpoint = self._log.checkpoint(caller)
        with self._reader.begin() as connection:
            for row in store.upto(connection, caller.tenant_id, checkpoint.size):
                # The record is spliced in as it is stored: what is exported is what was hashed.
                line = f'{{"index":{row.idx},"leafHash":"{row.leaf_hash.hex()}","record":{row.record}}}\n'
                yield line.encode()
        yield f'{{"checkpoint":{checkpoint.model_dump_json()}}}\n'.encode()

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
