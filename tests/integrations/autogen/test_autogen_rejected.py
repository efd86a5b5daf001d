"""A person says no: the model reads their reason, in a real chat under a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import autogen
import pytest
from autogen_support import assistant, chat, person, script, texts
from tests.support import ADMIN_KEY, Api, Server

from act import Act
from act.integrations.autogen import ActGuard

pytestmark = pytest.mark.timeout(120)


class Payer:
    """A planner whose payments need a person, who is `approver`."""

    def __init__(self, server: Server, api: Api, act: Act) -> None:
        self.act, role = act, uuid4().hex
        self.agent = api.agent(None, role)
        api.policy(["pay"], ["api://pay/*"], appliesTo={"roles": [role]}, constraints={"requiresApproval": True})
        self.token = api.token(self.agent)
        self.approver = server.api(api.key("approve")["key"])
        self.ran: list[str] = []

    def chat(self, mode: str, asynchronous: bool, **options: Any) -> str:
        def pay(to: str) -> str:
            self.ran.append(to)
            return f"paid {to}"

        async def a_pay(to: str) -> str:
            return pay(to)

        user, planner = person(), assistant("Planner")
        tool = a_pay if asynchronous else pay
        autogen.register_function(tool, caller=planner, executor=user, name="pay", description="Pay")
        seen = script(planner, ("pay", {"to": "bob"}))
        guard = ActGuard(
            self.act, {"Planner": self.token}, tools={"pay": ("pay", "api://pay/{to}")}, messages="off", **options
        )
        guard.protect(user, planner)
        chat(mode, user, planner, max_turns=2)
        return texts(seen)

    def reject(self) -> None:
        while not (waiting := self._waiting()):
            time.sleep(0.05)
        self.approver.post(f"/v1/approvals/{waiting[0]}/reject", {"reason": "not on a Friday"}, status=200)

    def _waiting(self) -> list[str]:
        items = self.approver.get("/v1/approvals", params={"status": "pending", "limit": 200})["items"]
        return [item["id"] for item in items if item["agentId"] == self.agent]


@pytest.fixture
def payer(server: Server, api: Api) -> Iterator[Payer]:
    with Act(server.url, ADMIN_KEY, timeout=20) as act:
        payer = Payer(server, api, act)
        yield payer
        payer.approver.close()


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_while_the_call_waits(payer: Payer, mode: str, asynchronous: bool) -> None:
    answering = threading.Thread(target=payer.reject)
    answering.start()
    seen = payer.chat(mode, asynchronous, on_pending="wait", approval_timeout=60)
    answering.join()
    assert "ACT denied: approval_rejected" in seen
    assert "not on a Friday" in seen
    assert payer.ran == []


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_when_it_is_asked_again(payer: Payer, mode: str) -> None:
    assert "ACT denied: approval_required" in payer.chat(mode, False)
    payer.reject()
    seen = payer.chat(mode, False)
    assert "ACT denied: approval_rejected" in seen
    assert "not on a Friday" in seen
    assert payer.ran == []
