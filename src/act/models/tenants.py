"""Tenants and the kill switch."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import (
    Field,
    model_validator,
)
from pydantic.alias_generators import to_camel

from act.models.base import Answer, Label, Moment, Request


class TenantPatch(Request):
    """Change what is named; leave the rest. How long tokens live, in seconds, and what was read if nobody says."""

    max_token_ttl: Annotated[int, Field(ge=1, le=366 * 86400)] | None = None
    default_token_ttl: Annotated[int, Field(ge=1, le=366 * 86400)] | None = None
    default_labels: Annotated[list[Label], Field(max_length=8)] | None = None

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        for name in self.model_fields_set:
            if getattr(self, name) is None:
                raise ValueError(f"{to_camel(name)} cannot be null; leave it out to keep it")
        return self


class Tenant(Answer):
    """One tenant. `default_labels` count for outcomes that tell none; `revision` is only in the answer to a change."""

    id: str
    name: str
    max_token_ttl: int
    default_token_ttl: int
    default_labels: list[str] = []
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
