"""Wall clocks jump; an approval that is over stays over, and nothing that was told is told for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from act.approvals.live import LiveApprovals
from act.audit.units import WriteFailed
from act.audit.writer import Writer
from tests.approvals.test_machine import asked
from tests.in_process import Hand, InProcess
from tests.support import Api


class Asking:
    """An agent whose action needs a person, on a node whose clocks are moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()
        self.keys = {name: self.admin.key(name)["key"] for name in ("enforce", "approve")}
        agent = self.admin.agent()
        constraints = {"requiresApproval": {"expiresIn": 900}}
        self.admin.policy(["pay"], appliesTo={"agentIds": [agent]}, constraints=constraints)
        self.token = self.admin.token(agent, expiresIn=86400)
        self.open()

    def start(self) -> None:
        self.node = InProcess(self.folder)
        self.clock, self.admin = self.node.clock, self.node.api

    def open(self) -> None:
        self.enforcer, self.person = (self.node.client(self.keys[name]) for name in ("enforce", "approve"))

    def restart(self) -> None:
        """The node alone knows what time it was; the clock of the new one goes on where the old one was."""
        clock = self.clock
        self.node.close()
        self.start()
        self.clock.at = clock.at
        self.open()

    def ask(self) -> Any:
        return self.enforcer.enforce(self.token, "pay", "bank://x")

    def code(self) -> str:
        return str(self.ask()["reasonCode"])

    def pending(self) -> str:
        asked = self.ask()
        assert asked["reasonCode"] == "approval_required"
        return str(asked["approval"]["id"])

    def approve(self, id: str, status: int = 200) -> Any:
        return self.person.post(f"/v1/approvals/{id}/approve", {}, status=status)

    def status(self, id: str) -> str:
        return str(self.person.get(f"/v1/approvals/{id}")["status"])


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    asking = Asking(tmp_path)
    yield asking
    asking.node.close()


def test_a_clock_that_is_set_back_gives_no_time(asking: Asking) -> None:
    id = asking.pending()
    asking.approve(id)
    asking.clock.move(600)
    asking.clock.jump(-500)
    asking.clock.move(299)
    assert asking.status(id) == "approved"
    asking.clock.move(1)
    assert asking.status(id) == "expired"
    assert asking.code() == "approval_expired"
    assert asking.code() == "approval_required"


def test_a_clock_that_is_set_back_takes_no_time(asking: Asking) -> None:
    id = asking.pending()
    asking.clock.jump(-20)
    asking.approve(id)
    asking.clock.move(899)
    assert asking.code() == "allowed"


@pytest.mark.parametrize("look", ["ask", "get", "vote", "sweep"])
def test_what_was_over_once_does_not_come_back(asking: Asking, look: str) -> None:
    id = asking.pending()
    if look in ("ask", "sweep"):
        asking.approve(id)
    asking.clock.jump(901)
    if look == "ask":
        assert asking.code() == "approval_expired"
    elif look == "get":
        assert asking.status(id) == "expired"
    elif look == "vote":
        assert asking.approve(id, status=409)["code"] == "approval_expired"
    else:
        wait_for_sweep(asking.admin, id)
    asking.clock.jump(-901)
    assert asking.status(id) == "expired"
    assert asking.approve(id, status=409)["code"] == "approval_expired"
    assert asking.code() in ("approval_expired", "approval_required")
    assert "allowed" not in [asking.code() for _ in range(3)]


def wait_for_sweep(admin: Api, id: str) -> None:
    import time

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for item in admin.get("/v1/audit", params={"limit": 20})["items"]:
            if item["record"]["kind"] == "approval.expired" and item["record"]["approvalId"] == id:
                return
        time.sleep(0.1)
    raise AssertionError("it was not swept")


def test_what_nobody_looked_at_ends_by_the_time_that_went_by(asking: Asking) -> None:
    id = asking.pending()
    asking.approve(id)
    asking.clock.jump(-3600)
    asking.clock.move(900)
    assert asking.status(id) == "expired"


def test_the_last_question_is_the_last_one_whatever_its_id() -> None:
    """Ids grow with the wall clock, so after it was set back a later question can have a smaller one."""
    live, first, later = LiveApprovals(Hand()), asked(id="apr_2"), asked(id="apr_1")
    live.propose(first)
    live.propose(later)
    assert live.latest(b"asked") is later
    ended = replace(first, status="expired")
    live.propose(ended)
    assert live.latest(b"asked") is later
    live.withdraw(later)
    assert live.latest(b"asked") is ended


def test_what_is_asked_after_the_clock_was_set_back_is_found_again(asking: Asking) -> None:
    first = asking.pending()
    asking.person.post(f"/v1/approvals/{first}/reject", {"reason": "no"}, status=200)
    asking.clock.move(900)
    asking.clock.jump(-20)
    second = asking.pending()
    assert second != first
    assert asking.pending() == second
    asking.approve(second)
    assert asking.code() == "allowed"


def test_an_end_that_could_not_be_told_is_told_again(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    asking.pending()
    asking.clock.move(900)

    def full(self: Writer, work: Any, *more: Any, **named: Any) -> None:
        raise WriteFailed("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "submit", full)
        request = {"requestId": "1", "capabilityToken": asking.token, "action": "pay", "resourceId": "bank://x"}
        assert asking.enforcer.post("/v1/enforce", request, status=503)["decision"] == "denied"
    assert asking.code() == "approval_expired"
    assert asking.code() == "approval_required"


def test_a_question_that_could_not_be_written_leaves_nothing_behind(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Writer, work: Any, *more: Any, **named: Any) -> None:
        raise WriteFailed("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "submit", full)
        for number in range(120):
            request = {"requestId": f"{number}", "capabilityToken": asking.token, "action": "pay"}
            request |= {"resourceId": f"bank://{number}"}
            assert asking.enforcer.post("/v1/enforce", request, status=503)["code"] == "overloaded"
    assert asking.person.get("/v1/approvals")["items"] == []
    assert asking.code() == "approval_required", "the hundred places are free"


def test_the_word_of_a_key_ends_with_the_key(asking: Asking) -> None:
    with_end = asking.admin.key("approve", expiresIn=100)["key"]
    for seconds, code in ((99, "allowed"), (100, "approval_required")):
        id = asking.pending()
        asking.node.client(with_end).post(f"/v1/approvals/{id}/approve", {}, status=200)
        asking.clock.move(seconds)
        assert asking.code() == code
        asking.clock.jump(-99)


def test_a_key_that_has_ended_does_not_count_again_when_the_clock_is_set_back(asking: Asking) -> None:
    with_end = asking.admin.key("approve", expiresIn=100)["key"]
    id = asking.pending()
    asking.node.client(with_end).post(f"/v1/approvals/{id}/approve", {}, status=200)
    asking.clock.move(100)
    asking.clock.jump(-20)
    asked = asking.ask()
    assert (asked["reasonCode"], asked["approval"]["id"] != id) == ("approval_required", True)


def test_a_restart_believes_the_wall_clock(asking: Asking) -> None:
    id = asking.pending()
    asking.approve(id)
    asking.clock.move(899)
    asking.restart()
    assert asking.status(id) == "approved"
    asking.clock.move(1)
    assert asking.status(id) == "expired"
