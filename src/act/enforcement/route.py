"""`POST /v1/enforce` as a plain ASGI application: the hot path has no framework on it."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from pydantic import ValidationError

from act import bodies
from act.enforcement.bearers import Asked
from act.enforcement.pipeline import Pipeline
from act.models import EnforceRequest, Scope
from act.problems import ProblemError, faults_of_validation, internal_error, unprocessable
from act.tenants.access import Access, presented_in

PATH = "/v1/enforce"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger("act.enforcement")


class EnforceRoute:
    """Answers a decision with 200, or a problem whose body also says `denied`."""

    def __init__(self, pipeline: Pipeline, access: Access) -> None:
        self._pipeline = pipeline
        self._access = access

    async def __call__(self, scope: MutableMapping[str, Any], receive: bodies.Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except bodies.Disconnected:
            return
        except ProblemError as problem:
            await _send_problem(send, problem, scope["act.request_id"])
        except Exception:
            log.exception("request %s failed", scope["act.request_id"])
            await _send_problem(send, internal_error(), scope["act.request_id"])
        else:
            await _send(send, 200, b"application/json", answer)

    async def _answer(self, scope: MutableMapping[str, Any], receive: bodies.Receive) -> bytes:
        headers = scope["headers"]
        if scope["method"] != "POST":
            raise ProblemError(405, "method_not_allowed", "Method not allowed", "Use POST.", headers={"Allow": "POST"})
        caller = self._access.authenticate(presented_in(headers), Scope.ENFORCE)
        body = await bodies.read(headers, receive)
        document = bodies.parse(headers, body)
        try:
            request = EnforceRequest.model_validate(document)
        except ValidationError as error:
            raise unprocessable(faults_of_validation(error, document)) from None
        traceparent = bodies.header(headers, b"traceparent")
        if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
            traceparent = None
        decision = await self._pipeline.enforce(Asked(caller, request, hashlib.sha256(body).digest(), traceparent))
        return decision.model_dump_json().encode()


async def _send_problem(send: Send, problem: ProblemError, request_id: str) -> None:
    body = problem.render(request_id, "denied")
    await _send(send, problem.status, b"application/problem+json", body, problem.headers)


async def _send(send: Send, status: int, media_type: bytes, body: bytes, extra: dict[str, str] | None = None) -> None:
    headers = [(b"content-type", media_type), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in (extra or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
