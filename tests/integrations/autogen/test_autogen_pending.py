"""A pending answer: told to the model, waited for, or raised."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import autogen
import pytest
from autogen_support import ALLOW_ALL, TOKENS, FakeAct, assistant, chat, person, script, texts

from act.demo.model import ToolCall
from act.integrations.autogen import ActGuard, ApprovalPending
from act.integrations.core import Call, Enforcer, Party

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def team(act: FakeAct, asynchronous: bool, **options: Any) -> tuple[Any, Any, list[str], Any]:
    ran: list[str] = []

    def pay(to: str) -> str:
        ran.append(to)
        return f"paid {to}"

    async def a_pay(to: str) -> str:
        return pay(to)

    user, planner = person(), assistant("Planner")
    tool = a_pay if asynchronous else pay
    autogen.register_function(tool, caller=planner, executor=user, name="pay", description="Pay")
    seen = script(planner, [("pay", {"to": "bob"}), ("pay", {"to": "eve"})])
    ActGuard(act, TOKENS, messages="off", **options).protect(user, planner)
    return user, planner, ran, seen


@pytest.mark.parametrize("asynchronous", [False, True])
def test_deny_tells_the_model_which_approval_is_pending(mode: str, asynchronous: bool) -> None:
    act = FakeAct(ALLOW_ALL, pending=["tool://pay"])
    user, planner, ran, seen = team(act, asynchronous)
    chat(mode, user, planner, max_turns=3)
    assert ran == []
    assert "ACT denied: approval_required" in texts(seen)
    assert "Approval apr_1 is pending" in texts(seen)
    assert "exactly the same arguments" in texts(seen)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_wait_asks_again_after_the_approval(mode: str, asynchronous: bool) -> None:
    act = FakeAct(ALLOW_ALL, pending=["tool://pay"], verdicts=["pending", "approved", "approved", "approved"])
    user, planner, ran, _ = team(act, asynchronous, on_pending="wait", approval_timeout=20)
    chat(mode, user, planner, max_turns=3)
    assert sorted(ran) == ["bob", "eve"]
    assert [status for _, status in act.outcomes] == ["succeeded", "succeeded"]


@pytest.mark.parametrize(
    ("verdict", "said"), [("rejected", "not on a Friday"), ("expired", "approval_expired"), ("redeemed", "was used")]
)
def test_wait_tells_the_model_why_not(mode: str, verdict: str, said: str) -> None:
    act = FakeAct(ALLOW_ALL, pending=["tool://pay"], verdicts=[verdict, verdict])
    user, planner, ran, seen = team(act, False, on_pending="wait", approval_timeout=20)
    chat(mode, user, planner, max_turns=3)
    assert ran == []
    assert said in texts(seen)


def test_wait_ends(mode: str) -> None:
    act = FakeAct(ALLOW_ALL, pending=["tool://pay"])
    user, planner, ran, seen = team(act, False, on_pending="wait", approval_timeout=0.6)
    chat(mode, user, planner, max_turns=3)
    assert ran == []
    assert "apr_1 is pending" in texts(seen)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_raise_comes_out_of_the_chat(mode: str, asynchronous: bool) -> None:
    act = FakeAct(ALLOW_ALL, pending=["tool://pay"])
    user, planner, ran, _ = team(act, asynchronous, on_pending="raise")
    with pytest.raises(ApprovalPending) as raised:
        chat(mode, user, planner, max_turns=3)
    approval = raised.value.decision.approval
    assert approval is not None
    assert approval.id == "apr_1"
    assert ran == []


CALL = Call("call", "tool://pay", {"to": "bob"})
PLANNER = Party("Planner", TOKENS["Planner"])


def test_waiting_does_not_block_the_event_loop() -> None:
    ticked = threading.Event()

    class Slow(FakeAct):
        def get(self, id: str, *, wait: int = 0) -> Any:
            ticked.wait(30)
            return super().get(id, wait=wait)

    act = Slow(ALLOW_ALL, pending=["tool://pay"], verdicts=["approved"])
    enforcer = Enforcer(act, framework="test", conversation_id="c", on_pending="wait", approval_timeout=60)

    async def run() -> bool:
        asking = asyncio.create_task(enforcer.a_decide(CALL, executor=PLANNER, asker=PLANNER))
        for _ in range(10):
            await asyncio.sleep(0.02)
            assert not asking.done()
        ticked.set()
        return (await asking).allowed

    assert asyncio.run(run())


def test_a_cancelled_wait_never_spends_the_approval() -> None:
    entered, released = threading.Event(), threading.Event()

    class Held(FakeAct):
        def get(self, id: str, *, wait: int = 0) -> Any:
            entered.set()
            released.wait(30)
            return super().get(id, wait=wait)

    act = Held(ALLOW_ALL, pending=["tool://pay"], verdicts=["approved"])
    enforcer = Enforcer(act, framework="test", conversation_id="c", on_pending="wait", approval_timeout=10)

    async def run() -> None:
        asking = asyncio.create_task(enforcer.a_decide(CALL, executor=PLANNER, asker=PLANNER))
        assert await asyncio.to_thread(entered.wait, 30)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        released.set()

    asyncio.run(run())
    assert len(act.asked) == 1


def test_polling_that_fails_is_a_denial() -> None:
    class Lost(FakeAct):
        def get(self, id: str, *, wait: int = 0) -> Any:
            raise ConnectionError("no route")

    act = Lost(ALLOW_ALL, pending=["tool://pay"])
    enforcer = Enforcer(act, framework="test", conversation_id="c", on_pending="wait", approval_timeout=10)
    ruling = enforcer.decide(CALL, executor=PLANNER, asker=PLANNER)
    assert not ruling.allowed
    assert ruling.code == "unreachable"


def test_code_and_legacy_calls_do_not_wait_on_the_event_loop(tmp_path: Path) -> None:
    """AutoGen runs both on the loop itself; there `wait` says like `deny` what is pending."""
    act = FakeAct(ALLOW_ALL, pending=["*"], verdicts=["approved"])
    ran: list[str] = []

    def pay(to: str) -> str:
        ran.append(to)
        return "paid"

    config = {"use_docker": False, "work_dir": str(tmp_path)}
    user, planner = person(code_execution_config=config), assistant("Planner")
    autogen.register_function(pay, caller=planner, executor=user, description="Pay")
    seen = script(planner, "```python\nprint(1)\n```", ToolCall("pay", {"to": "bob"}, legacy=True))
    ActGuard(act, TOKENS, messages="off", on_pending="wait").protect(user, planner)
    chat("async", user, planner, max_turns=3)
    assert ran == []
    assert act.waits == []
    assert texts(seen).count("apr_1 is pending") >= 2
