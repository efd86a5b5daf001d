"""What outcomes report becomes a part of the session, and of the next decision, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from act.sessions.session import MAX_CREATED, MAX_LABELS
from tests.support import Api, Server


class Worker:
    """An agent that may read; write only while nothing untrusted was read; drop only what it made."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.id = api.agent()
        self.token = api.token(self.id)
        self.may(["read", "make"])
        self.may(["write"], when="!('untrusted' in session.labels)")
        self.may(["drop"], when="resource in session.created")

    def may(self, actions: list[str], **more: Any) -> None:
        self.api.policy(actions, appliesTo={"agentIds": [self.id]}, **more)

    def ask(self, action: str, resource: str = "x", token: str | None = None, **more: Any) -> Any:
        return self.api.enforce(token or self.token, action, resource, **more)

    def code(self, action: str, resource: str = "x", token: str | None = None) -> str:
        return str(self.ask(action, resource, token)["reasonCode"])

    def report(self, decision: Any, outcome: str = "succeeded", *, status: int = 200, **more: Any) -> Any:
        path = f"/v1/decisions/{decision['decisionId']}/outcome"
        return self.api.post(path, {"status": outcome} | more, status=status)

    def read(self, **more: Any) -> Any:
        """Read something and report it."""
        return self.report(self.ask("read"), **more)


@pytest.fixture
def worker(api: Api) -> Worker:
    return Worker(api)


def record_of(api: Api, recorded: Any) -> Any:
    return api.get(f"/v1/audit/{recorded['audit']['index']}")["record"]


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled"])
def test_a_label_counts_from_the_report_on(worker: Worker, outcome: str) -> None:
    reading = worker.ask("read")
    assert worker.code("write") == "allowed", "what was not reported is not known"
    worker.report(reading, outcome, labels=["untrusted"])
    assert worker.code("write") == "no_matching_policy"


def test_a_label_stays(worker: Worker) -> None:
    worker.read(labels=["untrusted"])
    for labels in ([], ["trusted"], ["untrusted", "pii"]):
        worker.read(labels=labels)
        assert worker.code("write") == "no_matching_policy"


def test_what_was_created_can_be_dropped(worker: Worker) -> None:
    making = worker.ask("make", "file://a")
    assert worker.code("drop", "file://a") == "no_matching_policy"
    worker.report(making, created=["file://a", "file://a/1", "file://a"])
    assert worker.code("drop", "file://a") == "allowed"
    assert worker.code("drop", "file://a/1") == "allowed"
    assert worker.code("drop", "file://b") == "no_matching_policy"


def test_the_record_of_the_outcome_says_what_was_reported(worker: Worker) -> None:
    decision = worker.ask("make", "file://a")
    recorded = worker.report(decision, labels=["b", "a", "b"], created=["file://z", "file://a", "file://z"])
    record = record_of(worker.api, recorded)
    assert (record["labels"], record["created"]) == (["a", "b"], ["file://z", "file://a"])
    asked = worker.api.get(f"/v1/audit/{decision['audit']['index']}")["record"]
    assert record["rootNode"] == asked["rootNode"]
    assert record["revision"] > asked["revision"]
    nothing_new = record_of(worker.api, worker.read(labels=["a"]))
    assert (nothing_new["labels"], nothing_new.get("revision")) == (["a"], None)
    nothing_read = record_of(worker.api, worker.read(labels=[]))
    assert (nothing_read["labels"], nothing_read.get("labelsByDefault")) == ([], None)


def test_each_token_of_its_own_has_a_session_of_its_own(worker: Worker) -> None:
    worker.read(labels=["untrusted"])
    another = worker.api.token(worker.id)
    assert worker.code("write", token=another) == "allowed"
    assert worker.code("write") == "no_matching_policy"


def test_the_session_survives_the_server(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        worker = Worker(server.api())
        worker.read(labels=["untrusted"], created=["file://a"])
        server.kill()
        server.start()
        worker.api = server.api()
        assert worker.code("write") == "no_matching_policy"
        assert worker.code("drop", "file://a") == "allowed"


class TestReplays:
    """An answer that rested on a session is not given again when the session has changed."""

    def test_an_allowed_one(self, worker: Worker) -> None:
        again = {"requestId": uuid4().hex}
        reading = worker.ask("read")
        first = worker.ask("write", **again)
        assert (first["reasonCode"], worker.ask("write", **again)["replayed"]) == ("allowed", True)
        worker.report(reading, labels=["untrusted"])
        second = worker.ask("write", **again)
        assert (second["reasonCode"], second["replayed"]) == ("no_matching_policy", False)

    def test_a_denied_one(self, worker: Worker) -> None:
        again = {"requestId": uuid4().hex}
        making = worker.ask("make", "file://a")
        first = worker.ask("drop", "file://a", **again)
        assert first["reasonCode"] == "no_matching_policy"
        worker.report(making, created=["file://a"])
        second = worker.ask("drop", "file://a", **again)
        assert (second["reasonCode"], second["replayed"]) == ("allowed", False)


class TestTwice:
    def test_the_same_again_adds_nothing(self, worker: Worker) -> None:
        decision = worker.ask("read")
        first = worker.report(decision, labels=["a", "b"], created=["file://1", "file://2"])
        for labels in (["a", "b"], ["b", "a", "a"]):
            again = worker.report(decision, labels=labels, created=["file://1", "file://2", "file://1"])
            assert (again["repeated"], again["audit"]) == (True, first["audit"])

    @pytest.mark.parametrize(
        "other",
        [
            {"labels": ["a"]},
            {"labels": ["a", "b"], "created": ["file://1"]},
            {"labels": ["a", "b"], "created": ["file://1", "file://3"]},
            {},
            {"outcome": "failed", "labels": ["a", "b"], "created": ["file://1", "file://2"]},
        ],
    )
    def test_something_else_is_a_conflict(self, worker: Worker, other: Any) -> None:
        decision = worker.ask("read")
        worker.report(decision, labels=["a", "b"], created=["file://1", "file://2"])
        assert worker.report(decision, status=409, **other)["code"] == "outcome_reported"
        assert worker.code("drop", "file://3") == "no_matching_policy"

    def test_labels_do_not_come_after_the_outcome(self, worker: Worker) -> None:
        decision = worker.ask("read")
        worker.report(decision)
        assert worker.report(decision, status=409, labels=["untrusted"])["code"] == "outcome_reported"


class TestMalformed:
    @pytest.mark.parametrize(
        ("body", "pointers"),
        [
            ({"labels": [""]}, ["/labels/0"]),
            ({"labels": ["a", "x" * 65]}, ["/labels/1"]),
            ({"labels": ["a\u200bb"]}, ["/labels/0"]),
            ({"labels": ["A\u030a"]}, ["/labels/0"]),
            ({"labels": [" a"]}, ["/labels/0"]),
            ({"labels": [1]}, ["/labels/0"]),
            ({"labels": "untrusted"}, ["/labels"]),
            ({"labels": None}, ["/labels"]),
            ({"labels": [str(n) for n in range(33)]}, ["/labels"]),
            ({"created": [""]}, ["/created/0"]),
            ({"created": ["file://a", "file://a/../b"]}, ["/created/1"]),
            ({"created": ["file://%2e"]}, ["/created/0"]),
            ({"created": ["x" * 2049]}, ["/created/0"]),
            ({"created": [f"file://{n}" for n in range(257)]}, ["/created"]),
            ({"labels": ["\n"], "created": ["a\\b", "c", "a//b"]}, ["/labels/0", "/created/0", "/created/2"]),
            ({"made": ["file://a"]}, ["/made"]),
        ],
    )
    def test_every_fault_is_told_and_nothing_is_recorded(self, worker: Worker, body: Any, pointers: list[str]) -> None:
        decision = worker.ask("read")
        problem = worker.report(decision, status=422, **body)
        assert [fault["pointer"] for fault in problem["errors"]] == pointers
        assert worker.report(decision)["repeated"] is False

    def test_as_many_as_there_may_be(self, worker: Worker) -> None:
        worker.read(labels=[f"{n:064}" for n in range(32)], created=[f"file://{n}" for n in range(256)])
        assert worker.code("drop", "file://255") == "allowed"


class TestFull:
    @pytest.fixture
    def limited(self, worker: Worker) -> Worker:
        """With one place to run at a time."""
        worker.may(["run"], constraints={"maxConcurrentTasks": 1})
        return worker

    def _full(self, worker: Worker, running: Any, **more: Any) -> None:
        """A refused report records nothing, ends no lease, and can be made again without what was too much."""
        problem = worker.report(running, status=409, **more)
        assert problem["code"] == "session_full"
        assert worker.code("run") == "concurrency_exceeded", "the lease goes on"
        assert worker.report(running, labels=[])["repeated"] is False
        assert worker.code("run") == "allowed"

    def test_of_labels(self, limited: Worker) -> None:
        for start in range(0, MAX_LABELS, 25):
            limited.read(labels=[f"l{n}" for n in range(start, start + 25)])
        limited.read(labels=["l0", "l99"])
        self._full(limited, limited.ask("run"), labels=["l0", "untrusted"], created=["file://a"])
        assert limited.code("drop", "file://a") == "no_matching_policy", "the whole report was refused"

    def test_of_created_resources(self, limited: Worker) -> None:
        for start in range(0, MAX_CREATED, 250):
            limited.read(created=[f"file://{n}" for n in range(start, start + 250)], labels=[])
        assert limited.code("drop", f"file://{MAX_CREATED - 1}") == "allowed"
        self._full(limited, limited.ask("run"), created=["file://more"], labels=["untrusted"])
        assert limited.code("write") == "allowed", "the whole report was refused"


class TestWhoMayReport:
    @pytest.fixture
    def key(self, worker: Worker, server: Server) -> Iterator[Any]:
        """Clients by the fields of their key."""
        made: list[Api] = []

        def client(*scopes: str, **more: Any) -> Api:
            made.append(server.api(worker.api.key(*scopes, **more)["key"]))
            return made[-1]

        yield client
        for api in made:
            api.close()

    def test_a_key_of_another_agent_cannot_reach_into_the_session(self, worker: Worker, key: Any) -> None:
        decision = worker.ask("make", "file://a")
        stranger = key("enforce", agentId=worker.api.agent())
        path, body = f"/v1/decisions/{decision['decisionId']}/outcome", {"status": "succeeded", "created": ["file://a"]}
        assert stranger.post(path, body, status=404)["code"] == "not_found"
        assert key("audit", "approve", "tokens").post(path, body, status=403)
        assert worker.code("drop", "file://a") == "no_matching_policy"
        key("enforce", agentId=worker.id).post(path, body, status=200)
        assert worker.code("drop", "file://a") == "allowed"

    @pytest.mark.parametrize("how", ["denied", "dry", "pending"])
    def test_what_was_not_allowed_has_made_nothing(self, worker: Worker, how: str) -> None:
        worker.may(["send"], constraints={"requiresApproval": True})
        asked: dict[str, Any] = {"denied": {"action": "drop"}, "dry": {"action": "read", "dryRun": True}}
        decision = worker.ask(resource="file://a", **asked.get(how, {"action": "send"}))
        assert decision["decision"] == {"denied": "denied", "dry": "allowed"}.get(how, "pending_approval")
        assert worker.report(decision, status=409, created=["file://a"])["code"] == "decision_not_allowed"
        assert worker.code("drop", "file://a") == "no_matching_policy"

    def test_a_token_that_is_over_can_still_be_reported_on(self, worker: Worker) -> None:
        """Whatever happened meanwhile, what was read was read."""
        issued = worker.api.post("/v1/tokens", {"agentId": worker.id})
        decision = worker.ask("read", token=issued["token"])
        worker.api.post(f"/v1/tokens/{issued['tokenId']}/revoke", status=200)
        assert record_of(worker.api, worker.report(decision, labels=["untrusted"]))["revision"]


def test_reports_at_once_lose_nothing(worker: Worker) -> None:
    decisions = [worker.ask("read") for _ in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: worker.report(decisions[n], created=[f"file://{n}", "file://all"]), range(40)))
    codes = {worker.code("drop", f"file://{n}") for n in range(40)} | {worker.code("drop", "file://all")}
    assert codes == {"allowed"}
