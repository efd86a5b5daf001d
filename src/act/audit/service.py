"""Reading the log, and proving it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, Row

from act import models
from act.audit import notes, store
from act.audit.store import Filter, Order
from act.audit.writer import Writer
from act.database.pages import page, read_number_cursor
from act.problems import not_found
from act.tenants.tenant import ApiKey
from act.tokens.live_keys import LiveKeys


class AuditService:
    def __init__(self, writer: Writer, reader: Engine, keys: LiveKeys, *, issuer: str) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._issuer = issuer

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

    def checkpoint(self, caller: ApiKey) -> models.Checkpoint:
        """The signed head of the tenant's log. Keep it: it is what makes a rewritten log visible."""
        tenant_id = caller.tenant_id
        head, key = self._writer.head(tenant_id), self._keys.audit(tenant_id)
        origin = f"{self._issuer}/audit/{tenant_id}"
        return models.Checkpoint(
            tenant_id=tenant_id,
            size=head.size,
            root_hash=head.root().hex(),
            note=notes.sign(notes.Checkpoint(origin, head.size, head.root()), key),
            verifier_key=notes.verifier_key(origin, key.public_key().public_bytes_raw()),
        )

    def export(self, caller: ApiKey) -> Iterator[bytes]:
        """The whole log as JSON lines, closed by a signed checkpoint; a file without that last line is cut off."""
        checkpoint = self.checkpoint(caller)
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
