"""`/v1/approvals`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Query

from act import models
from act.approvals.hearing import HearingService
from act.database.pages import DEFAULT_LIMIT, MAX_LIMIT
from act.models import ApprovalStatus, Scope
from act.tenants.access import Access
from act.tenants.tenant import ApiKey

LONGEST_WAIT = 60


def routes(service: HearingService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/v1/approvals", tags=["approvals"])
    deciding = Depends(access.requires(Scope.APPROVE))
    asking = Depends(access.requires(Scope.APPROVE, Scope.ENFORCE))

    @router.get("")
    def list_approvals(
        status: ApprovalStatus | None = None,
        limit: int = Query(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT),
        cursor: str | None = None,
        caller: ApiKey = deciding,
    ) -> models.Page[models.Approval]:
        return service.list(caller, status, limit, cursor)

    @router.get("/{approval_id}")
    async def get_approval(
        approval_id: str, wait: int = Query(0, ge=0, le=LONGEST_WAIT), caller: ApiKey = asking
    ) -> models.Approval:
        return await service.wait(caller, approval_id, wait)

    @router.post("/{approval_id}/approve")
    def approve(
        approval_id: str, body: models.ApproveRequest = models.ApproveRequest(), caller: ApiKey = deciding
    ) -> models.Approval:
        return service.approve(caller, approval_id, body)

    @router.post("/{approval_id}/reject")
    def reject(approval_id: str, body: models.RejectRequest, caller: ApiKey = deciding) -> models.Approval:
        return service.reject(caller, approval_id, body)

    return router
