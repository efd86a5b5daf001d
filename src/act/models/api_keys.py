"""API keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    Field,
)

from act.models.base import Answer, Identifier, Moment, Name, Request, Role, Scope


class ApiKeyCreate(Request):
    """A key for one caller. With `agent_id`, only tokens whose leaf is that agent are accepted from it.

    `roles` are those in which its holder approves (`requiresApproval.from`). `person` says who holds it, such as an
    e-mail address: two keys of one person are one approver.
    """

    name: Name
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=8)]
    agent_id: Identifier | None = None
    roles: Annotated[list[Role], Field(max_length=64)] = []
    person: Annotated[Name, Field(max_length=256)] | None = None
    expires_in: Annotated[int, Field(ge=1, le=10 * 366 * 86400)] | None = None


class ApiKey(Answer):
    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    agent_id: str | None
    roles: list[str] = []
    person: str | None = None
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
