"""Traces of decisions for OpenTelemetry, with `ACT_OTEL`; everything else is said by the standard `OTEL_*` variables.

Needs the extra `telemetry`: whoever imports this wants it. No token, key, proof or argument gets into a span; of an
action and a resource, which may hold secrets of others, what is found by the looks that redact arguments does not.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from act import bodies
from act.audit.redaction import excerpt
from act.enforcement.batch import BATCH_PATH
from act.enforcement.route import PATH
from act.server.settings import SettingsInvalid

PATHS: Final = frozenset((PATH, BATCH_PATH))
MAX_TEXT: Final = 256
"""Characters of an action or a resource; there is no bound on what a caller may send."""
CLOSING: Final = 2.0
"""Seconds for which the end of the server waits for a collector that does not answer."""

_VERSION = importlib.metadata.version("agent-capability-tokens")
_HEADERS = ("traceparent", "tracestate")
# What of an answer becomes an attribute, and its name; values are ids of ours, or of a closed list.
_OF_DECISION = {
    "decision": "act.decision",
    "reasonCode": "act.reason_code",
    "decisionId": "act.decision_id",
    "agentId": "act.agent_id",
    "tenantId": "act.tenant_id",
    "dryRun": "act.dry_run",
    "replayed": "act.replayed",
}
_OF_QUESTION = {"action": "act.action", "resourceId": "act.resource"}

log = logging.getLogger("act.telemetry")

Scope = MutableMapping[str, Any]


class Telemetry:
    """Makes spans and sends them; `close` it at the end.

    Args:
        exporter: where spans go; by default to the collector that the `OTEL_EXPORTER_OTLP_*` variables name.

    Raises:
        SettingsInvalid: the variables want a protocol that is not spoken.
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        self._exporter = exporter or _otlp()
        # Not the provider of the process: an embedded ACT leaves the telemetry of its host alone.
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("act", _VERSION)
        self._propagator = TraceContextTextMapPropagator()

    def around(self, app: Any) -> Any:
        """The ASGI application, with a span for each call of `/v1/enforce` and `/v1/enforce/batch`."""

        async def traced(scope: Scope, receive: bodies.Receive, send: Any) -> None:
            if scope["type"] == "http" and scope["path"] in PATHS and scope["method"] == "POST":
                await self._traced(app, scope, receive, send)
            else:
                await app(scope, receive, send)

        return traced

    def close(self) -> None:
        """Send what is left, for `CLOSING` seconds at most."""
        ending = threading.Thread(target=self._provider.shutdown, name="act-telemetry-end", daemon=True)
        ending.start()
        ending.join(CLOSING)
        if ending.is_alive():
            log.warning("the collector did not take the last spans within %.0f seconds", CLOSING)
            self._exporter.shutdown()

    async def _traced(self, app: Any, scope: Scope, receive: bodies.Receive, send: Any) -> None:
        span = self._begin(scope)
        if not span.is_recording():
            await app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        try:
            await app(scope, exchange.receive, exchange.send)
        finally:
            try:
                exchange.describe(span)
            except Exception:  # an answer that was given is not lost for a span
                log.exception("a span could not be described")
            span.end()

    def _begin(self, scope: Scope) -> Span:
        found = ((name, bodies.header(scope["headers"], name.encode())) for name in _HEADERS)
        parent = self._propagator.extract({name: value for name, value in found if value is not None})
        path = scope["path"]
        attributes = {"http.request.method": "POST", "http.route": path}
        return self._tracer.start_span(f"POST {path}", parent, SpanKind.SERVER, attributes)


class _Exchange:
    """Listens to one call: what was asked, and what was answered."""

    def __init__(self, receive: bodies.Receive, send: Any) -> None:
        self._receive = receive
        self._send = send
        self._asked: list[bytes] = []
        self._answer = b""
        self._status: int | None = None
        self._headers: Iterable[tuple[bytes, bytes]] = ()

    async def receive(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        self._asked.append(message.get("body", b""))
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], message["headers"]
        else:
            self._answer += message.get("body", b"")
        await self._send(message)

    def describe(self, span: Span) -> None:
        if self._status is None:
            return  # the caller went away
        span.set_attribute("http.response.status_code", self._status)
        if request_id := bodies.header(self._headers, b"x-request-id"):
            span.set_attribute("act.request_id", excerpt(request_id, MAX_TEXT))
        answer = json.loads(self._answer)
        if self._status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        if self._status != 200:
            span.set_attribute("act.problem", answer["code"])
            return
        question = json.loads(b"".join(self._asked))
        if "decisions" not in answer:
            span.set_attributes(dict(_attributes(question, answer)))
            return
        span.set_attribute("act.batch.size", len(answer["decisions"]))
        for asked, decided in zip(question["requests"], answer["decisions"], strict=True):
            span.add_event("act.decision", dict(_attributes(asked, decided)))


def _attributes(question: Mapping[str, Any], answer: Mapping[str, Any]) -> Iterator[tuple[str, str | bool]]:
    if "reasonCode" not in answer:
        yield "act.problem", answer["code"]
    for name, attribute in _OF_DECISION.items():
        if (value := answer.get(name)) is not None and value is not False:
            yield attribute, value
    for name, attribute in _OF_QUESTION.items():
        yield attribute, excerpt(question[name], MAX_TEXT)


def _otlp() -> SpanExporter:
    for variable in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := os.environ.get(variable):
            if protocol != "http/protobuf":
                raise SettingsInvalid(f"{variable} is {protocol!r}; ACT exports traces with 'http/protobuf'.")
            break
    return OTLPSpanExporter()


def _resource() -> Resource:
    """What the environment says, and where it says nothing, our name."""
    found = Resource.create({SERVICE_VERSION: _VERSION})
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return found.merge(Resource({SERVICE_NAME: "act"}))
    return found
