"""Is the SQLite file itself whole? Looks over connections that cannot change it, not even at their end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from act.database.engine import DatabaseUnusable, refuse_lone_log

LOOKED_THROUGH: Final = 256 * 1024 * 1024
"""Bytes of a file up to which every start looks through all of its pages; that takes about a second."""

_SHOWN: Final = 5
_PASSING: Final = frozenset(
    (
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    )
)
"""What has to do with the disk and its rights, and not with what is written there (sqlite.org/rescode.html)."""


class DatabaseDamaged(DatabaseUnusable):
    """The file is not what was written. It was left as it is."""


def damaged(path: Path, what: str) -> DatabaseDamaged:
    """What is wrong, and the commands that help."""
    url = f"sqlite:///{path}"
    return DatabaseDamaged(
        f"{path} is damaged, or not whole, and is not served; nothing was changed. {what}\n"
        f"See what is left of it:  actctl doctor --deep --database {url}\n"
        f"Go back to a backup:     actctl restore FOLDER --database {url}"
    )


def trouble(path: Path, error: BaseException | None) -> DatabaseUnusable:
    """What an error of SQLite's means: that the file is damaged, or that it cannot be read or written just now."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or code & 0xFF not in _PASSING:
        return damaged(path, f"SQLite says: {error}.")
    return DatabaseUnusable(
        f"{path} cannot be read or written ({error}). Is there room on the disk, and is the folder {path.parent} the "
        "server's own to write?"
    )


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that leaves the file and its write-ahead log as they are.

    Raises:
        DatabaseUnusable: there is a write-ahead log without its database.
        sqlite3.OperationalError: there is no such file, or it cannot be opened.
    """
    refuse_lone_log(path)
    # Of an ordinary connection, the last one that closes would write the log into the file and remove it.
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5.0, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA query_only=ON")
    return connection


@contextmanager
def looking(path: Path) -> Iterator[Connection]:
    """`read_only` for those who read with SQLAlchemy, at one moment of the database.

    Raises:
        DatabaseDamaged: what was read is not what SQLite writes.
    """
    engine = create_engine("sqlite://", creator=lambda: read_only(path), poolclass=NullPool, hide_parameters=True)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection
    except DatabaseError as error:
        raise trouble(path, error.orig) from error
    finally:
        engine.dispose()


def faults(path: Path, *, everything: bool = False) -> list[str]:
    """What SQLite finds wrong with the pages of the file; nothing when it is sound.

    Args:
        everything: also hold every index against its table, and the tables against each other; takes longer.

    Raises:
        DatabaseUnusable: it cannot be looked at now.
    """
    try:
        with closing(read_only(path)) as connection:
            check = "integrity_check" if everything else "quick_check"
            found = [str(row[0]) for row in connection.execute(f"PRAGMA {check}({_SHOWN})")]
            if everything:
                found += [f"a row of {row[0]} belongs to nothing" for row in _orphans(connection)]
    except sqlite3.DatabaseError as error:
        if not isinstance(found_out := trouble(path, error), DatabaseDamaged):
            raise found_out from error
        return [str(error)]
    return [each for each in found if each != "ok"]


def _orphans(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    return connection.execute("PRAGMA foreign_key_check").fetchmany(_SHOWN)


def small(path: Path) -> bool:
    """Whether the file is so small that a start looks through all of it."""
    return path.stat().st_size <= LOOKED_THROUGH
