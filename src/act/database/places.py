"""Are the files that a server has open still those at their paths? What is written to others nobody ever reads."""

from __future__ import annotations

import os
from pathlib import Path

from act.database.engine import DatabaseUnusable


class FilesMoved(DatabaseUnusable):
    """A file was removed or replaced while it was served."""


class LockLost(FilesMoved):
    """The lock file was: another process may serve the database, and write to it."""


class Places:
    """The database, its write-ahead log and its lock. Asked before every commit: three `stat`, a few microseconds.

    Asked first while SQLite has the database open. `locked` is the device and inode of the lock file that is held.
    """

    def __init__(self, database: Path, locked: tuple[int, int]) -> None:
        self._database = str(database)
        self._log = self._database + "-wal"
        self._lock = self._database + ".lock"
        self._identity = _identity(self._database)
        self._logged: tuple[int, int] | None = None
        self._locked = locked

    def check(self) -> None:
        """Look.

        Raises:
            FilesMoved: what is written now would be lost, or written beside another process.
        """
        if _identity(self._lock) != self._locked:
            raise LockLost(
                f"{self._lock} was removed or replaced: another process may serve {self._database}. Nothing is "
                "decided or written any more; see that one process serves it, and restart the server."
            )
        if self._identity is None or _identity(self._database) != self._identity:
            raise FilesMoved(f"{self._database} was removed or replaced while it was served; restart the server.")
        logged = _identity(self._log)
        # While a connection is open SQLite may truncate this file, and never deletes it (sqlite.org/wal.html).
        if logged is None or logged != (self._logged or logged):
            raise FilesMoved(
                f"{self._log} was removed or replaced while it was served. Stop the server in good order (SIGTERM, not "
                f"SIGKILL): then what was answered is written into {self._database}."
            )
        self._logged = logged


def _identity(path: str) -> tuple[int, int] | None:
    """Device and inode. Of a file that is open here, no other can have them."""
    try:
        status = os.stat(path)  # a Path takes twice as long
    except OSError:
        return None
    return status.st_dev, status.st_ino
