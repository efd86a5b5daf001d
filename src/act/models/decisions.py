"""Enforcement: the question, the decision, the outcome."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    field_validator,
)

from act.models.base import Answer, Label, Moment, Problem, Request, Resource
from act.strict_json import MAX_INTEGER


class EnforceRequest(Request):
    """May this agent do this?

    `requester` is the agent (id or name) that asked for the call, when it is another. With `requester_token`, that
    agent's own capability token, ACT knows it instead of being told, and the token has to be good as well.
    `min_revision` is the `revision` of a change that the decision must not be older than.
    """

    request_id: Annotated[str, Field(min_length=1, max_length=128)]
    capability_token: Annotated[str, Field(repr=False)]
    action: str
    resource_id: str
    tenant_id: str | None = None
    context: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    requester: str | None = None
    requester_token: Annotated[str | None, Field(repr=False)] = None
    proof: Annotated[str | None, Field(repr=False)] = None
    requester_proof: Annotated[str | None, Field(repr=False)] = None
    min_revision: Annotated[int, Field(ge=0, le=MAX_INTEGER)] | None = None
    dry_run: bool = False


class Verdict(StrEnum):
    """The word of a decision."""

    ALLOWED = "allowed"
    DENIED = "denied"
    PENDING_APPROVAL = "pending_approval"


class ReasonCode(StrEnum):
    """Why a decision is what it is: a closed list, documented in docs/reason-codes.md."""

    ALLOWED = "allowed"
    APPROVAL_REQUIRED = "approval_required"
    NO_MATCHING_POLICY = "no_matching_policy"
    POLICY_DENIED = "policy_denied"
    ACTION_MALFORMED = "action_malformed"
    RESOURCE_MALFORMED = "resource_malformed"
    CONCURRENCY_EXCEEDED = "concurrency_exceeded"
    OUTSIDE_ALLOWED_HOURS = "outside_allowed_hours"
    DOMAIN_NOT_ALLOWED = "domain_not_allowed"
    LIMIT_EXCEEDED = "limit_exceeded"
    QUOTA_EXCEEDED = "quota_exceeded"
    RATE_LIMITED = "rate_limited"
    BUDGET_EXCEEDED = "budget_exceeded"
    TOKEN_MALFORMED = "token_malformed"
    TOKEN_ALGORITHM_NOT_ALLOWED = "token_algorithm_not_allowed"
    TOKEN_KEY_UNKNOWN = "token_key_unknown"
    TOKEN_SIGNATURE_INVALID = "token_signature_invalid"
    TOKEN_ISSUER_MISMATCH = "token_issuer_mismatch"
    TOKEN_AUDIENCE_MISMATCH = "token_audience_mismatch"
    TOKEN_TENANT_MISMATCH = "token_tenant_mismatch"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"
    TOKEN_TTL_EXCEEDED = "token_ttl_exceeded"
    TOKEN_REVOKED = "token_revoked"
    TOKEN_SUPERSEDED = "token_superseded"
    TOKEN_AGENT_MISMATCH = "token_agent_mismatch"
    AGENT_SUSPENDED = "agent_suspended"
    AGENT_DELETED = "agent_deleted"
    PROOF_REQUIRED = "proof_required"
    PROOF_INVALID = "proof_invalid"
    PROOF_REPLAYED = "proof_replayed"
    DELEGATION_REQUIRED = "delegation_required"
    CHAIN_SCOPE_EXCEEDED = "chain_scope_exceeded"
    CHAIN_NOT_DELEGABLE = "chain_not_delegable"
    CHAIN_DEPTH_EXCEEDED = "chain_depth_exceeded"
    CHAIN_CYCLE = "chain_cycle"
    REQUESTER_UNKNOWN = "requester_unknown"
    REQUESTER_NOT_PERMITTED = "requester_not_permitted"
    APPROVAL_REJECTED = "approval_rejected"
    APPROVAL_EXPIRED = "approval_expired"
    APPROVALS_EXHAUSTED = "approvals_exhausted"
    TENANT_FROZEN = "tenant_frozen"
    STALE_STATE = "stale_state"
    OVERLOADED = "overloaded"
    UNREACHABLE = "unreachable"
    NO_TOKEN = "no_token"


class DecidingPolicy(Answer):
    id: str
    name: str
    version: int
    effect: Literal["allow", "deny"]


class NearMiss(Answer):
    """A policy that would have matched but for one thing; `pointer` is into the enforce request."""

    policy_id: str
    name: str
    pointer: str
    message: str


class Lease(Answer):
    """A place under maxConcurrentTasks, held until the outcome is reported or `expires_at`."""

    expires_at: Moment


class LimitLeft(Answer):
    """What is left of a limit after this decision; budgets in their unit, times in whole seconds.

    `window` is what is counted over, None for as long as the token or task lives. In `reset` seconds there is more
    room; None is when nothing is used, or never.
    """

    policy_id: str
    constraint: Literal["rateLimit", "maxRequests", "budget"]
    limit: int | float
    remaining: int | float
    window: int | None = None
    reset: int | None = None
    unit: str | None = None


class ApprovalReference(Answer):
    """The approval that a decision is about: one that is waited for, or was used, rejected, or has expired."""

    id: str
    expires_at: Moment


class AuditReference(Answer):
    """Where the decision stands in the tenant's log; `leaf_hash` is hex (RFC 6962)."""

    index: int
    leaf_hash: str


class Decision(Answer):
    """One answer of `POST /v1/enforce`.

    True in a condition exactly when the action may run, so a dry run, which permits nothing, is never true.
    `retry_after` is in how many seconds a limit that was in the way has room; `limits` what is left of those that the
    decision was counted under, or that were in the way.
    """

    request_id: str
    decision: Verdict
    reason_code: ReasonCode
    reason: str
    decision_id: str | None = None
    agent_id: str | None = None
    tenant_id: str | None = None
    policies: list[DecidingPolicy] = []
    near_misses: list[NearMiss] = []
    obligations: dict[str, int] = {}
    lease: Lease | None = None
    limits: list[LimitLeft] = []
    retry_after: int | None = None
    approval: ApprovalReference | None = None
    audit: AuditReference | None = None
    revision: int | None = None
    evaluated_at: Moment
    dry_run: bool = False
    replayed: bool = False

    def __bool__(self) -> bool:
        return self.decision is Verdict.ALLOWED and not self.dry_run


MAX_BATCH = 100


class EnforceBatch(Request):
    """Questions that are decided in this order, each for itself."""

    requests: Annotated[list[EnforceRequest], Field(min_length=1, max_length=MAX_BATCH)]


BatchItem = Decision | Problem
"""What became of one request of a batch: its decision, or why there is none.

A problem is a denial: its `decision` says `denied`, and its `requestId` is that of the request.
"""


class BatchDecisions(Answer):
    """The answers to a batch, in the order of its requests and as many."""

    decisions: list[BatchItem]


class OutcomeReport(Request):
    """What became of an allowed action; ends its lease.

    `labels` of what was read and resources that were `created` become a part of the session that the decision belongs
    to, and stay there. Without `labels` those are added that the tenant has as its default; an empty list says that
    nothing was read.
    """

    status: Literal["succeeded", "failed", "cancelled"]
    labels: Annotated[list[Label], Field(max_length=32)] | None = None
    created: Annotated[list[Resource], Field(max_length=256)] = []

    @field_validator("labels", mode="before")
    @classmethod
    def _no_null(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("labels cannot be null; leave it out for the default labels of the tenant")
        return value


class OutcomeRecorded(Answer):
    decision_id: str
    status: Literal["succeeded", "failed", "cancelled"]
    audit: AuditReference
    repeated: bool = False
