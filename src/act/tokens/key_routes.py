"""`/v1/keys` and the public keys."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Query

from act import models
from act.database.pages import DEFAULT_LIMIT, MAX_LIMIT
from act.models import Scope
from act.tenants.access import Access
from act.tenants.tenant import ApiKey
from act.tokens.key_service import KeyService
from act.tokens.live_keys import LiveKeys


def routes(service: KeyService, keys: LiveKeys, access: Access) -> APIRouter:
    router = APIRouter(tags=["signing keys"])
    needed = Depends(access.requires(Scope.ADMIN))

    @router.get("/v1/keys")
    def list_signing_keys(
        limit: int = Query(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT), cursor: str | None = None, caller: ApiKey = needed
    ) -> models.Page[models.SigningKey]:
        return service.list(caller, limit, cursor)

    @router.post("/v1/keys/rotate")
    def rotate_signing_key(body: models.KeyRotation | None = None, caller: ApiKey = needed) -> models.SigningKeyRotated:
        return service.rotate(caller, body)

    @router.post("/v1/keys/{signing_key_id}/revoke")
    def revoke_signing_key(signing_key_id: str, caller: ApiKey = needed) -> models.SigningKeyRevoked:
        return service.revoke(caller, signing_key_id)

    @router.get("/.well-known/jwks.json")
    def public_keys() -> dict[str, Any]:
        return keys.jwks()

    return router
