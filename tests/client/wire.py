"""A small real HTTP server that answers as a script says, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "act_test_0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """One answer; `body` may be JSON, text, or bytes."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0
    hang_up: bool = False

    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


Answer = Callable[[Seen], Reply]


class Server:
    """Answers from `script` in order, the last entry again and again."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.script: list[Reply | Answer] = [allow]
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def answers(self, *script: Reply | Answer) -> None:
        self.script = list(script)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _reply(self, seen: Seen) -> Reply:
        self.seen.append(seen)
        entry = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return entry if isinstance(entry, Reply) else entry(seen)

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler below
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = server._reply(Seen(self.command, self.path, headers, body))
                time.sleep(reply.delay)
                if reply.hang_up:
                    self.close_connection = True
                    return
                content = reply.content()
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                if reply.status != 204 and "Content-Length" not in reply.headers:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                try:
                    for part in [bytes([byte]) for byte in content] if reply.drip else [content]:
                        self.wfile.write(part)
                        time.sleep(reply.drip)
                except OSError:
                    pass
                if "Content-Length" in reply.headers:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


def decision(seen: Seen, **changes: Any) -> dict[str, Any]:
    """An allowed decision on what was asked, or as `changes` says."""
    asked = seen.json
    return {
        "requestId": asked["requestId"],
        "decisionId": "dec_1",
        "decision": "allowed",
        "reasonCode": "allowed",
        "reason": "Allowed by policy 'P' v1.",
        "agentId": "agt_1",
        "tenantId": "default-tenant",
        "evaluatedAt": "2026-11-22T18:00:00.123Z",
        "dryRun": asked.get("dryRun", False),
        "somethingNewer": 1,
    } | changes


PENDING = {
    "decision": "pending_approval",
    "reasonCode": "approval_required",
    "approval": {"id": "apr_1", "expiresAt": "2026-11-22T18:15:00Z"},
}
DENIED = {"decision": "denied", "reasonCode": "no_matching_policy", "reason": "No policy allows this."}


def allow(seen: Seen) -> Reply:
    if seen.path.endswith("/outcome"):
        audit = {"index": 2, "leafHash": "00" * 32}
        return Reply(200, {"decisionId": "dec_1", "status": seen.json["status"], "audit": audit})
    return Reply(200, decision(seen))


def decide(**changes: Any) -> Answer:
    """Answer every question with a decision that differs from `allowed` by `changes`."""
    return lambda seen: Reply(200, decision(seen, **changes))


def approval(status: str, **changes: Any) -> Reply:
    body: dict[str, Any] = {
        "id": "apr_1",
        "status": status,
        "agentId": "agt_1",
        "agentName": "executor",
        "requesterId": None,
        "action": "execute",
        "resourceId": "api://tasks/execute/1",
        "arguments": {},
        "context": {},
        "policies": [],
        "approversNeeded": 1,
        "approvedBy": [],
        "decisionId": "dec_1",
        "createdAt": "2026-11-22T18:00:00Z",
        "expiresAt": "2026-11-22T18:15:00Z",
    }
    return Reply(200, body | changes)


def problem(status: int, code: str = "some_code", headers: dict[str, str] | None = None, **more: Any) -> Reply:
    body = {"type": f"https://act/{code}", "title": "T", "status": status, "detail": "What happened.", "code": code}
    kind = {"Content-Type": "application/problem+json"}
    return Reply(status, body | {"decision": "denied", "requestId": "req_9"} | more, kind | (headers or {}))
