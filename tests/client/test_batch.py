"""`enforce_batch` fails closed item by item, and as a whole when there is no answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from act import Act, ActError, AsyncAct, ReasonCode, Unreachable, Verdict
from act.client.batch import MAX_BYTES, Asking, Decisions
from act.testing import FakeAct

from .real import TASKS, Team
from .wire import DENIED, KEY, PENDING, Reply, Seen, Server, decision, problem

ALLOWED, UNREACHABLE = ReasonCode.ALLOWED, ReasonCode.UNREACHABLE


def asking(resource: str = "api://x", **more: Any) -> Asking:
    return {"token": "token", "action": "read", "resource": resource, **more}  # type: ignore[typeddict-item]


def answer(*changes: Any) -> Callable[[Seen], Reply]:
    """Decisions that differ from `allowed` as `changes` say, one for each question; a function makes an item."""

    def reply(seen: Seen) -> Reply:
        items = []
        for asked, change in zip(seen.json["requests"], changes or [{}] * len(seen.json["requests"]), strict=True):
            one = Seen(seen.method, seen.path, {}, Reply(200, asked).content())
            items.append(change(asked) if callable(change) else decision(one, **change))
        return Reply(200, {"decisions": items})

    return reply


def trouble(asked: Any) -> Any:
    return problem(409, "request_id_reused").body | {"requestId": asked["requestId"]}


def codes(found: Decisions) -> list[ReasonCode]:
    return [one.reason_code for one in found]


def test_what_is_sent_and_what_comes_back(act: Act, server: Server) -> None:
    server.answers(answer({}, DENIED, PENDING))
    asked = [asking("a", arguments={"n": 1}, request_id="r1"), asking("b", requester="Planner"), asking("c")]
    found = act.enforce_batch(iter(asked))
    assert codes(found) == [ALLOWED, ReasonCode.NO_MATCHING_POLICY, ReasonCode.APPROVAL_REQUIRED]
    [seen] = server.seen
    assert (seen.path, len(seen.json["requests"])) == ("/v1/enforce/batch", 3)
    first = {"capabilityToken": "token", "action": "read", "resourceId": "a", "arguments": {"n": 1}, "requestId": "r1"}
    assert seen.json["requests"][0] == first
    assert [one["requestId"] for one in seen.json["requests"]] == [one.request_id for one in found]
    assert "idempotency-key" not in seen.headers


def test_it_is_true_only_when_all_are_allowed(act: Act, server: Server) -> None:
    server.answers(answer({}, {}), answer({}, DENIED))
    assert act.enforce_batch([asking(), asking()])
    assert not act.enforce_batch([asking(), asking()])
    assert not act.enforce_batch([])
    assert len(server.seen) == 2, "nothing to ask is not asked"


BROKEN_ITEMS: dict[str, Any] = {
    "a problem": trouble,
    "a problem that says allowed": lambda asked: trouble(asked) | {"decision": "allowed"},
    "a problem of no known form": lambda asked: {"code": 1, "status": "x"},
    "null": lambda asked: None,
    "a text": lambda asked: "allowed",
    "another request": {"requestId": "another"},
    "no decision id": {"decisionId": None},
    "contradicts itself": {"decision": "denied"},
    "a dry run": {"dryRun": True},
}


@pytest.mark.parametrize("name", BROKEN_ITEMS)
def test_a_broken_item_is_denied_and_no_other(act: Act, server: Server, name: str) -> None:
    server.answers(answer({}, BROKEN_ITEMS[name], {}))
    found = act.enforce_batch([asking(), asking(), asking()], raise_on_error=True)
    assert codes(found) == [ALLOWED, UNREACHABLE, ALLOWED]
    assert (found[1].decision, found[1].decision_id) == (Verdict.DENIED, None)


def test_the_problem_of_an_item_is_told(act: Act, server: Server) -> None:
    server.answers(answer(trouble))
    assert "request_id_reused" in act.enforce_batch([asking()])[0].reason


BROKEN_ANSWERS: dict[str, Any] = {
    "500": problem(500),
    "403": problem(403),
    "422": problem(422),
    "too few": lambda seen: Reply(200, {"decisions": answer({}, {})(seen).body["decisions"][:1]}),
    "too many": lambda seen: Reply(200, {"decisions": answer({}, {})(seen).body["decisions"] * 2}),
    "in a list": lambda seen: Reply(200, answer({}, {})(seen).body["decisions"]),
    "one decision": lambda seen: Reply(200, answer({}, {})(seen).body["decisions"][0]),
    "hangs up": Reply(hang_up=True),
    "empty": Reply(200, b""),
    "NaN": Reply(200, b'{"decisions": [NaN, NaN]}'),
}


@pytest.mark.parametrize("name", BROKEN_ANSWERS)
def test_no_answer_denies_all(server: Server, name: str) -> None:
    server.answers(BROKEN_ANSWERS[name])
    with Act(server.url, KEY, timeout=30.0, retries=0) as act:
        assert codes(act.enforce_batch([asking(), asking()])) == [UNREACHABLE] * 2
        with pytest.raises(ActError):
            act.enforce_batch([asking(), asking()], raise_on_error=True)


def test_a_lost_answer_is_asked_for_again_with_the_same_body(act: Act, server: Server) -> None:
    server.answers(problem(503), answer())
    assert act.enforce_batch([asking(), asking()])
    assert server.seen[0].body == server.seen[1].body


def test_without_a_token_nothing_is_asked(act: Act, server: Server) -> None:
    server.answers(answer({}))
    found = act.enforce_batch([asking(token=None), asking("b"), asking(token="")])
    assert codes(found) == [ReasonCode.NO_TOKEN, ALLOWED, ReasonCode.NO_TOKEN]
    assert [one["resourceId"] for one in server.seen[0].json["requests"]] == ["b"]
    assert codes(act.enforce_batch([asking(token=None)])) == [ReasonCode.NO_TOKEN]
    assert len(server.seen) == 1


def test_many_are_several_calls_in_order(act: Act, server: Server) -> None:
    server.answers(answer())
    assert act.enforce_batch(asking(str(n)) for n in range(250))
    sent = [[one["resourceId"] for one in seen.json["requests"]] for seen in server.seen]
    assert [len(part) for part in sent] == [100, 100, 50]
    assert [resource for part in sent for resource in part] == [str(n) for n in range(250)]


def test_large_ones_are_several_calls(act: Act, server: Server) -> None:
    server.answers(answer())
    assert act.enforce_batch(asking(arguments={"text": "x" * 100_000}) for _ in range(5))
    assert [len(seen.json["requests"]) for seen in server.seen] == [2, 2, 1]
    assert all(len(seen.body) <= MAX_BYTES + 100 for seen in server.seen)


def test_after_a_call_without_an_answer_nothing_is_asked(server: Server) -> None:
    server.answers(answer(), problem(500), answer())
    with Act(server.url, KEY, retries=0) as act:
        found = act.enforce_batch(asking() for _ in range(300))
    assert codes(found) == [ALLOWED] * 100 + [UNREACHABLE] * 200
    assert len(server.seen) == 2


def test_everything_is_checked_before_anything_is_asked(act: Act, server: Server) -> None:
    with pytest.raises(ValueError, match="/requests/1/arguments/x"):
        act.enforce_batch([asking(), asking(arguments={"x": math.nan})])
    with pytest.raises(TypeError):
        act.enforce_batch([asking(), asking(ressource="b")])
    with pytest.raises(TypeError):
        act.enforce_batch([{"token": "t", "action": "read"}])  # type: ignore[typeddict-item]
    assert server.seen == []


def test_async(server: Server) -> None:
    async def work() -> None:
        server.answers(answer({}, DENIED), problem(500))
        async with AsyncAct(server.url, KEY, retries=0) as act:
            assert codes(await act.enforce_batch([asking(), asking()])) == [ALLOWED, ReasonCode.NO_MATCHING_POLICY]
            assert codes(await act.enforce_batch([asking(), asking()])) == [UNREACHABLE] * 2
            with pytest.raises(ActError):
                await act.enforce_batch([asking()], raise_on_error=True)
            with pytest.raises(TypeError, match="await"):
                assert act.enforce_batch([asking()])

    asyncio.run(work())


class TestGuards:
    def test_check_all(self, act: Act, server: Server) -> None:
        server.answers(answer({}, DENIED))
        found = act.guard("t").check_all([{"action": "read", "resource": "a"}, {"action": "send", "resource": "b"}])
        assert codes(found) == [ALLOWED, ReasonCode.NO_MATCHING_POLICY]
        assert {one["capabilityToken"] for one in server.seen[0].json["requests"]} == {"t"}

    def test_arguments_that_are_not_json_deny_all(self, act: Act, server: Server) -> None:
        bad = {"action": "read", "resource": "a", "arguments": {"x": math.inf}}
        found = act.guard("t").check_all([{"action": "read", "resource": "a"}, bad])  # type: ignore[list-item]
        assert codes(found) == [UNREACHABLE] * 2
        assert server.seen == []

    def test_the_token_is_the_guards(self) -> None:
        fake = FakeAct(allow=[("read", "*")])
        smuggled: Any = {"action": "read", "resource": "a", "token": "another", "key": None}
        assert fake.guard().check_all([smuggled])
        assert fake.asked[0].token != "another"

    def test_async(self, server: Server) -> None:
        async def work() -> None:
            server.answers(answer({}, DENIED))
            async with AsyncAct(server.url, KEY) as act:
                asked: Any = [{"action": "read", "resource": "a"}, {"action": "send", "resource": "b"}]
                for guard in (act.guard("t"), Act(server.url, KEY).guard("t")):
                    assert codes(await guard.acheck_all(asked)) == [ALLOWED, ReasonCode.NO_MATCHING_POLICY]
                with pytest.raises(TypeError, match="await"):
                    assert act.guard("t").acheck_all(asked)

        asyncio.run(work())


class TestWithTheService:
    """In the process, with keys that tokens are bound to."""

    def test_each_question_has_a_proof_of_its_own(self, team: Team) -> None:
        guard = team.act.guard_for(team.planner, expires_in=60)
        found = guard.check_all([{"action": "read", "resource": TASKS + str(n)} for n in range(3)])
        assert codes(found) == [ALLOWED] * 3
        assert found
        mixed = guard.check_all([{"action": "read", "resource": TASKS}, {"action": "execute", "resource": TASKS}])
        assert codes(mixed) == [ALLOWED, ReasonCode.NO_MATCHING_POLICY]

    def test_an_answer_that_was_lost(self, team: Team) -> None:
        """What was decided is told again; what a person is asked is asked anew, for its proof is used up."""
        guard = team.act.guard_for(team.planner, expires_in=60)
        team.way.lose("/batch")
        found = guard.check_all(
            [{"action": "read", "resource": TASKS + "1"}, {"action": "pay", "resource": TASKS + "1"}]
        )
        assert codes(found) == [ALLOWED, ReasonCode.APPROVAL_REQUIRED]
        assert (found[0].replayed, found[1].replayed) == (True, False)

    def test_async(self, team: Team) -> None:
        async def work() -> Decisions:
            guard = await team.asyncly().guard_for(team.planner, expires_in=60)
            return await guard.acheck_all([{"action": "read", "resource": TASKS + "1"}] * 2)

        assert codes(asyncio.run(work())) == [ALLOWED] * 2

    def test_one_that_is_refused(self, team: Team) -> None:
        token = team.act.tokens.issue(team.planner).token
        one: Any = {"token": token, "action": "read", "resource": TASKS, "request_id": "same"}
        found = team.act.enforce_batch([one, one | {"action": "plan"}, one | {"request_id": None}])
        assert codes(found) == [ALLOWED, UNREACHABLE, ALLOWED]
        assert "request_id_reused" in found[1].reason


def test_the_error_says_that_nothing_was_sent() -> None:
    with Act("http://127.0.0.1:9", KEY, retries=0) as act, pytest.raises(Unreachable) as caught:
        act.enforce_batch([asking()], raise_on_error=True)
    assert not caught.value.sent
