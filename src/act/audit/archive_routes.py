"""`/v1/audit/archives`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Query

from act import models
from act.audit.archives import ArchiveService
from act.database.pages import DEFAULT_LIMIT, MAX_LIMIT
from act.models import Scope
from act.tenants.access import Access
from act.tenants.tenant import ApiKey


def routes(service: ArchiveService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/v1/audit/archives", tags=["audit"])

    @router.get("")
    def list_archives(
        limit: int = Query(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT),
        cursor: str | None = None,
        caller: ApiKey = Depends(access.requires(Scope.AUDIT)),
    ) -> models.Page[models.AuditArchive]:
        """The files that hold the oldest records, in the order of the log."""
        return service.list(caller, limit, cursor)

    @router.post("", status_code=201)
    def seal_archive(
        body: models.ArchiveRequest | None = None, caller: ApiKey = Depends(access.requires(Scope.ADMIN))
    ) -> models.ArchiveSealed:
        """Seal the oldest records, at most 65,536, into a file beside the database; they are removed afterwards."""
        return service.archive(caller, body.older_than if body else None)

    return router
