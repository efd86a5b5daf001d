"""`POST /v1/enforce/batch`: in order, exact, each with its own record, and denied where it cannot be decided."""

from __future__ import annotations

import asyncio
import fcntl
import json
import socket
import sys
import termios
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from act.bodies import MAX_BODY
from act.client.proof import ProofKey
from act.enforcement.batch import decide_all
from tests.attacks.log import caused, size
from tests.attacks.raw import connect, head
from tests.in_process import InProcess
from tests.support import ADMIN_KEY, Api, Server

PATH = "/v1/enforce/batch"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Asker:
    """An agent that may `run`, two at a time, and `pay` if a person approves."""

    def __init__(self, api: Api, places: int = 2) -> None:
        self.api = api
        self.id = api.agent()
        self.token = api.token(self.id)
        self.may(["look"])
        self.may(["run"], constraints={"maxConcurrentTasks": places})
        self.may(["pay"], constraints={"requiresApproval": True})

    def may(self, actions: list[str], **more: Any) -> None:
        self.api.policy(actions, appliesTo={"agentIds": [self.id]}, **more)

    def asking(self, action: str = "look", **more: Any) -> dict[str, Any]:
        return {"requestId": uuid4().hex, "capabilityToken": self.token, "action": action, "resourceId": "x"} | more

    def all(self, *requests: Any, **options: Any) -> list[Any]:
        answer = self.api.post(PATH, {"requests": list(requests)}, status=200, **options)
        assert answer.keys() == {"decisions"}
        assert len(answer["decisions"]) == len(requests)
        return list(answer["decisions"])

    def codes(self, *requests: Any) -> list[str]:
        return [one.get("reasonCode") or f"{one['decision']} {one['code']}" for one in self.all(*requests)]

    def size(self) -> int:
        return size(self.api)

    def records(self, since: int) -> list[Any]:
        return caused(self.api, since)


@pytest.fixture
def asker(api: Api) -> Asker:
    return Asker(api)


def test_the_same_order_and_a_record_for_each(asker: Asker) -> None:
    asked = [asker.asking(action) for action in ("look", "fly", "run", "pay", "look")]
    before = asker.size()
    found = asker.all(*asked, headers={"traceparent": TRACE})
    assert [one["reasonCode"] for one in found] == [
        "allowed",
        "no_matching_policy",
        "allowed",
        "approval_required",
        "allowed",
    ]
    assert [one["requestId"] for one in found] == [one["requestId"] for one in asked]
    decided = [record for record in asker.records(before) if record["kind"] == "decision"]
    assert [record["decisionId"] for record in decided] == [one["decisionId"] for one in found]
    assert [one["audit"]["index"] for one in found] == [record["index"] for record in decided]
    assert {record["traceparent"] for record in decided} == {TRACE}


def test_a_hundred_are_decided_and_no_more(asker: Asker) -> None:
    assert set(asker.codes(*[asker.asking() for _ in range(100)])) == {"allowed"}
    before = asker.size()
    for requests in ([], [asker.asking() for _ in range(101)]):
        problem = asker.api.post(PATH, {"requests": requests}, status=422)
        assert [fault["pointer"] for fault in problem["errors"]] == ["/requests"]
        assert problem["decision"] == "denied"
    assert asker.records(before) == []


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/requests"}),
        ({"requests": None}, {"/requests"}),
        ({"requests": [1]}, {"/requests/0"}),
        ({"requests": [{}], "dryRun": True}, {"/dryRun", *(f"/requests/0/{n}" for n in
          ("requestId", "capabilityToken", "action", "resourceId"))}),
        ([], {""}),
    ],
)  # fmt: skip
def test_a_body_of_another_form(asker: Asker, body: Any, pointers: set[str]) -> None:
    problem = asker.api.post(PATH, body, status=422)
    assert {fault["pointer"] for fault in problem["errors"]} == pointers


def test_one_faulty_request_and_nothing_is_decided(asker: Asker) -> None:
    before = asker.size()
    requests = [asker.asking("run"), asker.asking(), asker.asking(), asker.asking(action=3, more=1)]
    problem = asker.api.post(PATH, {"requests": requests}, status=422)
    assert {fault["pointer"] for fault in problem["errors"]} == {"/requests/3/action", "/requests/3/more"}
    assert asker.records(before) == []


def test_too_large_and_other_refusals_say_denied(asker: Asker) -> None:
    large = asker.asking(arguments={"text": "x" * MAX_BODY})
    assert asker.api.post(PATH, {"requests": [large]}, status=413)["decision"] == "denied"
    assert asker.api.get(PATH, status=405)["decision"] == "denied"
    with Api(str(asker.api.client.base_url), None) as nobody:
        assert nobody.post(PATH, {"requests": [asker.asking()]}, status=401)["decision"] == "denied"


class TestOrder:
    """Each request sees what those before it have reserved, and nothing of those after it."""

    def test_places(self, asker: Asker) -> None:
        assert asker.codes(*[asker.asking("run") for _ in range(4)]) == ["allowed"] * 2 + ["concurrency_exceeded"] * 2

    def test_places_are_never_more_for_batches_at_once(self, asker: Asker) -> None:
        with ThreadPoolExecutor(8) as pool:
            batches = list(pool.map(lambda _: asker.codes(*[asker.asking("run") for _ in range(10)]), range(8)))
        found = [code for codes in batches for code in codes]
        assert (found.count("allowed"), found.count("concurrency_exceeded")) == (2, 78)

    def test_one_approval_is_used_by_the_first(self, asker: Asker, server: Server) -> None:
        asked = asker.all(asker.asking("pay"), asker.asking("pay"))
        assert asked[0]["approval"] == asked[1]["approval"], "one question for one thing"
        with server.api(asker.api.key("approve")["key"]) as person:
            person.post(f"/v1/approvals/{asked[0]['approval']['id']}/approve", {}, status=200)
        assert asker.codes(asker.asking("pay"), asker.asking("pay")) == ["allowed", "approval_required"]

    def test_a_proof_is_used_by_the_first(self, asker: Asker) -> None:
        key = ProofKey.generate()
        token = asker.api.token(asker.id, cnf={"jwk": key.public_jwk})
        one, other = uuid4().hex, uuid4().hex
        proof = key.sign(token, "look", "x", {}, one, "default-tenant", time.time())
        asked = [asker.asking(capabilityToken=token, requestId=id, proof=proof) for id in (one, other)]
        assert asker.codes(*asked) == ["allowed", "proof_invalid"]

    def test_the_same_request_twice_is_one_decision(self, asker: Asker) -> None:
        one = asker.asking("run")
        first, again, next_ = asker.all(one, one, asker.asking("run"))
        assert (first["replayed"], again["replayed"]) == (False, True)
        assert first["decisionId"] == again["decisionId"]
        assert next_["reasonCode"] == "allowed", "the repetition took no place"
        assert asker.codes(asker.asking("run")) == ["concurrency_exceeded"]

    def test_what_comes_after_a_repetition_is_judged_after_it(self, asker: Asker) -> None:
        """What a person is asked is asked again, and not replayed: the repetition is judged anew, in its place."""
        one = asker.asking("pay")
        before = asker.size()
        asker.all(one, one, asker.asking("run"), asker.asking("look"))
        actions = [record["action"] for record in asker.records(before) if record["kind"] == "decision"]
        assert actions == ["pay", "pay", "run", "look"]


class TestReplays:
    def test_a_batch_that_is_sent_again_spends_nothing(self, asker: Asker) -> None:
        requests = [asker.asking("run"), asker.asking("fly"), asker.asking("run")]
        first, again = asker.all(*requests), asker.all(*requests)
        assert [one["decisionId"] for one in again] == [one["decisionId"] for one in first]
        assert {one["replayed"] for one in again} == {True}

    def test_the_order_of_names_and_white_space_say_nothing(self, asker: Asker) -> None:
        one = asker.asking(arguments={"a": 1, "b": [2]})
        other = dict(reversed(one.items())) | {"arguments": {"b": [2], "a": 1}}
        [first], [again] = asker.all(one), asker.all(other)
        assert (first["decisionId"], again["replayed"]) == (again["decisionId"], True)

    def test_an_id_that_was_used_for_something_else(self, asker: Asker) -> None:
        one = asker.asking()
        first, problem, last = asker.all(one, one | {"action": "fly"}, asker.asking())
        assert (first["reasonCode"], last["reasonCode"]) == ("allowed", "allowed")
        assert problem["decision"] == "denied"
        assert (problem["code"], problem["status"], problem["requestId"]) == (
            "request_id_reused",
            409,
            one["requestId"],
        )
        assert problem.keys() >= {"type", "title", "detail"}
        assert "reasonCode" not in problem

    def test_a_state_that_is_too_old_is_the_problem_of_its_request(self, asker: Asker) -> None:
        found = asker.codes(asker.asking(), asker.asking(minRevision=2**40), asker.asking())
        assert found == ["allowed", "denied stale_state", "allowed"]


def test_a_bad_token_denies_its_request_alone(asker: Asker) -> None:
    found = asker.codes(asker.asking(), asker.asking(capabilityToken="x"), asker.asking(resourceId=""))
    assert found == ["allowed", "token_malformed", "resource_malformed"]


def test_a_key_of_another_agent_gets_nothing(asker: Asker, server: Server) -> None:
    with server.api(asker.api.key("enforce", agentId=asker.api.agent())["key"]) as other:
        found = other.post(PATH, {"requests": [asker.asking()]}, status=200)["decisions"]
    assert found[0]["reasonCode"] == "token_agent_mismatch"


def test_a_caller_that_goes_away_leaves_a_record_of_all(asker: Asker, server: Server) -> None:
    before = asker.size()
    requests = [asker.asking() for _ in range(100)]
    body = json.dumps({"requests": requests}).encode()
    lines = (f"X-Api-Key: {ADMIN_KEY}", "Content-Type: application/json", f"Content-Length: {len(body)}")
    with connect(server.url) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(head("POST", PATH, *lines) + body)
        deadline = time.monotonic() + 30
        while int.from_bytes(fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)), sys.byteorder):
            assert time.monotonic() < deadline, "the server does not take the request"
            time.sleep(0.001)  # what has not arrived when the connection is reset never does
    deadline = time.monotonic() + 30
    while len(asker.records(before)) < 100 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [record["requestId"] for record in asker.records(before)] == [one["requestId"] for one in requests]


def test_it_survives_a_crash_with_what_was_answered(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        asker = Asker(server.api())
        found = asker.all(*[asker.asking("run") for _ in range(3)])
        server.kill()
        server.start()
        asker.api = server.api()
        for one in found:
            record = asker.api.get(f"/v1/audit/{one['audit']['index']}")["record"]
            assert record["decisionId"] == one["decisionId"]
        assert asker.codes(asker.asking("run")) == ["concurrency_exceeded"]


class TestInProcess:
    @pytest.fixture
    def node(self, tmp_path: Path) -> Iterator[InProcess]:
        node = InProcess(tmp_path)
        yield node
        node.close()

    def test_a_call_that_is_cancelled_is_decided_to_its_end(self, node: InProcess) -> None:
        asker = Asker(node.api)
        before = asker.size()
        body = json.dumps({"requests": [asker.asking("run") for _ in range(20)]}).encode()
        scope = {"type": "http", "method": "POST", "path": PATH, "query_string": b"", "headers": [
            (b"x-api-key", ADMIN_KEY.encode()), (b"content-type", b"application/json")]}  # fmt: skip

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            raise AssertionError("the caller has gone")

        async def work() -> None:
            call = asyncio.ensure_future(node._service._app(scope, receive, send))
            while not (route := node._service._app._decisions[PATH])._running:  # noqa: ASYNC110
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            while route._running:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        asyncio.run_coroutine_threadsafe(work(), node._service._loop).result(60)
        found = [record["reasonCode"] for record in asker.records(before) if record["kind"] == "decision"]
        assert found == ["allowed"] * 2 + ["concurrency_exceeded"] * 18

    def test_few_commits_for_many_decisions(self, node: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        asker = Asker(node.api)
        writer = node._service._app._decisions[PATH]._pipeline._writer
        sizes: list[int] = []
        commit = writer._commit
        monkeypatch.setattr(writer, "_commit", lambda units: (sizes.append(len(units)), commit(units)))
        asker.all(*[asker.asking() for _ in range(100)])
        assert sum(sizes) >= 100
        assert len(sizes) <= 10

    def test_what_breaks_is_denied_in_its_place(self, node: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        asker = Asker(node.api)
        pipeline = node._service._app._decisions[PATH]._pipeline
        real = pipeline._judge

        class Broken:
            keeping = real.keeping

            def judge(self, asked: Any, *more: Any) -> Any:
                if asked.request.action == "fly":
                    raise RuntimeError("secret")
                return real.judge(asked, *more)

        monkeypatch.setattr(pipeline, "_judge", Broken())  # of a compiled judge nothing can be replaced
        found = asker.all(asker.asking(), asker.asking("fly"), asker.asking())
        assert [one.get("reasonCode", one.get("code")) for one in found] == ["allowed", "internal_error", "allowed"]
        assert "secret" not in json.dumps(found)

    def test_a_writer_that_fails_denies_all_and_takes_no_place(self, node: InProcess) -> None:
        asker = Asker(node.api)
        pipeline = node._service._app._decisions[PATH]._pipeline
        writer = pipeline._writer
        submit, writer.submit = writer.submit, _refuse
        try:
            assert asker.codes(asker.asking("run"), asker.asking("run"), asker.asking("run")) == [
                "denied overloaded",
                "denied overloaded",
                "denied overloaded",
            ]
        finally:
            writer.submit = submit
        assert asker.codes(asker.asking("run"), asker.asking("run")) == ["allowed", "allowed"]


def _refuse(*_: Any) -> None:
    from act.audit.units import WriteFailed

    raise WriteFailed("The disk is full.")


def test_nothing_asked_is_nothing_answered() -> None:
    assert asyncio.run(decide_all(None, [])) == []  # type: ignore[arg-type]
