"""What a unit of work may do to the database, and the audit record that it must leave."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from act.audit import rows
from act.audit.arguments import Body
from act.audit.merkle import Frontier, leaf_hash
from act.audit.record import VERSION, fitted, without_secrets
from act.audit.tiles import HEIGHT, WIDTH
from act.database.clock import Clock
from act.database.many import Insert
from act.database.session import WriteSession
from act.models import rfc3339

T = TypeVar("T")
AtEnd = Callable[[sqlite3.Connection, list[Any]], None]

_add_changes = Insert("changes", ("revision", "tenant_id", "kind", "entity_id"))


@dataclass(frozen=True, slots=True)
class Sealed:
    """Where a record stands: `leaf_hash` in hex."""

    index: int
    leaf_hash: str


class Transaction:
    """What a unit of work may do. Every unit must leave at least one record."""

    def __init__(self, session: WriteSession, clock: Clock, trees: Mapping[str, Frontier], revision: int) -> None:
        self._session = session
        self._saved = False
        self._sound = True
        self._trees = trees
        self.grown: dict[str, Frontier] = {}
        self.revision = revision
        self.rows: list[rows.RecordRow] = []
        self.ending: list[tuple[AtEnd, Any]] = []
        self._clock = clock
        self._at: str | None = None

    @property
    def driver(self) -> sqlite3.Connection:
        """For statements of this unit; the first use makes a savepoint, so that the unit can be taken back alone."""
        driver = self._session.driver
        if not self._saved:
            driver.execute("SAVEPOINT unit")
            self._saved = True
        return driver

    @property
    def connection(self) -> Connection:
        """The same, for statements of SQLAlchemy, each of which takes several times as long."""
        _ = self.driver
        return self._session.connection

    @property
    def open(self) -> bool:
        """Whether this can still be committed: SQLite can end a transaction by itself, and fail to take a unit back."""
        return self._sound and self._session.open

    def attempt(self, work: Callable[[Transaction], T], *, recorded: bool = True) -> T:
        """Run one unit; when it fails, nothing of it is left.

        Raises:
            RuntimeError: the unit left no record, though it had to.
            Exception: what the unit raised.
        """
        grown, revision, records, ending = self.grown.copy(), self.revision, len(self.rows), len(self.ending)
        self._saved = False
        try:
            value = work(self)
            if recorded and len(self.rows) == records:
                raise RuntimeError("A unit of work left no audit record.")
            if self._saved:
                self._session.driver.execute("RELEASE unit")
        except BaseException:
            # Memory first: the savepoint may be gone, because SQLite rolls all back when the disk is full.
            self.grown, self.revision = grown, revision
            del self.rows[records:]
            del self.ending[ending:]
            if self._saved and self.open:
                self._sound = False  # until this unit is known to have left nothing
                self._session.driver.execute("ROLLBACK TO unit")
                self._session.driver.execute("RELEASE unit")
                self._sound = True
            raise
        return value

    def at_end(self, write: AtEnd, item: Any) -> None:
        """Have `item` written before the commit, together with those of other units: `write(driver, items)`.

        For what no unit reads again. When it fails, the whole commit does.
        """
        self.ending.append((write, item))

    def change(self, tenant_id: str, kind: str, entity_id: str) -> int:
        """Tell every follower that this entity changed. Answers the revision that holds the change."""
        self.revision += 1
        _add_changes(self.driver, [(self.revision, tenant_id, kind, entity_id)])
        return self.revision

    def record(self, tenant_id: str, kind: str, fields: Mapping[str, Any], body: Body | None = None) -> Sealed:
        """Append one leaf to the tenant's log; None fields are left out, and `cut` names those that are too long.

        Records of one commit that do not say when they were are all of its begin. `body` stands beside the record.
        """
        tree = self.grown.get(tenant_id) or self._trees.get(tenant_id) or Frontier()
        record = dict(fields)
        if None in record.values():
            record = {name: value for name, value in record.items() if value is not None}
        record["v"], record["index"], record["tenantId"], record["kind"] = VERSION, tree.size, tenant_id, kind
        if "at" not in record:
            record["at"] = self._at = self._at or rfc3339(self._clock.now())
        leaf = without_secrets(fitted(record))
        hashed = leaf_hash(leaf)
        self.grown[tenant_id] = tree.append(hashed)
        if (tree.size + 1) % WIDTH == 0:
            for height, number, subtree in tree.completed(hashed):
                if height and height % HEIGHT == 0:
                    self.at_end(rows.add_subtrees, (tenant_id, height // HEIGHT, number, subtree))
        salt, text = (body.salt, body.text) if body else (None, None)
        self.rows.append(rows.RecordRow(tenant_id, tree.size, hashed, salt, leaf.decode(), text))
        return Sealed(tree.size, hashed.hex())
