"""Retention: the oldest records of a log go into files that prove themselves, and then out of the database.

In this order, each step durable before the next: the file is written; it is read back and compared with the database,
record by record, and with the tree; a commit says in the log what is in which file; then the records are removed, 256
in a commit, each time with their leaf hashes in their place. Whenever the process ends, what was not removed is there,
and what was removed is in a file that was read. The leaf hashes stay, so every proof and tile of hashes stays.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, Row

from act import models
from act.audit import archive_store
from act.audit.archive_files import ArchiveInvalid
from act.audit.archive_leftovers import Leftovers
from act.audit.archive_pacing import Ending, Pacing
from act.audit.archive_removal import Removal
from act.audit.archive_sealing import Sealing
from act.audit.proving import LogService
from act.audit.service import AuditService
from act.audit.writer import Writer
from act.database.clock import Clock
from act.database.pages import page, read_number_cursor
from act.problems import ProblemError, unprocessable
from act.strict_json import Fault
from act.tenants.live import LiveTenants
from act.tenants.tenant import ApiKey

DAY: Final = 86_400.0

log = logging.getLogger("act.audit")


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
        self._reader = reader
        self._clock = clock
        self._tenants = tenants
        self._pacing = Pacing()
        self._sealing = Sealing(writer, reader, clock, transparency, audit, folder, self._pacing)
        self._leftovers = Leftovers(writer, reader, transparency, tenants, folder, self._pacing, self._sealing.one)
        self._removal = Removal(writer, reader, clock, folder, self._pacing)
        self._next = clock.monotonic()

    def stop(self) -> None:
        """Begin nothing more. What was begun goes on after the next start, or is begun again."""
        self._pacing.stop()

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
            row, more = self._sealing.seal(caller.tenant_id, older_than, caller)
        except (ArchiveInvalid, LookupError, OSError) as error:
            log.error("no archive was made: %s", error)
            raise _not_archived(error) from error
        except Ending:
            raise _not_archived("the server is being stopped") from None
        return models.ArchiveSealed(archive=None if row is None else _answer(row), has_more=more)

    def sweep(self) -> None:
        """At the start and once a day, archive what the tenants' settings say; and remove what is in archives. Blocks.

        Before that, files that a process which was killed has left are deleted.
        """
        if self._clock.monotonic() >= self._next:
            self._next = self._clock.monotonic() + DAY
            self._leftovers.clear()
            for tenant in list(self._tenants):
                self._by_setting(tenant.id, tenant.audit_retention)
        self.remove()

    def remove(self) -> None:
        """Remove the records that are in archives, a few in each commit, after a look at the file. Blocks."""
        self._removal.remove()

    def _by_setting(self, tenant_id: str, older_than: int | None) -> None:
        more = older_than is not None
        while more and not self._pacing.stopping:
            try:
                _, more = self._sealing.seal(tenant_id, older_than or 0, None)
            except Ending:
                return
            except Exception:
                log.exception("records of %s were not archived; it is tried again tomorrow", tenant_id)
                return


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
