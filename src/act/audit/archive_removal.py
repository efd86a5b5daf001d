"""Removing: records that are in an archive leave the database, and their leaf hashes stay."""

from __future__ import annotations

import logging
import threading
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row

from act.audit import archive_files, archive_store, block_store
from act.audit.archive_files import ArchiveInvalid
from act.audit.archive_pacing import Ending, Pacing
from act.audit.tiles import WIDTH
from act.audit.writer import Writer
from act.database.clock import Clock

log = logging.getLogger("act.audit")


class Removal:
    def __init__(self, writer: Writer, reader: Engine, clock: Clock, folder: Path, pacing: Pacing) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._folder = folder
        self._pacing = pacing
        self._removing = threading.Lock()

    def remove(self) -> None:
        """Remove the records that are in archives, a few in each commit, after a look at the file. Blocks."""
        with self._removing:
            with self._reader.begin() as connection:
                unfinished = archive_store.unfinished(connection)
            for row in unfinished:
                try:
                    self._remove(row)
                except Ending:
                    return
                except (ArchiveInvalid, LookupError, OSError) as error:
                    log.error("the records of %s stay in the database: %s", row.file, error)

    def _remove(self, row: Row[Any]) -> None:
        path = self._folder / row.file
        if archive_files.digest(path) != archive_store.sealed(row):
            raise ArchiveInvalid(f"{path} is not what was sealed; put the file back that has the hash in the log.")
        for begin in range(row.removed, row.end, WIDTH):
            self._writer.tidy(partial(_remove, row.tenant_id, row.first, begin, self._clock.now()))
            self._pacing.rest()


def _remove(tenant_id: str, first: int, begin: int, now: datetime, connection: Connection) -> None:
    archive_store.forget_arguments(connection, tenant_id, begin, now)
    archive_store.remove(connection, tenant_id, first, begin)
    block_store.forget(connection, tenant_id, begin + WIDTH)
