"""Tenants and the kill switch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)
from pydantic.alias_generators import to_camel

from act.models.base import Answer, Label, Moment, NoSecret, Reason, Request
from act.redact_patterns import MAX_PATTERNS, redact_pattern_fault

SHORTEST_RETENTION = 86400
"""Seconds; of younger records a node may need some again."""


AuditArguments = Literal["none", "redacted", "full"]


def _redact_pattern(pattern: str) -> str:
    if fault := redact_pattern_fault(pattern):
        raise ValueError(fault)
    return pattern


RedactPattern = Annotated[str, AfterValidator(_redact_pattern), NoSecret]


class TenantPatch(Request):
    """Change what is named; leave the rest. How long tokens live, in seconds, and what was read if nobody says.

    `audit_retention` is the age in seconds at which audit records go into archives; null keeps them for ever.
    `audit_arguments` is what the log keeps of the arguments of calls; `redact_patterns` are patterns of member names,
    or JSON pointers, that are redacted besides what always is.
    """

    max_token_ttl: Annotated[int, Field(ge=1, le=366 * 86400)] | None = None
    default_token_ttl: Annotated[int, Field(ge=1, le=366 * 86400)] | None = None
    default_labels: Annotated[list[Label], Field(max_length=8)] | None = None
    audit_arguments: AuditArguments | None = None
    redact_patterns: Annotated[list[RedactPattern], Field(max_length=MAX_PATTERNS)] | None = None
    audit_retention: Annotated[int, Field(ge=SHORTEST_RETENTION, le=100 * 366 * 86400)] | None = None

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        for name in self.model_fields_set:
            if getattr(self, name) is None and name != "audit_retention":
                raise ValueError(f"{to_camel(name)} cannot be null; leave it out to keep it")
        return self


class Tenant(Answer):
    """One tenant. `default_labels` count for outcomes that tell none; `revision` is only in the answer to a change."""

    id: str
    name: str
    max_token_ttl: int
    default_token_ttl: int
    default_labels: list[str] = []
    audit_arguments: AuditArguments = "redacted"
    redact_patterns: list[str] = []
    audit_retention: int | None = None
    frozen: bool
    frozen_at: Moment | None
    frozen_reason: str | None
    created_at: Moment
    revision: int | None = None


class TenantFreeze(Request):
    """Why; for people, in the record."""

    reason: Reason | None = None


class TenantFrozen(Answer):
    """Whether everything is denied now. `frozen_at` and `reason` are those of the freeze that is in force."""

    tenant_id: str
    frozen: bool
    frozen_at: Moment | None
    reason: str | None
    revision: int
