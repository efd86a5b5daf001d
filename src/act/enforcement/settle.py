"""From a ruling to a settlement: what the policies permit is held against limits and people.

Order (2-semantics, "Constraints" and "Approvals"): limits are looked at before a person is asked, so that nobody is
asked for what would be denied anyway; they are spent only when nothing else stands in the way, all or none. Nothing
here waits: between the look and the reservation no other decision can come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from act.agents.agent import Agent
from act.approvals.approval import Approval, binding_of, expired
from act.approvals.service import ApprovalService
from act.enforcement.effects import AskPerson, Effect, JoinQuestion, TakeLeases, UseApproval
from act.enforcement.ruling import Ruling
from act.limits.leases import Exceeded, LeaseKey, Wanted
from act.limits.service import LimitService
from act.models import EnforceRequest, ReasonCode, Verdict
from act.policies.constraints import ApprovalTerms
from act.tenants.tenant import ApiKey
from act.tokens.claims import Claims


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that a decision is about, after the token was accepted.

    `root_ends` is when the token that the chain began with ends, in seconds since the epoch.
    """

    caller: ApiKey
    request: EnforceRequest
    claims: Claims
    root_ends: float
    agent: Agent
    requester: Agent | None
    decision_id: str
    now: datetime

    @property
    def requester_id(self) -> str | None:
        """The agent that asked, when it is another than the one that acts."""
        if self.requester is None or self.requester.id == self.agent.id:
            return None
        return self.requester.id


@dataclass(frozen=True, slots=True)
class Settlement:
    """The decision to be, and what it spends."""

    verdict: Verdict
    code: ReasonCode
    reason: str
    effects: tuple[Effect, ...] = ()
    lease_seconds: float | None = None
    approval: Approval | None = None


class Settler:
    def __init__(self, limits: LimitService, approvals: ApprovalService) -> None:
        self._limits = limits
        self._approvals = approvals

    def settle(self, question: Question, ruling: Ruling) -> Settlement:
        """Settle a ruling that permits."""
        wanted = _wanted(question, ruling)
        if exceeded := self._limits.full(wanted):
            return _no_place(ruling, exceeded)
        if ruling.approval is None:
            return self._spend(question, ruling, wanted, None)
        return self._with_approval(question, ruling, ruling.approval, wanted)

    def _with_approval(
        self, question: Question, ruling: Ruling, terms: ApprovalTerms, wanted: Sequence[Wanted]
    ) -> Settlement:
        latest = self._approvals.latest(_binding(question))
        if latest is None:
            return self._ask(question, ruling, terms)
        if self._approvals.usable(latest, terms, question.now):
            dry = question.request.dry_run
            if dry or self._approvals.take(latest):
                return self._spend(question, ruling, wanted, UseApproval(self._approvals, latest, terms, question.now))
            return self._ask(question, ruling, terms)
        if latest.status == "rejected" and question.now < latest.expires_at:
            return _denied(ReasonCode.APPROVAL_REJECTED, f"A person rejected this: {latest.reason}", latest)
        if self._tells_expiry(question, latest):
            reason = "Nobody approved this in time; ask again if it is still wanted."
            return _denied(ReasonCode.APPROVAL_EXPIRED, reason, latest)
        if _still_open(latest, terms, question.now):
            return _pending(latest, ruling, JoinQuestion(self._approvals, latest))
        return self._ask(question, ruling, terms)

    def _tells_expiry(self, question: Question, latest: Approval) -> bool:
        """An expiry is told once, and only to who asks again within the time the approval had lived."""
        if not expired(latest, question.now):
            return False
        if question.now >= latest.expires_at + (latest.expires_at - latest.created_at):
            return False
        return question.request.dry_run or self._approvals.tell_once(latest)

    def _ask(self, question: Question, ruling: Ruling, terms: ApprovalTerms) -> Settlement:
        if question.request.dry_run:
            return Settlement(Verdict.PENDING_APPROVAL, ReasonCode.APPROVAL_REQUIRED, _needs_approval(ruling))
        approval = self._approvals.draft(
            question.caller.tenant_id, _binding(question), terms, question.caller.id, question.now
        )
        return _pending(approval, ruling, AskPerson(self._approvals, approval, _shown(question, ruling)))

    def _spend(
        self, question: Question, ruling: Ruling, wanted: Sequence[Wanted], use: UseApproval | None
    ) -> Settlement:
        approval = use.approval if use else None
        if question.request.dry_run:
            return Settlement(Verdict.ALLOWED, ReasonCode.ALLOWED, ruling.reason, approval=approval)
        if exceeded := self._limits.reserve(question.decision_id, wanted):
            if use:
                use.undo()
            return _no_place(ruling, exceeded)
        effects: list[Effect] = [use] if use else []
        if wanted:
            token_id = question.claims.token_id
            effects.append(TakeLeases(self._limits, question.decision_id, token_id, wanted, question.now))
        return Settlement(
            Verdict.ALLOWED,
            ReasonCode.ALLOWED,
            ruling.reason,
            tuple(effects),
            min(want.seconds for want in wanted) if wanted else None,
            approval,
        )


def _wanted(question: Question, ruling: Ruling) -> list[Wanted]:
    # A lease ends with the token that the chain began with at the latest. How long a token lives that was handed down
    # is for its giver to say, and a place must not be free because somebody chose a moment.
    left = question.root_ends - question.now.timestamp()
    return [
        Wanted(
            LeaseKey(question.caller.tenant_id, limit.policy.id, limit.agent_id),
            limit.terms.limit,
            min(limit.terms.lease_seconds, left),
        )
        for limit in ruling.limits
    ]


def _binding(question: Question) -> bytes:
    return binding_of(
        tenant_id=question.caller.tenant_id,
        asked_by=question.caller.id,
        node=question.claims.root,
        agent_id=question.agent.id,
        requester_id=question.requester_id,
        action=question.request.action,
        resource_id=question.request.resource_id,
        arguments=question.request.arguments,
    )


def _shown(question: Question, ruling: Ruling) -> dict[str, Any]:
    return {
        "agent_id": question.agent.id,
        "requester_id": question.requester_id,
        "node": question.claims.node,
        "action": question.request.action,
        "resource_id": question.request.resource_id,
        "arguments": question.request.arguments,
        "context": question.request.context,
        "policies": [
            {"id": policy.id, "name": policy.name, "version": policy.version, "effect": policy.effect}
            for policy in ruling.approval_policies
        ],
        "decision_id": question.decision_id,
    }


def _still_open(approval: Approval, terms: ApprovalTerms, now: datetime) -> bool:
    return (
        approval.status == "pending"
        and not expired(approval, now)
        and approval.approvers_needed >= terms.approvers
        and (now - approval.created_at).total_seconds() < terms.expires_in
    )


def _pending(approval: Approval, ruling: Ruling, *effects: Effect) -> Settlement:
    return Settlement(
        Verdict.PENDING_APPROVAL,
        ReasonCode.APPROVAL_REQUIRED,
        _needs_approval(ruling),
        effects,
        approval=approval,
    )


def _needs_approval(ruling: Ruling) -> str:
    people = "a person" if ruling.approval and ruling.approval.approvers == 1 else "several people"
    named = ", ".join(f"'{policy.name}' v{policy.version}" for policy in ruling.approval_policies)
    return f"Needs the approval of {people} ({named}). Ask again with the same arguments when it is given."


def _no_place(ruling: Ruling, exceeded: Exceeded) -> Settlement:
    wanted = exceeded.wanted
    name = next(limit.policy.name for limit in ruling.limits if limit.policy.id == wanted.key.policy_id)
    tasks = "1 task runs" if wanted.limit == 1 else f"{wanted.limit} tasks run"
    reason = f"'{name}' allows no more: {tasks} already. Report the outcome of one, or wait."
    return _denied(ReasonCode.CONCURRENCY_EXCEEDED, reason)


def _denied(code: ReasonCode, reason: str, approval: Approval | None = None) -> Settlement:
    return Settlement(Verdict.DENIED, code, reason, approval=approval)
