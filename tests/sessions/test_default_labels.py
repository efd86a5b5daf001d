"""Who says nothing of labels has read what the tenant's default labels say, `untrusted` unless it says otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from act.sessions.session import MAX_LABELS
from tests.in_process import InProcess
from tests.support import Api, Server

from .test_outcomes import Worker, record_of

TENANT = "/v1/tenants/default-tenant"


@pytest.fixture
def worker(api: Api) -> Worker:
    return Worker(api)


@pytest.fixture
def default(api: Api) -> Iterator[Any]:
    """Sets the default labels; they are as they were at the end."""
    yield lambda *labels: api.patch(TENANT, {"defaultLabels": list(labels)})
    api.patch(TENANT, {"defaultLabels": ["untrusted"]})


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled"])
def test_an_outcome_without_labels(worker: Worker, outcome: str) -> None:
    reading = worker.ask("read")
    assert worker.code("write") == "allowed"
    record = record_of(worker.api, worker.report(reading, outcome))
    assert (record["labels"], record["labelsByDefault"]) == (["untrusted"], True)
    assert record["revision"] > 0
    assert worker.code("write") == "no_matching_policy"


def test_an_empty_list_says_that_nothing_was_read(worker: Worker) -> None:
    record = record_of(worker.api, worker.read(labels=[]))
    assert (record["labels"], "labelsByDefault" in record, "revision" in record) == ([], False, False)
    assert worker.code("write") == "allowed"


def test_labels_take_the_place_of_the_default(worker: Worker) -> None:
    assert "labelsByDefault" not in record_of(worker.api, worker.read(labels=["pii"]))
    assert worker.code("write") == "allowed"


def test_what_was_created_comes_with_the_default(worker: Worker) -> None:
    worker.report(worker.ask("make", "file://a"), created=["file://a"])
    assert (worker.code("drop", "file://a"), worker.code("write")) == ("allowed", "no_matching_policy")


def test_null_is_no_way_to_say_nothing(worker: Worker) -> None:
    problem = worker.read(labels=None, status=422)
    assert [fault["pointer"] for fault in problem["errors"]] == ["/labels"]
    assert worker.code("write") == "allowed"


class TestTheTenantsChoice:
    def test_it_counts_from_the_change_on(self, worker: Worker, default: Any) -> None:
        changed = default("b", "a", "b")
        assert changed["defaultLabels"] == ["a", "b"]
        assert worker.api.get(TENANT)["defaultLabels"] == ["a", "b"]
        record = record_of(worker.api, worker.read())
        assert (record["labels"], record["labelsByDefault"]) == (["a", "b"], True)
        assert worker.code("write") == "allowed"
        default()
        record = record_of(worker.api, worker.read())
        assert (record["labels"], record["labelsByDefault"], record.get("revision")) == ([], True, None)

    def test_the_change_is_in_the_log_and_what_is_not_named_stays(self, api: Api, default: Any) -> None:
        before = api.get(TENANT)
        changed = default("pii")
        kind = {"kind": "tenant.updated", "order": "desc", "limit": 1}
        record = api.get("/v1/audit", params=kind)["items"][0]["record"]
        assert (record["defaultLabels"], record["revision"]) == (["pii"], changed["revision"])
        assert changed["maxTokenTtl"] == before["maxTokenTtl"]
        assert api.patch(TENANT, {"maxTokenTtl": before["maxTokenTtl"]})["defaultLabels"] == ["pii"]

    @pytest.mark.parametrize(
        ("labels", "pointer"),
        [
            ([""], "/defaultLabels/0"),
            (["a", "x" * 65], "/defaultLabels/1"),
            ([str(n) for n in range(9)], "/defaultLabels"),
            ("untrusted", "/defaultLabels"),
            (None, ""),
        ],
    )
    def test_what_is_no_list_of_labels(self, api: Api, labels: Any, pointer: str) -> None:
        problem = api.patch(TENANT, {"defaultLabels": labels}, status=422)
        assert [fault["pointer"] for fault in problem["errors"]] == [pointer]
        assert api.get(TENANT)["defaultLabels"] == ["untrusted"]

    def test_only_an_admin_chooses(self, api: Api, server: Server) -> None:
        for scope in ("tokens", "policies", "enforce"):
            with server.api(api.key(scope)["key"]) as caller:
                assert caller.patch(TENANT, {"defaultLabels": []}, status=403)["code"] == "scope_missing"

    def test_it_survives_the_server(self, tmp_path: Path) -> None:
        with Server(tmp_path) as server:
            server.api().patch(TENANT, {"defaultLabels": ["a"]})
            server.kill()
            server.start()
            worker = Worker(server.api())
            assert worker.api.get(TENANT)["defaultLabels"] == ["a"]
            assert record_of(worker.api, worker.read())["labels"] == ["a"]


class TestTwice:
    def test_a_repetition_is_one_also_when_the_default_has_changed(self, worker: Worker, default: Any) -> None:
        decision = worker.ask("read")
        default("a")
        first = worker.report(decision)
        default("b")
        again = worker.report(decision)
        assert (again["repeated"], again["audit"]) == (True, first["audit"])

    @pytest.mark.parametrize(("one", "other"), [({}, {"labels": []}), ({"labels": ["untrusted"]}, {})])
    def test_to_say_nothing_is_another_report_than_to_say_something(
        self, worker: Worker, one: dict[str, Any], other: dict[str, Any]
    ) -> None:
        decision = worker.ask("read")
        worker.report(decision, **one)
        assert worker.report(decision, status=409, **other)["code"] == "outcome_reported"


def test_a_full_session_has_room_for_the_default(worker: Worker) -> None:
    """Otherwise who says nothing could never report again."""
    for start in range(0, MAX_LABELS, 25):
        worker.read(labels=[f"l{n}" for n in range(start, start + 25)])
    worker.read()
    assert worker.code("write") == "no_matching_policy"
    worker.read(labels=["l0", "untrusted"])
    assert worker.read(labels=["one more"], status=409)["code"] == "session_full"


class TestTimeOut:
    """A lease that nobody ended: the action may have read anything."""

    @pytest.fixture
    def node(self, tmp_path: Path) -> Iterator[InProcess]:
        node = InProcess(tmp_path)
        yield node
        node.close()

    def _run(self, worker: Worker) -> Any:
        limit = {"maxConcurrentTasks": 1, "leaseSeconds": 60}
        worker.may(["run"], constraints=limit)
        decision = worker.ask("run")
        assert decision["lease"]
        return decision

    def _timed_out(self, node: InProcess) -> Any:
        node.clock.move(61)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if found := node.api.get("/v1/audit", params={"kind": "lease.timed_out"})["items"]:
                node.api.agent()  # an answered write: the commit before it is in memory as well
                return found[0]["record"]
            time.sleep(0.05)
        raise TimeoutError("the lease did not time out")

    def test_it_adds_the_default_labels(self, node: InProcess) -> None:
        worker = Worker(node.api)
        decision = self._run(worker)
        assert worker.code("write") == "allowed"
        record = self._timed_out(node)
        assert (record["decisionId"], record["labels"]) == (decision["decisionId"], ["untrusted"])
        assert record["labelsByDefault"] is True
        assert worker.code("write") == "no_matching_policy"

    def test_one_that_was_reported_adds_nothing(self, node: InProcess) -> None:
        worker = Worker(node.api)
        worker.report(self._run(worker), labels=[])
        other = Worker(node.api)
        self._run(other)
        assert self._timed_out(node)["agentId"] == other.id
        assert (worker.code("write"), other.code("write")) == ("allowed", "no_matching_policy")

    def test_a_report_that_comes_later_is_recorded_all_the_same(self, node: InProcess) -> None:
        worker = Worker(node.api)
        decision = self._run(worker)
        self._timed_out(node)
        assert worker.report(decision, labels=["pii"])["repeated"] is False
        assert worker.code("write") == "no_matching_policy", "what was added stays"


def test_the_default_is_shared_by_the_task(worker: Worker) -> None:
    task = {"task": {"id": uuid4().hex}}
    one, other = (worker.api.token(worker.id, **task) for _ in range(2))
    worker.report(worker.ask("read", token=one))
    assert worker.code("write", token=other) == "no_matching_policy"
