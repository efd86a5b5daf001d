"""`POST /v1/enforce` as a plain ASGI application: the hot path has no framework on it."""

from __future__ import annotations

import hashlib
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from act import bodies
from act.enforcement.bearers import Asked
from act.enforcement.pipeline import Pipeline
from act.exchange import Scope as Exchange
from act.exchange import Send, answer, identify, on_every_answer, refuse
from act.metrics import Metrics
from act.models import EnforceRequest, Request, Scope
from act.problems import ProblemError, faults_of_validation, internal_error, unprocessable
from act.tenants.access import Access, presented_in
from act.tenants.tenant import ApiKey

PATH = "/v1/enforce"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

R = TypeVar("R", bound=Request)

log = logging.getLogger("act.enforcement")


class Arrived(NamedTuple):
    """A call whose caller is known and whose body is JSON of one reading; `document` is what `body` says."""

    caller: ApiKey
    body: bytes
    document: Any
    traceparent: str | None = None

    def __repr__(self) -> str:
        return f"Arrived(by {self.caller.id})"  # the body holds tokens


class DecisionRoute(ABC):
    """Answers with 200, or with a problem whose body also says `denied`."""

    def __init__(self, pipeline: Pipeline, access: Access, metrics: Metrics) -> None:
        self._pipeline = pipeline
        self._access = access
        self._metrics = metrics

    @abstractmethod
    async def _decided(self, arrived: Arrived) -> tuple[bytes, Mapping[str, str]]:
        """The answer as JSON, and headers that say a part of it again.

        Raises:
            ProblemError: nothing was decided.
        """

    async def __call__(self, scope: Exchange, receive: bodies.Receive, send: Send) -> None:
        request_id = identify(scope)
        also = on_every_answer(request_id)
        try:
            decided, headers = await self._decided(await self._arrived(scope, receive))
        except bodies.Disconnected:
            return
        except ProblemError as problem:
            self._metrics.refused(problem.status)
            await refuse(send, problem, request_id, "denied", also)
        except Exception:
            log.exception("request %s failed", request_id, extra={"requestId": request_id})
            self._metrics.refused(500)
            await refuse(send, internal_error(), request_id, "denied", also)
        else:
            await answer(send, 200, b"application/json", decided, headers, also)

    async def _arrived(self, scope: Exchange, receive: bodies.Receive) -> Arrived:
        headers = scope["act.headers"]
        if scope["method"] != "POST":
            raise ProblemError(405, "method_not_allowed", "Method not allowed", "Use POST.", headers={"Allow": "POST"})
        caller = self._access.authenticate(presented_in(headers), Scope.ENFORCE)
        body = await bodies.read(headers, receive)
        document = bodies.parse(headers, body)
        traceparent = headers.get(bodies.TRACEPARENT)
        if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
            traceparent = None
        return Arrived(caller, body, document, traceparent)


class EnforceRoute(DecisionRoute):
    """One request, one decision."""

    async def _decided(self, arrived: Arrived) -> tuple[bytes, Mapping[str, str]]:
        request, digest = validated(EnforceRequest, arrived.document), hashlib.sha256(arrived.body).digest()
        answered = await self._pipeline.enforce(Asked(arrived.caller, request, digest, arrived.traceparent))
        return answered.body, answered.headers


def validated(model: type[R], document: Any) -> R:
    """The document as what it has to be.

    Raises:
        ProblemError: 422 with every fault.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise unprocessable(faults_of_validation(error, document)) from None
