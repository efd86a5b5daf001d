"""Requests that are taken through each step together: what breaks, stalls, floods or is sent twice beside others."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from act.audit import writer as writing
from act.audit.transaction import Transaction
from act.audit.units import WriteFailed
from act.enforcement import pipeline as street
from act.enforcement.batch import BATCH_PATH
from act.enforcement.replays import MAX_SAME, WINDOW
from tests.attacks.log import caused
from tests.enforcement.test_together import PATH, Crowd
from tests.in_process import InProcess

OTHER_KEY = "act_test_other_fedcba9876543210fedcba9876543210"


class Panic(BaseException):
    """As a library in another language raises it: no `Exception`."""


HARD = [StopIteration, Panic, asyncio.CancelledError, MemoryError]


class Held(Crowd):
    """A crowd whose writer can be held. Several may follow each other on a node."""

    def __init__(self, node: InProcess) -> None:
        self.node, self.clock, self.writer = node, node.clock, node.node._writer
        self.clock.move(2 * WINDOW)  # the ids of those before it are free again
        super().__init__(node)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """A commit that takes until the end of the block."""
        entered, go = threading.Event(), threading.Event()

        def hold(transaction: Transaction) -> None:
            entered.set()
            assert go.wait(60)
            transaction.record("default-tenant", "held", {})

        with ThreadPoolExecutor(1) as pool:
            holding = pool.submit(self.writer.write, hold)
            try:
                assert entered.wait(60)
                yield
            finally:
                go.set()
            holding.result(60)

    def begin(self, *asked: tuple[str, str]) -> Future[list[dict[str, Any]]]:
        """Ask in one turn of the event loop, and go on when all have been judged and handed to the writer."""

        async def work() -> list[dict[str, Any]]:
            return list(await asyncio.gather(*(self.ask(id, action) for id, action in asked)))

        async def turns() -> None:
            for _ in range(8):
                await asyncio.sleep(0)

        running = asyncio.run_coroutine_threadsafe(work(), self.service._loop)
        self.do(turns)
        return running

    def kinds(self, kind: str) -> list[dict[str, Any]]:
        found = self.api.get("/v1/audit", params={"begin": self.before, "order": "asc", "limit": 200})["items"]
        return [item["record"] for item in found if item["record"]["kind"] == kind]


def codes(answers: list[dict[str, Any]]) -> list[str]:
    return [one.get("reasonCode", one.get("code")) for one in answers]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    node = InProcess(tmp_path_factory.mktemp("together"))
    yield node
    node.close()


@pytest.fixture
def held(node: InProcess) -> Held:
    return Held(node)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Held]:
    """On a node of its own, for what no later test could use."""
    crowd = Held(InProcess(tmp_path))
    yield crowd
    crowd.node.close()


# --- what breaks in one -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", HARD)
@pytest.mark.parametrize("step", ["_judge_one", "_describe_one", "_record_one", "_answer_one"])
def test_nothing_that_one_raises_leaves_others_waiting(
    held: Held, monkeypatch: pytest.MonkeyPatch, step: str, error: type[BaseException]
) -> None:
    real = getattr(held.pipeline, step)

    def broken(case: Any) -> None:
        if case.asked.request.request_id == "bad":
            raise error
        real(case)

    monkeypatch.setattr(held.pipeline, step, broken)
    assert held.all(("a", "look"), ("bad", "look"), ("b", "look")) == ["allowed", "internal_error", "allowed"]
    monkeypatch.undo()
    assert held.all(("bad", "look"), ("c", "look")) == ["allowed", "allowed"]


@pytest.mark.parametrize("error", HARD)
@pytest.mark.parametrize("name", ["body_of", "record"])
def test_whatever_keeps_it_from_being_described_takes_no_place(
    held: Held, monkeypatch: pytest.MonkeyPatch, name: str, error: type[BaseException]
) -> None:
    def broken(*_: Any) -> None:
        raise error

    monkeypatch.setattr(street, name, broken)
    assert held.all(("a", "run"), ("b", "run"), ("c", "run")) == ["internal_error"] * 3
    monkeypatch.undo()
    assert held.all(*[(f"{id}2", "run") for id in "abcd"]) == ["allowed"] * 3 + ["concurrency_exceeded"]


@pytest.mark.parametrize("error", HARD)
def test_a_unit_that_raises_anything_leaves_the_others_of_its_commit_alone(
    held: Held, error: type[BaseException]
) -> None:
    def broken(transaction: Transaction) -> None:
        transaction.record("default-tenant", "broken", {})
        raise error

    async def work() -> list[Any]:
        asked = [held.ask("a", "run"), held.writer.commit(broken), held.ask("b", "run")]
        return await asyncio.gather(*asked, return_exceptions=True)

    first, failed, last = held.do(work)
    assert codes([first, last]) == ["allowed", "allowed"]
    assert isinstance(failed, MemoryError if error is MemoryError else RuntimeError)
    assert [one["kind"] for one in caused(held.api, held.before)] == ["decision", "decision"]


def test_when_the_writer_dies_all_are_told_and_nothing_more_is_allowed(
    alone: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert alone.all(("before", "look")) == ["allowed"]

    def dies(*_: Any) -> None:
        raise Panic

    monkeypatch.setattr("act.audit.writer._flush", dies)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    assert set(alone.all(*[(f"{number}", "run") for number in range(600)])) == {"overloaded"}
    monkeypatch.undo()
    assert alone.all(("before", "look"), ("after", "look")) == ["stale_state"] * 2, "what was allowed before, neither"
    with pytest.raises(WriteFailed):
        alone.writer.write(lambda transaction: transaction.record("default-tenant", "late", {}))


def test_an_approval_and_a_proof_are_given_back_when_judging_breaks(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.api.policy(["ask"], constraints={"requiresApproval": True, "maxRequests": 5})
    person = held.node.client(held.api.key("approve")["key"])
    pending = held.do(lambda: held.ask("1", "ask"))
    person.post(f"/v1/approvals/{pending['approval']['id']}/approve", {}, status=200)
    book = held.node.node._limits._book

    def broken(*_: Any) -> None:
        raise AssertionError("one counter is spent from twice")

    monkeypatch.setattr(book, "reserve", broken)
    assert held.all(("2", "ask")) == ["internal_error"]
    monkeypatch.undo()
    assert held.all(("2", "ask"), ("3", "ask")) == ["allowed", "approval_required"], "once, and not twice"


# --- what stalls ------------------------------------------------------------------------------------------------------


def test_a_place_that_ends_before_it_is_written_is_not_answered_and_its_end_is_recorded(held: Held) -> None:
    """Else the time-out is sought in the file too early, not found, and forgotten: its session never hears of it."""
    held.api.policy(["short"], constraints={"maxConcurrentTasks": 1, "leaseSeconds": 1})
    limits = held.node.node._limits
    with ThreadPoolExecutor(1) as pool:
        with held.stalled():
            answers = held.begin(("1", "short"))
            held.clock.move(2)
            swept = pool.submit(limits.sweep)
            while not swept.done() and held.writer.waiting < 2:
                time.sleep(0.001)
        assert codes(answers.result(60)) == ["overloaded"]
    limits.sweep()
    (decision,) = held.kinds("decision")
    assert decision["reasonCode"] == "allowed"
    assert decision["decisionId"] in {one["decisionId"] for one in held.kinds("lease.timed_out")}


def test_who_asks_again_during_a_stall_is_told_the_same_however_long_it_takes(held: Held) -> None:
    with held.stalled():
        first = held.begin(("same", "run"))
        held.clock.move(WINDOW - 1)
        second, other = held.begin(("same", "run")), held.begin(("same", "look"))
        held.clock.move(2)
    found = [*first.result(60), *second.result(60)]
    assert codes(other.result(60)) == ["request_id_reused"]
    assert codes(found) == ["allowed", "allowed"]
    assert found[0]["decisionId"] == found[1]["decisionId"]
    assert held.recorded() == [("same", "allowed")]
    held.clock.move(WINDOW - 1)
    assert held.do(lambda: held.ask("same", "run"))["decisionId"] == found[0]["decisionId"]
    held.clock.move(1)
    assert held.do(lambda: held.ask("same", "run"))["decisionId"] != found[0]["decisionId"]


@pytest.mark.parametrize("path", [PATH, BATCH_PATH, "outcome"])
def test_a_key_that_is_revoked_while_a_body_is_held_back_decides_nothing(held: Held, path: str) -> None:
    decision = held.do(lambda: held.ask("1", "look"))
    made = held.api.key("enforce")
    asked: Any = {"requestId": "2", "capabilityToken": held.token, "action": "run", "resourceId": "x"}
    if path == BATCH_PATH:
        asked = {"requests": [asked]}
    elif path == "outcome":
        path, asked = f"/v1/decisions/{decision['decisionId']}/outcome", {"status": "succeeded"}
    headers = [(b"x-api-key", made["key"].encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
    reading, rest = threading.Event(), asyncio.Event()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        reading.set()
        await rest.wait()
        return {"type": "http.request", "body": json.dumps(asked).encode(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    calling = asyncio.run_coroutine_threadsafe(held.service._app(scope, receive, send), held.service._loop)
    assert reading.wait(60)
    held.api.delete(f"/v1/api-keys/{made['id']}", status=200)
    held.service._loop.call_soon_threadsafe(rest.set)
    calling.result(60)
    assert (sent[0]["status"], json.loads(sent[1]["body"])["code"]) == (401, "api_key_invalid")
    assert held.recorded() == [("1", "allowed")]
    assert held.kinds("decision.outcome") == []


def test_a_key_that_is_revoked_while_an_earlier_request_is_waited_for_decides_nothing(held: Held) -> None:
    made = held.api.key("enforce")

    async def same() -> dict[str, Any]:
        return await held.ask("same", dryRun=True, key=made["key"])

    async def both() -> list[dict[str, Any]]:
        return list(await asyncio.gather(same(), same()))

    with ThreadPoolExecutor(1) as pool, held.stalled():
        asking = asyncio.run_coroutine_threadsafe(both(), held.service._loop)
        while held.writer.waiting < 1:
            time.sleep(0.001)
        revoking = pool.submit(held.api.delete, f"/v1/api-keys/{made['id']}", status=200)
        while held.writer.waiting < 2:
            time.sleep(0.001)
    revoking.result(60)
    assert codes(asking.result(60)) == ["allowed", "api_key_invalid"]


def test_who_waits_for_the_same_does_not_wake_thousands(held: Held) -> None:
    """Each of those that are not answered alike is decided in a turn of its own, and wakes all that wait after it."""

    async def work() -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(held.ask("same", dryRun=True) for _ in range(MAX_SAME + 50))))

    found = codes(held.do(work))
    assert (found.count("allowed"), found.count("overloaded")) == (MAX_SAME + 1, 49)


# --- who floods -------------------------------------------------------------------------------------------------------


def test_a_flood_of_one_tenant_leaves_room_for_others_and_for_who_takes_rights_back(
    alone: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone.node.node.tenant_service.create_tenant("other", "Other", OTHER_KEY)
    other = alone.node.client(OTHER_KEY)
    agent = other.agent()
    other.policy(["look"], appliesTo={"agentIds": [agent]})
    token = other.token(agent)
    monkeypatch.setattr(writing, "MAX_WAITING", 41)
    monkeypatch.setattr(street, "SHARE", 40)

    async def single() -> dict[str, Any]:
        return await alone.ask("0", capabilityToken=token, key=OTHER_KEY)

    with ThreadPoolExecutor(1) as pool, alone.stalled():
        flood = alone.begin(*[(f"{number}", "look") for number in range(100)])
        more = alone.begin(*[(f"more {number}", "look") for number in range(100)])
        beside = asyncio.run_coroutine_threadsafe(single(), alone.service._loop)
        revoking = pool.submit(alone.api.post, "/v1/tenants/default-tenant/freeze", {}, status=200)
        while not revoking.done() and alone.writer.waiting < 42:
            time.sleep(0.001)
        found = codes(more.result(60))
        assert (found.count("allowed"), found.count("overloaded")) == (0, 100)
    found = codes(flood.result(60))
    assert (found.count("allowed"), found.count("overloaded")) == (40, 60)
    assert beside.result(60)["reasonCode"] == "allowed", "under the id of another tenant's request"
    revoking.result(60)
    assert alone.all(("late", "look")) == ["tenant_frozen"]
