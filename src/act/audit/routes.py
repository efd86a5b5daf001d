"""`/v1/audit` and `/v1/events`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Literal

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from act import models
from act.audit.proving import LogService
from act.audit.service import AuditService, gathered
from act.audit.store import Filter
from act.audit.stream import Listening, LogStream, TooManyListeners
from act.database.pages import DEFAULT_LIMIT, MAX_LIMIT
from act.models import Moment, ReasonCode, Scope, Verdict, rfc3339
from act.problems import overloaded
from act.tenants.access import Access
from act.tenants.tenant import ApiKey

EXPORTS_AT_ONCE = 2
"""So many exports read at the same time; they take none of the threads that all other calls share."""

_BINARY = "application/octet-stream"


def routes(service: AuditService, log: LogService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/v1/audit", tags=["audit"])
    needed = Depends(access.requires(Scope.AUDIT))
    exporting = CapacityLimiter(EXPORTS_AT_ONCE)

    async def in_turn(lines: Iterator[bytes]) -> AsyncIterator[bytes]:
        pieces = gathered(lines)
        while (piece := await to_thread.run_sync(next, pieces, None, limiter=exporting)) is not None:
            yield piece

    @router.get("")
    def search_audit(
        agent: str | None = None,
        requester: str | None = None,
        action: str | None = None,
        resource: str | None = Query(None, description="A pattern; * matches any run of characters."),
        decision: Verdict | None = None,
        reason_code: ReasonCode | None = Query(None, alias="reasonCode"),
        request_id: str | None = Query(None, alias="requestId"),
        decision_id: str | None = Query(None, alias="decisionId"),
        task: str | None = None,
        conversation: str | None = Query(None, description="`context.conversationId` of the requests."),
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
            decision_id=decision_id,
            task=task,
            conversation=conversation,
            kind=kind,
            since=rfc3339(since) if since else None,
            until=rfc3339(until) if until else None,
        )
        return service.search(caller, wanted, limit, cursor, order)

    @router.get("/checkpoint", response_model=models.Checkpoint, responses={200: {"content": {"text/plain": {}}}})
    def audit_checkpoint(request: Request, caller: ApiKey = needed) -> models.Checkpoint | PlainTextResponse:
        """The signed head of the log; with `Accept: text/plain`, the signed note alone (C2SP tlog-checkpoint)."""
        found = log.checkpoint(caller)
        return PlainTextResponse(found.note) if request.headers.get("accept") == "text/plain" else found

    @router.get("/proof/inclusion")
    def inclusion_proof(
        index: int = Query(ge=0, le=2**53),
        size: int | None = Query(None, ge=1, le=2**53),
        caller: ApiKey = needed,
    ) -> models.InclusionProof:
        """That a record is in the log; without `size`, of all records there are."""
        return log.inclusion(caller, index, size)

    @router.get("/proof/consistency")
    def consistency_proof(
        first: int = Query(ge=1, le=2**53),
        second: int | None = Query(None, ge=1, le=2**53),
        caller: ApiKey = needed,
    ) -> models.ConsistencyProof:
        """That the log begins with the first records of an earlier checkpoint."""
        return log.consistency(caller, first, second)

    @router.get("/tile/{tile:path}", response_class=Response, responses={200: {"content": {_BINARY: {}}}})
    def audit_tile(tile: str, caller: ApiKey = needed) -> Response:
        """256 hashes of a level, or records (`entries/`), as in C2SP tlog-tiles."""
        return Response(log.tile(caller, tile), media_type=_BINARY)

    @router.get("/export", response_class=StreamingResponse)
    def export_audit(
        format: Literal["jsonl", "csv", "ocsf"] = "jsonl",
        begin: int = Query(0, ge=0, le=2**53, description="The first index, to go on with an export that broke off."),
        caller: ApiKey = needed,
    ) -> StreamingResponse:
        """The log. JSON lines can be verified, and end with a checkpoint; CSV and OCSF are for other programs."""
        if format == "csv":
            return StreamingResponse(in_turn(service.export_csv(caller, begin)), media_type="text/csv")
        exported = service.export_ocsf if format == "ocsf" else service.export
        return StreamingResponse(in_turn(exported(caller, begin)), media_type="application/jsonl")

    @router.get("/{index}")
    def get_audit_record(index: int = Path(ge=0, le=2**53), caller: ApiKey = needed) -> models.AuditRecord:
        return service.get(caller, index)

    return router


def event_routes(stream: LogStream, log: LogService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/v1/events", tags=["audit"])

    @router.get("", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
    async def listen(
        last_event_id: int | None = Header(None, alias="Last-Event-ID", ge=-1, le=2**53),
        limit: int | None = Query(None, ge=0, le=2**53, description="End after so many."),
        caller: ApiKey = Depends(access.requires(Scope.AUDIT)),
    ) -> StreamingResponse:
        """New records as server-sent events; with `Last-Event-ID`, an index, from the one after it on."""
        tenant_id = caller.tenant_id
        newest = log.size(caller) - 1
        after = newest if last_event_id is None else min(last_event_id, newest)
        try:
            place = stream.admit(tenant_id)
        except TooManyListeners:
            raise overloaded("Too many listen already; try again.") from None
        events = stream.events(tenant_id, after, limit, place, lambda: access.still_good(caller))
        return Listening(events, lambda: stream.leave(tenant_id, place))

    return router
