from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import act as package
from act import Act, AsyncAct, Guard, ReasonCode, Unreachable, Verdict, current_guard

from .wire import DENIED, KEY, PENDING, Reply, Server, allow, approval, decide, problem

ASK = ("execute", "api://tasks/execute/1")


def jwt(agent: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"client_id": agent}).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


def by_path(**answers: Any) -> Callable[[Any], Reply]:
    """Answer by the last word of the path before any digits; a list is used up entry by entry."""

    def answer(seen: Any) -> Reply:
        key = "approval" if "/approvals/" in seen.path else seen.path.rsplit("/", 1)[1]
        entry = answers[key]
        if isinstance(entry, list):
            entry = entry.pop(0) if len(entry) > 1 else entry[0]
        reply: Reply = entry(seen) if callable(entry) else entry
        return reply

    return answer


@pytest.mark.parametrize(
    ("token", "agent"),
    [(jwt("agt_1"), "agt_1"), (jwt(7), None), ("nonsense", None), ("a.b.c", None), ("a.W10.c", None), (None, None)],
)
def test_agent_id_is_read_from_the_token(act: Act, token: str | None, agent: str | None) -> None:
    guard = act.guard(token)
    assert guard.agent_id == agent
    assert repr(guard) == f"Guard(agent_id={agent!r})"


def test_check(act: Act, server: Server) -> None:
    guard = act.guard("token")
    assert guard.check(*ASK, arguments={"a": 1})
    assert asyncio.run(_await(guard.acheck(*ASK)))
    server.answers(decide(**DENIED))
    assert guard.check(*ASK).reason_code is ReasonCode.NO_MATCHING_POLICY


async def _await(work: Any) -> Any:
    return await work


def test_what_is_not_json_is_a_denial(act: Act, server: Server) -> None:
    found = act.guard("token").check(*ASK, arguments={"x": object()})
    assert (found.decision, found.reason_code) == (Verdict.DENIED, ReasonCode.UNREACHABLE)
    assert "/arguments/x" in found.reason
    assert server.seen == []


def test_report(act: Act, server: Server) -> None:
    guard = act.guard("token")
    decision = guard.check(*ASK)
    assert guard.report(decision, "succeeded").status == "succeeded"
    assert server.seen[-1].path == "/v1/decisions/dec_1/outcome"
    server.answers(decide(**DENIED))
    with pytest.raises(ValueError, match="allowed"):
        guard.report(guard.check(*ASK), "succeeded")


class TestWaiting:
    def test_approved(self, act: Act, server: Server) -> None:
        answers = by_path(
            enforce=[decide(**PENDING), decide(approval=PENDING["approval"])],
            approval=[approval("pending"), approval("approved"), approval("redeemed")],
        )
        server.answers(answers)
        arguments = {"amount": [1]}
        assert act.guard("token").check_and_wait(*ASK, arguments=arguments, timeout=900)
        first, *polls, last = server.seen
        assert [poll.path for poll in polls] == ["/v1/approvals/apr_1?wait=30"] * 2
        assert first.json["requestId"] != last.json["requestId"]
        assert first.json["arguments"] == last.json["arguments"] == arguments

    @pytest.mark.parametrize(
        ("end", "code"),
        [
            (approval("rejected", reason="Not on a Sunday"), ReasonCode.APPROVAL_REJECTED),
            (approval("expired"), ReasonCode.APPROVAL_EXPIRED),
        ],
    )
    def test_not_approved(self, act: Act, server: Server, end: Reply, code: ReasonCode) -> None:
        server.answers(by_path(enforce=decide(**PENDING), approval=end))
        found = act.guard("token").check_and_wait(*ASK, timeout=60)
        assert not found
        assert found.reason_code is code
        assert ("Sunday" in found.reason) is (code is ReasonCode.APPROVAL_REJECTED)

    def test_the_server_says_why_it_was_not_approved(self, act: Act, server: Server) -> None:
        said = PENDING | {"decision": "denied", "reasonCode": "approval_rejected", "reason": "Rejected by alice: no."}
        server.answers(by_path(enforce=[decide(**PENDING), decide(**said)], approval=approval("rejected")))
        found = act.guard("token").check_and_wait(*ASK, timeout=60)
        assert not found
        assert found.reason == "Rejected by alice: no."
        assert found.decision_id == "dec_1"

    def test_time_out(self, act: Act, server: Server) -> None:
        server.answers(by_path(enforce=decide(**PENDING), approval=approval("pending")))
        began = time.monotonic()
        found = act.guard("token", wait=0.7).check_and_wait(*ASK)
        assert found.decision is Verdict.PENDING_APPROVAL
        assert not found
        assert 0.6 < time.monotonic() - began < 30
        assert {poll.path for poll in server.seen[1:]} == {"/v1/approvals/apr_1"}, "no longer than there is time"
        assert len(server.seen) < 6, "a server that does not hold the poll is not flooded"

    def test_the_server_goes_away(self, act: Act, server: Server) -> None:
        server.answers(by_path(enforce=decide(**PENDING), approval=problem(404)))
        found = act.guard("token").check_and_wait(*ASK, timeout=60)
        assert found.reason_code is ReasonCode.UNREACHABLE
        assert not found

    def test_nothing_to_wait_for(self, act: Act, server: Server) -> None:
        guard = act.guard("token")
        assert guard.check_and_wait(*ASK)
        assert len(server.seen) == 1
        with pytest.raises(ValueError, match="does not wait"):
            guard.wait_for_approval(guard.check(*ASK))

    def test_async(self, server: Server) -> None:
        server.answers(
            by_path(enforce=[decide(**PENDING), allow], approval=[approval("pending"), approval("approved")])
        )

        async def work() -> None:
            async with AsyncAct(server.url, KEY) as act:
                assert await act.guard("token").acheck_and_wait(*ASK, timeout=60)
                server.answers(by_path(enforce=decide(**PENDING), approval=approval("rejected")))
                found = await act.guard("token").acheck_and_wait(*ASK, timeout=60)
                assert found.reason_code is ReasonCode.APPROVAL_REJECTED

        asyncio.run(work())


class TestBinding:
    def test_nested(self, act: Act) -> None:
        outer, inner = act.guard("outer"), act.guard("inner")
        assert current_guard() is None
        with outer.bind() as bound:
            assert current_guard() is bound is outer
            with inner.bind():
                assert current_guard() is inner
            assert current_guard() is outer
        assert current_guard() is None

    def test_restored_after_an_exception(self, act: Act) -> None:
        with pytest.raises(KeyError), act.guard("t").bind():
            raise KeyError
        assert current_guard() is None

    def test_a_thread_starts_without(self, act: Act) -> None:
        found: list[Any] = []
        with act.guard("t").bind():
            thread = threading.Thread(target=lambda: found.append(current_guard()))
            thread.start()
            thread.join(30)
        assert found == [None]

    def test_threads_do_not_share(self, act: Act) -> None:
        both, found = threading.Barrier(2, timeout=30), {}

        def work(name: str) -> None:
            guard = act.guard(jwt(name))
            with guard.bind():
                both.wait()
                found[name] = current_guard() is guard
                both.wait()

        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert found == {"a": True, "b": True}

    def test_tasks_do_not_share(self, act: Act) -> None:
        async def work(guard: Guard, turn: asyncio.Barrier) -> bool:
            with guard.bind():
                await turn.wait()
                mine = current_guard() is guard
                await turn.wait()
                return mine

        async def main() -> None:
            turn = asyncio.Barrier(2)
            async with asyncio.timeout(30):
                assert await asyncio.gather(*(work(act.guard(name), turn) for name in "ab")) == [True, True]
            assert current_guard() is None

        asyncio.run(main())

    def test_blocks_that_end_in_another_order_leave_nothing_bound(self, act: Act) -> None:
        """Generators share the context of whoever draws from them."""

        def agent(guard: Guard) -> Iterator[Any]:
            with guard.bind():
                yield current_guard()

        one, two = act.guard("one"), act.guard("two")
        first, second = agent(one), agent(two)
        assert (next(first), next(second)) == (one, two)
        assert current_guard() is two
        assert next(first, None) is None
        assert current_guard() is two, "a block takes back its own guard and no other"
        assert next(second, None) is None
        assert current_guard() is None

    def test_a_block_that_another_task_ends(self, act: Act) -> None:
        guard = act.guard("t")

        async def agent() -> AsyncIterator[Any]:
            with guard.bind():
                yield current_guard()

        async def draw(source: AsyncIterator[Any]) -> Any:
            return await anext(source, None)

        async def main() -> None:
            source = agent()
            assert await asyncio.create_task(draw(source)) is guard
            assert current_guard() is None
            assert await asyncio.create_task(draw(source)) is None
            assert current_guard() is None

        asyncio.run(main())

    def test_a_block_may_be_entered_twice(self, act: Act) -> None:
        guard = act.guard("t")
        with guard.bind():
            with guard.bind():
                pass
            assert current_guard() is guard
        assert current_guard() is None


def test_what_users_import() -> None:
    assert set(package.__all__) <= set(dir(package))
    assert package.__version__
    assert issubclass(package.ApprovalPending, package.PermissionDenied)
    assert issubclass(package.UnexpectedAnswer, Unreachable)
