"""What is repeated, with which keys, and how soon."""

from __future__ import annotations

import asyncio
import time

import pytest

from act import Act, ActError, AsyncAct, Conflict, ServerError, TooManyRequests, Unreachable
from act.client.errors import UnexpectedAnswer, error_of
from act.client.retries import pause_before

from .wire import KEY, Reply, Server, allow, problem

AGENT = {
    "id": "agt_1",
    "name": "n",
    "description": "",
    "roles": [],
    "metadata": {},
    "status": "active",
    "createdAt": "2026-11-22T18:00:00Z",
    "updatedAt": "2026-11-22T18:00:00Z",
    "revision": 1,
}


@pytest.mark.parametrize("first", [problem(500), problem(502), problem(503), problem(429), Reply(hang_up=True)])
def test_enforce_is_repeated_with_the_same_request_id(act: Act, server: Server, first: Reply) -> None:
    server.answers(first, first, allow)
    assert act.enforce("token", "execute", "api://x")
    assert len(server.seen) == 3
    assert len({seen.body for seen in server.seen}) == 1
    assert len({seen.json["requestId"] for seen in server.seen}) == 1


def test_two_questions_have_two_ids(act: Act, server: Server) -> None:
    act.enforce("token", "execute", "api://x")
    act.enforce("token", "execute", "api://x")
    assert len({seen.json["requestId"] for seen in server.seen}) == 2


def test_enforce_is_given_up_after_the_retries(act: Act, server: Server) -> None:
    server.answers(problem(503))
    assert not act.enforce("token", "execute", "api://x")
    assert len(server.seen) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 422])
def test_what_the_caller_did_wrong_is_not_repeated(act: Act, server: Server, status: int) -> None:
    server.answers(problem(status))
    assert not act.enforce("token", "execute", "api://x")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "failure",
    [*map(problem, (429, 500, 502, 503, 504)), problem(409, "idempotency_in_flight"), Reply(hang_up=True)],
    ids=lambda reply: str(reply.status),
)
def test_a_mutation_is_repeated_under_one_key(act: Act, server: Server, failure: Reply) -> None:
    server.answers(failure, failure, Reply(201, AGENT))
    assert act.agents.create("n").id == "agt_1"
    assert len(server.seen) == 3
    assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 1
    assert len({seen.body for seen in server.seen}) == 1


@pytest.mark.parametrize("code", ["idempotency_answer_lost", "agent_name_taken"])
def test_what_was_done_or_contradicts_is_not_repeated(act: Act, server: Server, code: str) -> None:
    server.answers(problem(409, code))
    with pytest.raises(Conflict) as raised:
        act.agents.create("n")
    assert raised.value.code == code
    assert len(server.seen) == 1


def test_two_mutations_have_two_keys(act: Act, server: Server) -> None:
    server.answers(Reply(201, AGENT))
    act.agents.create("n")
    act.agents.create("n")
    assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 2


def test_a_freeze_is_made_at_every_try_and_its_end_once(act: Act, server: Server) -> None:
    """A second freeze does no harm; a second end of one could undo that of another."""
    frozen = {"tenantId": "t", "frozen": True, "frozenAt": "2026-11-22T18:00:00Z", "reason": None, "revision": 1}
    server.answers(Reply(hang_up=True), problem(500), Reply(200, frozen))
    assert act.tenants.freeze("t").frozen
    assert [seen.headers.get("idempotency-key") for seen in server.seen] == [None] * 3
    server.seen.clear()
    server.answers(Reply(hang_up=True), Reply(200, frozen | {"frozen": False}))
    assert not act.tenants.unfreeze("t").frozen
    keys = [seen.headers["idempotency-key"] for seen in server.seen]
    assert (len(keys), len(set(keys))) == (2, 1)


def test_what_is_no_answer_of_act_is_final() -> None:
    assert pause_before(Unreachable("", sent=True), 1, 2) is not None
    assert pause_before(UnexpectedAnswer("", status=200), 1, 2) is None


def test_pauses_grow_and_are_bounded() -> None:
    error: ActError = ServerError("", status=503)
    assert [pause_before(error, tries, 2, lambda: 0.0) for tries in (1, 2, 3)] == [0.1, 0.2, None]
    assert pause_before(error, 1, 2, lambda: 1.0) == 0.05
    assert pause_before(ServerError("", status=503, retry_after=3.0), 1, 2) == 3.0
    assert pause_before(ServerError("", status=503, retry_after=600.0), 1, 2) == 5.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("2", 2.0), ("0.5", 0.5), ("-3", 0.0), ("nan", None), ("soon", None), ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0)],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert error_of(429, {"retry-after": value}, b"").retry_after == seconds


def test_retry_after_is_honoured(act: Act, server: Server) -> None:
    server.answers(problem(429, headers={"Retry-After": "0.4"}), allow)
    began = time.monotonic()
    assert act.enforce("token", "execute", "api://x")
    assert time.monotonic() - began >= 0.4


def test_async_repeats_alike(server: Server) -> None:
    async def work() -> None:
        async with AsyncAct(server.url, KEY) as act:
            server.answers(problem(503), Reply(hang_up=True), allow)
            assert await act.enforce("token", "execute", "api://x")
            assert len({seen.json["requestId"] for seen in server.seen}) == 1
            server.seen.clear()
            server.answers(problem(503))
            with pytest.raises(ServerError):
                await act.agents.create("n")
            assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 1
            assert len(server.seen) == 3
            server.answers(problem(429))
            with pytest.raises(TooManyRequests):
                await act.agents.get("a")

    asyncio.run(work())
