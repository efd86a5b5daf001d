"""Policies: drafts, versions, warnings, permissions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from act.models.agents import Mode
from act.models.base import (
    Answer,
    Identifier,
    Label,
    Moment,
    Name,
    Pattern,
    ProblemFault,
    Request,
    Role,
    Text,
)
from act.policies import checks
from act.strict_json import MAX_INTEGER, Fault


class AppliesTo(Request):
    """Whom a policy applies to: an agent that has one of the roles or is one of the ids."""

    roles: Annotated[list[Role], Field(max_length=256)] = []
    agent_ids: Annotated[list[Identifier], Field(max_length=1024)] = []


_Roles = Annotated[list[Role], Field(min_length=1, max_length=64)]


class ApprovalRule(Request):
    """`approvers` distinct people must approve within `expires_in` seconds; each with one of the roles in `from`.

    Without `from` it is whoever may approve; an empty list would be nobody, and is a fault.
    """

    approvers: Annotated[int, Field(ge=1, le=16)] = 1
    from_: Annotated[_Roles | None, Field(alias="from")] = None
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


# Told apart by form, as above.
_RateLimit = Annotated[
    Annotated[str, Tag("text")] | Annotated[dict[str, Any], Tag("parts")] | Annotated[list[Any], Tag("several")],
    Discriminator(lambda value: {dict: "parts", list: "several"}.get(type(value), "text")),
    AfterValidator(_checked(checks.rates)),
]


class Budget(Request):
    """What the amounts that `argument` (a JSON pointer into the arguments) names may come to together.

    Counted for the token and all that was delegated from it, for the task of the token, or over any 24 hours for the
    agent that the delegation began with.
    """

    argument: Annotated[str, AfterValidator(_checked(checks.budget_argument))]
    max: Annotated[int | float, AfterValidator(_checked(checks.budget_amount))]
    per: Literal["token", "task", "day"]
    unit: Annotated[Label, Field(max_length=32)] | None = None


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
    rate_limit: _RateLimit | None = None
    max_requests: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None
    budget: Budget | None = None
    requires_delegation: _RequiresDelegation | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, written: Any) -> Any:
        """The spellings of the hosted product are read as ACT's own (2-semantics, "Constraints")."""
        if not isinstance(written, dict):
            return written
        written = dict(written)
        for theirs, ours in (("allowed_hours", "allowedHours"), ("rate_limit", "rateLimit")):
            if theirs in written:
                if ours in written:
                    raise ValueError(f"write {ours} or {theirs}, not both")
                written[ours] = written.pop(theirs)
        return _refuse_faults(written, checks.one_rate_limit(written))

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
