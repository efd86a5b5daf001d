"""From a ruling to a settlement: what the policies permit is held against limits and people.

Order (2-semantics, "Constraints" and "Approvals"): limits are looked at before a person is asked, so that nobody is
asked for what would be denied anyway; they are spent only when nothing else stands in the way, all or none. Nothing
here waits: between the look and the reservation no other decision can come.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from act.agents.agent import Agent
from act.approvals.approval import Approval, binding_of, expired
from act.approvals.service import ApprovalService
from act.enforcement.demand import demand_of, refusal
from act.enforcement.effects import AskPerson, Effect, JoinQuestion, TakeLimits, TellExpiry, UseApproval
from act.enforcement.ruling import Ruling
from act.limits.book import Demand, Exceeded
from act.limits.counters import Room
from act.limits.service import LimitService
from act.models import Decision, EnforceRequest, ReasonCode, Verdict
from act.policies.demands import ApprovalTerms, covered
from act.tenants.tenant import ApiKey
from act.tokens.claims import Claims

# As in `decide`: enum members as plain names, named tuples by their fields.
_ALLOWED, _CODE = Verdict.ALLOWED, ReasonCode.ALLOWED
_made = tuple.__new__


class Question(NamedTuple):
    """Everything that a decision is about, after the token was accepted.

    `root_ends` is when the token that the chain began with ends, in seconds since the epoch. `root_agent_id` is the
    agent that the chain began with; `users` are those on whose behalf the agents act, where a person has to agree.
    """

    caller: ApiKey
    request: EnforceRequest
    claims: Claims
    root_ends: float
    agent: Agent
    requester: Agent | None
    decision_id: str
    now: datetime
    root_agent_id: str
    users: tuple[str, ...]

    @property
    def requester_id(self) -> str | None:
        """The agent that asked, when it is another than the one that acts."""
        if self.requester is None or self.requester.id == self.agent.id:
            return None
        return self.requester.id


class Settlement(NamedTuple):
    """The decision to be, and what it spends."""

    verdict: Verdict
    code: ReasonCode
    reason: str
    effects: tuple[Effect, ...] = ()
    lease_seconds: float | None = None
    approval: Approval | None = None
    rooms: Sequence[Room] = ()
    retry_after: float | None = None


class Settler:
    def __init__(self, limits: LimitService, approvals: ApprovalService) -> None:
        self._limits = limits
        self._approvals = approvals

    def settle(self, question: Question, ruling: Ruling) -> Settlement:
        """Settle a ruling that permits."""
        # A lease ends with the token that the chain began with at the latest. How long a token lives that was handed
        # down is for its giver to say, and a place must not be free because somebody chose a moment.
        longest = question.root_ends - question.now.timestamp() if ruling.limits else 0.0
        demand = demand_of(question.caller.tenant_id, ruling.limits, longest)
        if ruling.approval is None and not question.request.dry_run:
            return self._spend(question, ruling, demand, None)
        if ruling.limits and (exceeded := self._limits.look(demand)):
            return _no_room(ruling, exceeded)
        if ruling.approval is None:
            return self._spend(question, ruling, demand, None)
        return self._with_approval(question, ruling, ruling.approval, demand)

    def holds(self, decision: Decision) -> bool:
        """Whether the places that a decision has taken are its own still, if it has taken any."""
        return decision.lease is None or (decision.decision_id is not None and self._limits.holds(decision.decision_id))

    def _with_approval(self, question: Question, ruling: Ruling, terms: ApprovalTerms, demand: Demand) -> Settlement:
        latest = self._approvals.latest(_binding(question))
        if latest is None:
            return self._ask(question, ruling, terms)
        if self._approvals.usable(latest, terms, question.users):
            dry = question.request.dry_run
            if dry or self._approvals.take(latest):
                use = UseApproval(self._approvals, latest, terms, question.users)
                return self._spend(question, ruling, demand, use)
            return self._ask(question, ruling, terms)
        now = self._approvals.now(latest)
        if latest.status == "rejected" and now < latest.expires_at:
            return _denied(ReasonCode.APPROVAL_REJECTED, f"A person rejected this: {latest.reason}", latest)
        if self._tells_expiry(question, latest, now):
            reason = "Nobody approved this in time; ask again if it is still wanted."
            told = () if question.request.dry_run else (TellExpiry(self._approvals, latest),)
            return _denied(ReasonCode.APPROVAL_EXPIRED, reason, latest, told)
        if _still_open(latest, terms, now):
            return _pending(latest, ruling, JoinQuestion(self._approvals, latest))
        return self._ask(question, ruling, terms)

    def _tells_expiry(self, question: Question, latest: Approval, now: datetime) -> bool:
        """An expiry is told once, and only to who asks again within the time the approval had lived."""
        if not expired(latest, now):
            return False
        if now >= latest.expires_at + (latest.expires_at - latest.created_at):
            return False
        return question.request.dry_run or self._approvals.tell_once(latest)

    def _ask(self, question: Question, ruling: Ruling, terms: ApprovalTerms) -> Settlement:
        if full := self._approvals.full(question.caller, question.root_agent_id):
            return _denied(ReasonCode.APPROVALS_EXHAUSTED, f"Nobody can be asked now: {full}")
        if question.request.dry_run:
            return Settlement(Verdict.PENDING_APPROVAL, ReasonCode.APPROVAL_REQUIRED, _needs_approval(ruling))
        approval = self._approvals.draft(
            question.caller, _binding(question), terms, question.root_agent_id, question.users, question.now
        )
        return _pending(approval, ruling, AskPerson(self._approvals, approval, _shown(question, ruling)))

    def _spend(self, question: Question, ruling: Ruling, demand: Demand, use: UseApproval | None) -> Settlement:
        approval = use.approval if use else None
        if question.request.dry_run:
            return Settlement(Verdict.ALLOWED, ReasonCode.ALLOWED, ruling.reason, approval=approval)
        effects: tuple[Effect, ...] = (use,) if use else ()
        if not ruling.limits:
            return _made(Settlement, (_ALLOWED, _CODE, ruling.reason, effects, None, approval, (), None))
        try:
            reserved = self._limits.reserve(question.decision_id, demand)
        except BaseException:
            if use:
                use.undo()
            raise
        if isinstance(reserved, Exceeded):
            if use:
                use.undo()
            return _no_room(ruling, reserved)
        taken = _made(TakeLimits, (self._limits, reserved, question.claims.token_id, question.now))
        lease_seconds = min([place.seconds for place in demand.places]) if demand.places else None
        effects = (*effects, taken) if effects else (taken,)
        return _made(
            Settlement, (_ALLOWED, _CODE, ruling.reason, effects, lease_seconds, approval, reserved.rooms, None)
        )


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
        and covered(terms.demands, approval.demands)
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
    people = _people(ruling.approval) if ruling.approval else "a person"
    named = ", ".join(f"'{policy.name}' v{policy.version}" for policy in ruling.approval_policies)
    return f"Needs the approval of {people} ({named}). Ask again with the same arguments when it is given."


def _people(terms: ApprovalTerms) -> str:
    """`a person`, `2 people`, `a person from 'legal' and 2 people from 'board' or 'finance'`."""
    parts = []
    for demand in terms.demands:
        people = "a person" if demand.approvers == 1 else f"{demand.approvers} people"
        roles = " or ".join(f"'{role}'" for role in demand.names)
        parts.append(f"{people} from {roles}" if roles else people)
    return " and ".join(parts)


def _no_room(ruling: Ruling, exceeded: Exceeded) -> Settlement:
    code, reason = refusal(ruling, exceeded)
    rooms = () if exceeded.room is None else (exceeded.room,)
    return Settlement(Verdict.DENIED, code, reason, rooms=rooms, retry_after=exceeded.retry_after)


def _denied(
    code: ReasonCode, reason: str, approval: Approval | None = None, effects: tuple[Effect, ...] = ()
) -> Settlement:
    return Settlement(Verdict.DENIED, code, reason, effects, approval=approval)
