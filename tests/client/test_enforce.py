"""`enforce` fails closed: whatever is not a decision on exactly this request is a denial."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from typing import Any

import pytest

from act import Act, ActError, AsyncAct, Decision, ReasonCode, UnexpectedAnswer, Unreachable, Verdict

from .wire import DENIED, KEY, PENDING, Answer, Reply, Server, decide, decision, problem

ASK: tuple[str, str, str] = ("token", "execute", "api://tasks/execute/1")


def ask_async(server_url: str, **options: Any) -> Decision:
    async def work() -> Decision:
        async with AsyncAct(server_url, KEY, timeout=options.pop("timeout", 30.0), retries=0) as act:
            return await act.enforce(*ASK, **options)

    return asyncio.run(work())


def test_allowed(act: Act, server: Server) -> None:
    found = act.enforce(*ASK, arguments={"amount": 5}, context={"env": "prod"}, requester="planner")
    assert found
    assert found.reason_code is ReasonCode.ALLOWED
    body = server.seen[0].json
    assert body == {
        "requestId": found.request_id,
        "capabilityToken": "token",
        "action": "execute",
        "resourceId": "api://tasks/execute/1",
        "arguments": {"amount": 5},
        "context": {"env": "prod"},
        "requester": "planner",
    }
    assert server.seen[0].headers["x-api-key"] == KEY
    assert server.seen[0].headers["x-request-id"]
    assert "idempotency-key" not in server.seen[0].headers


def test_denied_and_pending_are_false(act: Act, server: Server) -> None:
    server.answers(decide(**DENIED), decide(**PENDING))
    assert not (denied := act.enforce(*ASK))
    assert denied.reason_code is ReasonCode.NO_MATCHING_POLICY
    assert not (pending := act.enforce(*ASK))
    assert pending.decision is Verdict.PENDING_APPROVAL


BROKEN: dict[str, Answer | Reply] = {
    "500": problem(500),
    "500 with an allowed decision": lambda seen: Reply(500, decision(seen)),
    "401": problem(401),
    "403": problem(403),
    "404": Reply(404, "not here"),
    "409": problem(409),
    "422": problem(422),
    "429": problem(429),
    "HTML": Reply(200, "<html>Welcome to the captive portal</html>", {"Content-Type": "text/html"}),
    "empty": Reply(200, b""),
    "204": Reply(204),
    "null": Reply(200, None),
    "list": lambda seen: Reply(200, [decision(seen)]),
    "truncated JSON": lambda seen: Reply(200, Reply(200, decision(seen)).content()[:-20]),
    "shorter than it says": lambda seen: Reply(200, decision(seen), {"Content-Length": "9999"}),
    "hangs up": Reply(hang_up=True),
    "redirect": Reply(307, b"", {"Location": "http://127.0.0.1:1/v1/enforce"}),
    "another request": decide(requestId="another"),
    "no request id": lambda seen: Reply(200, {k: v for k, v in decision(seen).items() if k != "requestId"}),
    "ALLOWED": decide(decision="ALLOWED"),
    "true": decide(decision=True),
    "unknown reason code": decide(reasonCode="because"),
    "allowed with a reason to deny": decide(reasonCode="policy_denied"),
    "allowed without a decision id": decide(decisionId=None),
    "denied with a reason to allow": decide(decision="denied"),
    "a dry run": decide(dryRun=True),
    "two answers in one": lambda seen: Reply(200, b'{"decision":"denied",' + Reply(200, decision(seen)).content()[1:]),
    "pending for nothing": decide(**PENDING | {"approval": None}),
    "NaN": lambda seen: Reply(200, Reply(200, decision(seen)).content().replace(b'"somethingNewer": 1', b'"x": NaN')),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_server_denies(server: Server, name: str) -> None:
    server.answers(BROKEN[name])
    with Act(server.url, KEY, timeout=30.0, retries=0) as act:
        found = act.enforce(*ASK)
        assert not found
        assert (found.decision, found.reason_code) == (Verdict.DENIED, ReasonCode.UNREACHABLE)
        assert found.reason.startswith("ACT did not decide, so nothing may run. ")
        assert found.decision_id is None
        with pytest.raises(ActError):
            act.enforce(*ASK, raise_on_error=True)
    again = ask_async(server.url)
    assert (again.decision, again.reason_code) == (Verdict.DENIED, ReasonCode.UNREACHABLE)


def test_a_redirect_is_not_followed(act: Act, server: Server) -> None:
    server.answers(Reply(302, b"", {"Location": "/elsewhere"}), Reply(200, b"{}"))
    with pytest.raises(UnexpectedAnswer, match="redirect"):
        act.enforce(*ASK, raise_on_error=True)
    assert len(server.seen) == 1


def test_connection_refused() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with Act(url, KEY) as act:
            found = act.enforce(*ASK)
            assert found.reason_code is ReasonCode.UNREACHABLE
            with pytest.raises(Unreachable) as caught:
                act.enforce(*ASK, raise_on_error=True)
        assert not caught.value.sent
        assert ask_async(url).reason_code is ReasonCode.UNREACHABLE


@pytest.mark.parametrize("slow", [Reply(200, b"{}", delay=60.0), Reply(200, b" " * 1200, drip=0.05)])
def test_time_out(server: Server, slow: Reply) -> None:
    server.answers(slow)
    with Act(server.url, KEY, timeout=0.2, retries=0) as act:
        began = time.monotonic()
        found = act.enforce(*ASK)
        assert time.monotonic() - began < 30
    assert found.reason_code is ReasonCode.UNREACHABLE
    assert "in time" in found.reason
    assert ask_async(server.url, timeout=0.2).reason_code is ReasonCode.UNREACHABLE


def test_a_closed_client_denies(server: Server) -> None:
    act = Act(server.url, KEY)
    act.close()
    assert act.enforce(*ASK).reason_code is ReasonCode.UNREACHABLE


@pytest.mark.parametrize("token", ["", None])
def test_no_token(act: Act, server: Server, token: str | None) -> None:
    assert act.enforce(token, "execute", "api://x").reason_code is ReasonCode.NO_TOKEN
    assert server.seen == []


@pytest.mark.parametrize(
    ("value", "pointer"),
    [(math.nan, "/arguments/x"), ({1, 2}, "/arguments/x"), ({"y": [2**60]}, "/arguments/x/y/0"), ("\ud800", "/x")],
)
def test_arguments_must_be_json(act: Act, server: Server, value: Any, pointer: str) -> None:
    with pytest.raises(ValueError, match=pointer):
        act.enforce(*ASK, arguments={"x": value})
    assert server.seen == []


def test_dry_run_and_tenant(server: Server) -> None:
    with Act(server.url, KEY, tenant_id="default-tenant") as act:
        assert act.enforce(*ASK, dry_run=True).dry_run
        assert server.seen[0].json["dryRun"] is True
        assert server.seen[0].json["tenantId"] == "default-tenant"
        server.answers(decide(tenantId="other"))
        assert act.enforce(*ASK).reason_code is ReasonCode.UNREACHABLE


def test_an_answer_on_an_older_state_denies(act: Act, server: Server) -> None:
    server.answers(decide(revision=6), decide(revision=7), decide(revision=None))
    old, new, unknown = (act.enforce(*ASK, min_revision=7) for _ in range(3))
    assert [seen.json["minRevision"] for seen in server.seen] == [7, 7, 7]
    assert (old.reason_code, new.reason_code) == (ReasonCode.UNREACHABLE, ReasonCode.ALLOWED)
    assert unknown.reason_code is ReasonCode.UNREACHABLE
    server.answers(decide(revision=6))
    assert ask_async(server.url, min_revision=7).reason_code is ReasonCode.UNREACHABLE


def test_async_allows() -> None:
    server = Server()
    try:
        assert ask_async(server.url)
    finally:
        server.close()


def test_a_decision_that_was_not_awaited_is_not_true(server: Server) -> None:
    async def work() -> None:
        async with AsyncAct(server.url, KEY) as act:
            with pytest.raises(TypeError, match="await"):
                assert act.enforce(*ASK)
            with pytest.raises(TypeError, match="await"):
                assert act.guard("t").acheck("execute", "api://x")
            assert await asyncio.create_task(act.enforce(*ASK))
            assert all(await asyncio.gather(act.enforce(*ASK), act.enforce(*ASK)))

    asyncio.run(work())
