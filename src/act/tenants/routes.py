"""`/v1/api-keys`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Query

from act import models
from act.database.pages import DEFAULT_LIMIT, MAX_LIMIT
from act.models import Scope
from act.tenants.access import Access
from act.tenants.service import TenantService
from act.tenants.tenant import ApiKey


def routes(service: TenantService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/v1/api-keys", tags=["api keys"])
    needed = Depends(access.requires(Scope.ADMIN))

    @router.post("", status_code=201)
    def create_api_key(body: models.ApiKeyCreate, caller: ApiKey = needed) -> models.IssuedApiKey:
        return service.create_key(caller, body)

    @router.get("")
    def list_api_keys(
        limit: int = Query(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT), cursor: str | None = None, caller: ApiKey = needed
    ) -> models.Page[models.ApiKey]:
        return service.list_keys(caller, limit, cursor)

    @router.delete("/{key_id}")
    def revoke_api_key(key_id: str, caller: ApiKey = needed) -> models.ApiKeyRevoked:
        return service.revoke_key(caller, key_id)

    return router
