"""Tokens: what agents show when they ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

from act.client.call import Call, get, path, post
from act.client.groups.group import AsyncGroup, Group
from act.client.narrowing import Scope, listed, scope_of, task_of
from act.client.proof import ProofKey
from act.client.proving import proved
from act.models import Introspection, IssuedToken, Page, Token, TokenRevoked


def issue_token(
    agent_id: str,
    expires_in: int | None,
    renew_for: int | None,
    policy_ids: Iterable[str] | None,
    scope: list[dict[str, list[str]]] | None,
    task: Mapping[str, Any] | None,
    on_behalf_of: str | None,
    cnf: Mapping[str, Any] | None,
) -> Call[IssuedToken]:
    """`scope` and `task` as `narrowing` makes them; `cnf` is the public key as a JWK."""
    body = {
        "agentId": agent_id,
        "expiresIn": expires_in,
        "renewFor": renew_for,
        "policyIds": None if policy_ids is None else listed("policy_ids", policy_ids),
        "scope": scope,
        "task": task,
        "onBehalfOf": on_behalf_of,
        "cnf": None if cnf is None else {"jwk": dict(cnf)},
    }
    return post(path("tokens"), IssuedToken, body)


def list_tokens(agent_id: str | None = None, cursor: str | None = None) -> Call[Page[Token]]:
    return get(path("tokens"), Page[Token], {"agentId": agent_id, "cursor": cursor})


def get_token(id: str) -> Call[Token]:
    return get(path("tokens", id), Token)


def revoke_token(id: str) -> Call[TokenRevoked]:
    """Idempotent: it is repeated until an answer says that it holds."""
    return Call("POST", path("tokens", id, "revoke"), TokenRevoked.model_validate_json, idempotent=True)


def rotate_token(
    id: str, expires_in: int | None, grace: int | None, token: str | None, key: ProofKey | None
) -> Call[IssuedToken]:
    """With `token`, by right of whoever holds it, and then idempotent.

    A second rotation leaves a token that nobody knows. A lost answer to the first, not asked for again within the
    grace, would leave the holder with a token whose use revokes the node.
    """
    body = {"expiresIn": expires_in, "grace": grace}
    given = {name: value for name, value in body.items() if value is not None}
    if token is not None:
        given = proved(given, key, token, "token", "rotate", f"token://{id}")
    return Call(
        "POST",
        path("tokens", id, "rotate"),
        IssuedToken.model_validate_json,
        body=given,
        idempotent=token is not None,
    )


def introspect_token(token: str) -> Call[Introspection]:
    at = path("tokens", "introspect")
    return Call("POST", at, Introspection.model_validate_json, body={"token": token}, idempotent=True)


class Tokens(Group):
    """What agents show when they ask."""

    def issue(
        self,
        agent_id: str,
        *,
        expires_in: int | None = None,
        renew_for: int | None = None,
        policy_ids: Iterable[str] | None = None,
        scope: Scope | None = None,
        actions: Iterable[str] | None = None,
        resources: Iterable[str] | None = None,
        task: str | None = None,
        facts: Mapping[str, Any] | None = None,
        on_behalf_of: str | None = None,
        cnf: Mapping[str, Any] | None = None,
    ) -> IssuedToken:
        """A token for the agent, for `expires_in` seconds. Its string is in this answer and nowhere else.

        Args:
            renew_for: seconds for which its holder may renew it. Without it, not at all if `expires_in` is given.
            policy_ids: only what one of these policies allows is allowed.
            actions, resources: only these actions on these resources (globs); `scope` is a list of several such parts.
            task: what the token is for; `facts` are values of the task that conditions see as `token.facts`.
            on_behalf_of: the user for whom the agent acts.
            cnf: the public JWK that the token is bound to (`ProofKey.public_jwk`).
        """
        narrowed = scope_of(scope, actions, resources)
        call = issue_token(
            agent_id, expires_in, renew_for, policy_ids, narrowed, task_of(task, facts), on_behalf_of, cnf
        )
        return self._send(call)

    def list(self, agent_id: str | None = None) -> Iterator[Token]:
        return self._all(lambda cursor: list_tokens(agent_id, cursor=cursor))

    def get(self, id: str) -> Token:
        return self._send(get_token(id))

    def revoke(self, id: str) -> TokenRevoked:
        """Revoke the token, what was rotated from it, and all that was handed down; effective on the next request."""
        return self._send(revoke_token(id))

    def rotate(
        self,
        id: str,
        *,
        expires_in: int | None = None,
        grace: int | None = None,
        token: str | None = None,
        key: ProofKey | None = None,
    ) -> IssuedToken:
        """A new token in the place of this one, which stays good for `grace` seconds (30 by default).

        Using the old one later is taken for theft, and revokes both and everything handed down from them.

        Args:
            token: the string of the token: whoever holds it needs a key for `enforce` only.
            key: what the token is bound to, if it is, and `token` is given.
        """
        return self._send(rotate_token(id, expires_in, grace, token, key))

    def introspect(self, token: str) -> Introspection:
        """What a token is that somebody has shown (RFC 7662): `active`, and then its claims."""
        return self._send(introspect_token(token))


class AsyncTokens(AsyncGroup):
    """What agents show when they ask."""

    async def issue(
        self,
        agent_id: str,
        *,
        expires_in: int | None = None,
        renew_for: int | None = None,
        policy_ids: Iterable[str] | None = None,
        scope: Scope | None = None,
        actions: Iterable[str] | None = None,
        resources: Iterable[str] | None = None,
        task: str | None = None,
        facts: Mapping[str, Any] | None = None,
        on_behalf_of: str | None = None,
        cnf: Mapping[str, Any] | None = None,
    ) -> IssuedToken:
        narrowed = scope_of(scope, actions, resources)
        call = issue_token(
            agent_id, expires_in, renew_for, policy_ids, narrowed, task_of(task, facts), on_behalf_of, cnf
        )
        return await self._send(call)

    def list(self, agent_id: str | None = None) -> AsyncIterator[Token]:
        return self._all(lambda cursor: list_tokens(agent_id, cursor=cursor))

    async def get(self, id: str) -> Token:
        return await self._send(get_token(id))

    async def revoke(self, id: str) -> TokenRevoked:
        return await self._send(revoke_token(id))

    async def rotate(
        self,
        id: str,
        *,
        expires_in: int | None = None,
        grace: int | None = None,
        token: str | None = None,
        key: ProofKey | None = None,
    ) -> IssuedToken:
        return await self._send(rotate_token(id, expires_in, grace, token, key))

    async def introspect(self, token: str) -> Introspection:
        return await self._send(introspect_token(token))
