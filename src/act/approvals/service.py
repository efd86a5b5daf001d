"""Asking people, hearing them, and using what they allowed exactly once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Engine, Row

from act import models
from act.agents.live import LiveAgents
from act.approvals import store
from act.approvals.approval import Approval, Fault, Vote, approve, expire, expired, given, redeem, reject
from act.approvals.live import LiveApprovals
from act.approvals.telling import Teller
from act.audit.arguments import rest_of
from act.audit.record import clip
from act.audit.redaction import Keeping
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.database.ids import new_id
from act.database.pages import page, read_cursor
from act.models import Scope
from act.policies.demands import ApprovalTerms
from act.problems import ProblemError, conflict, forbidden, not_found
from act.tenants.live import LiveApiKeys, LiveTenants
from act.tenants.tenant import ApiKey

Step = Callable[[Approval], Approval | Fault]
TOGETHER = 500
"""Approvals that expire in shared commits; the queue of the writer has room for decisions beside them."""
_NOT_THIS_PERSON = ("own_request", "own_behalf", "approver_role_missing")


class StepLost(Exception):
    """The approval is no longer in the state that the step starts from."""


class ApprovalService:
    def __init__(
        self,
        writer: Writer,
        reader: Engine,
        clock: Clock,
        live: LiveApprovals,
        agents: LiveAgents,
        keys: LiveApiKeys,
        tenants: LiveTenants,
        teller: Teller,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._live = live
        self._agents = agents
        self._keys = keys
        self._tenants = tenants
        self._teller = teller

    # --- the side of the decision ---

    def latest(self, binding: bytes) -> Approval | None:
        return self._live.latest(binding)

    def now(self, approval: Approval) -> datetime:
        """The moment by which to judge this approval; it never runs backwards, whatever the wall clock does."""
        return self._live.now(approval.id)

    def tell_once(self, approval: Approval) -> bool:
        """True the first time; `untell` when the answer that told it was not given."""
        return self._live.tell_once(approval.id)

    def untell(self, approval: Approval) -> None:
        self._live.untell(approval.id)

    def full(self, caller: ApiKey, root_agent_id: str) -> str | None:
        """Why no further person is asked for what this agent has begun, if so."""
        return self._live.full(caller.tenant_id, root_agent_id)

    def draft(
        self,
        caller: ApiKey,
        binding: bytes,
        terms: ApprovalTerms,
        root_agent_id: str,
        users: Iterable[str],
        now: datetime,
    ) -> Approval:
        """A new question. Written by `ask` in the decision's commit, or taken back by `withdraw`.

        Args:
            users: on whose behalf the agents act.
        """
        approval = Approval(
            id=new_id("apr"),
            tenant_id=caller.tenant_id,
            binding=binding,
            status="pending",
            demands=terms.demands,
            votes=(),
            rejection=None,
            reason=None,
            asked_by=caller.id,
            asker=caller.person,
            users=tuple(users),
            root_agent_id=root_agent_id,
            created_at=now,
            expires_at=now + timedelta(seconds=terms.expires_in),
        )
        self._live.propose(approval)
        return approval

    def withdraw(self, approval: Approval) -> None:
        self._live.withdraw(approval)

    def ask(self, transaction: Transaction, approval: Approval, **shown: Any) -> None:
        store.add(transaction.connection, approval, **shown)
        transaction.change(approval.tenant_id, "approval", approval.id)
        self._teller.tell(transaction, "approval.requested", approval)

    @staticmethod
    def confirm(transaction: Transaction, approval: Approval) -> None:
        """Make sure that a question which others are told to wait for was really written.

        Raises:
            StepLost: it was not.
        """
        if store.find(transaction.connection, approval.tenant_id, approval.id) is None:
            raise StepLost(approval.id)

    def take(self, approval: Approval) -> bool:
        """Reserve an approval for one decision, which then redeems it or gives it back."""
        return self._live.take(approval.id)

    def give_back(self, approval: Approval) -> None:
        self._live.give_back(approval.id)

    def usable(self, approval: Approval, terms: ApprovalTerms, users: Iterable[str]) -> bool:
        """Whether the approval would allow its action now."""
        return not isinstance(self._redeemed(approval, terms, users), Fault)

    def redeem(self, transaction: Transaction, approval: Approval, terms: ApprovalTerms, users: Iterable[str]) -> None:
        """Use the approval up in the decision's commit.

        Raises:
            StepLost: it cannot be used any more; nothing of the commit's unit is written.
        """
        redeemed = self._redeemed(approval, terms, users)
        row = store.find(transaction.connection, approval.tenant_id, approval.id)
        if row is None or isinstance(redeemed, Fault) or not self._stored(transaction, row, approval, redeemed):
            raise StepLost(approval.id)
        transaction.change(approval.tenant_id, "approval", approval.id)
        self._teller.tell(transaction, "approval.redeemed", approval)

    def _redeemed(self, approval: Approval, terms: ApprovalTerms, users: Iterable[str]) -> Approval | Fault:
        now = self.now(approval)
        return redeem(approval, terms, now, lambda id: self._keys.in_use(id, now), users)

    def _stored(self, transaction: Transaction, row: Row[Any], before: Approval, after: Approval) -> bool:
        """Store a step, unless another was faster. Of what is settled stays what the tenant's log keeps."""
        if after.open:
            return store.step(transaction.connection, before, after)
        keeping = Keeping("none") if row.erase else self._tenants.get(row.tenant_id).keeping
        arguments, context = rest_of(row.arguments, keeping), rest_of(row.context, keeping)
        rest: dict[str, Any] = {"arguments": arguments, "context": (context or {}) | _conversation(row.context)}
        if row.erase:
            rest["binding"] = store.no_binding()
        return store.step(transaction.connection, before, after, **rest)

    def erase(self, transaction: Transaction, tenant_id: str, ids: Iterable[str]) -> int:
        """Erase the arguments of approvals that are settled, and answer of how many; of open ones, once they are.

        Who decides has to see what is asked, so an open approval has them until then.
        """
        erased = 0
        for row in store.rows(transaction.connection, ids):
            if row.tenant_id == tenant_id and not row.erase:
                store.erase(transaction.connection, row.id, _conversation(row.context), open=store.value(row).open)
                erased += not store.value(row).open
        return erased

    # --- the side of the person ---

    def list(self, caller: ApiKey, status: str | None, limit: int, cursor: str | None) -> models.Page[models.Approval]:
        with self._reader.begin() as connection:
            rows = store.page(connection, caller.tenant_id, status, read_cursor(cursor), limit + 1)
        return page(rows, limit, lambda row: row.id, self._answer)

    def get(self, caller: ApiKey, id: str) -> models.Approval:
        """An approval; a key that can only enforce sees those that it asked for itself, and not who holds which key."""
        with self._reader.begin() as connection:
            row = store.find(connection, caller.tenant_id, id)
        if row is None or not (caller.has(Scope.APPROVE) or row.asked_by == caller.id):
            raise not_found("approval", id)
        found = self._answer(row)
        return found if caller.has(Scope.APPROVE) else _without_people(found)

    async def wait(self, caller: ApiKey, id: str, seconds: int) -> models.Approval:
        """`get`, as soon as the approval is no longer pending, or after `seconds`."""
        deadline = self._clock.monotonic() + seconds
        while True:
            waiter = self._live.changed(id)
            try:
                found = await asyncio.to_thread(self.get, caller, id)
                left = deadline - self._clock.monotonic()
                if found.status != "pending" or left <= 0 or self._live.closing:
                    return found
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.wrap_future(waiter), left)
            finally:
                self._live.forget(id, waiter)

    def stop_waiting(self) -> None:
        self._live.close()

    def approve(self, caller: ApiKey, id: str, body: models.ApproveRequest) -> models.Approval:
        return self._vote(caller, id, "approval.approved", body.reason, lambda vote: partial(approve, vote=vote))

    def reject(self, caller: ApiKey, id: str, body: models.RejectRequest) -> models.Approval:
        reason = body.reason
        return self._vote(
            caller, id, "approval.rejected", reason, lambda vote: partial(reject, vote=vote, reason=reason)
        )

    def _vote(
        self, caller: ApiKey, id: str, kind: models.WebhookEvent, reason: str | None, step: Callable[[Vote], Step]
    ) -> models.Approval:
        if caller.agent_id is not None:
            raise forbidden("agents_cannot_approve", "An API key that is bound to an agent cannot decide approvals.")

        def work(transaction: Transaction) -> None:
            row = store.find(transaction.connection, caller.tenant_id, id)
            if row is None:
                raise not_found("approval", id)
            before = store.value(row)
            vote = Vote(caller.id, caller.name, self.now(before), caller.roles, caller.person)
            after = step(vote)(before)
            if isinstance(after, Fault):
                raise _problem(after)
            told: dict[str, Any] = {"keyId": caller.id, "person": caller.person, "reason": reason}
            told["roles"] = sorted(caller.roles) or None
            self._step(transaction, kind, row, before, after, told)

        self._writer.write(work)
        return self.get(caller, id)

    # --- the side of time ---

    def sweep(self) -> int:
        """Expire what is due, and record it."""
        due = [approval for approval in self._live.open() if expired(approval, self.now(approval))]
        for at in range(0, len(due), TOGETHER):
            works = [partial(self._expire, approval.id, approval.tenant_id) for approval in due[at : at + TOGETHER]]
            for failure in self._writer.write_all(works):
                if failure is not None and not isinstance(failure, StepLost):
                    raise failure
        self._live.forget_settled()
        return len(due)

    def _expire(self, id: str, tenant_id: str, transaction: Transaction) -> None:
        row = store.find(transaction.connection, tenant_id, id)
        if row is None:
            raise StepLost(id)
        before = store.value(row)
        after = expire(before, self.now(before))
        if isinstance(after, Fault):
            raise StepLost(id)
        self._step(transaction, "approval.expired", row, before, after, {})

    def _step(
        self,
        transaction: Transaction,
        kind: models.WebhookEvent,
        row: Row[Any],
        before: Approval,
        after: Approval,
        told: dict[str, Any],
    ) -> None:
        if not self._stored(transaction, row, before, after):
            raise StepLost(before.id)
        told |= {
            "approvalId": row.id,
            "agentId": row.agent_id,
            "action": row.action,
            "resourceId": row.resource_id,
            "decisionId": row.decision_id,
            "status": after.status,
            "revision": transaction.change(row.tenant_id, "approval", row.id),
        }
        conversation = row.context.get("conversationId")
        if isinstance(conversation, str):
            told["conversationId"] = clip(conversation)
        transaction.record(row.tenant_id, kind, told)
        self._teller.tell(transaction, kind, after, told.get("reason"))

    def _answer(self, row: Row[Any]) -> models.Approval:
        approval = store.value(row)
        agent = self._agents.get(row.tenant_id, row.agent_id)
        overdue = approval.open and expired(approval, self.now(approval))
        return models.Approval(
            id=row.id,
            status="expired" if overdue else approval.status,
            agent_id=row.agent_id,
            agent_name=agent.name if agent else row.agent_id,
            requester_id=row.requester_id,
            action=row.action,
            resource_id=row.resource_id,
            arguments=row.arguments,
            context=row.context,
            policies=[models.DecidingPolicy.model_validate(policy) for policy in row.policies],
            approvers_needed=approval.approvers_needed,
            demands=[
                models.ApprovalDemand(
                    approvers=demand.approvers,
                    from_=None if demand.roles is None else demand.names,
                    given=given(demand, approval.votes),
                )
                for demand in approval.demands
            ],
            approved_by=[_shown(vote) for vote in approval.votes],
            rejected_by=_shown(approval.rejection) if approval.rejection else None,
            reason=approval.reason,
            decision_id=row.decision_id,
            created_at=row.created_at,
            expires_at=row.expires_at,
        )


def _conversation(context: Mapping[str, Any]) -> dict[str, Any]:
    """What the log has of a context, too."""
    return {name: value for name, value in context.items() if name == "conversationId"}


def _shown(vote: Vote) -> models.Vote:
    return models.Vote(
        key_id=vote.key_id, key_name=vote.key_name, person=vote.person, roles=sorted(vote.roles), at=vote.at
    )


def _without_people(approval: models.Approval) -> models.Approval:
    votes = [vote.model_copy(update={"person": None}) for vote in approval.approved_by]
    by = approval.rejected_by and approval.rejected_by.model_copy(update={"person": None})
    return approval.model_copy(update={"approved_by": votes, "rejected_by": by})


def _problem(fault: Fault) -> ProblemError:
    if fault.code in _NOT_THIS_PERSON:
        return forbidden(fault.code, fault.message)
    return conflict(fault.code, fault.message)
