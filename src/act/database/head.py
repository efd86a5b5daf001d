"""How far the database has come, in a file beside it, so that what is missing from it is noticed at the next start.

SQLite takes a write-ahead log that is gone, or whose end is garbage, for one that was never written: the database is
whole, and older than what was answered. This file is written after every commit and before its answers, so it is never
ahead of the database. It is not fsynced, for it guards against lost files and not against lost power.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from act.database.engine import DatabaseUnusable

_LINE: Final = re.compile(rb"act-head 1 ([0-9]{20}) ([0-9]{20})\n")

log = logging.getLogger("act.database")


@dataclass(frozen=True, slots=True)
class Reached:
    """The audit records of all tenants, and the revision, that a commit has reached."""

    records: int
    revision: int

    def line(self) -> bytes:
        return f"act-head 1 {self.records:020d} {self.revision:020d}\n".encode()


class Head:
    """The file `<database>.head`. One process writes it, in place, a line of always the same length."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".head")
        self._descriptor: int | None = None
        self._failed = False

    def read(self) -> Reached | None:
        """What was reached; None when there is no file, as beside a copy.

        Raises:
            DatabaseUnusable: the file is not one of these, or cannot be read.
        """
        try:
            found = _LINE.fullmatch(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:  # a folder of this name, a file of somebody else
            raise DatabaseUnusable(
                f"{self.path} cannot be read ({error.strerror}): it should be a file of one line that says how far the "
                "database has come. Nothing was changed. Put that file back, or give it to the server's user. If it "
                f"is lost, move {self.path.name} away and look with: actctl doctor --deep"
            ) from error
        if found is None:
            raise DatabaseUnusable(
                f"{self.path} was changed: it does not say how far the database has come. Nothing was changed. "
                "If the database is the one that was served last, run: actctl recover --accept-loss"
            )
        return Reached(int(found[1]), int(found[2]))

    def open(self, reached: Reached) -> None:
        """Begin to write, with what the database has at the start."""
        if not self.path.exists():
            self.replace(reached)
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        self.note(reached)

    def note(self, reached: Reached) -> None:
        """Say what a commit has reached. A file that cannot be written lags behind, which is no danger."""
        if self._descriptor is None:
            return
        try:
            os.pwrite(self._descriptor, reached.line(), 0)
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.warning("%s cannot be written: %s", self.path, error)
            self._failed = True

    def replace(self, reached: Reached) -> None:
        """Put another file in its place, durably: whole or not at all.

        Raises:
            DatabaseUnusable: it cannot be written.
        """
        try:
            self._replace(reached)
        except OSError as error:
            raise DatabaseUnusable(
                f"{self.path} cannot be written ({error.strerror}). Is it a file, is there room on the disk, and is "
                f"the folder {self.path.parent} the server's own to write?"
            ) from error

    def _replace(self, reached: Reached) -> None:
        unfinished = self.path.with_name(self.path.name + ".new")
        unfinished.unlink(missing_ok=True)  # of a process that was killed
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(reached.line())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self.path)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
