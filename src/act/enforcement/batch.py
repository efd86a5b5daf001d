"""`POST /v1/enforce/batch`: many requests in one call, decided in their order, each for itself.

All are judged one after the other, so that each sees what those before it have reserved; none waits for the commit of
another, so that the writer can make them durable together. The one thing that is waited for is an earlier request
under the same id, because what it comes to has to be known first.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Iterator, Mapping, Sequence

from act.audit.canonical import canonical
from act.enforcement.answered import Answered
from act.enforcement.bearers import Asked
from act.enforcement.pipeline import Pipeline
from act.enforcement.route import Arrived, DecisionRoute, validated
from act.metrics import Metrics
from act.models import EnforceBatch
from act.problems import ProblemError, internal_error
from act.tenants.access import Access

BATCH_PATH = "/v1/enforce/batch"

log = logging.getLogger("act.enforcement")

Answer = Answered | ProblemError


class BatchRoute(DecisionRoute):
    """The decisions in the order of the requests; a request that cannot be decided has a problem in its place."""

    def __init__(self, pipeline: Pipeline, access: Access, metrics: Metrics) -> None:
        super().__init__(pipeline, access, metrics)
        self._running: set[asyncio.Task[list[bytes]]] = set()

    async def _answered(self, arrived: Arrived) -> tuple[bytes, Mapping[str, str]]:
        asked = list(_asked(arrived))
        # A task of its own: a caller that goes away in the middle leaves nothing half done and nothing unrecorded.
        running = asyncio.create_task(self._all(asked))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return b'{"decisions":[' + b",".join(await asyncio.shield(running)) + b"]}", {}

    async def _all(self, asked: Sequence[Asked]) -> list[bytes]:
        answers = await decide_all(self._pipeline, asked)
        for answer in answers:
            if isinstance(answer, ProblemError):
                self._metrics.refused(answer.status)
        return [_rendered(one, answer) for one, answer in zip(asked, answers, strict=True)]


async def decide_all(pipeline: Pipeline, asked: Sequence[Asked]) -> list[Answer]:
    """Decide in order; every failure stands in the place of its request."""
    deciding = []
    for one in asked:
        begun = await _begun(pipeline, one)
        deciding.append(asyncio.create_task(_finished(begun)))  # runs when this waits: after all are judged, mostly
    return list(await asyncio.gather(*deciding))


async def _begun(pipeline: Pipeline, asked: Asked) -> Awaitable[Answered] | ProblemError:
    try:
        return await pipeline.begin(asked)
    except Exception as error:  # noqa: BLE001 - one request that fails keeps no other from being answered
        return _problem(error)


async def _finished(begun: Awaitable[Answered] | ProblemError) -> Answer:
    if isinstance(begun, ProblemError):
        return begun
    try:
        return await begun
    except Exception as error:  # noqa: BLE001 - as above
        return _problem(error)


def _problem(error: Exception) -> ProblemError:
    if isinstance(error, ProblemError):
        return error
    log.error("a request of a batch failed", exc_info=error)
    return internal_error()


def _asked(arrived: Arrived) -> Iterator[Asked]:
    """The requests. White space and the order of names are no part of what one of them says."""
    requests = validated(EnforceBatch, arrived.document).requests
    for request, document in zip(requests, arrived.document["requests"], strict=True):
        digest = hashlib.sha256(canonical(document)).digest()
        yield Asked(arrived.caller, request, digest, arrived.traceparent)


def _rendered(asked: Asked, answer: Answer) -> bytes:
    if isinstance(answer, ProblemError):
        return answer.render(asked.request.request_id, "denied")
    return answer.body
