from __future__ import annotations

import threading
import time

import pytest

from act import NotFound, ProofKey, ReasonCode, current_guard
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
    found = fake.guard().check_and_wait("pay", "bank://1", timeout=60)
    thread.join(30)
    assert found.reason_code is ReasonCode.APPROVAL_REJECTED
    with pytest.raises(NotFound):
        fake.approvals.get("apr_none")


def test_outcomes() -> None:
    fake = FakeAct(allow=[("*", "*")])
    guard = fake.guard()
    decision = guard.check("a", "b")
    guard.report(decision, "failed")
    assert fake.outcomes == [(decision.decision_id, "failed")]


def test_handing_down() -> None:
    fake = FakeAct(allow=[("*", "api://tasks/*")])
    planner = fake.guard()
    child = planner.delegate("executor", actions=["execute"], resources=["api://tasks/4*"])
    assert child.agent_id == "executor"
    assert child.check("execute", "api://tasks/42")
    assert child.check("execute", "api://tasks/5").reason_code is ReasonCode.CHAIN_SCOPE_EXCEEDED
    assert child.check("delete", "api://tasks/42").reason_code is ReasonCode.CHAIN_SCOPE_EXCEEDED
    assert planner.check("delete", "api://tasks/5")
    grandchild = child.delegate("helper", actions=["*"], resources=["*"])
    assert grandchild.check("execute", "api://tasks/5").reason_code is ReasonCode.CHAIN_SCOPE_EXCEEDED
    assert grandchild.check("execute", "api://tasks/41")
    assert not FakeAct().guard().delegate("e", actions=["*"], resources=["*"]).check("a", "b")
    with pytest.raises(ValueError, match="handed down"), child.session("t"):
        pytest.fail("began")


def test_a_session_and_what_is_revoked() -> None:
    fake = FakeAct(allow=[("*", "*")])
    with fake.guard().session("ticket-7", facts={"to": []}) as guard:
        assert current_guard() is guard
        assert guard.check("a", "b")
        child = guard.delegate("e", actions=["*"], resources=["*"])
        assert child.check("a", "b")
    assert current_guard() is None
    assert guard.check("a", "b").reason_code is ReasonCode.TOKEN_REVOKED
    assert child.check("a", "b").reason_code is ReasonCode.TOKEN_REVOKED
    with pytest.raises(NotFound):
        fake.tokens.revoke("tok_none")


def test_a_bound_token_needs_its_key() -> None:
    fake = FakeAct(allow=[("*", "*")])
    key = ProofKey.generate()
    issued = fake.tokens.issue("agt_1", cnf=key.public_jwk)
    assert fake.enforce(issued.token, "a", "b").reason_code is ReasonCode.PROOF_REQUIRED
    bound = fake.guard(issued, key=key)
    assert bound.check("a", "b")
    child = bound.delegate("e", actions=["*"], resources=["*"])
    assert child.check("a", "b")
    assert fake.enforce(fake.asked[-1].token, "a", "b").reason_code is ReasonCode.PROOF_REQUIRED


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
