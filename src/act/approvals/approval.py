"""The approval machine, pure (2-semantics, "Approvals").

    pending --approve (everybody who is demanded)--> approved --redeem--> redeemed
    pending --reject--> rejected
    pending, approved --time--> expired

Redeemed, rejected and expired are final; no clock brings them back. Every step is a function from one frozen value
to the next, or a `Fault` that says why not.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import rfc8785

from act.policies.demands import ApprovalTerms, Demand, least

Status = Literal["pending", "approved", "rejected", "expired", "redeemed"]
NOBODY: frozenset[str] = frozenset()
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's word, given with an API key. `roles` and `person` are those of the key."""

    key_id: str
    key_name: str
    at: datetime
    roles: frozenset[str] = NOBODY
    person: str | None = None

    @property
    def who(self) -> str:
        """By what people are told apart: the person who holds the key, where that is known."""
        return f"key {self.key_id}" if self.person is None else f"person {identity(self.person)}"


@dataclass(frozen=True, slots=True)
class Approval:
    """`binding` is the hash of what was asked.

    `asked_by` is the API key that asked and `asker` the person who holds it, if that is known; `users` are those on
    whose behalf the agents act. None of them decides. `root_agent_id` is the agent at the root of the delegation.
    """

    id: str
    tenant_id: str
    binding: bytes
    status: Status
    demands: tuple[Demand, ...]
    votes: tuple[Vote, ...]
    rejection: Vote | None
    reason: str | None
    asked_by: str
    asker: str | None
    users: tuple[str, ...]
    root_agent_id: str
    created_at: datetime
    expires_at: datetime

    @property
    def approvers_needed(self) -> int:
        """People needed at least."""
        return least(self.demands)

    @property
    def open(self) -> bool:
        """Whether it can still come to something, but for the time."""
        return self.status in ("pending", "approved")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a step is not possible: a stable code and a sentence."""

    code: str
    message: str


def identity(person: str) -> str:
    """A person's name as it is compared: in whatever case and width it is written, it is one person.

    Nor do characters make two of one that nobody sees (Unicode: default ignorable) although they count as printable.
    """
    return _UNSEEN.sub("", unicodedata.normalize("NFKC", person).casefold()).strip()


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


def given(demand: Demand, votes: Iterable[Vote]) -> int:
    """How many people of a demand have said yes; one person counts once."""
    return len({vote.who for vote in votes if demand.admits(vote.roles)})


def met(demands: Sequence[Demand], votes: Sequence[Vote]) -> bool:
    """Whether everybody who is demanded has said yes. No demand at all is met by nobody."""
    return bool(demands) and all(given(demand, votes) >= demand.approvers for demand in demands)


def expired(approval: Approval, now: datetime) -> bool:
    return approval.status == "expired" or (approval.open and approval.expires_at <= now)


def approve(approval: Approval, vote: Vote) -> Approval | Fault:
    """Count one person's yes."""
    if fault := _not_open(approval, vote):
        return fault
    if any(vote.who == earlier.who or vote.key_id == earlier.key_id for earlier in approval.votes):
        return Fault("already_approved", "You have approved this already; it needs other people.")
    wanting = [demand for demand in approval.demands if given(demand, approval.votes) < demand.approvers]
    if fault := _no_role(wanting, vote):
        return fault
    votes = (*approval.votes, vote)
    return replace(approval, votes=votes, status="approved" if met(approval.demands, votes) else "pending")


def reject(approval: Approval, vote: Vote, reason: str) -> Approval | Fault:
    """One person's no is final. It takes a role of some demand, met or not."""
    if fault := _not_open(approval, vote) or _no_role(approval.demands, vote):
        return fault
    return replace(approval, status="rejected", rejection=vote, reason=reason)


def expire(approval: Approval, now: datetime) -> Approval | Fault:
    if not approval.open or not expired(approval, now):
        return Fault("approval_not_due", f"The approval is {approval.status} and not due.")
    return replace(approval, status="expired")


def redeem(
    approval: Approval,
    terms: ApprovalTerms,
    now: datetime,
    in_use: Callable[[str], bool] = lambda _: True,
    users: Iterable[str] = (),
) -> Approval | Fault:
    """Use an approval for the one action it was given for, if it still satisfies what the policies ask for now.

    Args:
        in_use: whether an API key is good; the word of one that was revoked or has expired does not count any more.
        users: on whose behalf the agents act now; their words do not count either.
    """
    if approval.status != "approved" or expired(approval, now):
        return Fault("approval_not_usable", f"The approval is {approval.status}.")
    acted_for = {identity(user) for user in users}
    counted = [
        vote
        for vote in approval.votes
        if in_use(vote.key_id) and (vote.person is None or identity(vote.person) not in acted_for)
    ]
    if not met(terms.demands, counted):
        return Fault("approval_insufficient", "The policies ask for more or other people by now.")
    if (now - approval.created_at).total_seconds() >= terms.expires_in:
        return Fault("approval_stale", "The policies give an approval less time by now.")
    return replace(approval, status="redeemed")


def _not_open(approval: Approval, vote: Vote) -> Fault | None:
    if expired(approval, vote.at):
        return Fault("approval_expired", "The approval has expired; the agent has to ask again.")
    if approval.status != "pending":
        return Fault("approval_decided", f"The approval is {approval.status} already.")
    return _own(approval, vote)


def _own(approval: Approval, vote: Vote) -> Fault | None:
    """Nobody decides what they asked for, or what is done for them."""
    if vote.key_id == approval.asked_by:
        return Fault("own_request", "The API key that asked cannot decide; use the key of another person.")
    if vote.person is None:
        return None
    person = identity(vote.person)
    if approval.asker is not None and identity(approval.asker) == person:
        return Fault("own_request", f"{vote.person} holds the API key that asked; another person has to decide.")
    if person in {identity(user) for user in approval.users}:
        return Fault("own_behalf", f"The agent acts on behalf of {vote.person}; another person has to decide.")
    return None


def _no_role(demands: Sequence[Demand], vote: Vote) -> Fault | None:
    if any(demand.admits(vote.roles) for demand in demands):
        return None
    wanted = sorted({role for demand in demands for role in demand.names})
    named = ", ".join(f"'{role}'" for role in wanted)
    message = f"The API key '{vote.key_name}' has none of the roles that this needs: {named}."
    return Fault("approver_role_missing", message)
