"""The wire types of ACT: one definition for server, SDK, CLI and OpenAPI (3-api).

What comes in (`Request` and below) is strict: camelCase names only, no coercion, unknown fields are faults.
What goes out (`Answer` and below) may gain fields in later versions, so a reader ignores what it does not know.
Timestamps are RFC 3339 in UTC; durations are whole seconds; ids are prefixed UUIDv7 unless the caller chose one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from act.policies import checks
from act.policies.globs import pattern_fault, resource_fault
from act.strict_json import MAX_INTEGER, Fault
from act.text import SECRET, text_fault

T = TypeVar("T")

# --- shapes shared by all ---------------------------------------------------------------------------------------------


def rfc3339(moment: datetime) -> str:
    """A moment as ACT writes it: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read_moment(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("write a moment as RFC 3339, for example 2026-11-22T18:00:00Z") from None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("name the offset from UTC, for example 2026-11-22T18:00:00Z")
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise ValueError("the moment is outside the years 1 to 9999 in UTC") from None
    return value


def _refuse(fault_of: Callable[[str], str | None]) -> Callable[[str], str]:
    def check(value: str) -> str:
        if fault := fault_of(value):
            raise ValueError(fault)
        return value

    return check


Moment = Annotated[datetime, BeforeValidator(_read_moment), PlainSerializer(rfc3339, return_type=str)]


def _secret_fault(text: str) -> str | None:
    # Records keep no such text, and what has an id is known by it.
    return "choose one that does not look like a token or a key" if SECRET.search(text) else None


_NoSecret = AfterValidator(_refuse(_secret_fault))

Identifier = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$"), _NoSecret]
Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_refuse(text_fault)), _NoSecret]
Role = Name
Text = Annotated[str, Field(max_length=2000)]
Pattern = Annotated[str, AfterValidator(_refuse(pattern_fault))]
Label = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_refuse(text_fault)), _NoSecret]
Resource = Annotated[str, AfterValidator(_refuse(resource_fault)), _NoSecret]


class Request(BaseModel):
    """Base of everything a caller sends."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class Answer(BaseModel):
    """Base of everything ACT answers."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        hide_input_in_errors=True,
    )


class Page(Answer, Generic[T]):
    """One page of a list; `next_cursor` is opaque and present exactly when `has_more`."""

    items: list[T]
    has_more: bool = False
    next_cursor: str | None = None


class ProblemFault(Answer):
    pointer: str
    message: str


class Problem(Answer):
    """RFC 9457 problem details. `decision` is there so that a client that reads only it fails closed."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None = None
    errors: list[ProblemFault] | None = None
    decision: Literal["denied"] | None = None


class Scope(StrEnum):
    """What an API key may be used for. `admin` stands for all of them within its tenant."""

    ADMIN = "admin"
    AGENTS = "agents"
    POLICIES = "policies"
    TOKENS = "tokens"
    ENFORCE = "enforce"
    APPROVE = "approve"
    AUDIT = "audit"
    ANALYSIS = "analysis"


# --- agents -----------------------------------------------------------------------------------------------------------


class AgentCreate(Request):
    """Register an agent. Its roles are `roles` plus `metadata.role`."""

    id: Identifier | None = None
    name: Name
    description: Text = ""
    roles: Annotated[list[Role], Field(max_length=64)] = []
    metadata: dict[str, Any] = {}


class AgentPatch(Request):
    """Change what is named; leave the rest."""

    name: Name | None = None
    description: Text | None = None
    roles: Annotated[list[Role], Field(max_length=64)] | None = None
    metadata: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        for name in self.model_fields_set:
            if getattr(self, name) is None:
                raise ValueError(f"{name} cannot be null; leave it out to keep it")
        return self


class Agent(Answer):
    id: str
    name: str
    description: str
    roles: list[str]
    metadata: dict[str, Any]
    status: Literal["active", "suspended", "deleted"]
    created_at: Moment
    updated_at: Moment
    revision: int


class AgentTokensRevoked(Answer):
    agent_id: str
    revoked: int
    revision: int


Mode = Literal["enforce", "shadow"]

# --- policies ---------------------------------------------------------------------------------------------------------


class AppliesTo(Request):
    """Whom a policy applies to: an agent that has one of the roles or is one of the ids."""

    roles: Annotated[list[Role], Field(max_length=256)] = []
    agent_ids: Annotated[list[Identifier], Field(max_length=1024)] = []


class ApprovalRule(Request):
    """`approvers` distinct people must approve within `expires_in` seconds."""

    approvers: Annotated[int, Field(ge=1, le=16)] = 1
    expires_in: Annotated[int, Field(ge=1, le=30 * 86400)] = 900


def _approval_form(value: Any) -> str:
    return "rule" if isinstance(value, dict | ApprovalRule) else "flag"


# Told apart by form, so that a fault in a rule is not also a fault of not being true or false.
_RequiresApproval = Annotated[
    Annotated[bool, Tag("flag")] | Annotated[ApprovalRule, Tag("rule")], Discriminator(_approval_form)
]


def _checked(check: Callable[[Any], list[Fault]]) -> Callable[[Any], Any]:
    """A validator that tells every fault inside a field, each with its own pointer."""

    return lambda value: _refuse_faults(value, check(value))


def _refuse_faults(value: Any, faults: list[Fault]) -> Any:
    if faults:
        raise PydanticCustomError("faults", "{count} faults", {"count": len(faults), "faults": faults})
    return value


# Told apart by form, as above.
_AllowedHours = Annotated[
    Annotated[str, Tag("text")] | Annotated[dict[str, Any], Tag("parts")],
    Discriminator(lambda value: "parts" if isinstance(value, dict) else "text"),
    AfterValidator(_checked(checks.hours)),
]


class Delegators(Request):
    """Agents by role or by id: at least one of either, because a list that names nobody must not read as everybody."""

    roles: Annotated[list[Role], Field(max_length=256)] = []
    agent_ids: Annotated[list[Identifier], Field(max_length=1024)] = []

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not self.roles and not self.agent_ids:
            raise ValueError("name at least one role or one agent id")
        return self


class DelegationRule(Request):
    """The agent that acts must have been handed the task by one of `from`."""

    from_: Annotated[Delegators, Field(alias="from")]


# Told apart by form, as above.
_RequiresDelegation = Annotated[
    Annotated[bool, Tag("flag")] | Annotated[DelegationRule, Tag("rule")],
    Discriminator(lambda value: "rule" if isinstance(value, dict | DelegationRule) else "flag"),
]


class Constraints(Request):
    """What else must hold when an allow policy matches. A constraint ACT does not know is a fault."""

    requires_approval: _RequiresApproval | None = None
    max_concurrent_tasks: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    lease_seconds: Annotated[int, Field(ge=1, le=7 * 86400)] | None = None
    allowed_hours: _AllowedHours | None = None
    allowed_domains: Annotated[list[str], Field(max_length=256), AfterValidator(_checked(checks.domains))] | None = None
    max_rows: Annotated[int, Field(ge=0, le=MAX_INTEGER)] | None = None
    max_data_points: Annotated[int, Field(ge=0, le=MAX_INTEGER)] | None = None
    requires_delegation: _RequiresDelegation | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, written: Any) -> Any:
        """`allowed_hours` is how the hosted product spells it (2-semantics, "Constraints")."""
        if isinstance(written, dict) and "allowed_hours" in written:
            if "allowedHours" in written:
                raise ValueError("write allowedHours or allowed_hours, not both")
            return {"allowedHours" if name == "allowed_hours" else name: value for name, value in written.items()}
        return written

    @model_validator(mode="after")
    def _lease_needs_limit(self) -> Self:
        if self.lease_seconds is not None and self.max_concurrent_tasks is None:
            raise ValueError("leaseSeconds says how long a concurrency lease lasts; write maxConcurrentTasks beside it")
        return self


Grant = Literal["use", "delegate"]
Grants = Annotated[list[Grant], Field(min_length=1, max_length=2)]
MAX_DEPTH = 8


class HandDown(Request):
    """To whom a right may be handed down, and how many agents may follow: 1 is the next one only."""

    to: Delegators
    max_depth: Annotated[int, Field(ge=1, le=MAX_DEPTH)] = 1


class PolicyDraft(Request):
    """A policy as its author writes it (2-semantics, "Policies")."""

    id: Identifier | None = None
    name: Name
    description: Text = ""
    effect: Literal["allow", "deny"] = "allow"
    actions: Annotated[list[Pattern], Field(min_length=1, max_length=256)]
    resources: Annotated[list[Pattern], Field(min_length=1, max_length=256)]
    applies_to: AppliesTo | None = None
    arguments: dict[str, Any] | None = None
    when: Annotated[str, AfterValidator(_checked(checks.condition))] | None = None
    constraints: Constraints | None = None
    grants: Grants = ["use"]
    delegation: HandDown | None = None
    mode: Mode = "enforce"
    enabled: bool = True
    valid_from: Moment | None = None
    valid_until: Moment | None = None

    @field_validator("arguments", mode="after")
    @classmethod
    def _a_schema(cls, schema: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
        effect = info.data.get("effect", "allow")  # absent where it has a fault of its own
        return None if schema is None else _refuse_faults(schema, checks.arguments(schema, effect))

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.effect == "deny" and self.constraints is not None and self.constraints.model_fields_set:
            raise ValueError("constraints narrow what is allowed; a deny policy cannot have them")
        if self.effect == "deny" and self.model_fields_set & {"grants", "delegation"}:
            raise ValueError("grants and delegation give rights; a deny policy cannot have them")
        if "delegate" in self.grants and self.delegation is None:
            raise ValueError("a policy that grants 'delegate' says in delegation.to to whom")
        if "delegate" not in self.grants and self.delegation is not None:
            raise ValueError("delegation says how a right is handed down; add 'delegate' to grants, or leave it out")
        if self.valid_from and self.valid_until and self.valid_from >= self.valid_until:
            raise ValueError("validUntil must be later than validFrom")
        return self


Binding = Literal["explicit", "inferred", "tenant"]


class Warned(Answer):
    """Something that is accepted and probably not meant."""

    code: str
    message: str


class Policy(Answer):
    """A stored policy. `binding` says how `applies_to` came about; `applies_to` is None for the whole tenant."""

    id: str
    version: int
    name: str
    description: str
    effect: Literal["allow", "deny"]
    actions: list[str]
    resources: list[str]
    applies_to: dict[str, list[str]] | None
    binding: Binding
    arguments: dict[str, Any] | None
    when: str | None
    constraints: dict[str, Any]
    grants: list[Grant] = ["use"]
    delegation: dict[str, Any] | None = None
    mode: Mode
    enabled: bool
    valid_from: Moment | None
    valid_until: Moment | None
    warnings: list[Warned] = []
    created_at: Moment
    updated_at: Moment
    revision: int


class PolicyValidated(Answer):
    """What is wrong with a draft, and what it would mean; nothing is stored."""

    valid: bool
    errors: list[ProblemFault] = []
    warnings: list[Warned] = []
    binding: Binding | None = None
    applies_to: dict[str, list[str]] | None = None


class PolicyRestore(Request):
    """Make an old version the newest one."""

    version: Annotated[int, Field(ge=1)]


class PolicyChange(Answer):
    """One difference between two versions: where, and what it was and is (absent for what is not there)."""

    pointer: str
    before: Any = None
    after: Any = None


class PolicyComparison(Answer):
    policy_id: str
    from_version: int
    to_version: int
    changes: list[PolicyChange]


class Permission(Answer):
    """What one policy gives or takes, and by what it applies: `agent`, `role:<role>` or `tenant`."""

    policy_id: str
    name: str
    version: int
    effect: Literal["allow", "deny"]
    mode: Mode
    via: str
    actions: list[str]
    resources: list[str]
    arguments: dict[str, Any] | None
    when: str | None
    constraints: dict[str, Any]
    grants: list[Grant] = ["use"]
    delegation: dict[str, Any] | None = None
    valid_from: Moment | None
    valid_until: Moment | None
    in_force: bool


class Received(Answer):
    """What was handed down to an agent and is still good; its own policies stay its ceiling."""

    node: str
    from_agent_id: str
    scope: list[dict[str, Any]]
    grants: list[Grant]
    expires_at: Moment


class Permissions(Answer):
    """What an agent may do now. `can_act` is false while it is suspended or its tenant frozen: then nothing holds."""

    agent_id: str
    can_act: bool
    permissions: list[Permission]
    delegations: list[Received] = []
    revision: int


# --- tokens -----------------------------------------------------------------------------------------------------------


MAX_FACTS = 4096


class ScopeItem(Request):
    """One part of a scope: any of the actions on any of the resources."""

    actions: Annotated[list[Pattern], Field(min_length=1, max_length=64)]
    resources: Annotated[list[Pattern], Field(min_length=1, max_length=64)]


Scoping = Annotated[list[ScopeItem], Field(min_length=1, max_length=16)]


def _facts_size(facts: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(facts, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")) > MAX_FACTS:
        raise ValueError(f"facts are at most {MAX_FACTS} bytes of JSON")
    return facts


class Task(Request):
    """What a token is for. `facts` are the values that conditions can hold arguments against, given by the operator."""

    id: Identifier
    facts: Annotated[dict[str, Any], AfterValidator(_facts_size)] = {}


class Confirmation(Request):
    """The key whose holder alone can use a token (RFC 7800): a public JWK, Ed25519 or P-256."""

    jwk: dict[str, Any]


class TokenRequest(Request):
    """Ask for a capability token for an agent; `expires_in` seconds, at most the tenant's maximum.

    For `renew_for` seconds from now its holder may renew it. Without it: not at all where `expires_in` is written, and
    otherwise as long as the longest single token would have lived.
    `policy_ids` and `scope` narrow: only what one of those policies allows and the scope covers is allowed.
    """

    agent_id: Identifier
    expires_in: Annotated[int, Field(ge=1)] | None = None
    renew_for: Annotated[int, Field(ge=1)] | None = None
    policy_ids: Annotated[list[Identifier], Field(min_length=1, max_length=64)] | None = None
    scope: Scoping | None = None
    task: Task | None = None
    on_behalf_of: Annotated[Name, Field(max_length=256)] | None = None
    cnf: Confirmation | None = None


class IssuedToken(Answer):
    """The only answer that ever carries the token string. `node` is its place in the delegation tree."""

    token: Annotated[str, Field(repr=False)]
    token_id: str
    agent_id: str
    node: str = ""
    expires_at: Moment
    warnings: list[Warned] = []
    revision: int


class Token(Answer):
    id: str
    agent_id: str
    status: Literal["active", "superseded", "expired", "revoked"]
    node: str = ""
    parent: str | None = None
    depth: int = 0
    scope: list[dict[str, Any]] | None = None
    policy_ids: list[str] | None = None
    grants: list[Grant] = ["use", "delegate"]
    task: dict[str, Any] | None = None
    on_behalf_of: str | None = None
    bound_to_key: bool = False
    issued_at: Moment
    expires_at: Moment
    superseded_at: Moment | None = None
    revoked_at: Moment | None = None


class TokenRevoked(Answer):
    """`revoked` tokens were good until now, `delegated` of them handed down from this one."""

    token_id: str
    revoked: int
    delegated: int = 0
    revision: int


class TokenRotate(Request):
    """A new token in the place of this one, which stays good for `grace` seconds.

    With `token`, the string of the token itself, whoever holds it may rotate it with a key for `enforce` alone. A
    token that is bound to a key needs a `proof` for the action `rotate` on `token://<id>`, with `request_id` and with
    the other fields that are sent as its arguments.
    """

    expires_in: Annotated[int, Field(ge=1)] | None = None
    grace: Annotated[int, Field(ge=0, le=3600)] = 30
    token: Annotated[str | None, Field(repr=False)] = None
    proof: Annotated[str | None, Field(repr=False)] = None
    request_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None


class TokenIntrospect(Request):
    token: Annotated[str, Field(repr=False)]


class Introspection(Answer):
    """RFC 7662, section 2.2, in its spelling. A token that is not good is `active: false` and nothing else."""

    model_config = ConfigDict(alias_generator=None)

    active: bool
    client_id: str | None = None
    sub: str | None = None
    iss: str | None = None
    aud: str | None = None
    jti: str | None = None
    iat: int | None = None
    nbf: int | None = None
    exp: int | None = None
    token_type: str | None = None
    tid: str | None = None
    act: dict[str, Any] | None = None
    authorization_details: list[dict[str, Any]] | None = None
    task: dict[str, Any] | None = None
    cnf: dict[str, Any] | None = None

    @model_serializer(mode="wrap")
    def _only_what_is(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if value is not None}


class DelegationRequest(Request):
    """Hand a part of what `parent_token` may hand down to another agent, by id or name.

    Without `grants` the receiver may use it and not hand it on; with `delegate` among them, `to` and `max_depth` say to
    whom and how far. `expires_in` and `renew_for` are as in issuing a token, within the parent's. `facts` may be added
    by an operator's key only. A parent that is bound to a key needs a `proof`
    for the action `delegate` on `agent://<to_agent_id>`, with `request_id` and with the other fields as its arguments.
    """

    parent_token: Annotated[str, Field(repr=False)]
    to_agent_id: Name
    scope: Scoping
    expires_in: Annotated[int, Field(ge=1)] | None = None
    renew_for: Annotated[int, Field(ge=1)] | None = None
    task: Task | None = None
    grants: Grants = ["use"]
    to: Delegators | None = None
    max_depth: Annotated[int, Field(ge=1, le=MAX_DEPTH)] | None = None
    cnf: Confirmation | None = None
    proof: Annotated[str | None, Field(repr=False)] = None
    request_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if "delegate" not in self.grants and (self.to is not None or self.max_depth is not None):
            raise ValueError("to and maxDepth say how it may be handed on; add 'delegate' to grants, or leave them out")
        return self


class DelegationNode(Answer):
    """One place in a delegation tree, and what hangs below it."""

    node: str
    agent_id: str
    depth: int
    scope: list[dict[str, Any]] | None
    grants: list[Grant]
    max_depth: int
    token_ids: list[str]
    status: Literal["active", "expired", "revoked"]
    expires_at: Moment
    children: list[DelegationNode] = []


# --- decisions --------------------------------------------------------------------------------------------------------


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
    approval: ApprovalReference | None = None
    audit: AuditReference | None = None
    revision: int | None = None
    evaluated_at: Moment
    dry_run: bool = False
    replayed: bool = False

    def __bool__(self) -> bool:
        return self.decision is Verdict.ALLOWED and not self.dry_run


class OutcomeReport(Request):
    """What became of an allowed action; ends its lease.

    `labels` of what was read and resources that were `created` become a part of the session that the decision belongs
    to, and stay there.
    """

    status: Literal["succeeded", "failed", "cancelled"]
    labels: Annotated[list[Label], Field(max_length=32)] = []
    created: Annotated[list[Resource], Field(max_length=256)] = []


class OutcomeRecorded(Answer):
    decision_id: str
    status: Literal["succeeded", "failed", "cancelled"]
    audit: AuditReference
    repeated: bool = False


# --- approvals --------------------------------------------------------------------------------------------------------


ApprovalStatus = Literal["pending", "approved", "rejected", "expired", "redeemed"]


class Vote(Answer):
    """One person's word, known by the API key it was given with."""

    key_id: str
    key_name: str
    at: Moment


class Approval(Answer):
    """What a person is asked: exactly this action with exactly these arguments, once."""

    id: str
    status: ApprovalStatus
    agent_id: str
    agent_name: str
    requester_id: str | None
    action: str
    resource_id: str
    arguments: dict[str, Any]
    context: dict[str, Any]
    policies: list[DecidingPolicy]
    approvers_needed: int
    approved_by: list[Vote]
    rejected_by: Vote | None = None
    reason: str | None = None
    decision_id: str
    created_at: Moment
    expires_at: Moment


class ApproveRequest(Request):
    reason: Annotated[str, Field(max_length=500)] | None = None


class RejectRequest(Request):
    """`reason` goes back to the agent."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]


# --- tenants ----------------------------------------------------------------------------------------------------------


class TenantPatch(Request):
    """Change what is named; leave the rest. How long tokens live, in seconds."""

    max_token_ttl: Annotated[int, Field(ge=1, le=366 * 86400)] | None = None
    default_token_ttl: Annotated[int, Field(ge=1, le=366 * 86400)] | None = None

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        for name in self.model_fields_set:
            if getattr(self, name) is None:
                raise ValueError(f"{to_camel(name)} cannot be null; leave it out to keep it")
        return self


class Tenant(Answer):
    """One tenant. `revision` is only in the answer to a change."""

    id: str
    name: str
    max_token_ttl: int
    default_token_ttl: int
    frozen: bool
    frozen_at: Moment | None
    frozen_reason: str | None
    created_at: Moment
    revision: int | None = None


class TenantFreeze(Request):
    """Why; for people, in the record."""

    reason: Annotated[str, Field(min_length=1, max_length=500)] | None = None


class TenantFrozen(Answer):
    """Whether everything is denied now. `frozen_at` and `reason` are those of the freeze that is in force."""

    tenant_id: str
    frozen: bool
    frozen_at: Moment | None
    reason: str | None
    revision: int


# --- signing keys -----------------------------------------------------------------------------------------------------


SigningAlgorithm = Literal["RS256", "EdDSA", "ES256"]


class KeyRotation(Request):
    """`algorithm` is that of the key which signs from then on; without it, that of the next key."""

    algorithm: SigningAlgorithm | None = None


class SigningKey(Answer):
    """The public side of a key; `use` is `token`, or `audit` for the one that signs checkpoints.

    `next` is published and signs later, `active` signs, `retiring` still verifies until `retires_at`, `gone` does
    nothing any more.
    """

    kid: str
    use: Literal["token", "audit"]
    algorithm: str
    status: Literal["next", "active", "retiring", "gone"]
    created_at: Moment
    retires_at: Moment | None


class SigningKeyRotated(SigningKey):
    """The key that signs from now on."""

    revision: int


class SigningKeyRevoked(Answer):
    kid: str
    revision: int


# --- API keys ---------------------------------------------------------------------------------------------------------


class ApiKeyCreate(Request):
    """A key for one caller. With `agent_id`, only tokens whose leaf is that agent are accepted from it."""

    name: Name
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=8)]
    agent_id: Identifier | None = None
    expires_in: Annotated[int, Field(ge=1, le=10 * 366 * 86400)] | None = None


class ApiKey(Answer):
    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    agent_id: str | None
    created_at: Moment
    expires_at: Moment | None
    last_used_at: Moment | None
    revoked_at: Moment | None


class IssuedApiKey(ApiKey):
    """The only answer that ever carries the key itself."""

    key: Annotated[str, Field(repr=False)]


class ApiKeyRevoked(Answer):
    id: str
    revision: int


# --- audit ------------------------------------------------------------------------------------------------------------


class AuditRecord(Answer):
    """One leaf of the log: `record` is exactly what `leaf_hash` covers."""

    index: int
    leaf_hash: str
    record: dict[str, Any]


class Checkpoint(Answer):
    """The log's head: `root_hash` is hex; `note` is the same as a C2SP signed note."""

    tenant_id: str
    size: int
    root_hash: str
    note: str
    verifier_key: str


# --- server -----------------------------------------------------------------------------------------------------------


class Health(Answer):
    status: Literal["ok", "unavailable"]
    version: str
    checks: dict[str, str] = {}
