"""What a decision spends: written in the same commit as its audit record, undone when that commit fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from act.approvals.approval import Approval
from act.approvals.service import ApprovalService
from act.audit.transaction import Transaction
from act.limits.book import Reserved
from act.limits.service import LimitService
from act.policies.demands import ApprovalTerms
from act.tenants.tenant import ApiKey
from act.tokens.possession import Possession
from act.tokens.revocation import end_reused


class Effect(Protocol):
    def write(self, transaction: Transaction) -> None:
        """Make it durable."""

    def undo(self) -> None:
        """Give it back in memory; nothing was written."""


@dataclass(frozen=True, slots=True)
class UseProof:
    """A proof of possession that is used up in memory already."""

    possession: Possession
    tenant_id: str
    proof: str = field(repr=False)

    def write(self, transaction: Transaction) -> None:
        """Nothing: after a restart no earlier proof is accepted."""

    def undo(self) -> None:
        self.possession.give_back(self.tenant_id, self.proof)


@dataclass(frozen=True, slots=True)
class RevokeReused:
    """A token was used that another had replaced; its node is revoked in the commit that denies."""

    caller: ApiKey
    node: str
    now: datetime

    def write(self, transaction: Transaction) -> None:
        end_reused(transaction, self.caller, self.node, self.now)

    def undo(self) -> None:
        """Nothing was taken."""


class TakeLimits(NamedTuple):
    """Places that are held and amounts that are counted in memory already."""

    limits: LimitService
    reserved: Reserved
    token_id: str
    now: datetime

    def write(self, transaction: Transaction) -> None:
        self.limits.write(transaction, self.reserved, self.token_id, self.now)

    def undo(self) -> None:
        self.limits.undo(self.reserved)

    def written(self) -> None:
        """From now on the places can be timed out."""
        self.limits.written(self.reserved.decision_id)


@dataclass(frozen=True, slots=True)
class AskPerson:
    """A new approval; `shown` is what the person sees."""

    approvals: ApprovalService
    approval: Approval
    shown: dict[str, Any] = field(repr=False)

    def write(self, transaction: Transaction) -> None:
        self.approvals.ask(transaction, self.approval, **self.shown)

    def undo(self) -> None:
        self.approvals.withdraw(self.approval)


@dataclass(frozen=True, slots=True)
class JoinQuestion:
    """An approval that was asked for before, perhaps by a decision whose commit is still under way."""

    approvals: ApprovalService
    approval: Approval

    def write(self, transaction: Transaction) -> None:
        self.approvals.confirm(transaction, self.approval)

    def undo(self) -> None:
        """Nothing was taken."""


@dataclass(frozen=True, slots=True)
class TellExpiry:
    """An expiry that is told once, and is marked as told already."""

    approvals: ApprovalService
    approval: Approval

    def write(self, transaction: Transaction) -> None:
        """Nothing: the record of the decision says that it was told."""

    def undo(self) -> None:
        self.approvals.untell(self.approval)


@dataclass(frozen=True, slots=True)
class UseApproval:
    """An approval that is taken in memory already."""

    approvals: ApprovalService
    approval: Approval
    terms: ApprovalTerms
    users: tuple[str, ...]

    def write(self, transaction: Transaction) -> None:
        self.approvals.redeem(transaction, self.approval, self.terms, self.users)

    def undo(self) -> None:
        self.approvals.give_back(self.approval)
