"""The side of the decision: asking people, and using what they allowed exactly once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from act.approvals import store
from act.approvals.approval import Approval, Fault, redeem
from act.approvals.live import LiveApprovals
from act.approvals.steps import StepLost, Steps
from act.approvals.telling import Teller
from act.audit.transaction import Transaction
from act.database.ids import new_id
from act.policies.demands import ApprovalTerms
from act.tenants.live import LiveApiKeys
from act.tenants.tenant import ApiKey


class ApprovalService:
    def __init__(self, live: LiveApprovals, keys: LiveApiKeys, teller: Teller, steps: Steps) -> None:
        self._live = live
        self._keys = keys
        self._teller = teller
        self._steps = steps

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
        if row is None or isinstance(redeemed, Fault) or not self._steps.stored(transaction, row, approval, redeemed):
            raise StepLost(approval.id)
        transaction.change(approval.tenant_id, "approval", approval.id)
        self._teller.tell(transaction, "approval.redeemed", approval)

    def _redeemed(self, approval: Approval, terms: ApprovalTerms, users: Iterable[str]) -> Approval | Fault:
        now = self.now(approval)
        return redeem(approval, terms, now, lambda id: self._keys.in_use(id, now), users)
