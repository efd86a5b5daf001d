"""`/v1/tokens`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Query

from act import models
from act.database.pages import DEFAULT_LIMIT, MAX_LIMIT
from act.models import Scope
from act.tenants.access import Access
from act.tenants.tenant import ApiKey
from act.tokens.introspection import IntrospectionService
from act.tokens.rotation import RotationService
from act.tokens.service import TokenService


def routes(
    service: TokenService, rotation: RotationService, introspection: IntrospectionService, access: Access
) -> APIRouter:
    router = APIRouter(tags=["tokens"])
    needed = Depends(access.requires(Scope.TOKENS))
    # Who holds a token may rotate it, also with the key of an agent's own process.
    holder = Depends(access.requires(Scope.TOKENS, Scope.ENFORCE))

    @router.post("/v1/tokens", status_code=201)
    def issue_token(body: models.TokenRequest, caller: ApiKey = needed) -> models.IssuedToken:
        return service.issue(caller, body)

    @router.get("/v1/tokens")
    def list_tokens(
        agent_id: str | None = Query(None, alias="agentId"),
        limit: int = Query(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT),
        cursor: str | None = None,
        caller: ApiKey = needed,
    ) -> models.Page[models.Token]:
        return service.list(caller, agent_id, limit, cursor)

    @router.post("/v1/tokens/introspect")
    def introspect_token(body: models.TokenIntrospect, caller: ApiKey = needed) -> models.Introspection:
        return introspection.introspect(caller, body)

    @router.get("/v1/tokens/{token_id}")
    def get_token(token_id: str, caller: ApiKey = needed) -> models.Token:
        return service.get(caller, token_id)

    @router.post("/v1/tokens/{token_id}/revoke")
    def revoke_token(token_id: str, caller: ApiKey = needed) -> models.TokenRevoked:
        return service.revoke(caller, token_id)

    @router.post("/v1/tokens/{token_id}/rotate", status_code=201)
    def rotate_token(token_id: str, body: models.TokenRotate, caller: ApiKey = holder) -> models.IssuedToken:
        return rotation.rotate(caller, token_id, body)

    return router
