"""The mark and the change are one: both are written, or neither, whoever comes at the same time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Table, func, insert, select

from act.audit.transaction import Transaction
from act.audit.units import Unit, WriteFailed, along
from act.audit.writer import Writer
from act.database.changes import ChangeFeed
from act.database.engine import writing_engine
from act.database.migrate import migrate
from act.database.tables import audit_records, idempotency_keys, tenants
from act.idempotency.claim import claim
from act.idempotency.service import KEPT, IdempotencyService, Mark
from act.problems import ProblemError
from tests.in_process import Hand, InProcess


def once(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


class Here:
    """A real writer on a file, whose units are queued by hand."""

    def __init__(self, folder: Path) -> None:
        self.clock = Hand()
        self.engine = writing_engine(folder / "act.db")
        migrate(self.engine)
        tenant = {"id": "t", "name": "t", "max_token_ttl": 1, "default_token_ttl": 1, "created_at": self.clock.at}
        with self.engine.begin() as connection:
            connection.execute(insert(tenants).values(tenant))
        self.writer = Writer(self.engine, ChangeFeed({}), self.clock)

    def rows(self, table: Table) -> int:
        with self.engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(table)).scalar_one()

    def mark(self, name: str = "k") -> Mark:
        api_key = "act_x_0123456789012345678901234567890123"
        return Mark(claim("t", "key_1", api_key, name, "POST", "/x", b"", (), b"{}"), self.clock)

    def committed(self, *units: tuple[Mark, Callable[[Transaction], int]]) -> list[Any]:
        """What became of units that are written in one batch, each with a mark."""
        queued: list[Unit[int]] = []
        for mark, work in units:
            token = along.set(mark)
            queued.append(Unit(work, Future()))
            along.reset(token)
        self.writer._commit(queued)
        return [unit.answer.exception(0) or unit.answer.result(0) for unit in queued]  # type: ignore[call-arg]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    here = Here(tmp_path)
    yield here
    here.engine.dispose()


def told(transaction: Transaction) -> int:
    return transaction.record("t", "small", {}).index


def broken(transaction: Transaction) -> int:
    told(transaction)
    raise LookupError("of its own making")


def test_of_two_units_under_one_key_one_is_written(here: Here) -> None:
    """As when a request was given up and asked again while its write was still queued."""
    first, second, other = here.committed((here.mark(), told), (here.mark(), told), (here.mark("l"), told))
    assert isinstance(second, ProblemError)
    assert (second.status, second.code) == (409, "idempotency_in_flight")
    assert (first, other) == (0, 1)
    assert (here.rows(audit_records), here.rows(idempotency_keys)) == (2, 2)
    [later] = here.committed((here.mark(), told))
    assert isinstance(later, ProblemError)
    here.clock.move(KEPT.total_seconds())
    assert here.committed((here.mark(), told)) == [2]


def test_units_of_one_request_share_its_mark(here: Here) -> None:
    mark = here.mark()
    assert here.committed((mark, told), (mark, told)) == [0, 1]
    assert here.rows(idempotency_keys) == 1


def test_a_unit_that_fails_leaves_no_mark(here: Here) -> None:
    mark = here.mark()
    failed, other = here.committed((mark, broken), (here.mark("l"), told))
    assert isinstance(failed, LookupError)
    assert (other, here.rows(idempotency_keys), mark.written) == (0, 1, False)


@pytest.fixture
def act(tmp_path: Path) -> Iterator[InProcess]:
    act = InProcess(tmp_path)
    yield act
    act.close()


def test_a_failure_after_the_change_is_known_to_have_changed_something(
    act: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(row: Any) -> Any:
        raise OSError("after the commit")

    name, key = uuid4().hex, once("k")
    with monkeypatch.context() as patch:
        patch.setattr("act.agents.service._answer", fail)
        assert act.api.post("/v1/agents", {"name": name}, headers=key, status=500)["code"] == "internal_error"
    lost = act.api.post("/v1/agents", {"name": name}, headers=key, status=409)
    assert lost["code"] == "idempotency_answer_lost"
    assert [item["name"] for item in act.api.get("/v1/agents")["items"]] == [name]


def test_an_answer_that_cannot_be_kept_is_given_all_the_same(act: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> None:
        raise WriteFailed("The disk is full.")

    name, key = uuid4().hex, once("k")
    with monkeypatch.context() as patch:
        patch.setattr(IdempotencyService, "keep", fail)
        act.api.post("/v1/agents", {"name": name}, headers=key)
    lost = act.api.post("/v1/agents", {"name": name}, headers=key, status=409)
    assert lost["code"] == "idempotency_answer_lost"


def test_an_answer_that_was_changed_in_the_file_counts_as_lost(act: InProcess, tmp_path: Path) -> None:
    name, key = uuid4().hex, once("k")
    act.api.post("/v1/agents", {"name": name}, headers=key)
    with sqlite3.connect(tmp_path / "act.db") as connection:
        connection.execute("UPDATE idempotency_keys SET answer = zeroblob(100)")
    lost = act.api.post("/v1/agents", {"name": name}, headers=key, status=409)
    assert lost["code"] == "idempotency_answer_lost"
