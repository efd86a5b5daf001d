"""A key that an operator chose may be any text: wherever somebody sends it, it stands in no record, line or span."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from act import text
from act.audit.arguments import body_of, rest_of
from act.audit.record import MAX_TEXT, clip
from act.audit.redaction import Keeping, Mode
from act.client.embedded import URL, EmbeddedTransport, Service
from act.server import logs
from act.server.app import Node
from act.server.logs import AccessLog
from act.server.settings import Settings
from act.server.telemetry import Telemetry
from tests.support import Api

KEY = 'chosen"by\\an/operator%without+ACTs form'.replace(" ", "~")
PLAIN_KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0cafe"
MASTER = "the master key is a sentence of ünusual length"


class Place:
    """A node in this process that traces and logs all it can; `seen` is everything that it left."""

    def __init__(self, folder: Path, key: str, **settings: Any) -> None:
        self.lines, self.exporter = io.StringIO(), InMemorySpanExporter()
        self.node = Node(Settings(database=f"sqlite:///{folder / 'act.db'}", **settings))
        self._telemetry = Telemetry(self.exporter)
        app = AccessLog(self._telemetry.around(self.node.app))
        self._service = Service(app, key, self.node.close)
        self.api = Api(URL, key, EmbeddedTransport(self._service))
        self._handler = logging.StreamHandler(self.lines)
        self._handler.setFormatter(logs._Json(()))
        logs.access.addHandler(self._handler)
        logs.access.setLevel(logging.INFO)

    def seen(self) -> dict[str, str]:
        self._telemetry._provider.force_flush()
        return {
            "records": self.api.client.get("/v1/audit/export").text,
            "table": self.api.client.get("/v1/audit/export?format=csv").text,
            "lines": self.lines.getvalue(),
            "spans": repr([[dict(span.attributes or {}), span.events] for span in self.exporter.get_finished_spans()]),
        }

    def close(self) -> None:
        logs.access.removeHandler(self._handler)
        self._service.close()
        self._telemetry.close()


@pytest.fixture
def forgotten() -> Iterator[None]:
    """No test leaves a text behind that others would not find in theirs."""
    yield
    assert (text._SPELLINGS, text._ENCODED) == ([], [])


def sent_everywhere(place: Place, key: str) -> list[Any]:
    """Send a key in every text of a decision; the answers."""
    api = place.api
    agent = api.agent()
    api.policy(["run"], appliesTo={"agentIds": [agent]}, arguments={"type": "object", "additionalProperties": False})
    token = api.token(agent)
    plain = {"capabilityToken": token, "action": "run", "resourceId": "api://x"}
    answers = [
        api.call(
            "POST", "/v1/enforce", plain | {"requestId": uuid4().hex} | more, status=200, headers={"X-Request-ID": key}
        )
        for more in (
            {"requestId": f"{key} {uuid4().hex}"},
            {"action": key},
            {"resourceId": f"api://x/{key}"},
            {"resourceId": f"api://x/{quote(key, safe='')}"},
            {"resourceId": f"api://{'x' * (MAX_TEXT - 100)}/{key}"},
            {"requester": key},
            {"context": {"conversationId": f"of {key}"}},
            {"arguments": {"note": f"key {key}", key: [key, {"in": json.dumps({"json": key})}]}},
        )
    ]
    api.client.get(f"/v1/nowhere/{quote(key, safe='')}")
    api.client.post("/v1/agents", json={"name": key, "metadata": {"key": key}})
    return answers


def found(places: dict[str, str], key: str) -> list[str]:
    escaped = json.dumps(key)[1:-1]
    forms = {key, escaped, json.dumps(escaped)[1:-1], quote(key, safe=""), key[:20], json.dumps(key[:20])[1:-1]}
    return [place for place, told in places.items() if any(form in told for form in forms)]


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize(
    ("key", "mode"),
    [(KEY, "redacted"), (KEY, "full"), (PLAIN_KEY, "redacted"), (PLAIN_KEY, "none")],
    ids=["with signs", "with signs, all arguments", "plain", "plain, no arguments"],
)
def test_a_chosen_key_stands_nowhere(tmp_path: Path, key: str, mode: Mode) -> None:
    place = Place(tmp_path, key, bootstrap_api_key=key)
    try:
        place.api.patch("/v1/tenants/default-tenant", {"auditArguments": mode})
        answers = sent_everywhere(place, key)
        places = place.seen()
        assert found(places, key) == []
        assert places["records"].count("[secret]") >= 6
        assert "[secret]" in places["spans"]
        assert "act.request_id" in places["spans"]
        reasons = [answer["reason"] for answer in answers]
        assert found({str(at): reason for at, reason in enumerate(reasons)}, key) == []
    finally:
        place.close()


@pytest.mark.usefixtures("forgotten")
def test_it_is_known_at_a_later_start_from_its_first_use_on(tmp_path: Path) -> None:
    Node(Settings(database=f"sqlite:///{tmp_path / 'act.db'}", bootstrap_api_key=KEY)).close()
    place = Place(tmp_path, KEY)
    try:
        answer = place.api.client.get("/v1/agents", headers={"X-Request-ID": PLAIN_KEY, "X-Api-Key": PLAIN_KEY})
        assert answer.status_code == 401
        assert PLAIN_KEY not in answer.headers["X-Request-ID"]
        sent_everywhere(place, KEY)
        assert found(place.seen(), KEY) == []
    finally:
        place.close()


@pytest.mark.usefixtures("forgotten")
def test_two_nodes_of_a_process_know_each_their_own_and_the_same_one(tmp_path: Path) -> None:
    nodes = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        nodes.append(
            Node(Settings(database=f"sqlite:///{tmp_path / name / 'act.db'}", bootstrap_api_key=KEY, master_key=MASTER))
        )
    nodes[0].close()
    nodes[0].close()
    assert text.has_secret(f"x{KEY}")
    assert text.without_secrets(f"a {MASTER} b") == "a [secret] b"
    assert text.has_known(json.dumps({"x": MASTER}, ensure_ascii=False).encode())
    nodes[1].close()
    assert not text.has_secret(f"x{KEY}{MASTER}")


@pytest.mark.usefixtures("forgotten")
def test_a_start_that_fails_leaves_no_text_behind(tmp_path: Path) -> None:
    (tmp_path / "act.db").write_bytes(b"no database" * 1000)
    with pytest.raises(Exception, match=r"act\.db"):
        Node(Settings(database=f"sqlite:///{tmp_path / 'act.db'}", bootstrap_api_key=KEY))


def test_the_longer_of_two_goes_first_and_own_forms_need_no_memory() -> None:
    assert not text.know("act_admin_" + "0123456789" * 4)
    known = [PLAIN_KEY, PLAIN_KEY + "-and-more"]
    for secret in known:
        assert text.know(secret)
    try:
        assert text.without_secrets(f"{known[1]},{known[0]}") == "[secret],[secret]"
        long = "x" * (MAX_TEXT - 90) + PLAIN_KEY + "y" * MAX_TEXT
        assert PLAIN_KEY[:10] not in clip(long)
        modes: tuple[Mode, ...] = ("redacted", "full")
        for mode in modes:
            body = body_of({"a": [PLAIN_KEY]}, bytes(16), Keeping(mode))
            assert body.text == '{"a":["[redacted]"]}'
            assert "keptHash" in body.told
            assert rest_of({PLAIN_KEY: 1}, Keeping(mode)) == {"[redacted]": 1}
    finally:
        for secret in known:
            text.forget(secret)
    assert text.without_secrets(PLAIN_KEY) == PLAIN_KEY
