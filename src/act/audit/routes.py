"""`/v1/audit` and `/v1/events`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Literal

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from pydantic import Field

from act import models
from act.audit.proving import LogService
from act.audit.service import ArchivedMeanwhile, AuditService, gathered
from act.audit.store import Filter
from act.audit.stream import Listening, LogStream, TooManyListeners, cut_off
from act.database.pages import DEFAULT_LIMIT, MAX_LIMIT
from act.models import Moment, Pattern, ReasonCode, RecordKind, Scope, Verdict, rfc3339
from act.problems import overloaded, unprocessable
from act.queries import rather
from act.strict_json import Fault
from act.tenants.access import Access
from act.tenants.tenant import ApiKey

EXPORTS_AT_ONCE = 2
"""So many exports read at the same time; they take none of the threads that all other calls share."""

SEARCHES_AT_ONCE = max(1, (os.cpu_count() or 1) // 4)
"""So many searches read at the same time, so that they leave the processors and the threads to decisions."""
SEARCHES_WAITING = 64

Word = Annotated[str, Field(min_length=1, max_length=2048)]

_BINARY = "application/octet-stream"


def routes(service: AuditService, log: LogService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/v1/audit", tags=["audit"])
    needed = Depends(access.requires(Scope.AUDIT))
    exporting, searching = CapacityLimiter(EXPORTS_AT_ONCE), _Searches()

    async def in_turn(request: Request, caller: ApiKey, lines: Iterator[bytes]) -> AsyncIterator[bytes]:
        pieces = gathered(lines)
        try:
            while (piece := await to_thread.run_sync(next, pieces, None, limiter=exporting)) is not None:
                # Without its end, by which an export is known to be whole:
                if not access.still_good(caller):
                    return
                if service.stopping:
                    cut_off(request, "the server stops")
                    return
                yield piece
        except ArchivedMeanwhile as error:
            cut_off(request, str(error))

    @router.get("", response_model=models.Page[models.AuditRecord])
    async def search_audit(
        agent: Word | None = None,
        requester: Word | None = None,
        action: Word | None = None,
        resource: Pattern | None = Query(None, description="A pattern; * matches any run of characters."),
        decision: Verdict | None = None,
        reason_code: ReasonCode | None = Query(None, alias="reasonCode"),
        request_id: Word | None = Query(None, alias="requestId"),
        decision_id: Word | None = Query(None, alias="decisionId"),
        task: Word | None = None,
        conversation: Word | None = Query(None, description="`context.conversationId` of the requests."),
        kind: RecordKind | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        begin: int = Query(0, ge=0, le=2**53, description="The first index that is looked at."),
        limit: int = Query(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT),
        cursor: Word | None = None,
        order: Literal["asc", "desc"] = "desc",
        caller: ApiKey = needed,
    ) -> Response:
        """Records that match all filters. A page may be short, or empty: go on while there is a `nextCursor`."""
        if since is not None and until is not None and until < since:
            raise unprocessable([Fault("/until", "It is before since, so nothing can be between them.")], of="query")
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
        found = await searching.run(
            lambda: service.search(caller, wanted, limit, cursor, order, begin).model_dump_json()
        )
        return Response(found, media_type="application/json")

    @router.get("/checkpoint", response_model=models.Checkpoint, responses={200: {"content": {"text/plain": {}}}})
    def audit_checkpoint(request: Request, caller: ApiKey = needed) -> models.Checkpoint | PlainTextResponse:
        """The signed head of the log; with `Accept: text/plain`, the signed note alone (C2SP tlog-checkpoint)."""
        found = log.checkpoint(caller)
        plain = rather(request.headers.get("accept"), "text/plain", "application/json")
        return PlainTextResponse(found.note) if plain else found

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

    @router.get(
        "/export",
        response_class=StreamingResponse,
        responses={200: {"content": {"application/jsonl": {}, "text/csv": {}}}},
    )
    def export_audit(
        request: Request,
        format: Literal["jsonl", "csv", "ocsf"] = "jsonl",
        begin: int | None = Query(
            None, ge=0, le=2**53, description="The first index, to go on with an export that broke off."
        ),
        caller: ApiKey = needed,
    ) -> StreamingResponse:
        """What the database holds of the log, or from an index on.

        JSON lines can be verified, and end with a checkpoint; CSV and OCSF are for other programs, and end with a line
        of the kind `export.closed`. What has no such end is cut off.
        """
        if format == "csv":
            return StreamingResponse(in_turn(request, caller, service.export_csv(caller, begin)), media_type="text/csv")
        exported = service.export_ocsf if format == "ocsf" else service.export
        return StreamingResponse(in_turn(request, caller, exported(caller, begin)), media_type="application/jsonl")

    @router.get("/{index}")
    def get_audit_record(index: int = Path(ge=0, le=2**53), caller: ApiKey = needed) -> models.AuditRecord:
        return service.get(caller, index)

    return router


class _Searches:
    """Few at a time, and some that wait for their turn."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(SEARCHES_AT_ONCE)
        self._here = 0

    async def run(self, search: Callable[[], str]) -> str:
        """Search, in a thread.

        Raises:
            ProblemError: 503, too many wait.
        """
        if self._here >= SEARCHES_AT_ONCE + SEARCHES_WAITING:
            raise overloaded("Too many searches wait already; try again.")
        self._here += 1
        try:
            return await to_thread.run_sync(search, limiter=self._limiter)
        finally:
            self._here -= 1


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
        await to_thread.run_sync(log.refuse_archived, caller, after + 1)
        try:
            place = stream.admit(tenant_id)
        except TooManyListeners:
            raise overloaded("Too many listen already; try again.") from None
        events = stream.events(tenant_id, after, limit, place, lambda: access.still_good(caller))
        return Listening(events, lambda: stream.leave(tenant_id, place))

    return router
