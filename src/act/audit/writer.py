"""The one way in which anything is written: with its audit record, in one durable commit shared by all who wait.

A thread of its own collects the waiting units of work, runs them in one transaction, commits (fsync), lets the
change feed follow, and only then releases the answers. A unit that fails takes back its own writes and no others';
a commit that fails takes back all, and every waiting unit is told so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, update

from act.audit import rows
from act.audit.merkle import Frontier
from act.audit.transaction import AtEnd, Transaction
from act.audit.trust import Trust
from act.audit.units import Told, Unit, WriteFailed, deliver, raised
from act.database.changes import ChangeFeed, last_revision
from act.database.clock import Clock
from act.database.places import Places
from act.database.session import WriteSession
from act.database.tables import instance
from act.metrics import Metrics

MAX_WAITING = 10_000
MAX_BATCH = 512
PROBED = 1 << 20
"""Bytes that must fit before a server counts as ready again whose last commit failed."""

log = logging.getLogger("act.audit")

T = TypeVar("T")


class Writer:
    """Owns the writing connection. Start once, stop once; `submit` from any thread."""

    def __init__(
        self,
        engine: Engine,
        feed: ChangeFeed,
        clock: Clock,
        places: Places | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._engine = engine
        self._feed = feed
        self._trust = Trust(feed, places)
        self._clock = clock
        self._metrics = metrics or Metrics()
        self.committed: Callable[[int, int], None] = lambda records, revision: None
        self.after_commit: Callable[[], None] = lambda: None
        self._queue: queue.SimpleQueue[list[Unit[Any]] | None] = queue.SimpleQueue()
        self._gathered: dict[asyncio.AbstractEventLoop, list[Unit[Any]]] = {}
        self._waiting = 0
        self._taken: list[Unit[Any]] = []
        """What the thread has taken from the queue, and has not told anybody of."""
        self._worker = threading.Thread(target=self._run, name="act-writer", daemon=True)
        self._trees: dict[str, Frontier] = {}
        self._revision = 0
        self._records = 0
        self._failures = 0
        self._excused = 0
        self._stopped = False
        self._ended = False
        self._admission = threading.Lock()

    def start(self) -> None:
        """Begin to write.

        Raises:
            FilesMoved: the database, its write-ahead log or its lock is gone already.
        """
        with self._engine.connect() as connection:
            self._load(connection)
            self._trust.check()
        self._worker.start()

    def _load(self, connection: Connection) -> None:
        """What only the file knows."""
        self._trees, self._revision = rows.trees(connection), last_revision(connection)
        self._records = sum(tree.size for tree in self._trees.values())

    def stop(self) -> None:
        """Write what waits, then end. Later submissions fail."""
        with self._admission:
            if self._stopped:
                return
            self._stopped = True
            for gathered in self._gathered.values():
                self._queue.put(gathered)
            self._gathered = {}
            self._queue.put(None)
        self._worker.join()

    def head(self, tenant_id: str) -> Frontier:
        """The tenant's log as of the last commit."""
        return self._trees.get(tenant_id, Frontier())

    @property
    def waiting(self) -> int:
        """How many units wait for a commit."""
        return self._waiting

    @property
    def alive(self) -> bool:
        return self._worker.is_alive() and not self._stopped

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Have `work` done in the next commit, and wait until it is durable; for threads that may block.

        Raises:
            WriteFailed: nothing was written.
            Exception: what `work` raised; nothing of it was written.
        """
        answer: Future[T] = Future()
        answer.set_running_or_notify_cancel()  # who stops waiting does not stop the write
        self._enqueue(Unit(work, answer))
        return answer.result()

    def write_all(self, works: Sequence[Callable[[Transaction], Any]]) -> list[Exception | None]:
        """`write` for several units, which share commits; what each has raised, or None."""
        answers = list[Future[Any]]()
        for work in works:
            answer: Future[Any] = Future()
            answer.set_running_or_notify_cancel()
            try:
                self._enqueue(Unit(work, answer))
            except WriteFailed as error:
                answer.set_exception(error)
            answers.append(answer)
        return [raised(answer) for answer in answers]

    async def commit(self, work: Callable[[Transaction], T], *, recorded: bool = True) -> T:
        """`write`, for coroutines; unless `recorded`, for rows of which there is no record, as `tidy`."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.submit(work, answer, recorded=recorded)
        return await answer

    def submit(self, work: Callable[[Transaction], T], told: Told, *, recorded: bool = True) -> None:
        """`commit`, for whoever does not wait: `told` is told of it, on the event loop that runs now.

        Raises:
            WriteFailed: nothing was written, and nobody is told.
        """
        self._enqueue(Unit(work, told, asyncio.get_running_loop(), recorded))

    def _enqueue(self, unit: Unit[Any]) -> None:
        # Under the lock, so that nothing can be queued behind the end mark and wait forever.
        with self._admission:
            if self._stopped or self._ended:
                raise WriteFailed("The server is shutting down.")
            # Threads that write block, so they are few; decisions that flood the queue must not keep a person from
            # taking rights back.
            if self._waiting >= MAX_WAITING and unit.loop is not None:
                raise WriteFailed("Too many writes are waiting.")
            self._waiting += 1
            if unit.loop is None:
                self._queue.put([unit])
            elif (gathered := self._gathered.get(unit.loop)) is not None:
                gathered.append(unit)
            else:
                # Handed over when the loop has run all that is ready: to wake the thread for each would cost more
                # than its commit.
                self._gathered[unit.loop] = [unit]
                unit.loop.call_soon(self._hand_over, unit.loop)

    @property
    def failing(self) -> bool:
        """Whether the last commit failed, and nothing as large as a decision was written since."""
        return self._failures != self._excused

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._admission:
            if gathered := self._gathered.pop(loop, None):
                self._queue.put(gathered)

    def probe(self) -> None:
        """Write something that nobody reads, to know whether the database can be written.

        Raises:
            WriteFailed: it cannot.
        """
        failures = self._failures
        if self.failing:  # one page may still fit where no decision does
            self.tidy(_much)
            self._excused = max(self._excused, failures)
        else:
            self.tidy(lambda connection: connection.execute(update(instance).values(probed_at=self._clock.now())))

    def tidy(self, work: Callable[[Connection], Any]) -> None:
        """Have rows changed of which there is no record, because no decision and no answer rests on them.

        Raises:
            WriteFailed: nothing was written.
        """

        def unrecorded(transaction: Transaction) -> None:
            work(transaction.connection)

        answer: Future[None] = Future()
        self._enqueue(Unit(unrecorded, answer, recorded=False))
        answer.result()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._tell_left()

    def _tell_left(self) -> None:
        """Nothing is written any more. Nobody who waits is left waiting, whatever this thread has died of."""
        with self._admission:
            self._ended = True
            left = [*self._taken, *(unit for gathered in self._gathered.values() for unit in gathered)]
            self._gathered = {}
        with contextlib.suppress(queue.Empty):
            while True:
                left += self._queue.get_nowait() or ()
        if left or not self._stopped:
            self._trust.withdraw("the thread that writes has died")
        for unit in left:
            unit.failure = WriteFailed("The server cannot write any more; restart it.")
        deliver(left)

    def _work(self) -> None:
        ending = False
        while not ending:
            units = self._queue.get()
            if units is None:
                break
            while len(units) < MAX_BATCH:
                try:
                    more = self._queue.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    ending = True
                    break
                units += more
            for at in range(0, len(units), MAX_BATCH):
                together = units[at : at + MAX_BATCH]
                with self._admission:
                    self._waiting -= len(together)
                self._taken = units[at:]
                self._commit(together)

    def _commit(self, units: list[Unit[Any]]) -> None:
        started = self._clock.monotonic()
        try:
            with WriteSession(self._engine) as session:
                self._trust.check()
                transaction = Transaction(session, self._clock, self._trees, self._revision)
                for unit in units:
                    unit.attempt(transaction)
                if not transaction.open:
                    raise WriteFailed("The database ended the transaction by itself.")
                _flush(session, transaction)
        except Exception as error:  # noqa: BLE001 - every waiting unit is told
            self._failures += 1
            self._metrics.commit_failed()
            log.error("commit failed, %d units taken back: %s", len(units), error)
            failure = WriteFailed("The database could not be written.")
            failure.__cause__ = error
            for unit in units:
                unit.failure = failure
            self._trust.compare(self._engine, self._trees, self._revision)
        else:
            self._trees |= transaction.grown
            self._revision = transaction.revision
            if transaction.rows:  # told before anybody is answered, so that what was answered is known to be there
                self._records += len(transaction.rows)
                self.committed(self._records, self._revision)
                self._excused = self._failures
            self._metrics.committed(len(units), self._clock.monotonic() - started)
            self._follow()
        del self._taken[: len(units)]  # first: nobody may be told twice, who would give back twice
        deliver(units)
        self._tell()

    def _tell(self) -> None:
        """Those who listen to the log come after the answers, and can neither hold them up nor end this thread."""
        try:
            self.after_commit()
        except Exception:
            log.exception("who listens to the log was not told of its new records")

    def _follow(self) -> None:
        if self._revision == self._feed.revision:
            return
        try:
            with self._engine.connect() as connection:
                self._feed.follow(connection)
        except Exception:  # the feed is broken now and says so; decisions are denied until a restart
            log.exception("the change feed cannot be followed; every decision is denied until the server is restarted")


def _much(connection: Connection) -> None:
    """Write as much as many decisions, and leave nothing of it but free pages."""
    connection.exec_driver_sql("CREATE TABLE probe (x)")
    connection.exec_driver_sql("INSERT INTO probe VALUES (zeroblob(?))", (PROBED,))
    connection.exec_driver_sql("DROP TABLE probe")  # what is freed is overwritten (`secure_delete`), and so written


def _flush(session: WriteSession, transaction: Transaction) -> None:
    together: dict[AtEnd, list[Any]] = {}
    for write, item in transaction.ending:
        together.setdefault(write, []).append(item)
    for write, items in together.items():
        write(session.driver, items)
    rows.add(session.driver, transaction.rows)
    rows.grow(session.driver, transaction.grown)
