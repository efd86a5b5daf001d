"""Units of work on their way to a commit, and who is told what has become of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy.exc import OperationalError

from act.audit.transaction import Transaction
from act.turns import tellable

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
class Unit(Generic[T]):
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

    def attempt(self, transaction: Transaction) -> None:
        """Do the work, or take all of it back; either is told by `deliver`."""
        if not transaction.open:
            self.failure = WriteFailed("The database could not be written.")
            return
        try:
            self.value = transaction.attempt(self.run, recorded=self.recorded)
        except (OperationalError, sqlite3.OperationalError) as error:
            self.failure = WriteFailed("The database could not be written.")
            self.failure.__cause__ = error
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for this unit
            self.failure = tellable(error)

    def deliver(self) -> None:
        answer = self.answer
        if answer.done():  # who waited has gone; the write stands all the same
            return
        if self.failure is None:
            answer.set_result(self.value)
        else:
            answer.set_exception(self.failure)


def raised(answer: Future[Any]) -> Exception | None:
    """What a unit has raised, once that is known."""
    try:
        answer.result()
    except Exception as error:  # noqa: BLE001 - handed to whoever waits for this unit
        return error
    return None


def deliver(units: list[Unit[Any]]) -> None:
    """Wake who waits: threads one by one, each event loop once for all its coroutines."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Unit[Any]]] = {}
    for unit in units:
        if unit.loop is None:
            unit.deliver()
        else:
            by_loop.setdefault(unit.loop, []).append(unit)
    for loop, mine in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_deliver_here, mine)


def _deliver_here(units: list[Unit[Any]]) -> None:
    for unit in units:
        try:
            unit.deliver()
        except Exception:
            log.exception("one who waited for a commit could not be told; the others are")
