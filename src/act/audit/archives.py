"""Retention: the oldest records of a log go into files that prove themselves, and then out of the database.

In this order, each step durable before the next: the file is written; it is read back and compared with the database,
record by record, and with the tree; a commit says in the log what is in which file; then the records are removed, 256
in a commit, each time with their leaf hashes in their place. Whenever the process ends, what was not removed is there,
and what was removed is in a file that was read. The leaf hashes stay, so every proof and tile of hashes stays.
"""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row

from act import models
from act.audit import archive_files, archive_store, block_store
from act.audit.archive_files import ArchiveInvalid, Found, Stored
from act.audit.lines import begin_line, end_line, record_line
from act.audit.merkle import Frontier, leaf_hash
from act.audit.proving import LogService
from act.audit.service import AuditService, gathered
from act.audit.tiles import WIDTH
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.database.pages import page, read_number_cursor
from act.models import rfc3339
from act.models.tenants import SHORTEST_RETENTION
from act.problems import ProblemError, conflict, unprocessable
from act.strict_json import Fault
from act.tenants.live import LiveTenants
from act.tenants.tenant import ApiKey

LONGEST: Final = 65_536
"""Records of one archive, so that sealing it takes seconds."""
PACE: Final = 0.004
"""Seconds in which others get the interpreter, after each 64 KB; and after each commit that removes."""
DAY: Final = 86_400.0
_ERASED: Final = '"kind":"arguments.erased"'

log = logging.getLogger("act.audit")


class _Ending(Exception):
    """The server is being stopped."""


class ArchiveService:
    """One archive is made at a time. `stop` before the writer is stopped.

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
        tenants: LiveTenants,
        folder: Path,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._log = transparency
        self._audit = audit
        self._tenants = tenants
        self._folder = folder
        self._one = threading.Lock()
        self._removing = threading.Lock()
        self._stopping = threading.Event()
        self._next = clock.monotonic()

    def stop(self) -> None:
        """Begin nothing more. What was begun goes on after the next start, or is begun again."""
        self._stopping.set()

    def list(self, caller: ApiKey, limit: int, cursor: str | None) -> models.Page[models.AuditArchive]:
        after = read_number_cursor(cursor)
        with self._reader.begin() as connection:
            rows = archive_store.archives(connection, caller.tenant_id, -1 if after is None else after, limit + 1)
        return page(rows, limit, lambda row: str(row.first), _answer)

    def archive(self, caller: ApiKey, older_than: int | None) -> models.ArchiveSealed:
        """Seal the oldest records, those older than so many seconds, or than the tenant's `auditRetention`.

        They are removed from the database afterwards, in the background.

        Raises:
            ProblemError: 422 without an age; 409 while another archive is made; 503 when it could not be made: then
                nothing was removed.
        """
        if older_than is None:
            older_than = self._tenants.get(caller.tenant_id).audit_retention
        if older_than is None:
            message = "Say how old the records are, or set the tenant's auditRetention."
            raise unprocessable([Fault("/olderThan", message)])
        try:
            row, more = self._seal(caller.tenant_id, older_than, caller)
        except (ArchiveInvalid, LookupError, OSError) as error:
            log.error("no archive was made: %s", error)
            raise _not_archived(error) from error
        except _Ending:
            raise _not_archived("the server is being stopped") from None
        return models.ArchiveSealed(archive=None if row is None else _answer(row), has_more=more)

    def sweep(self) -> None:
        """At the start and once a day, archive what the tenants' settings say; and remove what is in archives. Blocks.

        Before that, files that a process which was killed has left are deleted.
        """
        if self._clock.monotonic() >= self._next:
            self._next = self._clock.monotonic() + DAY
            self._clear()
            for tenant in list(self._tenants):
                self._by_setting(tenant.id, tenant.audit_retention)
        self.remove()

    def _by_setting(self, tenant_id: str, older_than: int | None) -> None:
        more = older_than is not None
        while more and not self._stopping.is_set():
            try:
                _, more = self._seal(tenant_id, older_than or 0, None)
            except _Ending:
                return
            except Exception:
                log.exception("records of %s were not archived; it is tried again tomorrow", tenant_id)
                return

    # --- sealing ---

    def _seal(self, tenant_id: str, older_than: int, caller: ApiKey | None) -> tuple[Row[Any] | None, bool]:
        """The archive that was made, and whether another can be. None when there is nothing to archive."""
        if not self._one.acquire(blocking=False):
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
            archive_files.write(path, gathered(self._paced(line + b"\n" for line in lines())))
            try:
                self._check(path, tenant_id, frontier, head, lines())
                stored = archive_files.digest(path)
                told = partial(self._told, tenant_id, name, stored, first, head, times, seen, caller)
                return self._writer.write(told), more
            except Exception:
                self._drop(path, tenant_id, first)
                raise
        finally:
            self._one.release()

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

    def _paced(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        """The same, and others get their turn."""
        sent = 0
        for line in lines:
            yield line
            sent += len(line)
            if sent > 1 << 16:
                sent = 0
                self._rest()

    def _rest(self) -> None:
        if self._stopping.wait(PACE):
            raise _Ending

    def _check(self, path: Path, tenant_id: str, frontier: Frontier, head: Frontier, wanted: Iterator[bytes]) -> None:
        """Read the file back.

        Raises:
            ArchiveInvalid: it is not what is in the database, or that is not what was hashed into the tree.
        """
        found = self._paced(archive_files.lines(path))
        for line, expected in itertools.zip_longest(found, wanted):
            if line != expected:
                raise ArchiveInvalid(f"{path} does not hold what was written; is the disk sound?")
        tree = frontier
        for row in self._audit.rows(tenant_id, frontier.size, head.size):
            if leaf_hash(row.record.encode()) != row.leaf_hash:
                raise ArchiveInvalid(f"Record {row.idx} was changed: it does not have the hash that was logged.")
            tree = tree.append(row.leaf_hash)
            if row.idx % WIDTH == 0:
                self._rest()
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

    # --- files that nothing rests on ---

    def _clear(self) -> None:
        """Delete archives that the log does not tell of: they would keep what is erased from now on."""
        with self._one:
            for tenant in list(self._tenants):
                try:
                    self._clear_folder(tenant.id)
                except _Ending:
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
        *_, last = deque(self._paced(archive_files.lines(left.path)), maxlen=1) or (b"",)
        checkpoint = json.loads(last).get("checkpoint", {}) if last.startswith(b'{"checkpoint":') else {}
        if (checkpoint.get("size"), checkpoint.get("rootHash")) != (head.size, head.root().hex()):
            raise ArchiveInvalid("it holds other records than the log")
        if row is None:
            return
        if left.end > row.end or archive_files.digest(self._folder / row.file) != _stored(row):
            raise ArchiveInvalid(f"its records are in no other file, for {row.file} is not what was sealed")

    # --- removing ---

    def remove(self) -> None:
        """Remove the records that are in archives, a few in each commit, after a look at the file. Blocks."""
        with self._removing:
            with self._reader.begin() as connection:
                unfinished = archive_store.unfinished(connection)
            for row in unfinished:
                try:
                    self._remove(row)
                except _Ending:
                    return
                except (ArchiveInvalid, LookupError, OSError) as error:
                    log.error("the records of %s stay in the database: %s", row.file, error)

    def _remove(self, row: Row[Any]) -> None:
        path = self._folder / row.file
        if archive_files.digest(path) != _stored(row):
            raise ArchiveInvalid(f"{path} is not what was sealed; put the file back that has the hash in the log.")
        for begin in range(row.removed, row.end, WIDTH):
            self._writer.tidy(partial(_remove, row.tenant_id, row.first, begin, self._clock.now()))
            self._rest()


def _stored(row: Row[Any]) -> Stored:
    return Stored(row.bytes, row.sha256)


def _remove(tenant_id: str, first: int, begin: int, now: datetime, connection: Connection) -> None:
    archive_store.forget_arguments(connection, tenant_id, begin, now)
    archive_store.remove(connection, tenant_id, first, begin)
    block_store.forget(connection, tenant_id, begin + WIDTH)


def _not_archived(why: object) -> ProblemError:
    detail = f"No archive was made, and nothing was removed: {why}."
    return ProblemError(503, "archive_failed", "Not archived", detail.replace("..", "."))


def _answer(row: Row[Any]) -> models.AuditArchive:
    return models.AuditArchive(
        first=row.first,
        end=row.end,
        removed=row.removed,
        file=row.file,
        bytes=row.bytes,
        sha256=row.sha256,
        root_hash=row.root_hash,
        first_at=row.first_at,
        last_at=row.last_at,
        sealed_at=row.sealed_at,
    )
