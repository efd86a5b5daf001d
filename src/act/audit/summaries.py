"""Keeps what is known of the blocks of a log up with its records; in the background, so that no decision waits."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Final

from sqlalchemy import Connection, Engine

from act.audit import archive_store, block_store
from act.audit.blocks import BLOCK, FIELDS, marks_of_block
from act.audit.writer import Writer

AT_ONCE: Final = 16
"""Blocks that one sweep makes; more records than this in a second are not written."""
PAUSE: Final = 0.002
"""Seconds in which others get the interpreter, after each field of a block."""


class Summaries:
    """Called often; does nothing while no block is complete. What is not known yet is looked through by searches."""

    def __init__(self, writer: Writer, reader: Engine) -> None:
        self._writer = writer
        self._reader = reader
        self._known: dict[str, int] = {}

    def sweep(self, tenant_ids: Iterable[str], at_once: int = AT_ONCE) -> int:
        """Make the next blocks of these tenants; how many were made. Blocks."""
        made = 0
        for tenant_id in tenant_ids:
            while made < at_once and self._next(tenant_id):
                made += 1
        return made

    def _next(self, tenant_id: str) -> bool:
        size = self._writer.head(tenant_id).size
        if size - self._known.get(tenant_id, 0) < BLOCK:
            return False
        with self._reader.begin() as connection:
            held = archive_store.held_from(connection, tenant_id) // BLOCK * BLOCK
            known = self._known[tenant_id] = max(block_store.known_until(connection, tenant_id), held)
            if size - known < BLOCK:
                return False
            number = known // BLOCK
            rows = block_store.content(connection, tenant_id, number)
        columns = list(zip(*rows, strict=True)) or [()] * (1 + len(FIELDS))
        times = [at for at in columns[0] if isinstance(at, str)]
        marks = dict[str, bytes]()
        for field, column in zip(FIELDS, columns[1:], strict=True):
            marks |= marks_of_block({field: column})
            time.sleep(PAUSE)
        # A block without a time that can be read is of any time.
        first, last = (min(times), max(times)) if len(times) == len(rows) and times else ("", "\uffff")
        self._writer.tidy(partial(_add, tenant_id, number, first, last, marks))
        self._known[tenant_id] = known + BLOCK
        return True


def _add(tenant_id: str, number: int, first: str, last: str, marks: dict[str, bytes], connection: Connection) -> None:
    block_store.add(connection, tenant_id, number, first, last, marks)
