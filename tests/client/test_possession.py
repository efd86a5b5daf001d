"""Guards whose tokens are bound to a key, against the real service."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from act import ProofKey, ReasonCode, Verdict

from .real import TASKS, Team
from .test_delegate import token_of

PLAN = ("plan", TASKS + "1")


def test_every_question_has_a_proof_of_its_own(team: Team) -> None:
    guard = team.act.guard_for(team.planner)
    for arguments in (None, {}, {"n": 1.0, "é": ["\u2028", None, -0.0]}, {"deep": {"b": 1, "a": True}}):
        for _ in range(2):
            found = guard.check(*PLAN, arguments=arguments)
            assert found, found.reason


def test_the_token_alone_is_worth_nothing(team: Team) -> None:
    guard = team.act.guard_for(team.planner)
    token = token_of(guard)
    assert team.act.enforce(token, *PLAN).reason_code is ReasonCode.PROOF_REQUIRED
    assert team.act.guard(token).check(*PLAN), "a guard of the same client shares the credential"
    other = team.key("enforce")
    assert other.guard(token).check(*PLAN).reason_code is ReasonCode.PROOF_REQUIRED
    assert other.enforce(token, *PLAN, key=ProofKey.generate()).reason_code is ReasonCode.PROOF_INVALID


def test_a_token_that_is_bound_to_another_key_or_none(team: Team) -> None:
    key = ProofKey.generate()
    for token in (team.act.tokens.issue(team.planner), token_of(team.act.guard_for(team.planner)), "nonsense"):
        with pytest.raises(ValueError, match="not bound to this key"):
            team.act.guard(token, key=key)
    bearer = team.act.tokens.issue(team.planner).token
    assert team.act.enforce(bearer, *PLAN, key=key).reason_code is ReasonCode.PROOF_INVALID
    own = team.act.tokens.issue(team.planner, cnf=key.public_jwk)
    assert team.act.guard(own.token, key=key).check(*PLAN)
    assert team.act.enforce(own.token, *PLAN, key=key)


def test_the_requester_proves_itself_too(team: Team) -> None:
    planner = team.act.guard_for(team.planner)
    child = planner.delegate("Executor", actions=["execute"], resources=[TASKS + "*"])
    ask: dict[str, Any] = {"key": child._credential.held.key, "requester_token": token_of(planner)}
    call = (token_of(child), "execute", TASKS + "1")
    found = team.act.enforce(*call, **ask, requester_key=planner._credential.held.key)
    assert found, found.reason
    refused = team.act.enforce(*call, **ask)
    assert refused.reason_code is ReasonCode.REQUESTER_NOT_PERMITTED
    assert "proof_required" in refused.reason


def test_what_is_not_json_is_a_denial_that_names_it(team: Team) -> None:
    found = team.act.guard_for(team.planner).check(*PLAN, arguments={"x": object()})
    assert (found.decision, found.reason_code) == (Verdict.DENIED, ReasonCode.UNREACHABLE)
    assert "/arguments/x" in found.reason


def test_a_lost_answer_is_repeated(team: Team) -> None:
    guard = team.act.guard_for(team.planner)
    team.way.lose("/enforce")
    found = guard.check(*PLAN)
    assert found
    assert found.replayed, "the server gives the same answer again, without a second proof"


def test_a_lost_question_to_a_person_is_asked_again(team: Team) -> None:
    guard = team.act.guard_for(team.planner)
    pay = ("pay", TASKS + "lost")
    team.way.seen.clear()
    team.way.lose("/enforce")
    found = guard.check(*pay)
    assert found.decision is Verdict.PENDING_APPROVAL, found.reason
    assert len(team.way.seen) == 3, "the lost one, its repetition, which is taken for a replay, and a new one"
    named = team.act.enforce(
        token_of(guard), "pay", TASKS + "named", request_id="my-own", key=guard._credential.held.key
    )
    assert named.decision is Verdict.PENDING_APPROVAL
    team.way.lose("/enforce")
    named = team.act.enforce(
        token_of(guard), "pay", TASKS + "named", request_id="my-own-2", key=guard._credential.held.key
    )
    assert named.reason_code is ReasonCode.PROOF_REPLAYED, "a request id that the caller chose is not changed"


def test_waiting_for_a_person(team: Team) -> None:
    guard = team.act.guard_for(team.planner)
    person = team.key("approve")

    def approve() -> None:
        while not (waiting := [a for a in person.approvals.list("pending") if a.resource_id == TASKS + "wait"]):
            time.sleep(0.02)
        person.approvals.approve(waiting[0].id)

    thread = threading.Thread(target=approve, daemon=True)
    thread.start()
    assert guard.check_and_wait("pay", TASKS + "wait", timeout=60)
    thread.join(60)


def test_a_guarded_function(team: Team) -> None:
    guard = team.act.guard_for(team.planner)

    @guard.tool("plan", TASKS + "{id}")
    def plan(id: str, rows: int = 3) -> int:
        return rows

    assert plan("1") == plan("1") == 3


def test_a_session_is_never_bound_to_less_than_the_guard_was_given(team: Team) -> None:
    """Who has the token alone cannot use it, and is not given another one that needs no key."""
    token = token_of(team.act.guard_for(team.planner))
    issued = [each.id for each in team.act.tokens.list()]
    with pytest.raises(ValueError, match="bound to a key"), team.key("enforce", "tokens").guard(token).session("t"):
        pass
    assert [each.id for each in team.act.tokens.list()] == issued
