"""`Idempotency-Key`: the same request is carried out once, whoever asks how often, in whatever thread."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from act.idempotency.claim import MAX_KEPT
from act.idempotency.service import KEPT
from tests.attacks.log import caused, judge, records, size
from tests.in_process import InProcess
from tests.support import Api, Server

REPLAYED = "Idempotency-Replayed"


def once(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


def agent(name: str | None = None) -> dict[str, Any]:
    return {"name": name or f"agent-{uuid4().hex}"}


def said(response: httpx2.Response) -> tuple[int, bytes, dict[str, str]]:
    """What a replay has to repeat."""
    kept = ("content-type", "etag", "location")
    return response.status_code, response.content, {n: response.headers[n] for n in kept if n in response.headers}


def replayed(response: httpx2.Response) -> bool:
    return response.headers.get(REPLAYED) == "true"


def problem(response: httpx2.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["requestId"] == response.headers["x-request-id"]
    return response.status_code, response.json()["code"]


class Mutations:
    """One call of each kind, made on what is there for it."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def create(self) -> tuple[str, str, Any]:
        return "POST", "/v1/agents", agent()

    def change(self) -> tuple[str, str, Any]:
        return "PATCH", f"/v1/agents/{self.api.agent()}", {"description": "changed"}

    def delete(self) -> tuple[str, str, Any]:
        return "DELETE", f"/v1/agents/{self.api.agent()}", None

    def replace(self) -> tuple[str, str, Any]:
        policy = self.api.policy()
        body = {"name": "replaced", "actions": ["a"], "resources": ["r"]}
        return "PUT", f"/v1/policies/{policy['id']}", body

    def issue(self) -> tuple[str, str, Any]:
        return "POST", "/v1/tokens", {"agentId": self.api.agent()}

    def api_key(self) -> tuple[str, str, Any]:
        return "POST", "/v1/api-keys", {"name": "k", "scopes": ["enforce"]}

    def outcome(self) -> tuple[str, str, Any]:
        """The one call that writes on the event loop and not in a thread."""
        agent_id = self.api.agent()
        self.api.policy(appliesTo={"agentIds": [agent_id]})
        decision = self.api.enforce(self.api.token(agent_id), "run", "x")
        return "POST", f"/v1/decisions/{decision['decisionId']}/outcome", {"status": "succeeded", "labels": []}


@pytest.mark.parametrize("kind", ["create", "change", "delete", "replace", "issue", "api_key", "outcome"])
def test_the_same_request_is_answered_again_and_not_carried_out_again(api: Api, kind: str) -> None:
    method, path, body = getattr(Mutations(api), kind)()
    key = once(uuid4().hex)
    first = api.send(method, path, body, headers=key)
    assert first.is_success, first.text
    assert not replayed(first)
    before = size(api)
    for _ in range(2):
        again = api.send(method, path, body, headers=key)
        assert said(again) == said(first)
        assert replayed(again)
    assert caused(api, before) == []
    assert judge(api).ok


def test_without_a_key_everything_is_carried_out(api: Api) -> None:
    agent_id = api.agent()
    first, second = (api.post("/v1/tokens", {"agentId": agent_id}) for _ in range(2))
    assert first["tokenId"] != second["tokenId"]


@pytest.mark.parametrize(
    ("changed", "options"),
    [
        ({"name": "another"}, {}),
        ({}, {"params": {"x": "1"}}),
        ({}, {"headers": {"If-Match": '"v1"'}}),
        ({}, {"method": "PUT"}),
        ({}, {"path": "/v1/policies"}),
    ],
    ids=["body", "query", "if-match", "method", "path"],
)
def test_another_request_under_the_same_key_is_refused(
    api: Api, changed: dict[str, Any], options: dict[str, Any]
) -> None:
    body, key = agent(), once(uuid4().hex)
    made = api.post("/v1/agents", body, headers=key)["id"]
    before = size(api)
    headers = options.pop("headers", {}) | key
    method, path = options.pop("method", "POST"), options.pop("path", "/v1/agents")
    again = api.send(method, path, body | changed, headers=headers, **options)
    assert problem(again) == (422, "idempotency_key_reused")
    assert caused(api, before) == []
    assert api.get(f"/v1/agents/{made}")["name"] == body["name"]


def test_white_space_in_the_body_is_another_request(api: Api) -> None:
    key = once(uuid4().hex) | {"Content-Type": "application/json"}
    name = uuid4().hex
    assert api.send("POST", "/v1/agents", content=f'{{"name":"{name}"}}', headers=key).status_code == 201
    other = api.send("POST", "/v1/agents", content=f'{{"name": "{name}"}}', headers=key)
    assert problem(other) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "sch\u00f6n".encode(), "a\tb"])
def test_a_key_is_visible_ascii(api: Api, key: str | bytes) -> None:
    response = api.send("POST", "/v1/agents", agent(), headers={"Idempotency-Key": key})
    assert problem(response) == (422, "idempotency_key_malformed")


def test_two_keys_are_none(api: Api) -> None:
    headers = [("X-Api-Key", api.client.headers["X-Api-Key"]), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    response = api.client.request("POST", "/v1/agents", json=agent(), headers=headers)
    assert problem(response) == (422, "idempotency_key_malformed")


def test_every_visible_character_may_be_in_a_key(api: Api) -> None:
    key = once("".join(map(chr, range(0x21, 0x7F))) + uuid4().hex * 5)
    body = agent()
    assert len(key["Idempotency-Key"]) <= 255
    assert api.post("/v1/agents", body, headers=key) == api.post("/v1/agents", body, headers=key)


class TestWhoAsks:
    def test_another_api_key_has_keys_of_its_own(self, server: Server, api: Api) -> None:
        body, key = {"agentId": api.agent()}, once(uuid4().hex)
        first = api.send("POST", "/v1/tokens", body, headers=key)
        with server.api(api.key("tokens")["key"]) as other:
            second = other.send("POST", "/v1/tokens", body, headers=key)
        assert (first.status_code, second.status_code) == (201, 201)
        assert not replayed(second)
        assert first.json()["tokenId"] != second.json()["tokenId"]
        assert replayed(api.send("POST", "/v1/tokens", body, headers=key))

    def test_no_key_and_a_revoked_key_get_nothing(self, server: Server, api: Api) -> None:
        made = api.key("tokens")
        body, key = {"agentId": api.agent()}, once(uuid4().hex)
        with server.api(made["key"]) as other, server.api(None) as nobody:
            assert other.send("POST", "/v1/tokens", body, headers=key).status_code == 201
            assert problem(nobody.send("POST", "/v1/tokens", body, headers=key)) == (401, "api_key_missing")
            api.delete(f"/v1/api-keys/{made['id']}", status=200)
            again = other.send("POST", "/v1/tokens", body, headers=key)
        assert problem(again) == (401, "api_key_invalid")

    def test_no_token_is_given_again_in_a_frozen_tenant(self, tmp_path: Path) -> None:
        act = InProcess(tmp_path)
        api = act.api
        agent_id, body, tokens, agents = api.agent(), agent(), once("t"), once("a")
        issued = api.send("POST", "/v1/tokens", {"agentId": agent_id}, headers=tokens)
        made = api.send("POST", "/v1/agents", body, headers=agents)
        api.post("/v1/tenants/default-tenant/freeze", status=200)
        refused = api.send("POST", "/v1/tokens", {"agentId": agent_id}, headers=tokens)
        assert problem(refused) == (409, "tenant_frozen")
        assert said(api.send("POST", "/v1/agents", body, headers=agents)) == said(made)
        api.post("/v1/tenants/default-tenant/unfreeze", status=200)
        assert said(api.send("POST", "/v1/tokens", {"agentId": agent_id}, headers=tokens)) == said(issued)
        act.close()


class TestFailures:
    """What did nothing may be tried again under the same key."""

    def test_a_refusal_is_not_kept(self, api: Api) -> None:
        key, body = once(uuid4().hex), {"agentId": f"later-{uuid4().hex}"}
        assert api.send("POST", "/v1/tokens", body, headers=key).status_code == 404
        api.post("/v1/agents", {"name": uuid4().hex, "id": body["agentId"]})
        made = api.send("POST", "/v1/tokens", body, headers=key)
        assert (made.status_code, replayed(made)) == (201, False)

    def test_a_refusal_that_left_a_record_is_not_kept(self, api: Api) -> None:
        """A delegation that is refused is told of in the log."""
        boss, worker = api.agent(), api.agent()
        api.policy(["run"], ["x"], appliesTo={"agentIds": [worker]})
        body = {
            "parentToken": api.token(boss),
            "toAgentId": worker,
            "scope": [{"actions": ["run"], "resources": ["x"]}],
        }
        key = once(uuid4().hex)
        assert api.send("POST", "/v1/delegations", body, headers=key).status_code == 422
        assert records(api)[-1]["kind"] == "delegation.refused"
        delegation = {"to": {"agentIds": [worker]}}
        api.policy(["run"], ["x"], appliesTo={"agentIds": [boss]}, grants=["use", "delegate"], delegation=delegation)
        made = api.send("POST", "/v1/delegations", body, headers=key)
        assert (made.status_code, replayed(made)) == (201, False)
        again = api.send("POST", "/v1/delegations", body, headers=key)
        assert said(again) == said(made)

    def test_a_body_with_faults_leaves_the_key_free(self, api: Api) -> None:
        key = once(uuid4().hex)
        assert api.send("POST", "/v1/agents", {"nonsense": 1}, headers=key).status_code == 422
        assert api.send("POST", "/v1/agents", agent(), headers=key).status_code == 201


class TestQuestions:
    """They change nothing and are answered anew, key or none: a stale answer could widen access."""

    def test_introspection_is_asked_every_time(self, api: Api) -> None:
        issued = api.post("/v1/tokens", {"agentId": api.agent()})
        key, body = once(uuid4().hex), {"token": issued["token"]}
        assert api.post("/v1/tokens/introspect", body, headers=key, status=200)["active"] is True
        api.post(f"/v1/tokens/{issued['tokenId']}/revoke", status=200)
        assert api.post("/v1/tokens/introspect", body, headers=key, status=200)["active"] is False

    def test_decisions_have_ids_of_their_own(self, api: Api) -> None:
        agent_id = api.agent()
        api.policy(appliesTo={"agentIds": [agent_id]})
        token, key = api.token(agent_id), once(uuid4().hex)
        for _ in range(2):
            body = {"requestId": uuid4().hex, "capabilityToken": token, "action": "run", "resourceId": "x"}
            response = api.send("POST", "/v1/enforce", body, headers=key)
            assert (response.json()["reasonCode"], REPLAYED in response.headers) == ("allowed", False)

    def test_a_validation_stores_nothing_and_is_made_every_time(self, api: Api) -> None:
        key = once(uuid4().hex)
        for name in ("a", "b"):
            draft = {"name": name, "actions": ["x"], "resources": ["y"]}
            response = api.send("POST", "/v1/policies/validate", draft, headers=key)
            assert (response.status_code, REPLAYED in response.headers) == (200, False)


class Held:
    """A node whose writer waits inside the first unit after `hold`, so that a request is under way for as long."""

    def __init__(self, folder: Path) -> None:
        self.act = InProcess(folder)
        self.entered, self.go = threading.Event(), threading.Event()

    def hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from act.agents import store

        real: Callable[..., None] = store.add

        def slow(*args: Any, **values: Any) -> None:
            self.entered.set()
            assert self.go.wait(60)
            real(*args, **values)

        monkeypatch.setattr(store, "add", slow)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    held = Held(tmp_path)
    yield held
    held.go.set()
    held.act.close()


def test_while_it_runs_a_second_one_is_told_to_wait(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    api, body, key = held.act.api, agent(), once("slow")
    held.hold(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(api.send, "POST", "/v1/agents", body, headers=key)
        assert held.entered.wait(20)
        second = api.send("POST", "/v1/agents", body, headers=key)
        other = api.send("POST", "/v1/agents", agent(), headers=key)
        held.go.set()
        answered = first.result(20)
    assert problem(second) == (409, "idempotency_in_flight")
    assert second.headers["retry-after"] == "1"
    assert problem(other) == (422, "idempotency_key_reused")
    assert answered.status_code == 201
    assert said(api.send("POST", "/v1/agents", body, headers=key)) == said(answered)


def test_who_stops_waiting_finds_the_answer(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    api, body, key = held.act.api, agent(), once("impatient")
    held.hold(monkeypatch)
    with pytest.raises(httpx2.ReadTimeout):
        api.send("POST", "/v1/agents", body, headers=key, timeout=0.3)
    assert held.entered.wait(30)
    assert problem(api.send("POST", "/v1/agents", body, headers=key)) == (409, "idempotency_in_flight")
    held.go.set()
    again = api.send("POST", "/v1/agents", body, headers=key)
    while again.status_code == 409:
        assert problem(again)[1] == "idempotency_in_flight"
        again = api.send("POST", "/v1/agents", body, headers=key)
    assert (again.status_code, replayed(again)) == (201, True)
    assert [item["name"] for item in api.get("/v1/agents")["items"]] == [body["name"]]


def test_many_threads_with_one_key(server: Server, api: Api) -> None:
    agent_id = api.agent()
    for _ in range(5):
        key, body = once(uuid4().hex), {"agentId": agent_id}
        start = threading.Barrier(8)

        def ask(key: dict[str, str] = key, body: Any = body, start: threading.Barrier = start) -> httpx2.Response:
            with server.api() as mine:
                start.wait(60)
                return mine.send("POST", "/v1/tokens", body, headers=key)

        with ThreadPoolExecutor(8) as pool:
            answers = [running.result(30) for running in [pool.submit(ask) for _ in range(8)]]
        made = [answer for answer in answers if answer.status_code == 201]
        assert [replayed(answer) for answer in made].count(False) == 1
        assert len({answer.json()["tokenId"] for answer in made}) == 1
        assert {problem(a) for a in answers if a not in made} <= {(409, "idempotency_in_flight")}
    assert len(api.get("/v1/tokens", params={"agentId": agent_id, "limit": 200})["items"]) == 5


def test_a_day_later_the_key_is_free(tmp_path: Path) -> None:
    act = InProcess(tmp_path)
    api, body, key = act.api, {"agentId": act.api.agent()}, once("daily")
    first = api.send("POST", "/v1/tokens", body, headers=key)
    act.clock.move(KEPT.total_seconds() - 1)
    assert said(api.send("POST", "/v1/tokens", body, headers=key)) == said(first)
    act.clock.move(1)
    second = api.send("POST", "/v1/tokens", body, headers=key)
    assert (second.status_code, replayed(second)) == (201, False)
    assert second.json()["tokenId"] != first.json()["tokenId"]
    assert said(api.send("POST", "/v1/tokens", body, headers=key)) == said(second)
    act.close()


def test_what_is_a_day_old_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("act.server.app.SWEEP_SECONDS", 0.02)
    monkeypatch.setattr("act.idempotency.service.SWEPT", 2)
    act = InProcess(tmp_path)
    for n in range(7):
        act.clock.move(1)
        act.api.post("/v1/agents", agent(), headers=once(str(n)))

    def left() -> int:
        with sqlite3.connect(tmp_path / "act.db") as connection:
            return int(connection.execute("SELECT count(*) FROM idempotency_keys").fetchone()[0])

    assert left() == 7
    act.clock.move(KEPT.total_seconds() - 2)  # the first five are a day old
    deadline = threading.Event()
    for _ in range(1500):
        if left() == 2:
            break
        deadline.wait(0.02)
    assert left() == 2
    act.close()


def test_a_large_answer_is_not_kept_and_the_change_is_not_made_again(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("act.idempotency.claim.MAX_KEPT", 200)
    act = InProcess(tmp_path)
    body, key = agent() | {"description": "x" * 500}, once("large")
    assert act.api.send("POST", "/v1/agents", body, headers=key).status_code == 201
    again = act.api.send("POST", "/v1/agents", body, headers=key)
    assert problem(again) == (409, "idempotency_answer_lost")
    assert len(act.api.get("/v1/agents")["items"]) == 1
    act.close()
    assert MAX_KEPT == 256 * 1024


def test_tokens_and_keys_are_sealed(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.api() as api:
        name = f"the-name-{uuid4().hex}"
        agent_id = api.agent()
        issued = api.post("/v1/tokens", {"agentId": agent_id}, headers=once(name))
        key = api.post("/v1/api-keys", {"name": "k", "scopes": ["enforce"]}, headers=once(name + "2"))
        secrets = [issued["token"], issued["token"].split(".")[2], key["key"], name]
        files = list(tmp_path.rglob("*"))
        written = b"".join(file.read_bytes() for file in files if file.is_file())
        assert agent_id.encode() in written  # the search finds what is there
        assert [secret for secret in secrets if secret.encode() in written] == []
        with sqlite3.connect(server.database) as connection:
            rows = connection.execute("SELECT answer FROM idempotency_keys").fetchall()
        assert len(rows) == 2
        assert all(len(answer) > 100 for (answer,) in rows)


def test_the_document_names_the_header_where_it_means_something(api: Api) -> None:
    document = api.get("/openapi.json")
    assert document == api.get("/openapi.json")
    without = {"/v1/enforce", "/v1/enforce/batch", "/v1/policies/validate", "/v1/tokens/introspect"}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            names = [parameter["name"] for parameter in operation.get("parameters", [])]
            expected = 1 if method != "get" and path not in without else 0
            assert names.count("Idempotency-Key") == expected, f"{method} {path}"
