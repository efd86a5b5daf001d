"""The shared core, without a framework."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import autogen
import pytest
from autogen_support import ALLOW_ALL, NOW, TOKENS, FakeAct, token_for

from act.integrations.core import Call, Enforcer, NotReported, Party, agent_id_of
from act.integrations.mapping import MappingFault, ToolSpec, act_tool, agent_resource, resource_for, spec_of
from act.models import Decision, ReasonCode, Verdict

CALL = Call("call", "tool://pay", {"to": "bob"})
PLANNER, EXECUTOR = Party("Planner", TOKENS["Planner"]), Party("Executor", TOKENS["Executor"])


def enforcer(act: Any, **options: Any) -> Enforcer:
    return Enforcer(act, framework="test", conversation_id="c", **options)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "..",
        "a.!!.c",
        "a." + base64.urlsafe_b64encode(b"[1]").decode() + ".c",
        "a." + base64.urlsafe_b64encode(b'{"client_id": 7}').decode() + ".c",
        "ä.ö.ü",
    ],
)
def test_a_token_that_names_nobody(token: str) -> None:
    assert agent_id_of(token) is None
    assert (
        enforcer(FakeAct(ALLOW_ALL)).decide(CALL, executor=EXECUTOR, asker=Party("x", token)).code == "token_malformed"
    )


def test_the_agent_of_a_token() -> None:
    assert agent_id_of(token_for("agt_1")) == "agt_1"


def test_without_an_asker_or_its_token_nothing_is_asked() -> None:
    act = FakeAct(ALLOW_ALL)
    assert enforcer(act).decide(CALL, executor=EXECUTOR, asker=None).code is ReasonCode.REQUESTER_UNKNOWN
    assert enforcer(act).decide(CALL, executor=EXECUTOR, asker=Party("user")).code is ReasonCode.NO_TOKEN
    assert act.asked == []


def test_the_executors_token_decides_and_the_asker_is_named() -> None:
    act = FakeAct(ALLOW_ALL)
    assert enforcer(act).decide(CALL, executor=EXECUTOR, asker=PLANNER).allowed
    assert enforcer(act).decide(CALL, executor=Party("proxy"), asker=PLANNER).allowed
    assert [(ask.agent, ask.requester) for ask in act.asked] == [
        ("agt_executor", "agt_planner"),
        ("agt_planner", "agt_planner"),
    ]


def test_only_the_word_allowed_allows() -> None:
    class Odd(FakeAct):
        def enforce(self, *args: Any, **kwargs: Any) -> Any:
            return True

    class Pending(FakeAct):
        def enforce(self, *args: Any, **kwargs: Any) -> Any:
            return Decision(
                request_id="r",
                decision=Verdict.PENDING_APPROVAL,
                reason_code=ReasonCode.ALLOWED,
                reason="",
                evaluated_at=NOW,
            )

    assert enforcer(Odd()).decide(CALL, executor=PLANNER, asker=PLANNER).code is ReasonCode.UNREACHABLE
    for how in ("deny", "wait", "raise"):
        assert not enforcer(Pending(), on_pending=how).decide(CALL, executor=PLANNER, asker=PLANNER).allowed


def test_an_error_never_shows_the_token() -> None:
    class Telling(FakeAct):
        def enforce(self, token: str, *args: Any, **kwargs: Any) -> Any:
            raise ValueError(token)

    text = enforcer(Telling()).decide(CALL, executor=PLANNER, asker=PLANNER).text
    assert str(PLANNER.token) not in text
    assert str(PLANNER.token) not in repr(PLANNER)


def test_an_async_client_is_refused() -> None:
    class Async(FakeAct):
        async def enforce(self, *args: Any, **kwargs: Any) -> Any:
            raise AssertionError

    with pytest.raises(TypeError, match="synchronous"):
        enforcer(Async())


def test_resources() -> None:
    spec = ToolSpec("execute", "api://tasks/{task_id}/{step}")
    assert resource_for(spec, "t", {"task_id": "a@b c", "step": 2}) == "api://tasks/a@b%20c/2"
    with pytest.raises(MappingFault, match="'/'"):
        resource_for(spec, "t", {"task_id": "a/../b", "step": 2})
    assert resource_for(ToolSpec(), "look up", {}) == "tool://look%20up"
    assert agent_resource("Data Analyst") == "agent://Data%20Analyst"
    with pytest.raises(MappingFault):
        resource_for(spec, "t", {"task_id": "a"})


@pytest.mark.parametrize("template", ["a/{}", "a/{b.c}", "a/{b[0]}", "a/{b!r}", "a/{b:>8}", "a/{0}", "a/{"])
def test_templates_are_plain(template: str) -> None:
    with pytest.raises(ValueError):
        ToolSpec("call", template)


def test_the_mark_goes_on_functions_only() -> None:
    @act_tool(action="read")
    def look() -> None: ...

    assert spec_of(look) == ToolSpec("read")
    assert spec_of(None) is None
    with pytest.raises(TypeError):
        act_tool()(object())  # type: ignore[type-var]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("labels", "fault", "comes_out"),
    [
        (None, RuntimeError("what was read"), NotReported),
        (["untrusted"], RuntimeError("what was read"), NotReported),
        ([], RuntimeError("nothing was read"), RuntimeError),
        (None, KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_an_exception_is_withheld_too_when_the_session_cannot_be_told(
    asynchronous: bool, labels: list[str] | None, fault: BaseException, comes_out: type[BaseException]
) -> None:
    """An exception can quote what was read."""
    enforcing = enforcer(FakeAct(ALLOW_ALL, reports_fail=True))
    ruling = enforcing.decide(CALL, executor=EXECUTOR, asker=PLANNER)
    assert ruling.allowed

    def run() -> None:
        with enforcing.reporting(ruling, labels):
            raise fault

    async def a_run() -> None:
        async with enforcing.a_reporting(ruling, labels):
            raise fault

    with pytest.raises(comes_out) as raised:
        asyncio.run(a_run()) if asynchronous else run()
    assert "what was read" not in str(raised.value)


def test_autogen_is_what_the_tests_think() -> None:
    assert autogen.__version__ == "0.2.40" or autogen.__version__.startswith("0.14.")
