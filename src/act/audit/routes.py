"""`/v1/audit`."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import StreamingResponse

from act import models
from act.audit.service import AuditService
from act.audit.store import Filter
from act.database.pages import DEFAULT_LIMIT, MAX_LIMIT
from act.models import Moment, ReasonCode, Scope, Verdict, rfc3339
from act.tenants.access import Access
from act.tenants.tenant import ApiKey


def routes(service: AuditService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/v1/audit", tags=["audit"])
    needed = Depends(access.requires(Scope.AUDIT))

    @router.get("")
    def search_audit(
        agent: str | None = None,
        requester: str | None = None,
        action: str | None = None,
        resource: str | None = Query(None, description="A pattern; * matches any run of characters."),
        decision: Verdict | None = None,
        reason_code: ReasonCode | None = Query(None, alias="reasonCode"),
        request_id: str | None = Query(None, alias="requestId"),
        kind: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        limit: int = Query(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT),
        cursor: str | None = None,
        order: Literal["asc", "desc"] = "desc",
        caller: ApiKey = needed,
    ) -> models.Page[models.AuditRecord]:
        wanted = Filter(
            agent=agent,
            requester=requester,
            action=action,
            resource=resource,
            decision=decision,
            reason_code=reason_code,
            request_id=request_id,
            kind=kind,
            since=rfc3339(since) if since else None,
            until=rfc3339(until) if until else None,
        )
        return service.search(caller, wanted, limit, cursor, order)

    @router.get("/checkpoint")
    def audit_checkpoint(caller: ApiKey = needed) -> models.Checkpoint:
        return service.checkpoint(caller)

    @router.get("/export", response_class=StreamingResponse)
    def export_audit(
        format: Literal["jsonl"] = "jsonl",
        caller: ApiKey = needed,
    ) -> StreamingResponse:
        return StreamingResponse(service.export(caller), media_type="application/jsonl")

    @router.get("/{index}")
    def get_audit_record(index: int = Path(ge=0, le=2**53), caller: ApiKey = needed) -> models.AuditRecord:
        return service.get(caller, index)

    return router
