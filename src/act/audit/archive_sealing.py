"""Sealing: the oldest records of a log as a file that proves itself, read back before the log tells of it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row

from act.audit import archive_files, archive_store
from act.audit.archive_files import ArchiveInvalid, Stored
from act.audit.archive_pacing import Pacing
from act.audit.lines import begin_line, end_line, record_line
from act.audit.merkle import Frontier, leaf_hash
from act.audit.proving import LogService
from act.audit.service import AuditService, gathered
from act.audit.tiles import WIDTH
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.models import rfc3339
from act.models.tenants import SHORTEST_RETENTION
from act.problems import conflict
from act.tenants.tenant import ApiKey

LONGEST: Final = 65_536
"""Records of one archive, so that sealing it takes seconds."""
_ERASED: Final = '"kind":"arguments.erased"'


class Sealing:
    """One archive is made at a time, by who holds `one`.

    Args:
        folder: where the archives of all tenants are, each in a folder of its tenant.
    """

    def __init__(
        self,
        writer: Writer,
        reader: Engine,
        clock: Clock,
        transparency: LogService,
        audit: AuditService,
        folder: Path,
        pacing: Pacing,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._log = transparency
        self._audit = audit
        self._folder = folder
        self._pacing = pacing
        self.one = threading.Lock()

    def seal(self, tenant_id: str, older_than: int, caller: ApiKey | None) -> tuple[Row[Any] | None, bool]:
        """The archive that was made, and whether another can be. None when there is nothing to archive.

        Raises:
            ProblemError: 409 while another archive is made.
            ArchiveInvalid, LookupError, OSError: none was made.
            Ending: the server is being stopped.
        """
        if not self.one.acquire(blocking=False):
            raise conflict("archiving", "Another archive is being made; try again when it is there.")
        try:
            before = self._clock.now() - timedelta(seconds=max(older_than, SHORTEST_RETENTION))
            seen = self._writer.head(tenant_id).size
            with self._reader.begin() as connection:
                first, end, more = self._range(connection, tenant_id, before)
                if first == end:
                    return None, False
                frontier = self._log.frontier(connection, tenant_id, first)
                head = self._log.frontier(connection, tenant_id, end)
                times = archive_store.times(connection, tenant_id, first, end)
            name = f"{tenant_id}/{archive_files.name(first, end)}"
            lines = partial(self._lines, tenant_id, frontier, head)
            path = self._folder / name
            archive_files.write(path, gathered(self._pacing.paced(line + b"\n" for line in lines())))
            try:
                self._check(path, tenant_id, frontier, head, lines())
                stored = archive_files.digest(path)
                told = partial(self._told, tenant_id, name, stored, first, head, times, seen, caller)
                return self._writer.write(told), more
            except Exception:
                self._drop(path, tenant_id, first)
                raise
        finally:
            self.one.release()

    def _drop(self, path: Path, tenant_id: str, first: int) -> None:
        """Delete a file that nothing rests on: it would keep what is erased from now on."""
        with self._reader.begin() as connection:
            if archive_store.held_from(connection, tenant_id) == first:
                path.unlink(missing_ok=True)

    def _range(self, connection: Connection, tenant_id: str, before: datetime) -> tuple[int, int, bool]:
        """What goes into the next archive, and whether more is old enough. Whole tiles, and nothing still needed."""
        first = archive_store.held_from(connection, tenant_id)
        size = self._writer.head(tenant_id).size
        end = archive_store.first_not_before(
            connection, tenant_id, first, min(size, first + LONGEST + WIDTH), rfc3339(before)
        )
        needed = archive_store.first_needed(connection, tenant_id, self._clock.now())
        end = end if needed is None else min(end, needed)
        whole = end // WIDTH * WIDTH
        return first, min(whole, first + LONGEST), whole > first + LONGEST

    def _lines(self, tenant_id: str, frontier: Frontier, head: Frontier) -> Iterator[bytes]:
        if frontier.size:
            yield begin_line(frontier)
        yield from map(record_line, self._audit.rows(tenant_id, frontier.size, head.size))
        yield end_line(self._log.signed(tenant_id, head))

    def _check(self, path: Path, tenant_id: str, frontier: Frontier, head: Frontier, wanted: Iterator[bytes]) -> None:
        """Read the file back.

        Raises:
            ArchiveInvalid: it is not what is in the database, or that is not what was hashed into the tree.
        """
        found = self._pacing.paced(archive_files.lines(path))
        for line, expected in itertools.zip_longest(found, wanted):
            if line != expected:
                raise ArchiveInvalid(f"{path} does not hold what was written; is the disk sound?")
        tree = frontier
        for row in self._audit.rows(tenant_id, frontier.size, head.size):
            if leaf_hash(row.record.encode()) != row.leaf_hash:
                raise ArchiveInvalid(f"Record {row.idx} was changed: it does not have the hash that was logged.")
            tree = tree.append(row.leaf_hash)
            if row.idx % WIDTH == 0:
                self._pacing.rest()
        if tree != head:
            raise ArchiveInvalid(f"The records up to {head.size} are not those of the log.")

    def _told(
        self,
        tenant_id: str,
        name: str,
        stored: Stored,
        first: int,
        head: Frontier,
        times: tuple[str, str],
        seen: int,
        caller: ApiKey | None,
        transaction: Transaction,
    ) -> Row[Any]:
        """Say in the log, and in the table, what is in the file."""
        connection = transaction.connection
        if archive_store.held_from(connection, tenant_id) != first:
            raise conflict("archiving", "These records were archived meanwhile.")
        # Of this commit, the records are not in the table yet.
        now = any(row.tenant_id == tenant_id and _ERASED in row.record for row in transaction.rows)
        if now or archive_store.erased_since(connection, tenant_id, seen):
            raise ArchiveInvalid("Arguments were erased meanwhile, and the file has them; try again.")
        archive_store.add(
            connection,
            tenant_id=tenant_id,
            first=first,
            end=head.size,
            removed=first,
            file=name,
            bytes=stored.bytes,
            sha256=stored.sha256,
            root_hash=head.root().hex(),
            first_at=times[0],
            last_at=times[1],
            sealed_at=self._clock.now(),
        )
        told = {
            "first": first,
            "end": head.size,
            "file": name,
            "bytes": stored.bytes,
            "sha256": stored.sha256,
            "checkpoint": self._log.signed(tenant_id, head).note,
            "keyId": None if caller is None else caller.id,
        }
        transaction.record(tenant_id, "audit.archived", told)
        row = archive_store.containing(connection, tenant_id, first)
        assert row is not None
        return row
