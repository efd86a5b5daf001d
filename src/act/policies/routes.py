"""`/v1/policies`, and what an agent may do by them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Body, Depends, Header, Query, Response

from act import models
from act.database.pages import DEFAULT_LIMIT, MAX_LIMIT
from act.models import Scope
from act.policies.permissions import PermissionService
from act.policies.service import PolicyService, etag
from act.tenants.access import Access
from act.tenants.tenant import ApiKey

_IF_MATCH = Header(None, description='The ETag that was read, for example "v3"; * for any version.')


def routes(service: PolicyService, permissions: PermissionService, access: Access) -> APIRouter:
    router = APIRouter(tags=["policies"])
    needed = Depends(access.requires(Scope.POLICIES))

    @router.post("/v1/policies", status_code=201)
    def create_policy(body: models.PolicyDraft, response: Response, caller: ApiKey = needed) -> models.Policy:
        return _tagged(response, service.create(caller, body))

    @router.post("/v1/policies/validate")
    def validate_policy(
        body: Any = Body(...),
        policy_id: str | None = Query(None, alias="policyId", description="The policy whose next version it would be."),
        caller: ApiKey = needed,
    ) -> models.PolicyValidated:
        return service.validate(caller, body, policy_id)

    @router.get("/v1/policies")
    def list_policies(
        limit: int = Query(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT), cursor: str | None = None, caller: ApiKey = needed
    ) -> models.Page[models.Policy]:
        return service.list(caller, limit, cursor)

    @router.get("/v1/policies/{policy_id}")
    def get_policy(policy_id: str, response: Response, caller: ApiKey = needed) -> models.Policy:
        return _tagged(response, service.get(caller, policy_id))

    @router.put("/v1/policies/{policy_id}")
    def replace_policy(
        policy_id: str,
        body: models.PolicyDraft,
        response: Response,
        if_match: str | None = _IF_MATCH,
        caller: ApiKey = needed,
    ) -> models.Policy:
        return _tagged(response, service.replace(caller, policy_id, body, if_match))

    @router.delete("/v1/policies/{policy_id}", status_code=204)
    def delete_policy(policy_id: str, if_match: str | None = _IF_MATCH, caller: ApiKey = needed) -> None:
        service.delete(caller, policy_id, if_match)

    @router.get("/v1/policies/{policy_id}/versions")
    def list_policy_versions(
        policy_id: str,
        limit: int = Query(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT),
        cursor: str | None = None,
        caller: ApiKey = needed,
    ) -> models.Page[models.Policy]:
        return service.versions(caller, policy_id, limit, cursor)

    @router.get("/v1/policies/{policy_id}/compare")
    def compare_policy_versions(
        policy_id: str,
        before: int = Query(alias="from", ge=1, le=2**31),
        after: int = Query(alias="to", ge=1, le=2**31),
        caller: ApiKey = needed,
    ) -> models.PolicyComparison:
        return service.compare(caller, policy_id, before, after)

    @router.post("/v1/policies/{policy_id}/restore")
    def restore_policy(
        policy_id: str,
        body: models.PolicyRestore,
        response: Response,
        if_match: str | None = _IF_MATCH,
        caller: ApiKey = needed,
    ) -> models.Policy:
        return _tagged(response, service.restore(caller, policy_id, body.version, if_match))

    @router.get("/v1/agents/{agent_id}/permissions", tags=["agents"])
    def agent_permissions(
        agent_id: str, caller: ApiKey = Depends(access.requires(Scope.AGENTS, Scope.POLICIES))
    ) -> models.Permissions:
        return permissions.of_agent(caller, agent_id)

    return router


def _tagged(response: Response, policy: models.Policy) -> models.Policy:
    response.headers["ETag"] = etag(policy.version)
    return policy
