"""The approval machine (2-semantics, "Approvals"): every step by itself, and any run of steps against a reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from act.approvals.approval import (
    Approval,
    Fault,
    Status,
    Vote,
    approve,
    binding_of,
    expire,
    expired,
    met,
    redeem,
    reject,
)
from act.approvals.approval import given as said_yes
from act.policies.demands import ApprovalTerms, Demand, folded

BORN = datetime(2026, 11, 22, 18, tzinfo=UTC)
LIFE = timedelta(seconds=900)
LATER = BORN + timedelta(seconds=60)
END = BORN + LIFE


def terms(approvers: int, expires_in: int) -> ApprovalTerms:
    return ApprovalTerms((Demand(approvers),), expires_in)


TERMS = terms(1, 900)


def vote(key_id: str = "key_ann", at: datetime = LATER) -> Vote:
    return Vote(key_id, key_id.removeprefix("key_").title(), at)


def asked(approvers: int = 1, **changed: Any) -> Approval:
    approval = Approval(
        id="apr_1",
        tenant_id="t1",
        binding=b"asked",
        status="pending",
        demands=(Demand(approvers),),
        votes=(),
        rejection=None,
        reason=None,
        asked_by="key_agent",
        asker=None,
        users=(),
        root_agent_id="agt_1",
        created_at=BORN,
        expires_at=END,
    )
    return replace(approval, **changed)


def step(outcome: Approval | Fault) -> Approval:
    assert isinstance(outcome, Approval), outcome
    return outcome


def code(outcome: Approval | Fault) -> str:
    assert isinstance(outcome, Fault), outcome
    return outcome.code


APPROVED = step(approve(asked(), vote()))
FINAL: list[Approval] = [
    step(redeem(APPROVED, TERMS, LATER)),
    step(reject(asked(), vote(), "No.")),
    step(expire(asked(), END)),
]


def test_one_yes_is_enough_for_one() -> None:
    assert APPROVED.status == "approved"
    assert APPROVED.votes == (vote(),)


def test_n_of_m_are_distinct_people() -> None:
    once = step(approve(asked(2), vote("key_ann")))
    assert once.status == "pending"
    assert code(approve(once, vote("key_ann"))) == "already_approved"
    twice = step(approve(once, vote("key_bob")))
    assert twice.status == "approved"
    assert [voter.key_id for voter in twice.votes] == ["key_ann", "key_bob"]


def test_people_are_told_apart_by_key_and_not_by_name() -> None:
    once = step(approve(asked(2), vote("key_ann")))
    assert code(approve(once, replace(vote("key_ann"), key_name="Bob"))) == "already_approved"


@pytest.mark.parametrize("approvers", [1, 2])
def test_who_asked_decides_nothing(approvers: int) -> None:
    assert code(approve(asked(approvers), vote("key_agent"))) == "own_request"
    assert code(reject(asked(approvers), vote("key_agent"), "No.")) == "own_request"


def test_one_no_is_final_and_keeps_its_reason() -> None:
    once = step(approve(asked(2), vote("key_ann")))
    rejected = step(reject(once, vote("key_bob"), "Not on a Friday."))
    assert rejected.status == "rejected"
    assert rejected.rejection == vote("key_bob")
    assert rejected.reason == "Not on a Friday."


@pytest.mark.parametrize("final", FINAL, ids=[approval.status for approval in FINAL])
@pytest.mark.parametrize("now", [BORN, LATER, END, END + LIFE])
def test_what_is_final_stays(final: Approval, now: datetime) -> None:
    closed = {"approval_expired", "approval_decided"}
    assert code(approve(final, vote("key_new", now))) in closed
    assert code(reject(final, vote("key_new", now), "No.")) in closed
    assert code(expire(final, now)) == "approval_not_due"
    assert code(redeem(final, TERMS, now)) == "approval_not_usable"


def test_an_approved_one_takes_no_more_words() -> None:
    assert code(approve(APPROVED, vote("key_bob"))) == "approval_decided"
    assert code(reject(APPROVED, vote("key_bob"), "No.")) == "approval_decided"


@pytest.mark.parametrize("approval", [asked(), APPROVED], ids=["pending", "approved"])
def test_time_ends_what_is_open_at_its_very_moment(approval: Approval) -> None:
    just_before = END - timedelta(microseconds=1)
    assert not expired(approval, just_before)
    assert code(expire(approval, just_before)) == "approval_not_due"
    assert expired(approval, END)
    assert step(expire(approval, END)).status == "expired"
    assert code(approve(approval, vote("key_new", END))) == "approval_expired"
    assert code(reject(approval, vote("key_new", END), "No.")) == "approval_expired"
    assert code(redeem(approval, TERMS, END)) == "approval_not_usable"


def test_an_approval_is_used_once() -> None:
    redeemed = step(redeem(APPROVED, TERMS, LATER))
    assert redeemed.status == "redeemed"
    assert code(redeem(redeemed, TERMS, LATER)) == "approval_not_usable"


def test_what_is_not_approved_cannot_be_used() -> None:
    assert code(redeem(asked(), TERMS, LATER)) == "approval_not_usable"
    assert code(redeem(step(approve(asked(2), vote())), TERMS, LATER)) == "approval_not_usable"


def test_a_policy_that_became_stricter_is_not_satisfied_by_an_old_approval() -> None:
    assert code(redeem(APPROVED, terms(2, 900), LATER)) == "approval_insufficient"
    assert code(redeem(APPROVED, terms(1, 60), LATER)) == "approval_stale"
    assert step(redeem(APPROVED, terms(1, 61), LATER)).status == "redeemed"


# --- who counts -------------------------------------------------------------------------------------------------------

FINANCE, LEGAL = Demand(2, frozenset(["finance"])), Demand(1, frozenset(["legal"]))
BOTH = folded([FINANCE, LEGAL])


def of(key_id: str, *roles: str, person: str | None = None) -> Vote:
    return replace(vote(key_id), roles=frozenset(roles), person=person)


def test_every_demand_is_met_by_its_own_people() -> None:
    approval = asked(demands=BOTH)
    approval = step(approve(approval, of("key_ann", "finance")))
    approval = step(approve(approval, of("key_bob", "finance")))
    assert approval.status == "pending"
    assert code(approve(approval, of("key_cid", "finance"))) == "approver_role_missing"
    assert step(approve(approval, of("key_cid", "legal"))).status == "approved"


def test_who_has_two_roles_counts_once_in_each_demand() -> None:
    approval = step(approve(asked(demands=BOTH), of("key_ann", "finance", "legal")))
    assert [said_yes(demand, approval.votes) for demand in approval.demands] == [1, 1]
    assert code(approve(approval, of("key_ann", "finance", "legal"))) == "already_approved"
    assert step(approve(approval, of("key_bob", "finance"))).status == "approved"


def test_a_role_that_nobody_asked_for_decides_nothing() -> None:
    for roles in ((), ("sales",), ("Finance",), ("legal ",)):
        said = approve(asked(demands=BOTH), of("key_ann", *roles))
        assert code(said) == "approver_role_missing"
        assert isinstance(said, Fault)
        assert "'finance', 'legal'" in said.message
        assert code(reject(asked(demands=BOTH), of("key_ann", *roles), "No.")) == "approver_role_missing"


def test_who_has_a_role_of_a_demand_that_is_met_can_still_say_no() -> None:
    approval = step(approve(asked(demands=BOTH), of("key_cid", "legal")))
    assert step(reject(approval, of("key_dan", "legal"), "No.")).status == "rejected"


def test_no_demand_and_no_role_are_met_by_nobody() -> None:
    assert not met((), (vote(),))
    assert not met((Demand(1, frozenset()),), (of("key_ann", "finance"),))
    assert code(approve(asked(demands=()), vote())) == "approver_role_missing"
    assert code(redeem(APPROVED, ApprovalTerms((), 900), LATER)) == "approval_insufficient"


def test_two_keys_of_one_person_are_one_person() -> None:
    once = step(approve(asked(2), of("key_ann", person="ann@example.com")))
    for spelled in ("ann@example.com", "Ann@Example.COM", " ann@example.com", "ａnn@example.com"):
        assert code(approve(once, of("key_ann_2", person=spelled))) == "already_approved"
    assert step(approve(once, of("key_bob", person="bob@example.com"))).status == "approved"


def test_who_holds_the_asking_key_decides_with_no_other_key() -> None:
    approval = asked(asker="ann@example.com")
    assert code(approve(approval, of("key_2", person="Ann@example.com"))) == "own_request"
    assert code(reject(approval, of("key_2", person="ann@example.com"), "No.")) == "own_request"
    assert step(approve(approval, of("key_2", person="bob@example.com"))).status == "approved"


def test_nobody_decides_what_is_done_on_their_behalf() -> None:
    approval = asked(users=("ann@example.com", "bob@example.com"))
    for person in ("ann@example.com", "BOB@example.com"):
        assert code(approve(approval, of("key_2", person=person))) == "own_behalf"
        assert code(reject(approval, of("key_2", person=person), "No.")) == "own_behalf"
    assert step(approve(approval, of("key_2", person="cid@example.com"))).status == "approved"


def test_words_that_do_not_count_any_more() -> None:
    approved = step(approve(asked(), of("key_ann", "finance", person="ann@example.com")))
    assert code(redeem(approved, TERMS, LATER, lambda key_id: key_id != "key_ann")) == "approval_insufficient"
    assert code(redeem(approved, TERMS, LATER, users=["Ann@example.com"])) == "approval_insufficient"
    other = ApprovalTerms((LEGAL,), 900)
    assert code(redeem(approved, other, LATER)) == "approval_insufficient"
    same = ApprovalTerms((Demand(1, frozenset(["legal", "finance"])),), 900)
    assert step(redeem(approved, same, LATER, users=["bob@example.com"])).status == "redeemed"


ASKED: dict[str, Any] = {
    "tenant_id": "t1",
    "asked_by": "key_1",
    "node": "nod_1",
    "agent_id": "agt_1",
    "requester_id": None,
    "action": "send",
    "resource_id": "mail://bob",
    "arguments": {"to": "bob", "amount": 1},
}


@pytest.mark.parametrize(
    "other",
    [
        {"tenant_id": "t2"},
        {"asked_by": "key_2"},
        {"node": "nod_2"},
        {"agent_id": "agt_2"},
        {"requester_id": "agt_1"},
        {"requester_id": ""},
        {"action": "Send"},
        {"resource_id": "mail://bob/"},
        {"action": "sendm", "resource_id": "ail://bob"},
        {"arguments": {}},
        {"arguments": {"to": "bob", "amount": 1, "cc": None}},
        {"arguments": {"to": "bob", "amount": 2}},
        {"arguments": {"to": "bob", "amount": "1"}},
        {"arguments": {"to": ["bob"], "amount": 1}},
        {"arguments": {"to": "bob", "amount": True}},
    ],
    ids=repr,
)
def test_another_question_has_another_binding(other: dict[str, Any]) -> None:
    assert binding_of(**(ASKED | other)) != binding_of(**ASKED)


def test_the_order_of_arguments_is_no_difference() -> None:
    swapped = dict(reversed(ASKED["arguments"].items()))
    assert binding_of(**(ASKED | {"arguments": swapped})) == binding_of(**ASKED)


PEOPLE = st.sampled_from(["key_agent", "key_ann", "key_bob", "key_cid"])


@dataclass
class Reference:
    """What 2-semantics says, with nothing but a set of names and a word."""

    needed: int
    status: Status = "pending"

    def __post_init__(self) -> None:
        self.people: set[str] = set()


class ApprovalMachine(RuleBasedStateMachine):
    """Votes, uses and the clock in any order, the clock sometimes backwards."""

    @initialize(approvers=st.integers(1, 3))
    def ask(self, approvers: int) -> None:
        self.approval = asked(approvers)
        self.reference = Reference(approvers)
        self.seconds = 0

    @property
    def now(self) -> datetime:
        return BORN + timedelta(seconds=self.seconds)

    @property
    def over(self) -> bool:
        return self.seconds >= LIFE.total_seconds()

    def take(self, outcome: Approval | Fault, possible: bool) -> None:
        assert isinstance(outcome, Approval) is possible, outcome
        if isinstance(outcome, Approval):
            self.approval = outcome

    @rule(seconds=st.sampled_from([-400, -1, 1, 100, 450, 900]))
    def time_passes(self, seconds: int) -> None:
        self.seconds = max(0, self.seconds + seconds)

    @rule(person=PEOPLE)
    def approve(self, person: str) -> None:
        reference = self.reference
        possible = reference.status == "pending" and not self.over and person not in {"key_agent", *reference.people}
        self.take(approve(self.approval, vote(person, self.now)), possible)
        if possible:
            reference.people.add(person)
            reference.status = "approved" if len(reference.people) == reference.needed else "pending"

    @rule(person=PEOPLE)
    def reject(self, person: str) -> None:
        possible = self.reference.status == "pending" and not self.over and person != "key_agent"
        self.take(reject(self.approval, vote(person, self.now), "No."), possible)
        if possible:
            self.reference.status = "rejected"

    @rule()
    def sweep(self) -> None:
        possible = self.reference.status in ("pending", "approved") and self.over
        self.take(expire(self.approval, self.now), possible)
        if possible:
            self.reference.status = "expired"

    @rule(approvers=st.integers(1, 3), expires_in=st.sampled_from([100, 900]))
    def use(self, approvers: int, expires_in: int) -> None:
        reference = self.reference
        fresh = not self.over and self.seconds < expires_in
        possible = reference.status == "approved" and fresh and len(reference.people) >= approvers
        self.take(redeem(self.approval, terms(approvers, expires_in), self.now), possible)
        if possible:
            reference.status = "redeemed"

    @invariant()
    def both_say_the_same(self) -> None:
        assert self.approval.status == self.reference.status
        assert {voter.key_id for voter in self.approval.votes} == self.reference.people

    @invariant()
    def nothing_that_was_asked_changes(self) -> None:
        as_asked = replace(self.approval, votes=(), status="pending", rejection=None, reason=None)
        assert as_asked == asked(self.reference.needed)


TestApprovalMachine = ApprovalMachine.TestCase
TestApprovalMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@given(st.integers(-1000, 2000), st.integers(1, 16), st.integers(1, 2000))
def test_only_an_approved_one_in_time_is_ever_used(seconds: int, approvers: int, expires_in: int) -> None:
    outcome = redeem(APPROVED, terms(approvers, expires_in), BORN + timedelta(seconds=seconds))
    assert isinstance(outcome, Approval) is (approvers == 1 and seconds < min(900, expires_in))
