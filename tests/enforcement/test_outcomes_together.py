"""Outcomes that are written in one commit: each is there whole or not at all, in the file as in memory."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from act.audit.transaction import Transaction
from act.sessions.live import REMEMBERED, LiveSessions
from act.sessions.session import MAX_LABELS, Session
from tests.in_process import InProcess


class Report(NamedTuple):
    """An outcome to be reported; `key` is its `Idempotency-Key`."""

    decision: Any
    labels: Sequence[str] = ()
    created: Sequence[str] = ()
    status: str = "succeeded"
    key: str | None = None


class Place:
    """A node, whose writer can be held so that what comes meanwhile is written in one commit."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "act.db"
        self.act = InProcess(folder)
        self.api = self.act.api

    def ask(self, token: str) -> Any:
        decision = self.api.enforce(token, "run", "x")
        assert decision["reasonCode"] == "allowed"
        return decision

    def token(self, task: str | None = None, *, places: int = 100, **more: Any) -> str:
        """Of an agent of its own; with no `places`, what it does holds none."""
        agent = self.api.agent()
        constraints = {"maxConcurrentTasks": places} if places else {}
        self.api.policy(["run"], appliesTo={"agentIds": [agent]}, constraints=constraints)
        return self.api.token(agent, **more, **({} if task is None else {"task": {"id": task}}))

    def together(self, reports: Sequence[Report]) -> list[httpx2.Response]:
        """The answers to reports that were queued in this order, and written in one commit."""
        writer, entered, go = self.act.node._writer, threading.Event(), threading.Event()
        queued: list[Any] = []
        commits: list[list[Any]] = []
        enqueue, commit = writer._enqueue, writer._commit

        def hold(transaction: Transaction) -> None:
            entered.set()
            assert go.wait(30)
            transaction.record("default-tenant", "held", {})

        def handed_over(count: int) -> bool:
            with writer._admission:
                return len(queued) == count and not writer._gathered

        with ThreadPoolExecutor(len(reports) + 1) as pool, pytest.MonkeyPatch.context() as patch:
            holding = pool.submit(writer.write, hold)
            try:
                assert entered.wait(30)
                patch.setattr(writer, "_enqueue", lambda unit: (enqueue(unit), unit.loop and queued.append(unit)))
                patch.setattr(writer, "_commit", lambda units: (commits.append(units), commit(units)))
                running = []
                for count, report in enumerate(reports, 1):
                    running.append(pool.submit(self.report, report))
                    while not handed_over(count):
                        assert not running[-1].done(), running[-1].result().text
                        time.sleep(0.001)
                told, queued = queued, []
            finally:
                go.set()
            holding.result(30)
            answers = [each.result(30) for each in running]
        assert [unit for unit in commits[0] if unit in told] == told
        return answers

    def report(self, report: Report) -> httpx2.Response:
        body = {"status": report.status, "labels": [*report.labels], "created": [*report.created]}
        headers = {} if report.key is None else {"Idempotency-Key": report.key}
        path = f"/v1/decisions/{report.decision['decisionId']}/outcome"
        return self.api.send("POST", path, body, headers=headers)

    def session(self, decision: Any) -> Session:
        """What memory has of it, which is what the file has."""
        tenant, key, fresh = decision["tenantId"], self.key(decision), LiveSessions(self.act.clock)
        with self.act.node._reading.connect() as connection:
            fresh.load(connection)
        here = self.act.node._sessions.get(tenant, key)
        assert here == fresh.get(tenant, key)
        return here

    def key(self, decision: Any) -> str:
        record = self.record(decision)
        return f"task:{record['taskId']}" if "taskId" in record else f"node:{record['rootNode']}"

    def record(self, answer: Any) -> Any:
        return self.api.get(f"/v1/audit/{answer['audit']['index']}")["record"]

    def row(self, decision: Any) -> str:
        """The labels that the file has of its session, as JSON."""
        with sqlite3.connect(self.file) as file:
            [(labels,)] = file.execute("SELECT labels FROM sessions WHERE key = ?", (self.key(decision),)).fetchall()
        file.close()
        return str(labels)

    def held(self, decisions: Sequence[Any]) -> list[bool]:
        """Whether each of them holds its place, in memory as in the file."""
        with sqlite3.connect(self.file) as file:
            rows = {id for (id,) in file.execute("SELECT decision_id FROM leases")}
        file.close()
        found = [self.act.node._limits.holds(decision["decisionId"]) for decision in decisions]
        assert found == [decision["decisionId"] in rows for decision in decisions]
        return found

    def recorded(self, decisions: Sequence[Any]) -> list[int]:
        """How many outcomes there are of each decision, in the log and in their table."""
        items = self.api.get("/v1/audit", params={"kind": "decision.outcome", "limit": 200})["items"]
        logged = [item["record"]["decisionId"] for item in items]
        with sqlite3.connect(self.file) as file:
            rows = [id for (id,) in file.execute("SELECT decision_id FROM outcomes")]
        file.close()
        assert sorted(rows) == sorted(logged)
        return [logged.count(decision["decisionId"]) for decision in decisions]

    @contextmanager
    def trigger(self, when: str, does: str) -> Iterator[None]:
        """A trigger of the database's own, made over another connection."""
        self._change(f"CREATE TRIGGER attack BEFORE {when} BEGIN {does}; END")
        try:
            yield
        finally:
            self._change("DROP TRIGGER attack")

    def _change(self, statement: str) -> None:
        with sqlite3.connect(self.file, timeout=20) as other:
            other.execute(statement)
        other.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("together"))
    yield place
    place.act.close()


def told(answers: Sequence[httpx2.Response]) -> list[tuple[int, Any]]:
    """Status, and what a success says of being the first, or the code of a problem."""
    return [(each.status_code, each.json().get("repeated", each.json().get("code"))) for each in answers]


def test_one_decision_has_one_outcome(place: Place) -> None:
    decision = place.ask(place.token())
    first = Report(decision, ["a"], ["file://1"])
    others = [Report(decision, ["b"]), Report(decision, ["a"], ["file://1"], "failed"), Report(decision, ["a"])]
    keyed = [first._replace(key="one"), first._replace(key="two"), others[0]._replace(key="three")]
    answers = place.together([first, *others, *keyed, first])
    known, other, again = (200, False), (409, "outcome_reported"), (200, True)
    assert told(answers) == [known, other, other, other, again, again, other, again]
    assert len({answer.json()["audit"]["leafHash"] for answer in answers if answer.status_code == 200}) == 1
    assert place.session(decision) == Session(frozenset("a"), ("file://1",))
    assert place.held([decision]) == [False]
    assert place.recorded([decision]) == [1]


def test_a_report_that_fails_takes_nothing_with_it(place: Place) -> None:
    """One session is full, one key is used, one row is refused; all after they have written something."""
    token = place.token("t")
    decisions = [place.ask(token) for _ in range(8)]
    full = place.ask(place.token())
    for start in range(0, MAX_LABELS, 25):
        some = place.ask(place.token("full"))
        assert place.report(Report(some, [f"l{n}" for n in range(start, start + 25)])).status_code == 200
    full = place.ask(place.token("full"))
    refused = decisions[3]["decisionId"]
    with place.trigger(f"INSERT ON outcomes WHEN NEW.decision_id = '{refused}'", "SELECT RAISE(ABORT, 'refused')"):
        answers = place.together(
            [
                Report(decisions[0], ["a"], ["file://0"]),
                Report(full, ["one too many"], ["file://full"]),
                Report(decisions[3], ["b"], ["file://3"]),
                Report(decisions[4], ["b"], ["file://4"]),
                Report(decisions[5], ["c"], ["file://5"], key="k"),
                Report(decisions[6], ["a", "b"]),
            ]
        )
    done = (200, False)
    assert told(answers) == [done, (409, "session_full"), (500, "internal_error"), done, done, done]
    assert place.held([*decisions, full]) == [False, True, True, True, False, False, False, True, True]
    assert place.session(decisions[0]) == Session(frozenset("abc"), ("file://0", "file://4", "file://5"))
    assert len(place.session(full).labels) == MAX_LABELS
    assert not place.session(full).created
    assert place.recorded([*decisions, full]) == [1, 0, 0, 0, 1, 1, 1, 0, 0]
    assert told([place.report(Report(decisions[3], ["d"]))]) == [done]
    assert place.session(decisions[0]).labels == set("abcd")


def test_a_transaction_that_the_database_ends_is_nobodys(place: Place) -> None:
    """As on a full disk: those before it in the commit have nothing written, and those after it as little."""
    token = place.token()
    decisions = [place.ask(token) for _ in range(4)]
    reports = [Report(one, [f"l{n}"], key=f"k{n}" if n % 2 else None) for n, one in enumerate(decisions)]
    broken = decisions[1]["decisionId"]
    with place.trigger(f"INSERT ON outcomes WHEN NEW.decision_id = '{broken}'", "SELECT RAISE(ROLLBACK, 'full')"):
        answers = place.together(reports)
    assert told(answers) == [(503, "overloaded")] * 4
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}
    assert place.held(decisions) == [True] * 4
    assert place.session(decisions[0]) == Session()
    assert place.recorded(decisions) == [0] * 4
    assert told(place.together(reports)) == [(200, False)] * 4
    assert place.session(decisions[0]).labels == {"l0", "l1", "l2", "l3"}
    assert place.held(decisions) == [False] * 4


def test_a_server_that_is_stopping_has_not_failed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    decision = place.ask(place.token())
    place.act.node._writer.stop()
    answers = [place.report(Report(decision, key=key)) for key in (None, "k")]
    assert told(answers) == [(503, "overloaded")] * 2
    assert place.held([decision]) == [True]
    place.act.close()


class TestMemory:
    """What it knows of a session is not looked up in the file again, and it never knows more than the file."""

    def test_a_task_of_the_same_name_in_another_tenant(self, place: Place) -> None:
        here, other = place.api, place.act.client(place.act.node.tenant_service.create_tenant("other", "Other"))
        decisions = []
        for place.api in (here, other):
            decisions.append(place.ask(place.token("shared")))
        stranger = [place.report(Report(decisions[0], key=key)) for key in (None, "k")]
        assert told(stranger) == [(404, "not_found")] * 2
        for place.api, decision in zip((here, other), decisions, strict=True):
            recorded = place.report(Report(decision, ["a"], ["file://1"])).json()
            assert place.record(recorded)["revision"] > place.record(decision)["revision"]
            assert place.session(decision) == Session(frozenset("a"), ("file://1",))
        place.api = here

    def test_a_session_that_it_has_let_go(self, place: Place) -> None:
        """An action may take longer than its token lives, and its outcome comes late."""
        token = place.token(places=0, expiresIn=60)
        decisions = [place.ask(token) for _ in range(3)]
        place.report(Report(decisions[0], ["a"], ["file://1"]))
        place.act.clock.move(60 + REMEMBERED.total_seconds() + 1)
        with place.act.node._reading.connect() as connection:
            place.act.node._sessions.forget_ended(connection)
        assert place.act.node._sessions.get("default-tenant", place.key(decisions[0])) == Session()
        known = place.report(Report(decisions[1], ["a"], ["file://1"])).json()
        assert "revision" not in place.record(known)
        more = place.report(Report(decisions[2], ["b"], ["file://1"])).json()
        assert "revision" in place.record(more)
        assert json.loads(place.row(decisions[0])) == ["a", "b"]
