"""API keys: who may call ACT."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from act.client.call import Call, get, path, post
from act.client.groups.group import AsyncGroup, Group
from act.models import ApiKey, ApiKeyRevoked, IssuedApiKey, Page


def create_api_key(
    name: str,
    scopes: Iterable[str],
    agent_id: str | None,
    expires_in: int | None,
    roles: Iterable[str] = (),
    person: str | None = None,
) -> Call[IssuedApiKey]:
    # str(): a member of the Scope enumeration is not a plain JSON string.
    body: dict[str, Any] = {"name": name, "scopes": [str(s) for s in scopes], "agentId": agent_id}
    body |= {"expiresIn": expires_in, "roles": list(roles) or None, "person": person}
    return post(path("api-keys"), IssuedApiKey, body)


def list_api_keys(cursor: str | None = None) -> Call[Page[ApiKey]]:
    return get(path("api-keys"), Page[ApiKey], {"cursor": cursor})


def revoke_api_key(id: str) -> Call[ApiKeyRevoked]:
    return Call("DELETE", path("api-keys", id), ApiKeyRevoked.model_validate_json)


class ApiKeys(Group):
    """Who may call ACT."""

    def create(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        agent_id: str | None = None,
        expires_in: int | None = None,
        roles: Iterable[str] = (),
        person: str | None = None,
    ) -> IssuedApiKey:
        """A key with some of `act.models.Scope`. Its string is in this answer and nowhere else.

        Args:
            roles: those in which its holder approves (`requiresApproval.from`).
            person: who holds it, such as an e-mail address; all keys of one person are one approver.
        """
        return self._send(create_api_key(name, scopes, agent_id, expires_in, roles, person))

    def list(self) -> Iterator[ApiKey]:
        return self._all(list_api_keys)

    def revoke(self, id: str) -> ApiKeyRevoked:
        return self._send(revoke_api_key(id))


class AsyncApiKeys(AsyncGroup):
    """Who may call ACT."""

    async def create(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        agent_id: str | None = None,
        expires_in: int | None = None,
        roles: Iterable[str] = (),
        person: str | None = None,
    ) -> IssuedApiKey:
        return await self._send(create_api_key(name, scopes, agent_id, expires_in, roles, person))

    def list(self) -> AsyncIterator[ApiKey]:
        return self._all(list_api_keys)

    async def revoke(self, id: str) -> ApiKeyRevoked:
        return await self._send(revoke_api_key(id))
