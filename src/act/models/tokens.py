"""Tokens and delegations."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from act.models.base import (
    Answer,
    Identifier,
    Moment,
    Name,
    Pattern,
    Request,
)
from act.models.policies import (
    MAX_DEPTH,
    Delegators,
    Grant,
    Grants,
    Warned,
)

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
