"""`/v1/api-keys` and `/v1/tenants`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Query

from act import models
from act.database.pages import DEFAULT_LIMIT, MAX_LIMIT
from act.models import Scope
from act.tenants.access import Access
from act.tenants.control import TenantControl
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


def tenant_routes(control: TenantControl, access: Access) -> APIRouter:
    router = APIRouter(prefix="/v1/tenants", tags=["tenants"])
    needed = Depends(access.requires(Scope.ADMIN))

    @router.get("/{tenant_id}")
    def get_tenant(tenant_id: str, caller: ApiKey = needed) -> models.Tenant:
        return control.get(caller, tenant_id)

    @router.patch("/{tenant_id}")
    def update_tenant(tenant_id: str, body: models.TenantPatch, caller: ApiKey = needed) -> models.Tenant:
        return control.update(caller, tenant_id, body)

    @router.post("/{tenant_id}/freeze")
    def freeze_tenant(
        tenant_id: str, body: models.TenantFreeze | None = None, caller: ApiKey = needed
    ) -> models.TenantFrozen:
        """The kill switch: deny everything that the tenant's agents ask, from the next request on."""
        return control.freeze(caller, tenant_id, body.reason if body else None)

    @router.post("/{tenant_id}/unfreeze")
    def unfreeze_tenant(
        tenant_id: str, body: models.TenantFreeze | None = None, caller: ApiKey = needed
    ) -> models.TenantFrozen:
        """Decide again by tokens and policies."""
        return control.unfreeze(caller, tenant_id, body.reason if body else None)

    return router
