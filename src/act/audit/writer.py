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
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, Engine, update
from sqlalchemy.exc import OperationalError

from act.audit import rows
from act.audit.merkle import Frontier
from act.audit.transaction import AtEnd, Transaction
from act.database.changes import ChangeFeed, last_revision
from act.database.clock import Clock
from act.database.places import LockLost, Places
from act.database.session import WriteSession
from act.database.tables import instance
from act.metrics import Metrics
from act.turns import tellable

MAX_WAITING = 10_000
MAX_BATCH = 512
PROBED = 1 << 20
"""Bytes that must fit before a server counts as ready again whose last commit failed."""

log = logging.getLogger("act.audit")

T = TypeVar("T")

along: ContextVar[Callable[[Transaction], None] | None] = ContextVar("along", default=None)
"""Work that is done with every recorded unit that this context submits, or not at all (see `act.idempotency`)."""


class WriteFailed(Exception):
    """Nothing was written: the queue is full, the disk is, or the writer is stopped."""


class Told(Protocol):
    """Who is told what a unit has come to: a future, or whatever takes the same calls."""

    def done(self) -> bool: ...
    def set_result(self, value: Any, /) -> None: ...
    def set_exception(self, error: Any, /) -> None: ...


@dataclass(slots=True)
class _Unit(Generic[T]):
    """Work and who waits for it: a thread, or someone on `loop`. It has come to `value`, or to `failure`."""

    work: Callable[[Transaction], T]
    answer: Told
    loop: asyncio.AbstractEventLoop | None = None
    recorded: bool = True
    along: Callable[[Transaction], None] | None = field(default_factory=along.get)
    value: T | None = None
    failure: BaseException | None = None

    def run(self, transaction: Transaction) -> T:
        value = self.work(transaction)
        if self.recorded and self.along is not None:
            self.along(transaction)
        return value

    def deliver(self) -> None:
        answer = self.answer
        if answer.done():  # who waited has gone; the write stands all the same
            return
        if self.failure is None:
            answer.set_result(self.value)
        else:
            answer.set_exception(self.failure)


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
        self._places = places
        self._feed = feed
        self._clock = clock
        self._metrics = metrics or Metrics()
        self.committed: Callable[[int, int], None] = lambda records, revision: None
        self.after_commit: Callable[[], None] = lambda: None
        self._queue: queue.SimpleQueue[list[_Unit[Any]] | None] = queue.SimpleQueue()
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Unit[Any]]] = {}
        self._waiting = 0
        self._taken: list[_Unit[Any]] = []
        """What the thread has taken from the queue, and has not told anybody of."""
        self._worker = threading.Thread(target=self._run, name="act-writer", daemon=True)
        self._trees: dict[str, Frontier] = {}
        self._revision = 0
        self._records = 0
        self._foreign = False
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
            self._check_file()
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
        self._enqueue(_Unit(work, answer))
        return answer.result()

    def write_all(self, works: Sequence[Callable[[Transaction], Any]]) -> list[Exception | None]:
        """`write` for several units, which share commits; what each has raised, or None."""
        answers = list[Future[Any]]()
        for work in works:
            answer: Future[Any] = Future()
            answer.set_running_or_notify_cancel()
            try:
                self._enqueue(_Unit(work, answer))
            except WriteFailed as error:
                answer.set_exception(error)
            answers.append(answer)
        return [_raised(answer) for answer in answers]

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
        self._enqueue(_Unit(work, told, asyncio.get_running_loop(), recorded))

    def _enqueue(self, unit: _Unit[Any]) -> None:
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
        self._enqueue(_Unit(unrecorded, answer, recorded=False))
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
            self._distrust("the thread that writes has died")
        for unit in left:
            unit.failure = WriteFailed("The server cannot write any more; restart it.")
        _deliver(left)

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

    def _commit(self, units: list[_Unit[Any]]) -> None:
        started = self._clock.monotonic()
        try:
            with WriteSession(self._engine) as session:
                self._check_file()
                transaction = Transaction(session, self._clock, self._trees, self._revision)
                for unit in units:
                    _attempt(transaction, unit)
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
            self._resynchronize()
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
        _deliver(units)
        self._tell()

    def _tell(self) -> None:
        """Those who listen to the log come after the answers, and can neither hold them up nor end this thread."""
        try:
            self.after_commit()
        except Exception:
            log.exception("who listens to the log was not told of its new records")

    def _check_file(self) -> None:
        """A file that was deleted or replaced can still be written to, and nobody would ever read it again."""
        if self._foreign:
            raise WriteFailed("Another process has written to the database; restart the server.")
        if self._places is None:
            return
        try:
            self._places.check()
        except LockLost as error:
            self._distrust(str(error))
            raise

    def _resynchronize(self) -> None:
        """After a failed commit the file must hold what was there before it: nobody else writes.

        If somebody did, what is in memory is not what is in the file, and no feed tells what to read again.
        """
        try:
            with self._engine.connect() as connection:
                there = rows.trees(connection), last_revision(connection)
        except Exception:
            log.exception("the database cannot be read after a failed commit; nothing was written")
            return
        if there != (self._trees, self._revision):
            self._foreign = True
            self._distrust(
                f"another process has written to the database: it is of revision {there[1]}, with "
                f"{sum(tree.size for tree in there[0].values())} records, and this server has written up to revision "
                f"{self._revision}, with {sum(tree.size for tree in self._trees.values())}. See that one process "
                "serves it, and restart the server"
            )

    def _distrust(self, why: str) -> None:
        """From now on nobody knows how old the state is, so nothing is decided on it."""
        if not self._feed.broken:
            self._feed.broken = True
            log.critical("every decision is denied until a restart: %s", why)

    def _follow(self) -> None:
        if self._revision == self._feed.revision:
            return
        try:
            with self._engine.connect() as connection:
                self._feed.follow(connection)
        except Exception:  # the feed is broken now and says so; decisions are denied until a restart
            log.exception("the change feed cannot be followed; every decision is denied until the server is restarted")


def _raised(answer: Future[Any]) -> Exception | None:
    """What a unit has raised, once that is known."""
    try:
        answer.result()
    except Exception as error:  # noqa: BLE001 - handed to whoever waits for this unit
        return error
    return None


def _attempt(transaction: Transaction, unit: _Unit[Any]) -> None:
    if not transaction.open:
        unit.failure = WriteFailed("The database could not be written.")
        return
    try:
        unit.value = transaction.attempt(unit.run, recorded=unit.recorded)
    except (OperationalError, sqlite3.OperationalError) as error:
        unit.failure = WriteFailed("The database could not be written.")
        unit.failure.__cause__ = error
    except BaseException as error:  # noqa: BLE001 - handed to whoever waits for this unit
        unit.failure = tellable(error)


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


def _deliver(units: list[_Unit[Any]]) -> None:
    """Wake who waits: threads one by one, each event loop once for all its coroutines."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Unit[Any]]] = {}
    for unit in units:
        if unit.loop is None:
            unit.deliver()
        else:
            by_loop.setdefault(unit.loop, []).append(unit)
    for loop, mine in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_deliver_here, mine)


def _deliver_here(units: list[_Unit[Any]]) -> None:
    for unit in units:
        try:
            unit.deliver()
        except Exception:
            log.exception("one who waited for a commit could not be told; the others are")
