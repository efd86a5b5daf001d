"""What every action asks for, as plain ASGI applications: the hot path has no framework on it."""

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
from act.exchange import Headers, Send, answer, identify, on_every_answer, refuse
from act.exchange import Scope as Exchange
from act.metrics import Metrics
from act.models import EnforceRequest, Request, Scope
from act.problems import ProblemError, faults_of_validation, internal_error, unprocessable
from act.queries import refuse_parameters
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
    path: str
    traceparent: str | None = None

    def __repr__(self) -> str:
        return f"Arrived(by {self.caller.id})"  # the body holds tokens


class PlainRoute(ABC):
    """A `POST` by keys for `enforce`, answered with 200 or with a problem."""

    def __init__(self, access: Access) -> None:
        self._access = access

    @abstractmethod
    async def _answered(self, arrived: Arrived) -> tuple[bytes, Mapping[str, str]]:
        """The answer as JSON, and headers that say a part of it again.

        Raises:
            ProblemError: nothing was done.
        """

    async def _refuse(self, send: Send, problem: ProblemError, request_id: str, also: Headers) -> None:
        await refuse(send, problem, request_id, also=also)

    async def __call__(self, scope: Exchange, receive: bodies.Receive, send: Send) -> None:
        request_id = identify(scope)
        also = on_every_answer(request_id)
        try:
            answered, headers = await self._answered(await self._arrived(scope, receive))
        except bodies.Disconnected:
            return
        except ProblemError as problem:
            await self._refuse(send, problem, request_id, also)
        except Exception:
            log.exception("request %s failed", request_id, extra={"requestId": request_id})
            await self._refuse(send, internal_error(), request_id, also)
        else:
            await answer(send, 200, b"application/json", answered, headers, also)

    async def _arrived(self, scope: Exchange, receive: bodies.Receive) -> Arrived:
        headers = scope["act.headers"]
        if scope["method"] != "POST":
            raise ProblemError(405, "method_not_allowed", "Method not allowed", "Use POST.", headers={"Allow": "POST"})
        caller = self._access.authenticate(presented_in(headers), Scope.ENFORCE)
        if scope["query_string"]:
            refuse_parameters(scope["query_string"])
        body = bodies.begin(headers, receive)
        if not isinstance(body, bytes):
            body = await body
            # Whoever holds a body back must not outlive the revocation of a key that way.
            caller = self._access.authenticate(presented_in(headers), Scope.ENFORCE)
        document = bodies.parse(headers, body)
        traceparent = headers.get(bodies.TRACEPARENT)
        if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
            traceparent = None
        return Arrived(caller, body, document, scope["path"], traceparent)


class DecisionRoute(PlainRoute):
    """A problem is a denial, and its body says so."""

    def __init__(self, pipeline: Pipeline, access: Access, metrics: Metrics) -> None:
        super().__init__(access)
        self._pipeline = pipeline
        self._metrics = metrics

    async def _refuse(self, send: Send, problem: ProblemError, request_id: str, also: Headers) -> None:
        self._metrics.refused(problem.status)
        await refuse(send, problem, request_id, "denied", also)


class EnforceRoute(DecisionRoute):
    """One request, one decision."""

    async def _answered(self, arrived: Arrived) -> tuple[bytes, Mapping[str, str]]:
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
