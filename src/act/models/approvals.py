"""Approvals: what a person is asked and says."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
)

from act.models.base import Answer, Moment, Reason, Request
from act.models.decisions import DecidingPolicy
from act.text import without_secrets

ApprovalStatus = Literal["pending", "approved", "rejected", "expired", "redeemed"]


class Vote(Answer):
    """One person's word, known by the API key it was given with; `person` and `roles` are the key's."""

    key_id: str
    key_name: str
    person: str | None = None
    roles: list[str] = []
    at: Moment


class ApprovalDemand(Answer):
    """`approvers` distinct people, each with one of the roles in `from`; None is whoever may approve.

    `given` is how many have said yes.
    """

    approvers: int
    from_: Annotated[list[str] | None, Field(alias="from")] = None
    given: int


class Approval(Answer):
    """What a person is asked: exactly this action with exactly these arguments, once.

    All `demands` must be met; `approvers_needed` is how many people that takes at least. Once it is settled,
    `arguments` and `context` are what the tenant's log keeps of them; None when that is nothing, or was erased.
    """

    id: str
    status: ApprovalStatus
    agent_id: str
    agent_name: str
    requester_id: str | None
    action: str
    resource_id: str
    arguments: dict[str, Any] | None
    context: dict[str, Any]
    policies: list[DecidingPolicy]
    approvers_needed: int
    demands: list[ApprovalDemand] = []
    approved_by: list[Vote]
    rejected_by: Vote | None = None
    reason: str | None = None
    decision_id: str
    created_at: Moment
    expires_at: Moment


class ApproveRequest(Request):
    reason: Annotated[str, Field(max_length=500), AfterValidator(without_secrets)] | None = None


class RejectRequest(Request):
    """`reason` goes back to the agent."""

    reason: Reason
