"""SIGTERM ends a server soon, whoever is connected: what is in flight is answered, what has no end is ended."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from act.audit import archive_store
from act.server.serve import GRACE_SECONDS
from tests.attacks.raw import connect, head, read_answer
from tests.in_process import InProcess
from tests.support import ADMIN_KEY, Api, Server

KEY = f"X-Api-Key: {ADMIN_KEY}"


def fill(api: Api) -> int:
    """Write more than the buffers of a connection hold; the bytes of an export of it."""
    token = api.token(api.agent())
    for number in range(24):
        asked = [(f"{number}-{item}", f"api://{number}/{item}/{'x' * 1900}") for item in range(70)]
        common = {"capabilityToken": token, "action": "read"}
        questions = [{"requestId": id, "resourceId": resource, **common} for id, resource in asked]
        api.post("/v1/enforce/batch", {"requests": questions}, status=200)
    return len(api.send("GET", "/v1/audit/export").content)


def not_reading(server: Server, path: str, *lines: str) -> socket.socket:
    """A connection whose answer has begun, and is not read."""
    where = urlsplit(server.url)
    connection = socket.socket()
    connection.settimeout(20)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before there is a window
    connection.connect((where.hostname, where.port))
    connection.sendall(head("GET", path, KEY, *lines))
    assert connection.recv(8) == b"HTTP/1.1"
    return connection


def received(connection: socket.socket, most: int) -> int:
    """How much still comes; no more than `most` is read."""
    count = 0
    try:
        while count < most and (chunk := connection.recv(65536)):
            count += len(chunk)
    except ConnectionResetError:
        pass
    return count


def test_nobody_who_does_not_read_keeps_it(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        with server.api() as api:
            size = fill(api)
        assert size > 6_000_000
        stuck = [not_reading(server, "/v1/events", "Last-Event-ID: 0") for _ in range(3)]
        stuck += [not_reading(server, f"/v1/audit/export{query}") for query in ("", "?format=csv")]
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < GRACE_SECONDS / 2
        for connection in stuck:
            assert received(connection, size // 2) < size // 2
            connection.close()
        assert "stopped; everything that was answered is on disk" in server.log
        assert "ERROR" not in server.log
        assert "Traceback" not in server.log


def test_what_is_in_flight_is_answered(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        with server.api() as api:
            token = api.token(api.agent())
        question = {"requestId": "r", "capabilityToken": token, "action": "read", "resourceId": "api://x"}
        body = json.dumps(question).encode()
        begin = head("POST", "/v1/enforce", KEY, "Content-Type: application/json", f"Content-Length: {len(body)}")
        with connect(server.url) as connection:
            connection.sendall(begin + body[:10])
            with server.api() as api:
                api.get("/v1/agents")  # so the other one was read by now
            os.kill(server.pid, signal.SIGTERM)
            with pytest.raises(OSError, match=r"refused|reset"):
                while True:
                    connect(server.url).close()
            connection.sendall(body[10:])
            answer = read_answer(connection)
        assert answer.json()["reasonCode"] == "no_matching_policy"
        assert server.stop() == 0
        assert "Traceback" not in server.log


def test_an_export_that_archiving_overtakes_has_no_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node = InProcess(tmp_path)
    whole = node.api.send("GET", "/v1/audit/export?begin=0").content
    monkeypatch.setattr(archive_store, "held_from", lambda *_: 10**6)
    with caplog.at_level(logging.INFO):
        cut = node.api.send("GET", "/v1/audit/export?begin=0")
    node.close()
    assert cut.status_code == 200
    assert b"checkpoint" in whole.splitlines()[-1]
    assert b"checkpoint" not in cut.content
    [said] = [record for record in caplog.records if record.name == "act.server"]
    assert said.getMessage().startswith("cut off an export: The records from 0 on were archived")
    assert said.exc_info is None
