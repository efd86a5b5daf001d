"""SQLite as ACT uses it: WAL, an fsync for every commit, and one process on the file."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import sqlite3
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

SCHEME = "sqlite:///"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|sqlite3?//", re.IGNORECASE)
"""How a URL begins, and one whose colon was forgotten."""
BUSY = 5000
"""Milliseconds."""
_HEADER: Final = 100
"""Bytes at the begin of every SQLite file (sqlite.org/fileformat.html)."""


log = logging.getLogger("act.database")


class DatabaseUnusable(Exception):
    """The database cannot be served; the message says what to do."""


def sqlite_path(database: str) -> Path:
    """The file that is meant by a path, or by a URL `sqlite:///file` (`sqlite:////absolute/file` with four slashes).

    Raises:
        DatabaseUnusable: another kind of database, a folder, what is written almost as a URL, or nothing at all.
    """
    named = database.startswith(SCHEME)
    name = database[len(SCHEME) :] if named else database
    if not name.strip() or name == ":memory:" or (not named and ("://" in name or _SCHEME.match(name))):
        raise DatabaseUnusable(
            f"The database {_shown(database)} is not a SQLite file; write for example sqlite:///act.db, or act.db"
        )
    if named and "?" in name:
        raise DatabaseUnusable(f"The database {database!r} has parameters after '?'; ACT takes none.")
    try:
        # Resolved, so that a link and its target are one file with one lock.
        path = Path(name).expanduser().resolve()
        folder = name.endswith("/") or path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # a home of nobody, links in a circle, NUL
        raise DatabaseUnusable(f"The database {database!r} cannot be a file: {error}.") from None
    if folder:
        raise DatabaseUnusable(f"The database {database!r} is a folder; name the file in it, for example act.db")
    return path


def _shown(database: str) -> str:
    """What was given, but of a URL of another kind the beginning alone: there may be a password in it."""
    scheme, rest, _ = database.partition("://")
    return repr(database) if not rest or scheme.startswith("sqlite") else f"'{scheme}://...'"


def refuse_lone_log(path: Path) -> None:
    """Ask this before any connection is made: beside a file of 0 bytes SQLite deletes the write-ahead log unread.

    It does so even for a connection that may not write.

    Raises:
        DatabaseUnusable: there is a write-ahead log, and no file that it could belong to.
    """
    beside = path.with_name(path.name + "-wal")
    size, logged = (each.stat().st_size if each.exists() else 0 for each in (path, beside))
    if size >= _HEADER or logged == 0:
        return
    raise DatabaseUnusable(
        f"{path} has {size} bytes, and {beside} has {logged}: it may hold the whole database. Nothing was changed. "
        f"Copy both files away before anything else; to open them deletes {beside.name}. "
        f"Then go back to a backup: actctl restore FOLDER --move-away --database sqlite:///{path}"
    )


def _engine(path: Path, pragmas: dict[str, str], **options: Any) -> Engine:
    # Parameters hold arguments and key hashes, which no log line may show.
    engine = create_engine(URL.create("sqlite", database=str(path)), hide_parameters=True, **options)

    @event.listens_for(engine, "do_connect")
    def _refuse(*_: Any) -> None:  # every one, for the file can be replaced while it is served
        refuse_lone_log(path)

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: Any) -> None:
        # SQLAlchemy begins transactions itself (below); the driver's own implicit BEGIN would come too late.
        connection.isolation_level = None
        for name, value in pragmas.items():
            connection.execute(f"PRAGMA {name}={value}")

    return engine


def writing_engine(path: Path) -> Engine:
    """The one connection that writes. Every commit is on disk before it returns (`synchronous=FULL`).

    A new file can be read by its owner alone; SQLite gives its journal files the same mode.

    Raises:
        DatabaseUnusable: there is a write-ahead log without its database.
    """
    refuse_lone_log(path)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    engine = _engine(
        path,
        {
            "journal_mode": "WAL",
            "synchronous": "FULL",
            "foreign_keys": "ON",
            "busy_timeout": str(BUSY),
            "secure_delete": "ON",  # what is erased is overwritten, and not only forgotten
        },
        pool_size=1,
        max_overflow=0,
        poolclass=QueuePool,
        connect_args={"check_same_thread": False},
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        if not connection.connection.driver_connection.in_transaction:  # a `WriteSession` begins by itself
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def reading_engine(path: Path) -> Engine:
    """Connections that cannot write, for everything a person reads."""
    engine = _engine(
        path,
        {"query_only": "ON", "busy_timeout": str(BUSY)},
        pool_size=8,
        poolclass=QueuePool,
        connect_args={"check_same_thread": False},
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def empty_wal(reading: Engine) -> bool:
    """Move the write-ahead log into the database file and leave none; True when that could be done at once.

    Meanwhile nothing can be written, so it does not wait long for those who read.
    """
    connection = reading.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout=250")
        try:
            busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError:
            return False
        finally:
            cursor.execute(f"PRAGMA busy_timeout={BUSY}")
        return bool(busy == 0)
    finally:
        connection.close()


def let_go(writing: Engine, reading: Engine) -> None:
    """Close all connections at the end of a server, the writing one last.

    It has the write-ahead log that was there at the start. A reading connection that was opened after somebody removed
    or replaced that file has another one; were it the last, SQLite would move nothing of what was answered into the
    database file, and delete the log.
    """
    reading.dispose()
    try:
        connection = writing.raw_connection()
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)")  # for readers that cannot be closed yet
        finally:
            connection.close()
    except (sqlite3.Error, SQLAlchemyError, DatabaseUnusable):
        log.exception("the write-ahead log could not be moved into the database file; do not delete it")
    writing.dispose()


class FileLock:
    """One process on one database file. The kernel releases the lock when the process ends, however it ends."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> Self:
        """Take the lock.

        Raises:
            DatabaseUnusable: another process has it.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DatabaseUnusable(
                f"The database folder {self._path.parent} cannot be used: {error.strerror}."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise DatabaseUnusable(
                f"Another ACT process (pid {holder}) already serves {self._path.with_suffix('')}. "
                "Stop it first, or give this one a file of its own with --database."
            ) from None
        with contextlib.suppress(OSError):  # on a full disk; the lock is held all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode of the file that is locked; the lock must be held."""
        assert self._descriptor is not None
        status = os.fstat(self._descriptor)
        return status.st_dev, status.st_ino

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
