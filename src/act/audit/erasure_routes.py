"""Erasing under `/v1/audit`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Path

from act import models
from act.audit.erasure import ErasureService
from act.models import Scope
from act.tenants.access import Access
from act.tenants.tenant import ApiKey


def routes(service: ErasureService, access: Access) -> APIRouter:
    """For administrators: who may read the log may not take from what is kept beside it."""
    router = APIRouter(prefix="/v1/audit", tags=["audit"])
    needed = Depends(access.requires(Scope.ADMIN))

    @router.post("/erase")
    def erase_matching_arguments(
        body: models.ArgumentsEraseMatching, caller: ApiKey = needed
    ) -> models.ArgumentsErased:
        """Erase what was kept of the arguments of an agent, a requester or a user; the log stays valid."""
        return service.erase_matching(caller, body)

    @router.post("/{index}/erase")
    def erase_arguments(
        body: models.ArgumentsErase, index: int = Path(ge=0, le=2**53), caller: ApiKey = needed
    ) -> models.ArgumentsErased:
        """Erase what was kept of the arguments of one decision; the log stays valid."""
        return service.erase(caller, index, body.reason)

    return router
