"""Getting more places than there are: parallel requests, replays, outcomes, time-outs, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.attacks.test_approvals import together, wait_until
from tests.in_process import InProcess
from tests.support import Api, Server


def limited(api: Api, limit: int, **more: Any) -> tuple[str, str]:
    """An agent under a limit; its id and a token."""
    agent = api.agent()
    api.policy(["run"], appliesTo={"agentIds": [agent]}, constraints={"maxConcurrentTasks": limit, **more})
    return agent, api.token(agent)


def run(api: Api, token: str, **more: Any) -> Any:
    return api.enforce(token, "run", "api://tasks/1", **more)


def flood(server: Server, requests: Sequence[dict[str, Any]]) -> list[Any]:
    """All at once; the answers in order."""

    async def send_all() -> list[Any]:
        limits = httpx2.Limits(max_connections=100)
        headers = {"X-Api-Key": server.admin_key}
        async with httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=60, limits=limits) as client:
            answers = await asyncio.gather(*(client.post("/v1/enforce", json=request) for request in requests))
        return [answer.json() for answer in answers]

    return asyncio.run(send_all())


def request(token: str, **more: Any) -> dict[str, Any]:
    return {"requestId": uuid4().hex, "capabilityToken": token, "action": "run", "resourceId": "x"} | more


def report(api: Api, decision: Any, outcome: str = "succeeded", status: int = 200) -> Any:
    return api.post(f"/v1/decisions/{decision['decisionId']}/outcome", {"status": outcome}, status=status)


def codes(decisions: Sequence[Any]) -> dict[str, int]:
    found = [decision["reasonCode"] for decision in decisions]
    return {code: found.count(code) for code in set(found)}


# --- how many at once -------------------------------------------------------------------------------------------------


def test_two_hundred_for_five_places(server: Server, api: Api) -> None:
    _, token = limited(api, 5)
    decisions = flood(server, [request(token) for _ in range(200)])
    assert codes(decisions) == {"allowed": 5, "concurrency_exceeded": 195}
    allowed = [decision for decision in decisions if decision["decision"] == "allowed"]
    assert all(decision["lease"] for decision in allowed)
    for decision in allowed[:2]:
        report(api, decision)
    assert codes(flood(server, [request(token) for _ in range(50)])) == {"allowed": 2, "concurrency_exceeded": 48}


def test_places_are_counted_for_the_agent_and_not_for_the_token_or_the_key(server: Server, api: Api) -> None:
    agent, _ = limited(api, 3)
    tokens = [api.token(agent) for _ in range(10)]
    decisions = flood(server, [request(token) for token in tokens * 3])
    assert codes(decisions) == {"allowed": 3, "concurrency_exceeded": 27}
    with server.api(api.key("enforce")["key"]) as another:
        assert run(another, tokens[0])["reasonCode"] == "concurrency_exceeded"


def test_another_action_of_the_same_policy_takes_a_place_too(api: Api) -> None:
    agent = api.agent()
    api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints={"maxConcurrentTasks": 1})
    token = api.token(agent)
    assert api.enforce(token, "a", "x")["reasonCode"] == "allowed"
    assert api.enforce(token, "b", "y")["reasonCode"] == "concurrency_exceeded"


def test_places_under_two_policies_are_taken_all_or_none(api: Api) -> None:
    agent = api.agent()
    for actions, limit in ((["run", "walk"], 3), (["run"], 1)):
        api.policy(actions, appliesTo={"agentIds": [agent]}, constraints={"maxConcurrentTasks": limit})
    token = api.token(agent)
    assert run(api, token)["reasonCode"] == "allowed"
    assert [run(api, token)["reasonCode"] for _ in range(5)] == ["concurrency_exceeded"] * 5
    # The refused ones have taken nothing of the wider limit: one of three is held.
    walked = [api.enforce(token, "walk", "x")["reasonCode"] for _ in range(3)]
    assert walked == ["allowed", "allowed", "concurrency_exceeded"]


def test_no_place_at_all(api: Api) -> None:
    _, token = limited(api, 0)
    assert run(api, token)["reasonCode"] == "concurrency_exceeded"


def test_a_limit_that_is_lowered_counts_what_is_held(api: Api) -> None:
    agent = api.agent()
    body = {"name": "low", "actions": ["run"], "resources": ["*"], "appliesTo": {"agentIds": [agent]}}
    policy = api.post("/v1/policies", body | {"constraints": {"maxConcurrentTasks": 3}})["id"]
    token = api.token(agent)
    held = [run(api, token) for _ in range(3)]
    api.put(f"/v1/policies/{policy}", body | {"constraints": {"maxConcurrentTasks": 1}})
    for decision in held[:2]:
        report(api, decision)
        assert run(api, token)["reasonCode"] == "concurrency_exceeded"
    report(api, held[2])
    assert run(api, token)["reasonCode"] == "allowed"


def test_a_dry_run_takes_no_place(api: Api) -> None:
    _, token = limited(api, 1)
    assert [run(api, token, dryRun=True)["reasonCode"] for _ in range(3)] == ["allowed"] * 3
    assert run(api, token)["reasonCode"] == "allowed"
    assert run(api, token, dryRun=True)["reasonCode"] == "concurrency_exceeded"


def test_the_requesters_places_count_too(api: Api) -> None:
    planner, executor = api.agent(), api.agent()
    api.policy(["run"], appliesTo={"agentIds": [executor]})
    api.policy(["run"], appliesTo={"agentIds": [planner]}, constraints={"maxConcurrentTasks": 1})
    token = api.token(executor)
    assert run(api, token, requester=planner)["reasonCode"] == "allowed"
    assert run(api, token, requester=planner)["reasonCode"] == "concurrency_exceeded"
    assert run(api, token)["reasonCode"] == "allowed"


# --- replays ----------------------------------------------------------------------------------------------------------


def test_a_replay_takes_no_second_place(server: Server, api: Api) -> None:
    _, token = limited(api, 2)
    once = request(token)
    decisions = flood(server, [once] * 50)
    assert codes(decisions) == {"allowed": 50}
    assert len({decision["decisionId"] for decision in decisions}) == 1
    assert [decision["replayed"] for decision in decisions].count(False) == 1
    assert codes(flood(server, [request(token) for _ in range(10)])) == {"allowed": 1, "concurrency_exceeded": 9}


def test_one_request_id_from_two_keys_is_two_requests(server: Server, api: Api) -> None:
    _, token = limited(api, 1)
    once = request(token)
    with server.api(api.key("enforce")["key"]) as another:
        assert api.post("/v1/enforce", once, status=200)["reasonCode"] == "allowed"
        assert another.post("/v1/enforce", once, status=200)["reasonCode"] == "concurrency_exceeded"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[InProcess]:
    """Its clock is moved by hand."""
    node = InProcess(tmp_path)
    yield node
    node.close()


def test_a_replay_does_not_outlive_its_place(node: InProcess) -> None:
    api = node.api
    _, token = limited(api, 1, leaseSeconds=60)
    once = request(token)
    assert api.post("/v1/enforce", once, status=200)["reasonCode"] == "allowed"
    node.clock.move(60)
    wait_until(lambda: run(api, token, dryRun=True)["reasonCode"] == "allowed")
    assert run(api, token)["reasonCode"] == "allowed"
    assert api.post("/v1/enforce", once, status=200)["reasonCode"] == "concurrency_exceeded"


def test_a_replay_after_the_outcome_is_a_new_decision(api: Api) -> None:
    _, token = limited(api, 1)
    once = request(token)
    first = api.post("/v1/enforce", once, status=200)
    report(api, first)
    second = api.post("/v1/enforce", once, status=200)
    assert (second["reasonCode"], second["replayed"]) == ("allowed", False)
    assert second["decisionId"] != first["decisionId"]
    assert run(api, token)["reasonCode"] == "concurrency_exceeded"


@pytest.mark.parametrize(
    "changed",
    [{"arguments": {"a": 1}}, {"action": "walk"}, {"resourceId": "y"}, {"context": {"a": 1}}, {"dryRun": True}],
    ids=str,
)
def test_a_request_id_for_another_body(api: Api, changed: dict[str, Any]) -> None:
    _, token = limited(api, 5)
    once = request(token)
    api.post("/v1/enforce", once, status=200)
    problem = api.post("/v1/enforce", once | changed, status=409)
    assert (problem["code"], problem["decision"]) == ("request_id_reused", "denied")


# --- outcomes ---------------------------------------------------------------------------------------------------------


def test_an_outcome_twice_frees_one_place(api: Api) -> None:
    _, token = limited(api, 2)
    first, _ = run(api, token), run(api, token)
    assert report(api, first)["repeated"] is False
    assert run(api, token)["reasonCode"] == "allowed"
    again = report(api, first)
    assert again["repeated"] is True
    assert report(api, first, "failed", status=409)["code"] == "outcome_reported"
    assert run(api, token)["reasonCode"] == "concurrency_exceeded"


def test_outcomes_at_once_are_recorded_once(server: Server, api: Api) -> None:
    _, token = limited(api, 100)
    clients = [server.api() for _ in range(6)]
    for _ in range(15):
        decision = run(api, token)
        path = f"/v1/decisions/{decision['decisionId']}/outcome"

        def tell(at: int, path: str = path) -> httpx2.Response:
            return clients[at].send("POST", path, {"status": ("succeeded", "failed")[at % 2]})

        answers = together(6, tell)
        recorded = [a.json()["status"] for a in answers if a.status_code == 200 and not a.json()["repeated"]]
        assert len(recorded) == 1
        for at, answer in enumerate(answers):
            told = ("succeeded", "failed")[at % 2]
            assert answer.status_code == (200 if told == recorded[0] else 409)
    for client in clients:
        client.close()
    kinds = [item["record"]["kind"] for item in api.get("/v1/audit", params={"kind": "decision.outcome"})["items"]]
    assert kinds
    outcomes = api.get("/v1/audit", params={"kind": "decision.outcome", "limit": 200})["items"]
    told = [item["record"]["decisionId"] for item in outcomes]
    assert len(told) == len(set(told))


def test_an_outcome_of_what_was_not_allowed(server: Server, api: Api, stranger: Api) -> None:
    agent, token = limited(api, 1)
    api.policy(["ask"], appliesTo={"agentIds": [agent]}, constraints={"requiresApproval": True})
    allowed, full = run(api, token), run(api, token)
    denied, pending = api.enforce(token, "fly", "x"), api.enforce(token, "ask", "x")
    dry = api.enforce(token, "ask", "x", dryRun=True)
    for decision in (full, denied, pending, dry):
        assert report(api, decision, status=409)["code"] == "decision_not_allowed"
    for decision_id in ("dec_" + "0" * 32, "", "..", allowed["audit"]["leafHash"], allowed["requestId"]):
        answer = api.send("POST", f"/v1/decisions/{decision_id}/outcome", {"status": "succeeded"})
        assert answer.status_code in (307, 404)
    assert report(stranger, allowed, status=404)["code"] == "not_found"
    assert run(api, token)["reasonCode"] == "concurrency_exceeded"


def test_an_outcome_that_is_none(api: Api) -> None:
    _, token = limited(api, 1)
    decision = run(api, token)
    for body in ({}, {"status": "done"}, {"status": None}, {"status": "succeeded", "decision": "allowed"}):
        problem = api.post(f"/v1/decisions/{decision['decisionId']}/outcome", body, status=422)
        assert problem["code"] == "document_invalid"
    assert run(api, token)["reasonCode"] == "concurrency_exceeded"


# --- time -------------------------------------------------------------------------------------------------------------


def test_a_place_comes_back_by_itself(node: InProcess) -> None:
    api = node.api
    agent, token = limited(api, 1, leaseSeconds=60)
    decision = run(api, token)
    for seconds in (0, 59):
        node.clock.move(seconds)
        assert run(api, token)["reasonCode"] == "concurrency_exceeded"
    node.clock.move(1)
    wait_until(lambda: run(api, token, dryRun=True)["reasonCode"] == "allowed")

    def timed_out() -> bool:
        params = {"agent": agent, "kind": "lease.timed_out"}
        found = api.get("/v1/audit", params=params)["items"]
        return [item["record"]["decisionId"] for item in found] == [decision["decisionId"]]

    wait_until(timed_out)
    assert run(api, token)["reasonCode"] == "allowed"
    # The late outcome of the first frees nothing that the second holds.
    report(api, decision)
    assert run(api, token)["reasonCode"] == "concurrency_exceeded"


def test_a_place_ends_with_its_token(node: InProcess) -> None:
    api = node.api
    agent, _ = limited(api, 1)
    short, long = api.token(agent, expiresIn=60), api.token(agent)
    assert run(api, short)["reasonCode"] == "allowed"
    for seconds in (0, 59):
        node.clock.move(seconds)
        assert run(api, long)["reasonCode"] == "concurrency_exceeded"
    node.clock.move(1)
    wait_until(lambda: run(api, long, dryRun=True)["reasonCode"] == "allowed")


def test_a_request_that_fails_gives_its_place_back(api: Api) -> None:
    _, token = limited(api, 1)
    answer = api.send("POST", "/v1/enforce", request(token, arguments={"n": 2**53}))
    assert (answer.status_code, answer.json()["decision"]) == (422, "denied")
    assert run(api, token)["reasonCode"] == "allowed"


# --- restarts ---------------------------------------------------------------------------------------------------------


def test_places_outlive_a_crash(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        with server.api() as api:
            _, token = limited(api, 3)
            held = [run(api, token) for _ in range(3)]
        server.kill()
        server.start()
        with server.api() as api:
            assert run(api, token)["reasonCode"] == "concurrency_exceeded"
            report(api, held[0])
            assert [run(api, token)["reasonCode"] for _ in range(2)] == ["allowed", "concurrency_exceeded"]


def test_never_more_than_the_limit_over_a_crash_in_mid_flood(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        with server.api() as api:
            _, token = limited(api, 5)
        answered = crash_while(server, lambda api: run(api, token), after=lambda seen: len(seen) >= 3)
        server.start()
        with server.api() as api:
            after = [run(api, token) for _ in range(10)]
            items = api.get("/v1/audit", params={"decision": "allowed", "limit": 200})["items"]
        allowed = {d["decisionId"] for d in (*answered, *after) if d["decision"] == "allowed"}
        logged = {item["record"]["decisionId"] for item in items}
        assert allowed <= logged
        assert len(logged) == 5
        assert after[-1]["reasonCode"] == "concurrency_exceeded"


def crash_while(server: Server, work: Callable[[Api], Any], after: Callable[[list[Any]], bool]) -> list[Any]:
    """Four clients work until the server is killed; what they were answered."""
    seen: list[Any] = []
    url = server.url

    def client(_: int) -> None:
        with Api(url) as api:
            try:
                while True:
                    seen.append(work(api))
            except (httpx2.TransportError, OSError):
                return

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(client, number) for number in range(4)]
        wait_until(lambda: after(seen))
        server.kill()
        for future in running:
            future.result(30)
    return seen
