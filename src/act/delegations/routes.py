"""`/v1/delegations`."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from act import models
from act.delegations.service import DelegationService
from act.models import Scope
from act.tenants.access import Access
from act.tenants.tenant import ApiKey
from act.tokens.tree import Tree


def routes(service: DelegationService, tree: Tree, access: Access) -> APIRouter:
    router = APIRouter(prefix="/v1/delegations", tags=["delegations"])
    # The parent token is the authority, so the key of an agent's own process is enough.
    holder = Depends(access.requires(Scope.TOKENS, Scope.ENFORCE))
    reader = Depends(access.requires(Scope.TOKENS))

    @router.post("", status_code=201)
    def delegate(body: models.DelegationRequest, caller: ApiKey = holder) -> models.IssuedToken:
        return service.delegate(caller, body)

    @router.get("/{token_id}/tree")
    def delegation_tree(token_id: str, caller: ApiKey = reader) -> models.DelegationNode:
        return tree.below(caller.tenant_id, token_id)

    return router
