"""The writer when the disk says no: a batch is written as it was answered, or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, select

from act.audit.merkle import frontier_of
from act.audit.rows import trees
from act.audit.transaction import Transaction
from act.audit.units import Unit, WriteFailed
from act.audit.writer import Writer
from act.database.changes import ChangeFeed, last_revision
from act.database.clock import SystemClock
from act.database.engine import writing_engine
from act.database.migrate import migrate
from act.database.session import WriteSession
from act.database.tables import audit_records, audit_subtrees, tenants


class Deaf:
    """A follower of nothing."""

    def load(self, connection: Any) -> None: ...

    def apply(self, connection: Any, tenant_id: str, ids: Any) -> None: ...


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = writing_engine(tmp_path / "act.db")
    migrate(engine)
    with engine.begin() as connection:
        values = {"id": "t", "name": "t", "max_token_ttl": 1, "default_token_ttl": 1, "created_at": SystemClock().now()}
        connection.execute(insert(tenants).values(values))
    yield engine
    engine.dispose()


def small(transaction: Transaction) -> int:
    revision = transaction.change("t", "tenant", "t")
    transaction.record("t", "small", {"revision": revision})
    return revision


def huge(transaction: Transaction) -> None:
    """More than fits, in a table of its own so that the statement itself fails, and not the commit."""
    transaction.connection.exec_driver_sql("CREATE TABLE huge (x)")
    transaction.connection.exec_driver_sql("INSERT INTO huge VALUES (zeroblob(50000000))")
    transaction.record("t", "huge", {})


def broken(transaction: Transaction) -> None:
    transaction.change("t", "tenant", "t")
    transaction.record("t", "broken", {})
    raise LookupError("of its own making")


def many(transaction: Transaction) -> None:
    for _ in range(300):
        transaction.record("t", "one of many", {})


def many_and_broken(transaction: Transaction) -> None:
    many(transaction)
    raise LookupError("of its own making")


def committed(writer: Writer, *works: Any) -> list[Any]:
    units: list[Unit[Any]] = [Unit(work, Future()) for work in works]
    writer._commit(units)
    return [unit.answer.exception(0) or unit.answer.result(0) for unit in units]  # type: ignore[call-arg]


def in_step(writer: Writer, engine: Engine) -> None:
    """What the writer believes is what the file holds."""
    with engine.connect() as connection:
        rows = connection.execute(select(func.count()).select_from(audit_records)).scalar_one()
        assert trees(connection) == writer._trees
        assert writer.head("t").size == rows
        assert last_revision(connection) == writer._revision


def test_a_unit_that_fails_takes_back_its_own_writes_alone(engine: Engine) -> None:
    writer = Writer(engine, ChangeFeed({"tenant": Deaf()}), SystemClock())
    first, failed, third = committed(writer, small, broken, small)
    assert (first, third) == (1, 2)
    assert isinstance(failed, LookupError)
    in_step(writer, engine)


def test_a_full_disk_in_the_middle_of_a_batch(engine: Engine) -> None:
    """SQLite rolls the whole transaction back then; nobody in the batch may be told that it was written."""
    writer = Writer(engine, ChangeFeed({"tenant": Deaf()}), SystemClock())
    assert committed(writer, small) == [1]
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 4}")
    answers = committed(writer, small, huge, small)
    durable = [answer for answer in answers if isinstance(answer, int)]
    assert isinstance(answers[1], WriteFailed)
    with engine.connect() as connection:
        assert last_revision(connection) == 1 + len(durable)
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    in_step(writer, engine)
    assert committed(writer, small) == [2 + len(durable)]
    in_step(writer, engine)


def forbidden(engine: Engine, operation: str | None) -> None:
    """From now on SQLite refuses this operation on savepoints."""

    def decide(action: int, what: str | None, *_: Any) -> int:
        return sqlite3.SQLITE_DENY if (action, what) == (sqlite3.SQLITE_SAVEPOINT, operation) else sqlite3.SQLITE_OK

    borrowed = engine.raw_connection()
    assert isinstance(borrowed.driver_connection, sqlite3.Connection)
    borrowed.driver_connection.set_authorizer(decide if operation else None)
    borrowed.close()


@pytest.mark.parametrize("operation", ["BEGIN", "ROLLBACK", "RELEASE"])
def test_a_savepoint_that_fails(engine: Engine, operation: str) -> None:
    """What cannot be taken back alone is taken back with all the rest."""
    writer = Writer(engine, ChangeFeed({"tenant": Deaf()}), SystemClock())
    assert committed(writer, small) == [1]
    forbidden(engine, operation)
    answers = committed(writer, small, broken, small)
    forbidden(engine, None)
    assert [answer for answer in answers if not isinstance(answer, Exception)] == []
    in_step(writer, engine)
    assert committed(writer, small) == [2]
    in_step(writer, engine)


def test_subtrees_are_kept_of_what_was_written_alone(engine: Engine) -> None:
    writer = Writer(engine, ChangeFeed({"tenant": Deaf()}), SystemClock())
    assert isinstance(committed(writer, many_and_broken)[0], LookupError)
    assert isinstance(committed(writer, small, many_and_broken, many)[1], LookupError)
    in_step(writer, engine)
    with engine.connect() as connection:
        rows = connection.execute(select(audit_subtrees)).all()
        leaves = connection.execute(select(audit_records.c.leaf_hash).order_by(audit_records.c.idx)).scalars().all()
    assert [(row.level, row.number, row.hash) for row in rows] == [(1, 0, frontier_of(leaves[:256]).root())]


def test_whoever_listens_can_neither_hold_up_an_answer_nor_end_the_writer(engine: Engine) -> None:
    writer = Writer(engine, ChangeFeed({"tenant": Deaf()}), SystemClock())
    answered: list[bool] = []
    unit: Unit[Any] = Unit(small, Future())

    def listen() -> None:
        answered.append(unit.answer.done())
        raise LookupError("of the listener's making")

    writer.after_commit = listen
    writer._commit([unit])
    assert answered == [True]
    assert len(committed(writer, small)) == 1, "and the next one is written as well"


def test_a_transaction_that_is_over_is_no_commit(engine: Engine) -> None:
    """The driver commits nothing then, and says nothing: who waits would be told that it was written."""
    with pytest.raises(sqlite3.OperationalError, match="by itself"), WriteSession(engine) as session:
        session.driver.rollback()
    with WriteSession(engine) as session:  # the connection was given back
        assert session.open
