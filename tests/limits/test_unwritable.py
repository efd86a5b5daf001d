"""What was reserved for a decision that could not be written is given back: all of it, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.test_counting import codes, flood, request
from tests.e2e.test_crash import empty_disk, fill_disk, ready
from tests.in_process import InProcess
from tests.limits.floods import limited, money
from tests.support import Api, Server

LIMITS = [
    pytest.param({"rateLimit": "3 per day"}, "rate_limited", id="rate"),
    pytest.param({"maxRequests": 3}, "quota_exceeded", id="quota"),
    pytest.param(money(0.3), "budget_exceeded", id="budget"),
    pytest.param(money(0.3, "day"), "budget_exceeded", id="budget of a day"),
    pytest.param({"maxConcurrentTasks": 3}, "concurrency_exceeded", id="places"),
]
AMOUNT: dict[str, Any] = {"arguments": {"amount": 0.1}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unwritable")


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[InProcess]:
    running = InProcess(folder)
    yield running
    running.close()


def ask(api: Api, token: str) -> str:
    return str(api.enforce(token, "run", "x", **AMOUNT)["reasonCode"])


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """A trigger of the database's own, made over another connection, refuses every record."""
    with sqlite3.connect(folder / "act.db", timeout=20) as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON audit_records BEGIN SELECT RAISE(ROLLBACK, 'full'); END")
    other.close()
    try:
        yield
    finally:
        with sqlite3.connect(folder / "act.db", timeout=20) as other:
            other.execute("DROP TRIGGER full")
        other.close()


@pytest.mark.parametrize(("constraints", "code"), LIMITS)
def test_a_refused_request_gives_back_what_it_took(
    node: InProcess, folder: Path, constraints: dict[str, Any], code: str
) -> None:
    api, token = node.api, limited(node.api, constraints)
    assert ask(api, token) == "allowed"
    with unwritable(folder):
        for _ in range(5):
            problem = api.post("/v1/enforce", request(token, **AMOUNT), status=503)
            assert (problem["code"], problem["decision"]) == ("overloaded", "denied")
    assert [ask(api, token) for _ in range(3)] == ["allowed", "allowed", code]


def test_of_all_limits_together(node: InProcess, folder: Path) -> None:
    """The one with the least room is still exactly that; and a request id that failed is no answer."""
    constraints = {"rateLimit": ["4 per minute", "5 per day"], "maxRequests": 6, "maxConcurrentTasks": 7, **money(0.3)}
    api, token = node.api, limited(node.api, constraints)
    once = request(token, **AMOUNT)
    with unwritable(folder):
        for _ in range(3):
            assert api.post("/v1/enforce", once, status=503)["decision"] == "denied"
    answer = api.post("/v1/enforce", once, status=200)
    assert (answer["reasonCode"], answer["replayed"]) == ("allowed", False)
    rests = {(left["constraint"], left["window"]): left["remaining"] for left in answer["limits"]}
    assert rests == {
        ("rateLimit", 60): 3, ("rateLimit", 86400): 4, ("maxRequests", None): 5, ("budget", None): 0.2
    }  # fmt: skip


def test_what_was_written_before_is_not_given_back_by_a_restart(tmp_path: Path) -> None:
    """Memory and file agree afterwards: the file has none of what was given back."""
    node = InProcess(tmp_path)
    token = limited(node.api, {"maxRequests": 3})
    assert ask(node.api, token) == "allowed"
    with unwritable(tmp_path):
        node.api.post("/v1/enforce", request(token), status=503)
    assert ask(node.api, token) == "allowed"
    at = node.clock.now()
    node.close()
    node = InProcess(tmp_path, at)
    assert [ask(node.api, token) for _ in range(2)] == ["allowed", "quota_exceeded"]
    node.close()


@pytest.mark.timeout(180)
def test_a_disk_that_is_full_in_the_middle_of_a_flood(tmp_path: Path) -> None:
    """A real server on a real limit of its files: what was refused took nothing, what was allowed is counted."""
    with Server(tmp_path) as server, server.api() as api:
        token = limited(api, {"maxRequests": 40, "rateLimit": "40 per day", **money(4)})
        allowed = [api.enforce(token, "run", "x", **AMOUNT)["reasonCode"] for _ in range(20)].count("allowed")
        while server.database.with_name("act.db-wal").stat().st_size <= 130 * 1024:
            api.agent()
        fill_disk(server)
        refused = flood(server, [request(token, **AMOUNT) for _ in range(100)])
        assert {answer.get("code") for answer in refused} == {"overloaded"}
        empty_disk(server)
        assert ready(api)
        decisions = flood(server, [request(token, **AMOUNT) for _ in range(60)])
        assert codes(decisions) == {"allowed": 40 - allowed, "budget_exceeded": 60 - (40 - allowed)}
