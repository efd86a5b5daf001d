"""The one way in which anything is written: with its audit record, in one durable commit shared by all who wait.

A thread of its own collects the waiting units of work, runs them in one transaction, commits (fsync), lets the
change feed follow, and only then releases the answers. A unit that fails takes back its own writes and no others';
a commit that fails takes back all, and every waiting unit is told so.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine, insert, select, update

from act.audit.merkle import Frontier, leaf_hash
from act.audit.record import VERSION, encode
from act.database.changes import ChangeFeed, last_revision
from act.database.clock import Clock
from act.database.tables import audit_records, audit_trees, changes, instance
from act.models import rfc3339

MAX_WAITING = 10_000
MAX_BATCH = 512

log = logging.getLogger("act.audit")

T = TypeVar("T")


class WriteFailed(Exception):
    """Nothing was written: the queue is full, the disk is, or the writer is stopped."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """Where a record stands: `leaf_hash` in hex."""

    index: int
    leaf_hash: str


class Transaction:
    """What a unit of work may do. Every unit must leave at least one record."""

    def __init__(self, connection: Connection, clock: Clock, trees: dict[str, Frontier], revision: int) -> None:
        self.connection = connection
        self.trees = trees
        self.revision = revision
        self.rows: list[dict[str, Any]] = []
        self._clock = clock

    def change(self, tenant_id: str, kind: str, entity_id: str) -> int:
        """Tell every follower that this entity changed. Answers the revision that holds the change."""
        self.revision += 1
        self.connection.execute(
            insert(changes).values(revision=self.revision, tenant_id=tenant_id, kind=kind, entity_id=entity_id)
        )
        return self.revision

    def record(self, tenant_id: str, kind: str, fields: Mapping[str, Any], salt: bytes | None = None) -> Sealed:
        """Append one leaf to the tenant's log; None fields are left out."""
        tree = self.trees.get(tenant_id, Frontier())
        record = {name: value for name, value in fields.items() if value is not None}
        record |= {"v": VERSION, "index": tree.size, "tenantId": tenant_id, "kind": kind}
        record.setdefault("at", rfc3339(self._clock.now()))
        leaf = encode(record)
        hashed = leaf_hash(leaf)
        self.trees[tenant_id] = tree.append(hashed)
        self.rows.append(
            {"tenant_id": tenant_id, "idx": tree.size, "leaf_hash": hashed, "salt": salt, "record": leaf.decode()}
        )
        return Sealed(tree.size, hashed.hex())


@dataclass(slots=True)
class _Unit(Generic[T]):
    work: Callable[[Transaction], T]
    answer: Future[T]
    recorded: bool = True

    def run(self, transaction: Transaction) -> T:
        before = len(transaction.rows)
        result = self.work(transaction)
        if self.recorded and len(transaction.rows) == before:
            raise RuntimeError("A unit of work left no audit record.")
        return result


class Writer:
    """Owns the writing connection. Start once, stop once; `submit` from any thread."""

    def __init__(self, engine: Engine, feed: ChangeFeed, clock: Clock) -> None:
        self._engine = engine
        self._feed = feed
        self._clock = clock
        self._queue: queue.Queue[_Unit[Any] | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="act-writer", daemon=True)
        self._trees: dict[str, Frontier] = {}
        self._revision = 0
        self._stopped = threading.Event()
        self._admission = threading.Lock()

    def start(self) -> None:
        with self._engine.connect() as connection:
            self._trees = load_trees(connection)
            self._revision = last_revision(connection)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, then end. Later submissions fail."""
        with self._admission:
            if self._stopped.is_set():
                return
            self._stopped.set()
            self._queue.put(None)
        self._thread.join()

    def head(self, tenant_id: str) -> Frontier:
        """The tenant's log as of the last commit."""
        return self._trees.get(tenant_id, Frontier())

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._stopped.is_set()

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Have `work` done in the next commit. The future is resolved when it is durable.

        The future fails with what `work` raised, or with `WriteFailed`; in both cases nothing of it was written.
        """
        return self._enqueue(_Unit(work, Future()))

    def _enqueue(self, unit: _Unit[T]) -> Future[T]:
        unit.answer.set_running_or_notify_cancel()  # who stops waiting does not stop the write
        # Under the lock, so that nothing can be queued behind the end mark and wait forever.
        with self._admission:
            if not self.alive:
                unit.answer.set_exception(WriteFailed("The server is shutting down."))
                return unit.answer
            try:
                self._queue.put_nowait(unit)
            except queue.Full:
                unit.answer.set_exception(WriteFailed("Too many writes are waiting."))
        return unit.answer

    def write(self, work: Callable[[Transaction], T]) -> T:
        """`submit` and wait; for threads that may block.

        Raises:
            WriteFailed: nothing was written.
        """
        return self.submit(work).result()

    def probe(self) -> None:
        """Write something that nobody reads, to know whether the database can be written.

        Raises:
            WriteFailed: it cannot.
        """

        def touch(transaction: Transaction) -> None:
            transaction.connection.execute(update(instance).values(probed_at=self._clock.now()))

        self._enqueue(_Unit(touch, Future(), recorded=False)).result()

    def _run(self) -> None:
        ending = False
        while not ending:
            first = self._queue.get()
            if first is None:
                break
            units = [first]
            while len(units) < MAX_BATCH:
                try:
                    unit = self._queue.get_nowait()
                except queue.Empty:
                    break
                if unit is None:
                    ending = True
                    break
                units.append(unit)
            self._commit(units)

    def _commit(self, units: list[_Unit[Any]]) -> None:
        results: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self._engine.begin() as connection:
                transaction = Transaction(connection, self._clock, dict(self._trees), self._revision)
                for unit in units:
                    results.append(self._attempt(unit, transaction))
                self._flush(transaction)
        except Exception as error:  # noqa: BLE001 - every waiting unit is told
            log.error("commit failed, %d units taken back: %s", len(units), error)
            failure = WriteFailed("The database could not be written.")
            failure.__cause__ = error
            results = [(unit.answer, None, failure) for unit in units]
            self._resynchronize()
        else:
            self._trees, self._revision = transaction.trees, transaction.revision
            self._follow()
        for answer, value, failure_of_unit in results:
            if failure_of_unit is None:
                answer.set_result(value)
            else:
                answer.set_exception(failure_of_unit)

    def _resynchronize(self) -> None:
        """After a failed commit only the file knows what is in it."""
        try:
            with self._engine.connect() as connection:
                self._trees, self._revision = load_trees(connection), last_revision(connection)
        except Exception:
            log.exception("the database cannot be read after a failed commit; nothing was written")

    def _attempt(self, unit: _Unit[Any], transaction: Transaction) -> tuple[Future[Any], Any, BaseException | None]:
        trees, revision, rows = dict(transaction.trees), transaction.revision, len(transaction.rows)
        savepoint = transaction.connection.begin_nested()
        try:
            value = unit.run(transaction)
            savepoint.commit()
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for this unit
            savepoint.rollback()
            transaction.trees, transaction.revision = trees, revision
            del transaction.rows[rows:]
            return unit.answer, None, error
        return unit.answer, value, None

    def _flush(self, transaction: Transaction) -> None:
        if transaction.rows:
            transaction.connection.execute(insert(audit_records), transaction.rows)
        for tenant_id, tree in transaction.trees.items():
            if tree is self._trees.get(tenant_id):
                continue
            state = {"size": tree.size, "frontier": tree.to_bytes()}
            if tenant_id in self._trees:
                transaction.connection.execute(
                    update(audit_trees).where(audit_trees.c.tenant_id == tenant_id).values(state)
                )
            else:
                transaction.connection.execute(insert(audit_trees).values(tenant_id=tenant_id, **state))

    def _follow(self) -> None:
        if self._revision == self._feed.revision:
            return
        try:
            with self._engine.connect() as connection:
                self._feed.follow(connection)
        except Exception:  # the feed is broken now and says so; decisions are denied until a restart
            log.exception("the change feed cannot be followed; every decision is denied until the server is restarted")


def load_trees(connection: Connection) -> dict[str, Frontier]:
    return {
        row.tenant_id: Frontier.from_bytes(row.size, row.frontier)
        for row in connection.execute(select(audit_trees)).all()
    }
