"""Secrets in every text that any route takes, one after the other: then none of them is anywhere that lasts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.surface import ROUTES, Route, World, new_world
from tests.server.test_telemetry import Collector, collecting
from tests.support import Api, Server, actctl, environment
from tests.webhooks.receiver import Receiver

PASSWORD = "correct-horse-hunter2-battery"
Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Secrets:
    token: str
    key: str
    signing: str

    def pieces(self) -> dict[str, bytes]:
        """What of each of them may be nowhere."""
        found = {"token": self.token.split(".")[2][:24], "key": self.key[-24:], "signing secret": self.signing[8:32]}
        return {name: piece.encode() for name, piece in found.items()} | {"password": PASSWORD.encode()}

    def texts(self, route: Route) -> list[str]:
        """Two, because what is too long is refused for that."""
        ours = [self.token, self.key, self.signing]
        return [" ".join(ours), ours[-1]]


def leaves(schema: Any, schemas: Any, path: Place = (), depth: int = 0) -> Iterator[Place]:
    """The places of a body that can hold a text; `*` is a member of any name, and `**` that name."""
    if depth > 7:
        return
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from leaves(part, schemas, path, depth + 1)
    for name, part in schema.get("properties", {}).items():
        yield from leaves(part, schemas, (*path, name), depth + 1)
    kind = schema.get("type")
    if kind == "array":
        yield from leaves(schema.get("items", {}), schemas, (*path, 0), depth + 1)
    elif kind == "object" and not schema.get("properties"):
        yield from ((*path, "*"), (*path, "**"))
    elif kind == "string" or not schema.keys() - {"title", "description", "default"}:
        yield path


def put(body: Any, path: Place, text: str) -> Any:
    if not path:
        return text
    here, below = path[0], path[1:]
    if here == 0:
        rest = body if isinstance(body, list) and body else [None]
        return [put(rest[0], below, text), *rest[1:]]
    body = dict(body) if isinstance(body, dict) else {}
    if here == "**":
        return body | {text: "x"}
    name = "x" if here == "*" else here
    return body | {name: put(body.get(name), below, text)}


def bodies(route: Route, world: World, documented: Any, secrets: Secrets) -> Iterator[Any]:
    operation = documented["paths"][route.path][route.method.lower()]
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    for path in sorted(set(leaves(schema, documented["components"]["schemas"])), key=str):
        for text in secrets.texts(route):
            yield put(route.body(world) if route.body else {}, path, text)


@dataclass(frozen=True)
class Attacked:
    server: Server
    api: Api
    receivers: tuple[Receiver, Receiver]
    collector: Collector


@pytest.fixture
def attacked(tmp_path: Path) -> Iterator[Attacked]:
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())
        settings = {
            "ACT_ACCESS_LOG": "true",
            "ACT_LOG_FORMAT": "text",
            "ACT_WEBHOOK_ALLOW_PRIVATE": "true",
            "ACT_OTEL": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        }
        server = stack.enter_context(Server(tmp_path, settings))
        receivers = (stack.enter_context(Receiver()), stack.enter_context(Receiver()))
        yield Attacked(server, stack.enter_context(server.api()), receivers, collector)


def test_no_secret_stays_of_any_text(attacked: Attacked) -> None:
    api = attacked.api
    hooks = [
        api.post("/v1/webhooks", {"url": receiver.url, "includeArguments": included})
        for receiver, included in zip(attacked.receivers, (False, True), strict=True)
    ]
    token = api.token(api.agent())
    secrets = Secrets(token, api.key("enforce")["key"], hooks[0]["secret"])
    refused = answered = 0
    problems = dict[str, bytes]()
    documented, world = api.get("/openapi.json"), new_world(api)
    for route in ROUTES:
        if route.method == "GET" or route.path.endswith("/freeze"):
            continue
        for body in bodies(route, world, documented, secrets):
            answer = api.send(route.method, world.path(route), body)
            assert answer.status_code < 500, route
            if answer.status_code >= 400:
                problems[f"{route} {refused}"] = answer.content
                refused += 1
            answered += 1
    api.post(f"/v1/tenants/{world.tenant_id}/freeze", {"reason": f"{secrets.key} of {secrets.signing}"}, status=200)
    assert api.get(f"/v1/tenants/{world.tenant_id}")["frozenReason"] == "[secret] of [secret]"
    api.post(f"/v1/tenants/{world.tenant_id}/unfreeze", status=200)
    asked_and_told(api, secrets)
    assert min(refused, answered - refused) > 60
    for receiver in attacked.receivers:
        receiver.wait(2)
    assert finds(secrets, problems.items()) == {}
    assert finds(secrets, places(attacked, [hook["id"] for hook in hooks])) == {}


def asked_and_told(api: Api, secrets: Secrets) -> None:
    """Arguments, and what people say."""
    agent = api.agent()
    mine = {"agentIds": [agent]}
    api.policy(["run"], appliesTo=mine)
    api.policy(["ask"], appliesTo=mine, constraints={"requiresApproval": True})
    token = api.token(agent)
    hidden = {"password": PASSWORD, "xml": f"<password>{PASSWORD}</password>", "form": f"password%3D{PASSWORD}"}
    for arguments in (hidden, {"yaml": f"password:\n  {PASSWORD}"}, {"own": f"{secrets.key} {secrets.signing}"}):
        asked = api.enforce(token, "run", "x", arguments=arguments, context=arguments)
        assert asked["reasonCode"] == "allowed"
        kept = api.get(f"/v1/audit/{asked['audit']['index']}")["arguments"]
        assert "[redacted]" in json.dumps(kept)
    with Api(str(api.client.base_url), api.key("enforce")["key"]) as point:
        told = point.enforce(token, "ask", "x", arguments={"own": f"{secrets.key} {secrets.signing}"})
    path = f"/v1/approvals/{told['approval']['id']}"
    answer = api.post(f"{path}/reject", {"reason": f"use {secrets.key}, {secrets.signing}"}, status=200)
    assert answer["reason"] == "use [secret], [secret]"


def places(attacked: Attacked, hooks: list[str]) -> Iterator[tuple[str, bytes]]:
    """Everything that stays, and everything that was sent to others. The server has ended then."""
    server, api = attacked.server, attacked.api
    for form in ("jsonl", "csv", "ocsf"):
        yield form, api.client.get(f"/v1/audit/export?format={form}").content
    size = api.get("/v1/audit/checkpoint")["size"]
    yield "events", api.client.get(f"/v1/events?limit={size}", headers={"Last-Event-ID": "-1"}).content
    yield "metrics", api.client.get("/metrics").content
    for hook in hooks:
        yield f"deliveries of {hook}", api.client.get(f"/v1/webhooks/{hook}/deliveries?limit=200").content
    for number, receiver in enumerate(attacked.receivers):
        sent = [repr(message.headers).encode() + message.body for message in receiver.messages]
        yield f"sent to receiver {number}", b"\n".join(sent)
    folder = server.database.parent
    backup = ["backup", str(folder / "backup"), "--database", f"sqlite:///{server.database}"]
    subprocess.run([actctl(), *backup], env=environment(), check=True, capture_output=True)
    # What an open approval showed was overwritten when it was settled, and with the end in the write-ahead log, too.
    assert server.stop() == 0
    files = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    assert {"act.db", "act.log", "backup/act.db"} <= files.keys()
    for name, file in files.items():
        if not file.parent.name.endswith("keys"):
            yield name, file.read_bytes()
    assert attacked.collector.raw
    yield "traces", b"\n".join(attacked.collector.raw)


def finds(secrets: Secrets, places: Any) -> dict[str, list[str]]:
    """Where something of a secret stands."""
    found = {}
    for place, content in places:
        if names := [name for name, piece in secrets.pieces().items() if piece in content]:
            found[place] = names
    return found


def test_a_secret_would_be_found() -> None:
    secrets = Secrets("a.b." + "c" * 40, "act_x_" + "d" * 40, "whsec_" + "e" * 40)
    assert finds(secrets, [("here", f"x{'d' * 24} {PASSWORD}".encode()), ("not here", b"d" * 23)]) == {
        "here": ["key", "password"]
    }
