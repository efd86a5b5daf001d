"""Files of archives that nothing rests on: what a process that was killed has left."""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from pathlib import Path

from sqlalchemy import Engine

from act.audit import archive_files, archive_store
from act.audit.archive_files import ArchiveInvalid, Found
from act.audit.archive_pacing import Ending, Pacing
from act.audit.proving import LogService
from act.audit.writer import Writer
from act.tenants.live import LiveTenants

log = logging.getLogger("act.audit")


class Leftovers:
    """What is looked at is as `Sealing` has it; `one` is its lock, for a file that is being made is no leftover."""

    def __init__(
        self,
        writer: Writer,
        reader: Engine,
        transparency: LogService,
        tenants: LiveTenants,
        folder: Path,
        pacing: Pacing,
        one: threading.Lock,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._log = transparency
        self._tenants = tenants
        self._folder = folder
        self._pacing = pacing
        self._one = one

    def clear(self) -> None:
        """Delete archives that the log does not tell of: they would keep what is erased from now on."""
        with self._one:
            for tenant in list(self._tenants):
                try:
                    self._clear_folder(tenant.id)
                except Ending:
                    return
                except OSError as error:
                    log.error("the folder of the archives of %s cannot be looked through: %s", tenant.id, error)

    def _clear_folder(self, tenant_id: str) -> None:
        folder = self._folder / tenant_id
        archive_files.drop_unfinished(folder)
        with self._reader.begin() as connection:
            told = archive_store.files(connection, tenant_id)
        for left in archive_files.found(folder):
            if f"{tenant_id}/{left.path.name}" in told:
                continue
            try:
                self._check_repeated(tenant_id, left)
            except (ArchiveInvalid, LookupError, ValueError) as error:
                log.warning("%s is in no list of archives, and was left as it is: %s", left.path, error)
                continue
            left.path.unlink()
            log.info("deleted %s, of which the log does not tell; its records are in the database", left.path)

    def _check_repeated(self, tenant_id: str, left: Found) -> None:
        """Let nothing be deleted that has a record which is not in the database, or in an archive of which it tells.

        Raises:
            ArchiveInvalid: it cannot be read, or may be the only copy: an older database was put back.
        """
        if not 0 <= left.first < left.end <= self._writer.head(tenant_id).size:
            raise ArchiveInvalid("the log has no such records")
        with self._reader.begin() as connection:
            head = self._log.frontier(connection, tenant_id, left.end)
            row = archive_store.containing(connection, tenant_id, left.first)
        *_, last = deque(self._pacing.paced(archive_files.lines(left.path)), maxlen=1) or (b"",)
        checkpoint = json.loads(last).get("checkpoint", {}) if last.startswith(b'{"checkpoint":') else {}
        if (checkpoint.get("size"), checkpoint.get("rootHash")) != (head.size, head.root().hex()):
            raise ArchiveInvalid("it holds other records than the log")
        if row is None:
            return
        if left.end > row.end or archive_files.digest(self._folder / row.file) != archive_store.sealed(row):
            raise ArchiveInvalid(f"its records are in no other file, for {row.file} is not what was sealed")
