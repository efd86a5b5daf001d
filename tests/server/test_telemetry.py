"""Traces: a span for each call of enforce, at a real collector, and nothing in it that may not leave."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from act.client.embedded import URL, EmbeddedTransport, Service
from act.server import telemetry
from act.server.app import Node, Street
from act.server.settings import Settings, SettingsInvalid
from act.server.telemetry import MAX_TEXT, Telemetry
from tests.in_process import InProcess
from tests.support import ADMIN_KEY, Api, Server

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
QUESTION = {"action": "run", "resourceId": "api://x"}


class Watched:
    """A node in this process whose spans stay in memory."""

    def __init__(self, inside: InProcess) -> None:
        self.exporter = InMemorySpanExporter()
        self._telemetry = Telemetry(self.exporter)
        self._service = Service(self._telemetry.around(inside.node.app), ADMIN_KEY, lambda: None)
        self.api = Api(URL, ADMIN_KEY, EmbeddedTransport(self._service))

    def spans(self) -> list[ReadableSpan]:
        """Those since the last call."""
        self._telemetry._provider.force_flush()
        found = list(self.exporter.get_finished_spans())
        self.exporter.clear()
        return found

    def span(self) -> ReadableSpan:
        [span] = self.spans()
        return span

    def close(self) -> None:
        self._service.close()
        self._telemetry.close()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    inside = InProcess(tmp_path_factory.mktemp("traced"))
    found = Watched(inside)
    yield found
    found.close()
    inside.close()


@pytest.fixture(scope="module")
def token(watched: Watched) -> str:
    agent = watched.api.agent()
    watched.api.policy(["run"], appliesTo={"agentIds": [agent]})
    return watched.api.token(agent)


def attributes(of: Any) -> dict[str, Any]:
    return dict(of.attributes)


def test_a_decision_is_a_span(watched: Watched, token: str) -> None:
    headers = {"traceparent": TRACEPARENT, "tracestate": "vendor=1", "X-Request-ID": "mine"}
    answer = watched.api.post(
        "/v1/enforce",
        QUESTION | {"requestId": uuid4().hex, "capabilityToken": token, "arguments": {"a": "hidden"}},
        status=200,
        headers=headers,
    )
    span = watched.span()
    assert (span.name, span.kind, span.status.status_code) == ("POST /v1/enforce", SpanKind.SERVER, StatusCode.UNSET)
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert span.context.trace_state.get("vendor") == "1"
    assert attributes(span) == {
        "http.request.method": "POST",
        "http.route": "/v1/enforce",
        "http.response.status_code": 200,
        "act.request_id": "mine",
        "act.decision": "allowed",
        "act.reason_code": "allowed",
        "act.decision_id": answer["decisionId"],
        "act.agent_id": answer["agentId"],
        "act.tenant_id": "default-tenant",
        "act.action": "run",
        "act.resource": "api://x",
    }
    assert not span.events


@pytest.mark.parametrize("traceparent", [None, "", "00-zz", f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01"])
def test_without_a_parent_a_trace_begins(watched: Watched, token: str, traceparent: str | None) -> None:
    headers = {} if traceparent is None else {"traceparent": traceparent}
    watched.api.send(
        "POST", "/v1/enforce", QUESTION | {"requestId": uuid4().hex, "capabilityToken": token}, headers=headers
    )
    assert watched.span().parent is None


def test_who_samples_decides_for_all(watched: Watched, token: str) -> None:
    body = QUESTION | {"requestId": uuid4().hex, "capabilityToken": token}
    answer = watched.api.send("POST", "/v1/enforce", body, headers={"traceparent": TRACEPARENT[:-1] + "0"})
    assert answer.json()["decision"] == "allowed"
    assert watched.spans() == []


def test_a_denial_and_an_answer_that_is_given_again(watched: Watched, token: str) -> None:
    body = QUESTION | {"requestId": uuid4().hex, "capabilityToken": token, "action": "fly"}
    for replayed in (None, True):
        watched.api.post("/v1/enforce", body, status=200)
        found = attributes(watched.span())
        assert (found["act.decision"], found["act.reason_code"]) == ("denied", "no_matching_policy")
        assert found.get("act.replayed") is replayed


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        ({}, {}, 422, "document_invalid"),
        ({}, {"X-Api-Key": "wrong"}, 401, "api_key_invalid"),
        (QUESTION | {"requestId": "r", "capabilityToken": "x", "minRevision": 10**9}, {}, 503, "stale_state"),
    ],
    ids=["422", "401", "503"],
)
def test_a_problem_is_named(watched: Watched, body: Any, headers: Any, status: int, code: str) -> None:
    assert watched.api.send("POST", "/v1/enforce", body, headers=headers).status_code == status
    span = watched.span()
    assert attributes(span).keys() == {
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "act.request_id",
        "act.problem",
    }
    assert attributes(span)["act.problem"] == code
    assert (span.status.status_code is StatusCode.ERROR) is (status >= 500)


def test_a_batch_is_a_span_with_its_decisions(watched: Watched, token: str) -> None:
    once = QUESTION | {"requestId": uuid4().hex, "capabilityToken": token}
    requests = [once, once | {"action": "fly"}, once | {"requestId": uuid4().hex, "action": "fly"}]
    watched.api.post("/v1/enforce/batch", {"requests": requests}, status=200)
    span = watched.span()
    assert attributes(span)["act.batch.size"] == 3
    assert [event.name for event in span.events] == ["act.decision"] * 3
    found = [attributes(event) for event in span.events]
    assert [one.get("act.reason_code", one.get("act.problem")) for one in found] == [
        "allowed",
        "request_id_reused",
        "no_matching_policy",
    ]
    assert [one["act.action"] for one in found] == ["run", "fly", "fly"]


def test_nothing_of_the_rest_is_traced(watched: Watched) -> None:
    watched.api.get("/v1/agents")
    watched.api.send("GET", "/v1/enforce")
    watched.api.send("POST", "/v1/enforce/", {})
    assert watched.spans() == []


def test_no_secret_is_in_a_span(watched: Watched, token: str) -> None:
    api, key = watched.api, ADMIN_KEY
    for secret in (token, key):
        for place in ("action", "resourceId", "capabilityToken", "requester", "proof", "tenantId"):
            body = QUESTION | {
                "requestId": uuid4().hex,
                "capabilityToken": token,
                place: f"{'x' * (MAX_TEXT - 30)} {secret}",
            }
            headers = {"X-Request-ID": secret, "tracestate": f"a={secret[:200]}", "User-Agent": secret}
            api.send("POST", "/v1/enforce", body, headers=headers)
            api.send("POST", "/v1/enforce/batch", {"requests": [body]}, headers=headers)
    spans = watched.spans()
    assert len(spans) == 24
    text = "".join(span.to_json() for span in spans)
    assert "[secret]" in text
    for secret in (token.split(".", 1)[1], key.rpartition("_")[2]):
        assert not [at for at in range(len(secret) - 19) if secret[at : at + 20] in text]
    for span in spans:
        assert all(len(str(value)) <= MAX_TEXT for value in attributes(span).values())


def test_an_answer_is_not_lost_for_a_span(
    watched: Watched, token: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(telemetry, "_OF_QUESTION", {"nowhere": "act.nowhere"})
    assert watched.api.enforce(token, "run", "x")["decision"] == "allowed"
    assert "a span could not be described" in caplog.text
    assert watched.spans()


def test_the_framework_traces_nothing_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FastAPI would give paths, queries and messages of errors to the provider of whoever embeds ACT."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    inside = InProcess(tmp_path)
    inside.api.send("GET", "/v1/agents?cursor=x")
    inside.api.enforce(inside.api.token(inside.api.agent()), "run", "x")
    inside.close()
    assert exporter.get_finished_spans() == ()


# --- with a collector ---


class Collector:
    """Takes OTLP over HTTP, as protobuf."""

    def __init__(self, status: int = 200) -> None:
        self.taken: list[ExportTraceServiceRequest] = []
        self.raw: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces"
                collector.headers.append(dict(self.headers))
                collector.raw.append(body)
                collector.taken.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    try:
        yield collector
    finally:
        collector.close()


def test_a_server_sends_its_spans_to_a_collector(tmp_path: Path) -> None:
    with collecting() as collector:
        variables = {
            "ACT_OTEL": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=acme",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
            "OTEL_BSP_SCHEDULE_DELAY": "600000",  # so that it is the end that sends
        }
        with Server(tmp_path, variables) as server, server.api() as api:
            token = api.token(api.agent())
            body = QUESTION | {"requestId": uuid4().hex, "capabilityToken": token}
            api.post("/v1/enforce", body, status=200, headers={"traceparent": TRACEPARENT})
            assert server.stop() == 0
    [request] = collector.taken
    [resource] = request.resource_spans
    named = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert (named["service.name"], named["deployment.environment"]) == ("act", "test")
    assert named["service.version"]
    [span] = resource.scope_spans[0].spans
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("POST /v1/enforce", TRACE, PARENT)
    found = {pair.key: pair.value.string_value for pair in span.attributes}
    assert found["act.reason_code"] == "no_matching_policy"
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 60 * 10**9
    assert collector.headers[0]["x-tenant"] == "acme"
    assert not any(
        piece.encode() in collector.raw[0] for piece in (token.split(".")[1], token.split(".")[2], ADMIN_KEY)
    )


def test_a_collector_that_is_not_there_holds_nobody_up(tmp_path: Path) -> None:
    variables = {"ACT_OTEL": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    with Server(tmp_path, variables) as server, server.api() as api:
        token = api.token(api.agent())
        for _ in range(3):
            assert api.enforce(token, "run", "x")["reasonCode"] == "no_matching_policy"
        assert server.stop() == 0
        assert "everything that was answered is on disk" in server.log


# --- on and off ---


def test_off_it_stands_in_no_way(tmp_path: Path) -> None:
    inside = InProcess(tmp_path)
    assert type(inside.node.app) is Street
    inside.close()


def test_it_is_off_unless_it_is_wanted() -> None:
    """Variables of OpenTelemetry are set for whole machines."""
    assert not Settings.from_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}).otel


def test_without_the_package_a_server_that_shall_trace_does_not_start(tmp_path: Path) -> None:
    # FastAPI brings the API of OpenTelemetry along, and not the SDK.
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['opentelemetry.sdk'] = None")
    missing = {"PYTHONPATH": str(tmp_path)}
    server = Server(tmp_path, missing | {"ACT_OTEL": "on"})
    with pytest.raises(RuntimeError, match=r"pip install 'agent-capability-tokens\[telemetry\]'"):
        server.start()
    assert not server.database.exists()
    with Server(tmp_path, missing) as started, started.api() as api:
        api.get("/healthz")


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"])
def test_a_protocol_that_is_not_spoken(tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "grpc")
    settings = Settings(database=f"sqlite:///{tmp_path / 'act.db'}", bootstrap_api_key=ADMIN_KEY, otel=True)
    with pytest.raises(SettingsInvalid, match=variable):
        Node(settings)
    monkeypatch.setenv(variable, "http/protobuf")
    Node(settings).close()


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "act"),
        ({"OTEL_SERVICE_NAME": "gate"}, "gate"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=door"}, "door"),
    ],
    ids=["none", "name", "attributes"],
)
def test_the_name_of_the_service(variables: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    traced = Telemetry(InMemorySpanExporter())
    assert traced._provider.resource.attributes["service.name"] == name
    traced.close()
