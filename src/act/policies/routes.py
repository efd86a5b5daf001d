"""`/v1/policies`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Query

from act import models
from act.database.pages import DEFAULT_LIMIT, MAX_LIMIT
from act.models import Scope
from act.policies.service import PolicyService
from act.tenants.access import Access
from act.tenants.tenant import ApiKey


def routes(service: PolicyService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/v1/policies", tags=["policies"])
    needed = Depends(access.requires(Scope.POLICIES))

    @router.post("", status_code=201)
    def create_policy(body: models.PolicyDraft, caller: ApiKey = needed) -> models.Policy:
        return service.create(caller, body)

    @router.get("")
    def list_policies(
        limit: int = Query(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT), cursor: str | None = None, caller: ApiKey = needed
    ) -> models.Page[models.Policy]:
        return service.list(caller, limit, cursor)

    @router.get("/{policy_id}")
    def get_policy(policy_id: str, caller: ApiKey = needed) -> models.Policy:
        return service.get(caller, policy_id)

    @router.put("/{policy_id}")
    def replace_policy(policy_id: str, body: models.PolicyDraft, caller: ApiKey = needed) -> models.Policy:
        return service.replace(caller, policy_id, body)

    @router.delete("/{policy_id}", status_code=204)
    def delete_policy(policy_id: str, caller: ApiKey = needed) -> None:
        service.delete(caller, policy_id)

    @router.get("/{policy_id}/versions")
    def list_policy_versions(
        policy_id: str,
        limit: int = Query(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT),
        cursor: str | None = None,
        caller: ApiKey = needed,
    ) -> models.Page[models.Policy]:
        return service.versions(caller, policy_id, limit, cursor)

    return router
