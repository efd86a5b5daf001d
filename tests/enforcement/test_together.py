"""Requests that are there together take each step together, and each stands alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from act.audit.units import WriteFailed
from act.enforcement import pipeline as street
from tests.attacks.log import caused, size
from tests.in_process import InProcess
from tests.support import ADMIN_KEY

PATH = "/v1/enforce"


class Crowd:
    """Many who ask at once, with the token of one agent, which may `look`, and `run` three at a time."""

    def __init__(self, node: InProcess) -> None:
        self.api = api = node.api
        self.service = node._service
        agent = api.agent()
        self.token = api.token(agent)
        to = {"appliesTo": {"agentIds": [agent]}}
        api.policy(["look"], **to)
        api.policy(["run"], **to, constraints={"maxConcurrentTasks": 3})
        self.pipeline = node._service._app._decisions[PATH]._pipeline
        self.before = size(api)

    async def ask(self, id: str, action: str = "look", *, key: str = ADMIN_KEY, **more: Any) -> dict[str, Any]:
        asked = {"requestId": id, "capabilityToken": self.token, "action": action, "resourceId": "x"} | more
        headers = [(b"x-api-key", key.encode()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": PATH, "headers": headers, "query_string": b""}
        sent: list[bytes] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": json.dumps(asked).encode(), "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message.get("body", b""))

        await self.service._app(scope, receive, send)
        found: dict[str, Any] = json.loads(b"".join(sent))
        return found

    def do(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """On the event loop of the node."""
        return asyncio.run_coroutine_threadsafe(work(), self.service._loop).result(60)

    def all(self, *asked: tuple[str, str]) -> list[str]:
        """The reason or the problem of each, asked in one turn of the event loop."""

        async def work() -> list[dict[str, Any]]:
            return list(await asyncio.gather(*(self.ask(id, action) for id, action in asked)))

        return [one.get("reasonCode", one.get("code")) for one in self.do(work)]

    def recorded(self) -> list[tuple[str, str]]:
        records = caused(self.api, self.before)
        return [(one["requestId"], one["reasonCode"]) for one in records if one["kind"] == "decision"]


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    node = InProcess(tmp_path)
    yield Crowd(node)
    node.close()


def test_each_is_judged_with_what_those_before_it_have_reserved(crowd: Crowd) -> None:
    asked = [(f"{number}", "run" if number % 2 else "look") for number in range(20)]
    wanted, places = [], 3
    for id, action in asked:
        wanted.append((id, "allowed" if action == "look" or places > 0 else "concurrency_exceeded"))
        places -= action == "run"
    assert crowd.all(*asked) == [code for _, code in wanted]
    assert crowd.recorded() == wanted, "the log has them in the order in which they came"


def test_they_share_a_turn_and_a_commit(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    together: list[int] = []
    decide = crowd.pipeline._begun._then
    monkeypatch.setattr(crowd.pipeline._begun, "_then", lambda cases: (together.append(len(cases)), decide(cases)))
    assert crowd.all(*[(f"{number}", "look") for number in range(50)]) == ["allowed"] * 50
    assert together == [50]


@pytest.mark.parametrize("step", ["_judge_one", "_describe_one", "_record_one", "_answer_one"])
def test_what_breaks_in_a_step_is_that_of_one(crowd: Crowd, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    real = getattr(crowd.pipeline, step)

    def broken(case: Any) -> None:
        if case.asked.request.request_id == "bad":
            raise RuntimeError("it broke")
        real(case)

    monkeypatch.setattr(crowd.pipeline, step, broken)
    assert crowd.all(("a", "look"), ("bad", "look"), ("b", "look")) == ["allowed", "internal_error", "allowed"]
    monkeypatch.undo()
    assert crowd.all(("bad", "look")) == ["allowed"], "it is not taken for one that is under way"


@pytest.mark.parametrize("name", ["body_of", "record"])
def test_what_cannot_be_described_takes_no_place(crowd: Crowd, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("it has no canonical form")

    monkeypatch.setattr(street, name, broken)
    assert crowd.all(("a", "run"), ("b", "run"), ("c", "run")) == ["internal_error"] * 3
    monkeypatch.undo()
    assert crowd.all(("d", "run"), ("e", "run"), ("f", "run"), ("g", "run")) == ["allowed"] * 3 + [
        "concurrency_exceeded"
    ]
    assert [id for id, _ in crowd.recorded()] == ["d", "e", "f", "g"]


def test_a_commit_that_fails_gives_back_the_places_of_all(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise WriteFailed("The disk is full.")

    monkeypatch.setattr("act.audit.writer._flush", broken)
    assert crowd.all(*[(f"{number}", "run") for number in range(5)]) == ["overloaded"] * 5
    monkeypatch.undo()
    assert crowd.recorded() == []
    assert crowd.all(*[(f"{number}", "run") for number in range(4)]) == ["allowed"] * 3 + ["concurrency_exceeded"]


def test_the_same_id_at_once_is_decided_once(crowd: Crowd) -> None:
    async def work() -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(crowd.ask("same", "run") for _ in range(10))))

    found = crowd.do(work)
    assert len({one["decisionId"] for one in found}) == 1
    assert sorted(one["replayed"] for one in found) == [False] + [True] * 9
    assert crowd.recorded() == [("same", "allowed")]


def test_another_question_under_an_id_that_is_under_way_is_a_conflict(crowd: Crowd) -> None:
    assert crowd.all(("same", "run"), ("same", "look")) == ["allowed", "request_id_reused"]
    assert crowd.recorded() == [("same", "allowed")]


def test_who_goes_away_leaves_a_decision_that_a_retry_is_told(crowd: Crowd) -> None:
    async def work() -> None:
        call = asyncio.ensure_future(crowd.ask("gone", "run"))
        for _ in range(2):
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    crowd.do(work)
    found = crowd.do(lambda: crowd.ask("gone", "run"))
    assert (found["reasonCode"], found["replayed"]) == ("allowed", True)
    assert crowd.recorded() == [("gone", "allowed")]
    assert crowd.all(("a", "run"), ("b", "run"), ("c", "run")) == ["allowed", "allowed", "concurrency_exceeded"]
