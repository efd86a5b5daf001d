"""A real receiver of webhooks: an HTTP server in a thread that answers as a script says, and keeps what came."""

from __future__ import annotations

import json
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from standardwebhooks import Webhook

WAITING = 30.0


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b"thanks"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0
    """Seconds before each byte of the body."""


@dataclass(frozen=True)
class Message:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        return self.json["data"]

    def verified(self, secret: str) -> Any:
        """The payload, after the library of Standard Webhooks has accepted it."""
        return Webhook(secret).verify(self.body, self.headers)


class Receiver:
    """Answers from `script` in order, the last entry again and again.

    Args:
        context: serve TLS.
    """

    def __init__(self, *script: Reply, context: ssl.SSLContext | None = None) -> None:
        self.script = list(script) or [Reply()]
        self.messages: list[Message] = []
        self._came = threading.Condition()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        if context is not None:
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook?token=of-the-receiver"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def wait(self, count: int, seconds: float = WAITING) -> list[Message]:
        """The messages, when there are `count` of them."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.messages) >= count, seconds), (
                f"{len(self.messages)} messages, not {count}"
            )
            return list(self.messages)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with receiver._came:
                    receiver.messages.append(Message(self.path, headers, body, time.monotonic()))
                    receiver._came.notify_all()
                    reply = receiver.script.pop(0) if len(receiver.script) > 1 else receiver.script[0]
                time.sleep(reply.delay)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                for byte in reply.body if reply.drip else ():
                    time.sleep(reply.drip)
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                if not reply.drip:
                    self.wfile.write(reply.body)

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:  # the sender had enough
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()
