"""`/v1/agents`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Query

from act import models
from act.agents.service import AgentService
from act.database.pages import DEFAULT_LIMIT, MAX_LIMIT
from act.models import Scope
from act.tenants.access import Access
from act.tenants.tenant import ApiKey


def routes(service: AgentService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/v1/agents", tags=["agents"])
    needed = Depends(access.requires(Scope.AGENTS))

    @router.post("", status_code=201)
    def register_agent(body: models.AgentCreate, caller: ApiKey = needed) -> models.Agent:
        return service.register(caller, body)

    @router.get("")
    def list_agents(
        limit: int = Query(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT), cursor: str | None = None, caller: ApiKey = needed
    ) -> models.Page[models.Agent]:
        return service.list(caller, limit, cursor)

    @router.get("/{agent_id}")
    def get_agent(agent_id: str, caller: ApiKey = needed) -> models.Agent:
        return service.get(caller, agent_id)

    @router.patch("/{agent_id}")
    def update_agent(agent_id: str, body: models.AgentPatch, caller: ApiKey = needed) -> models.Agent:
        return service.update(caller, agent_id, body)

    @router.delete("/{agent_id}", status_code=204)
    def delete_agent(agent_id: str, caller: ApiKey = needed) -> None:
        service.delete(caller, agent_id)

    @router.post("/{agent_id}/suspend")
    def suspend_agent(agent_id: str, caller: ApiKey = needed) -> models.Agent:
        return service.suspend(caller, agent_id)

    @router.post("/{agent_id}/resume")
    def resume_agent(agent_id: str, caller: ApiKey = needed) -> models.Agent:
        return service.resume(caller, agent_id)

    @router.post("/{agent_id}/revoke-tokens")
    def revoke_agent_tokens(agent_id: str, caller: ApiKey = needed) -> models.AgentTokensRevoked:
        return service.revoke_tokens(caller, agent_id)

    return router
