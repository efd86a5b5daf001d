"""Agents."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from act.models.base import Answer, Identifier, Metadata, Moment, Name, Request, Role, Text


class AgentCreate(Request):
    """Register an agent. Its roles are `roles` plus `metadata.role`."""

    id: Identifier | None = None
    name: Name
    description: Text = ""
    roles: Annotated[list[Role], Field(max_length=64)] = []
    metadata: Metadata = {}


class AgentPatch(Request):
    """Change what is named; leave the rest."""

    name: Name | None = None
    description: Text | None = None
    roles: Annotated[list[Role], Field(max_length=64)] | None = None
    metadata: Metadata | None = None

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
