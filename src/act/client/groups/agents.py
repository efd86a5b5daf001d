"""Agents: who may ask at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Literal

from act.client.call import Call, get, nothing, path, post
from act.client.groups.group import AsyncGroup, Group
from act.models import Agent, AgentTokensRevoked, Page, Permissions


def create_agent(
    name: str, id: str | None, description: str, roles: Iterable[str], metadata: Mapping[str, Any] | None
) -> Call[Agent]:
    body = {"id": id, "name": name, "description": description, "roles": list(roles), "metadata": metadata}
    return post(path("agents"), Agent, body)


def list_agents(cursor: str | None = None) -> Call[Page[Agent]]:
    return get(path("agents"), Page[Agent], {"cursor": cursor})


def get_agent(id: str) -> Call[Agent]:
    return get(path("agents", id), Agent)


def update_agent(id: str, changes: Mapping[str, Any]) -> Call[Agent]:
    return post(path("agents", id), Agent, changes, method="PATCH")


def agent_permissions(id: str) -> Call[Permissions]:
    return get(path("agents", id, "permissions"), Permissions)


def delete_agent(id: str) -> Call[None]:
    return Call("DELETE", path("agents", id), nothing)


def set_agent_status(id: str, verb: Literal["suspend", "resume"]) -> Call[Agent]:
    return post(path("agents", id, verb), Agent)


def revoke_agent_tokens(id: str) -> Call[AgentTokensRevoked]:
    return post(path("agents", id, "revoke-tokens"), AgentTokensRevoked)


class Agents(Group):
    """Who may ask at all."""

    def create(
        self,
        name: str,
        *,
        id: str | None = None,
        description: str = "",
        roles: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Agent:
        """Register an agent; its name is unique in the tenant (409 otherwise)."""
        return self._send(create_agent(name, id, description, roles, metadata))

    def list(self) -> Iterator[Agent]:
        """All agents, page by page as they are read."""
        return self._all(list_agents)

    def get(self, id: str) -> Agent:
        return self._send(get_agent(id))

    def update(self, id: str, **changes: Any) -> Agent:
        """Change `name`, `description`, `roles` or `metadata`; what is not named stays."""
        return self._send(update_agent(id, changes))

    def permissions(self, id: str) -> Permissions:
        """What the agent may do now, with the policy that gives each right."""
        return self._send(agent_permissions(id))

    def delete(self, id: str) -> None:
        """Its tokens are denied from now on (`agent_deleted`)."""
        self._send(delete_agent(id))

    def suspend(self, id: str) -> Agent:
        """Deny the agent everything until `resume`."""
        return self._send(set_agent_status(id, "suspend"))

    def resume(self, id: str) -> Agent:
        return self._send(set_agent_status(id, "resume"))

    def revoke_tokens(self, id: str) -> AgentTokensRevoked:
        """Revoke every token issued to the agent until now."""
        return self._send(revoke_agent_tokens(id))


class AsyncAgents(AsyncGroup):
    """Who may ask at all."""

    async def create(
        self,
        name: str,
        *,
        id: str | None = None,
        description: str = "",
        roles: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Agent:
        return await self._send(create_agent(name, id, description, roles, metadata))

    def list(self) -> AsyncIterator[Agent]:
        return self._all(list_agents)

    async def get(self, id: str) -> Agent:
        return await self._send(get_agent(id))

    async def update(self, id: str, **changes: Any) -> Agent:
        return await self._send(update_agent(id, changes))

    async def permissions(self, id: str) -> Permissions:
        """What the agent may do now, with the policy that gives each right."""
        return await self._send(agent_permissions(id))

    async def delete(self, id: str) -> None:
        await self._send(delete_agent(id))

    async def suspend(self, id: str) -> Agent:
        return await self._send(set_agent_status(id, "suspend"))

    async def resume(self, id: str) -> Agent:
        return await self._send(set_agent_status(id, "resume"))

    async def revoke_tokens(self, id: str) -> AgentTokensRevoked:
        return await self._send(revoke_agent_tokens(id))
