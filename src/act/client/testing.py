"""`FakeAct`: ACT for the tests of its users, in memory and without a server.

It knows two lists of globs and nothing of roles, versions, limits or malformed ids. What it allows, ACT may still deny;
test policies against ACT itself (`Act.embedded`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from act.client.batch import Asking, Decisions
from act.client.call import encoded
from act.client.calls import Outcome, report_outcome
from act.client.credential import Credentials
from act.client.deciding import Question, kept, new_id
from act.client.errors import NotFound
from act.client.fake_tokens import FakeDelegations, FakeTokens, fake_token
from act.client.guard import Guard
from act.client.proof import ProofKey
from act.models import (
    Approval,
    ApprovalReference,
    ApprovalStatus,
    AuditReference,
    Decision,
    IssuedToken,
    OutcomeRecorded,
    ReasonCode,
    Verdict,
)

Rule = tuple[str, str]
ANYONE: Final = fake_token("agt_fake", "tok_fake", {})


@dataclass(slots=True)
class FakeAct:
    """Allows what matches `allow`, asks a person for what matches `pending`, denies the rest.

    Args:
        allow, pending: pairs of an action glob and a resource glob; only `*` is special.
        default_labels: what an outcome has read that tells no labels.

    Attributes:
        asked: every question, in order.
        outcomes: every reported outcome, as (decision id, status).
        labels, created: what was reported with them; one session for all.
        approvals: what a person is asked; `approve` and `reject` answer.
        tokens, delegations: as those of `Act`, without looking up agents and rights.

    Example:
        fake = FakeAct(allow=[("execute", "api://tasks/*")])
        run_my_agent(fake.guard("token"))
        assert [question.resource for question in fake.asked] == ["api://tasks/1"]
    """

    allow: Iterable[Rule] = ()
    pending: Iterable[Rule] = ()
    default_labels: Iterable[str] = ("untrusted",)
    asked: list[Question] = field(default_factory=list, init=False)
    outcomes: list[tuple[str, Outcome]] = field(default_factory=list, init=False)
    labels: set[str] = field(default_factory=set, init=False)
    created: list[str] = field(default_factory=list, init=False)
    approvals: FakeApprovals = field(init=False)
    tokens: FakeTokens = field(init=False)
    delegations: FakeDelegations = field(init=False)
    _credentials: Credentials = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.allow, self.pending = list(self.allow), list(self.pending)
        self.default_labels = list(self.default_labels)
        self.approvals = FakeApprovals()
        self.tokens = FakeTokens()
        self.delegations = FakeDelegations(self.tokens)
        self._credentials = Credentials()

    def enforce(
        self,
        token: str | None,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
        requester_token: str | None = None,
        request_id: str | None = None,
        min_revision: int | None = None,
        dry_run: bool = False,
        raise_on_error: bool = False,
        key: ProofKey | None = None,
        requester_key: ProofKey | None = None,
    ) -> Decision:
        """As `Act.enforce`; nothing can go wrong on the way, so `raise_on_error` changes nothing."""
        question = Question(
            request_id or new_id(),
            token,
            action,
            resource,
            kept(arguments),
            kept(context),
            requester,
            dry_run=dry_run,
            requester_token=requester_token,
            min_revision=min_revision,
        )
        if token:
            question = question.proved(key, requester_key, time.time())
        self.asked.append(question)
        if not token:
            return question.no_token()
        question.call().content()  # raises ValueError for what is not JSON, as Act does
        if refusal := self.tokens.refusal(question):
            return _decision(question, refusal, "The token is not good for this.")
        if _matches(self.pending, question):
            return self._ask_a_person(question)
        if _matches(self.allow, question):
            return _decision(question, ReasonCode.ALLOWED, "Allowed by FakeAct.")
        return _decision(question, ReasonCode.NO_MATCHING_POLICY, "FakeAct was not told to allow this.")

    def enforce_batch(self, asked: Iterable[Asking], *, raise_on_error: bool = False) -> Decisions:
        """As `Act.enforce_batch`."""
        return Decisions([self.enforce(**one) for one in asked])

    def report_outcome(
        self,
        decision_id: str,
        status: Outcome,
        labels: Iterable[str] | None = None,
        created: Iterable[str] | None = None,
    ) -> OutcomeRecorded:
        """Remember the outcome, and what it tells the session."""
        call = report_outcome(decision_id, status, labels, created)  # raises as Act does
        told = call.body or {}
        self.labels.update(told.get("labels", self.default_labels))
        self.created[:] = dict.fromkeys((*self.created, *told.get("created", ())))
        self.outcomes.append((decision_id, status))
        reference = AuditReference(index=len(self.outcomes) - 1, leaf_hash="00" * 32)
        return OutcomeRecorded(decision_id=decision_id, status=status, audit=reference)

    def guard(
        self,
        token: str | IssuedToken | None = ANYONE,
        *,
        wait: float = 900.0,
        key: ProofKey | None = None,
        refresh: bool | None = None,
    ) -> Guard:
        """A real guard that asks this fake; `delegate` and `session` work, too."""
        return Guard(self, self._credentials.of(token, key, refresh), wait=wait)

    def approve(self, approval_id: str) -> None:
        """Say yes: the same request, asked again, is allowed once."""
        self.approvals.settle(approval_id, "approved", None)

    def reject(self, approval_id: str, reason: str) -> None:
        """Say no."""
        self.approvals.settle(approval_id, "rejected", reason)

    def _ask_a_person(self, question: Question) -> Decision:
        if self.approvals.redeem(question):
            return _decision(question, ReasonCode.ALLOWED, "Approved.")
        decision = _decision(question, ReasonCode.APPROVAL_REQUIRED, "FakeAct was told to ask a person.")
        if question.dry_run:
            return decision
        approval = self.approvals.open(question, decision.decision_id or "")
        return decision.model_copy(
            update={"approval": ApprovalReference(id=approval.id, expires_at=approval.expires_at)}
        )


class FakeApprovals:
    """The approvals of one `FakeAct`."""

    def __init__(self) -> None:
        self._all: dict[str, Approval] = {}
        self._changed = threading.Condition()

    def list(self, status: ApprovalStatus | None = None) -> Iterable[Approval]:
        """All of them, or those with a status."""
        with self._changed:
            return [approval for approval in self._all.values() if status in (None, approval.status)]

    def get(self, id: str, wait: int = 0) -> Approval:
        """As `Act.approvals.get`."""
        if id not in self._all:
            raise NotFound(f"There is no approval {id}.", status=404)
        with self._changed:
            self._changed.wait_for(lambda: self._all[id].status != "pending", wait)
            return self._all[id]

    def open(self, question: Question, decision_id: str) -> Approval:
        """Ask a person."""
        now = datetime.now(UTC)
        approval = Approval(
            id=f"apr_fake_{new_id()}",
            status="pending",
            agent_id="agt_fake",
            agent_name="fake agent",
            requester_id=question.requester,
            action=question.action,
            resource_id=question.resource,
            arguments=dict(question.arguments or {}),
            context=dict(question.context or {}),
            policies=[],
            approvers_needed=1,
            approved_by=[],
            decision_id=decision_id,
            created_at=now,
            expires_at=now + timedelta(minutes=15),
        )
        with self._changed:
            self._all[approval.id] = approval
        return approval

    def settle(self, id: str, status: ApprovalStatus, reason: str | None) -> None:
        """End the waiting."""
        with self._changed:
            self._all[id] = self._all[id].model_copy(update={"status": status, "reason": reason})
            self._changed.notify_all()

    def redeem(self, question: Question) -> bool:
        """Use up an approval of exactly this request, if there is one."""
        with self._changed:
            for id, approval in self._all.items():
                if approval.status == "approved" and _same(approval, question):
                    self._all[id] = approval.model_copy(update={"status": "redeemed"})
                    return True
        return False


def _decision(question: Question, code: ReasonCode, reason: str) -> Decision:
    words = {ReasonCode.ALLOWED: Verdict.ALLOWED, ReasonCode.APPROVAL_REQUIRED: Verdict.PENDING_APPROVAL}
    return Decision(
        request_id=question.request_id,
        decision=words.get(code, Verdict.DENIED),
        reason_code=code,
        reason=reason,
        decision_id=f"dec_fake_{new_id()}",
        evaluated_at=datetime.now(UTC),
        dry_run=question.dry_run,
    )


def _same(approval: Approval, question: Question) -> bool:
    return (approval.action, approval.resource_id, encoded(approval.arguments)) == (
        question.action,
        question.resource,
        encoded(dict(question.arguments or {})),
    )


def _matches(rules: Iterable[Rule], question: Question) -> bool:
    return any(_glob(action, question.action) and _glob(resource, question.resource) for action, resource in rules)


def _glob(pattern: str, text: str) -> bool:
    """Whether `*`, any run of characters, can be chosen so that the pattern is the text."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    last = rest.pop()
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in rest:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
