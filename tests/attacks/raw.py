"""HTTP by hand, for what a well-behaved client would not send."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def json(self) -> Any:
        return json.loads(self.body)


def connect(url: str, timeout: float = 20.0) -> socket.socket:
    parts = urlsplit(url)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port or 80), timeout)


def head(method: str, path: str, *lines: str | bytes) -> bytes:
    """The head of a request, with whatever is in `lines`."""
    encoded = [line if isinstance(line, bytes) else line.encode() for line in lines]
    return b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), b"Host: act", *encoded, b"", b""])


def read_answer(connection: socket.socket) -> Answer:
    """The next answer; one that ends early has what came."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (chunk := connection.recv(65536)):
            raise ConnectionError(f"closed after {data!r}")
        data += chunk
    start, _, body = data.partition(b"\r\n\r\n")
    status, *lines = start.decode("latin-1").split("\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    length = int(next((value for name, value in headers if name == "content-length"), "0"))
    while len(body) < length and (chunk := connection.recv(65536)):
        body += chunk
    return Answer(int(status.split()[1]), headers, body)


def answers(connection: socket.socket) -> list[Answer]:
    """All that come until the server closes."""
    data, found = b"", []
    while chunk := connection.recv(65536):
        data += chunk
    while data:
        start, _, data = data.partition(b"\r\n\r\n")
        status, *lines = start.decode().split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        length = int(dict(headers).get("content-length", "0"))
        found.append(Answer(int(status.split()[1]), headers, data[:length]))
        data = data[length:]
    return found


def said(url: str, *parts: bytes) -> list[Answer]:
    """Send, each part in a packet of its own, and read all answers."""
    with connect(url) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
        return answers(connection)


def check_refused(answer: Answer, status: int, code: str) -> None:
    """It is a problem of the edge of HTTP: a denial, and the last answer."""
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.json()["decision"] == "denied"
    assert answer.json()["status"] == status
    assert answer.values("content-type") == ["application/problem+json"]
    assert answer.values("x-request-id") == [answer.json()["requestId"]]
    assert answer.values("cache-control") == ["no-store"]
    assert answer.values("connection") == ["close"]


def exchange(url: str, request: bytes, timeout: float = 20.0) -> Answer:
    """Send bytes, read one answer, hang up."""
    with connect(url, timeout) as connection:
        connection.sendall(request)
        return read_answer(connection)
