"""Is what is in memory what is in the file, and does nobody else write to it? If not, nothing is decided any more."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sqlalchemy import Engine

from act.audit import rows
from act.audit.merkle import Frontier
from act.audit.units import WriteFailed
from act.database.changes import ChangeFeed, last_revision
from act.database.places import LockLost, Places

log = logging.getLogger("act.audit")


class Trust:
    """Of the thread that writes. Once withdrawn, it comes back with a restart."""

    def __init__(self, feed: ChangeFeed, places: Places | None) -> None:
        self._feed = feed
        self._places = places
        self._foreign = False

    def check(self) -> None:
        """Look before a commit: a file that was deleted or replaced can still be written to, and nobody would read it.

        Raises:
            WriteFailed: another process has written to the database.
            FilesMoved: it, its write-ahead log or its lock is not where it was.
        """
        if self._foreign:
            raise WriteFailed("Another process has written to the database; restart the server.")
        if self._places is None:
            return
        try:
            self._places.check()
        except LockLost as error:
            self.withdraw(str(error))
            raise

    def compare(self, engine: Engine, trees: Mapping[str, Frontier], revision: int) -> None:
        """After a failed commit the file must hold what was there before it: nobody else writes.

        If somebody did, what is in memory is not what is in the file, and no feed tells what to read again.
        """
        try:
            with engine.connect() as connection:
                there = rows.trees(connection), last_revision(connection)
        except Exception:
            log.exception("the database cannot be read after a failed commit; nothing was written")
            return
        if there != (trees, revision):
            self._foreign = True
            self.withdraw(
                f"another process has written to the database: it is of revision {there[1]}, with {_size(there[0])} "
                f"records, and this server has written up to revision {revision}, with {_size(trees)}. See that one "
                "process serves it, and restart the server"
            )

    def withdraw(self, why: str) -> None:
        """From now on nobody knows how old the state is, so nothing is decided on it."""
        if not self._feed.broken:
            self._feed.broken = True
            log.critical("every decision is denied until a restart: %s", why)


def _size(trees: Mapping[str, Frontier]) -> int:
    return sum(tree.size for tree in trees.values())
