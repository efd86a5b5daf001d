"""The feed of changes: the only way in which one part of ACT learns that another part changed something.

Every change that enforcement depends on is a row of one append-only table with a gapless revision. What is held in
memory (a `Follower`) is loaded once and then follows the rows; its revision says on what it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from sqlalchemy import Connection, func, select

from act.database.tables import changes


class Follower(Protocol):
    """Something in memory that stands for rows in the database."""

    def load(self, connection: Connection) -> None:
        """Read everything."""

    def apply(self, connection: Connection, tenant_id: str, ids: Iterable[str]) -> None:
        """Read again the rows of these ids, which changed."""


class ChangeFeed:
    """Keeps followers up to date. `revision` is raised only after every follower has applied it."""

    def __init__(self, followers: Mapping[str, Follower]) -> None:
        self._followers = dict(followers)
        self.revision = 0
        self.broken = False

    def load(self, connection: Connection) -> None:
        for follower in self._followers.values():
            follower.load(connection)
        self.revision = last_revision(connection)

    def follow(self, connection: Connection) -> None:
        """Apply every change after `revision`.

        A follower that fails leaves the feed `broken`: nothing may be decided on state of unknown age.
        """
        try:
            rows = connection.execute(
                select(changes).where(changes.c.revision > self.revision).order_by(changes.c.revision)
            ).all()
            touched: dict[tuple[str, str], list[str]] = {}
            for row in rows:
                touched.setdefault((row.kind, row.tenant_id), []).append(row.entity_id)
            for (kind, tenant_id), ids in touched.items():
                self._followers[kind].apply(connection, tenant_id, dict.fromkeys(ids))
            if rows:
                self.revision = rows[-1].revision
        except BaseException:
            self.broken = True
            raise


def last_revision(connection: Connection) -> int:
    return connection.execute(select(func.max(changes.c.revision))).scalar() or 0
