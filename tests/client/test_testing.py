from __future__ import annotations

import threading
import time

import pytest

from act import NotFound, ReasonCode
from act.client.testing import _glob
from act.testing import FakeAct


def test_default_is_to_deny() -> None:
    fake = FakeAct()
    assert fake.enforce("t", "a", "b").reason_code is ReasonCode.NO_MATCHING_POLICY
    assert fake.enforce("", "a", "b").reason_code is ReasonCode.NO_TOKEN


def test_allow_pending_and_asked() -> None:
    fake = FakeAct(allow=[("execute", "api://tasks/*")], pending=[("*", "api://tasks/big/*")])
    assert fake.enforce("t", "execute", "api://tasks/1", arguments={"a": 1})
    assert not fake.enforce("t", "update", "api://tasks/1")
    assert fake.enforce("t", "execute", "api://tasks/big/1").approval
    assert [(q.action, q.resource, q.arguments) for q in fake.asked] == [
        ("execute", "api://tasks/1", {"a": 1}),
        ("update", "api://tasks/1", None),
        ("execute", "api://tasks/big/1", None),
    ]
    with pytest.raises(ValueError, match="/arguments/x"):
        fake.enforce("t", "a", "b", arguments={"x": {1}})


def test_an_approval_is_for_one_request_once() -> None:
    fake = FakeAct(pending=[("*", "*")])
    pending = fake.enforce("t", "pay", "bank://1", arguments={"amount": 5})
    assert pending.approval
    fake.approve(pending.approval.id)
    assert not fake.enforce("t", "pay", "bank://1", arguments={"amount": 6})
    assert fake.enforce("t", "pay", "bank://1", arguments={"amount": 5})
    assert not fake.enforce("t", "pay", "bank://1", arguments={"amount": 5})


def test_waiting_for_a_person() -> None:
    fake = FakeAct(pending=[("*", "*")])

    def person() -> None:
        while not (waiting := list(fake.approvals.list("pending"))):
            time.sleep(0.01)
        fake.reject(waiting[0].id, "No.")

    thread = threading.Thread(target=person, daemon=True)
    thread.start()
    found = fake.guard().check_and_wait("pay", "bank://1", timeout=10)
    thread.join(10)
    assert found.reason_code is ReasonCode.APPROVAL_REJECTED
    with pytest.raises(NotFound):
        fake.approvals.get("apr_none")


def test_outcomes() -> None:
    fake = FakeAct(allow=[("*", "*")])
    guard = fake.guard()
    decision = guard.check("a", "b")
    guard.report(decision, "failed")
    assert fake.outcomes == [(decision.decision_id, "failed")]


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("*", "", True),
        ("a*", "a/b/c", True),
        ("*c", "a/b/c", True),
        ("a*c", "ac", True),
        ("a*a", "a", False),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c", False),
        ("a?c", "abc", False),
        ("[a]", "a", False),
        ("A", "a", False),
        ("**", "x", True),
    ],
)
def test_globs(pattern: str, text: str, matches: bool) -> None:
    assert _glob(pattern, text) is matches
