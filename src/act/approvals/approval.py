"""The approval machine, pure (2-semantics, "Approvals").

    pending --approve (enough people)--> approved --redeem--> redeemed
    pending --reject--> rejected
    pending, approved --time--> expired

Redeemed, rejected and expired are final; no clock brings them back. Every step is a function from one frozen value
to the next, or a `Fault` that says why not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import rfc8785

from act.policies.constraints import ApprovalTerms

Status = Literal["pending", "approved", "rejected", "expired", "redeemed"]


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's word; people are told apart by their API keys."""

    key_id: str
    key_name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Approval:
    """`binding` is the hash of what was asked; `asked_by` the API key that asked."""

    id: str
    tenant_id: str
    binding: bytes
    status: Status
    approvers_needed: int
    votes: tuple[Vote, ...]
    rejection: Vote | None
    reason: str | None
    asked_by: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a step is not possible: a stable code and a sentence."""

    code: str
    message: str


def binding_of(
    *,
    tenant_id: str,
    asked_by: str,
    node: str,
    agent_id: str,
    requester_id: str | None,
    action: str,
    resource_id: str,
    arguments: Mapping[str, Any],
) -> bytes:
    """The hash of everything that an approval is for.

    Another argument, agent, requester, root token (`node`) or asking API key is another question; so whoever
    approved cannot then use the approval with the key it was approved with.
    """
    asked = [tenant_id, asked_by, node, agent_id, requester_id, action, resource_id, dict(arguments)]
    return hashlib.sha256(rfc8785.dumps(asked)).digest()


def expired(approval: Approval, now: datetime) -> bool:
    return approval.status == "expired" or (approval.status in ("pending", "approved") and approval.expires_at <= now)


def approve(approval: Approval, vote: Vote) -> Approval | Fault:
    """Count one person's yes."""
    if fault := _not_open(approval, vote):
        return fault
    if any(earlier.key_id == vote.key_id for earlier in approval.votes):
        return Fault("already_approved", "You have approved this already; it needs other people.")
    votes = (*approval.votes, vote)
    return replace(approval, votes=votes, status="approved" if len(votes) >= approval.approvers_needed else "pending")


def reject(approval: Approval, vote: Vote, reason: str) -> Approval | Fault:
    """One person's no is final."""
    if fault := _not_open(approval, vote):
        return fault
    return replace(approval, status="rejected", rejection=vote, reason=reason)


def expire(approval: Approval, now: datetime) -> Approval | Fault:
    if approval.status not in ("pending", "approved") or not expired(approval, now):
        return Fault("approval_not_due", f"The approval is {approval.status} and not due.")
    return replace(approval, status="expired")


def redeem(
    approval: Approval, terms: ApprovalTerms, now: datetime, in_use: Callable[[str], bool] = lambda _: True
) -> Approval | Fault:
    """Use an approval for the one action it was given for, if it still satisfies what the policies ask for now.

    Args:
        in_use: whether an API key is not revoked; the word of one that is does not count any more.
    """
    if approval.status != "approved" or expired(approval, now):
        return Fault("approval_not_usable", f"The approval is {approval.status}.")
    if sum(in_use(vote.key_id) for vote in approval.votes) < terms.approvers:
        return Fault("approval_insufficient", "The policies ask for more people by now.")
    if (now - approval.created_at).total_seconds() >= terms.expires_in:
        return Fault("approval_stale", "The policies give an approval less time by now.")
    return replace(approval, status="redeemed")


def _not_open(approval: Approval, vote: Vote) -> Fault | None:
    if expired(approval, vote.at):
        return Fault("approval_expired", "The approval has expired; the agent has to ask again.")
    if approval.status != "pending":
        return Fault("approval_decided", f"The approval is {approval.status} already.")
    if vote.key_id == approval.asked_by:
        return Fault("own_request", "The API key that asked cannot decide; use the key of another person.")
    return None
