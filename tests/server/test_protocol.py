"""What is refused before anybody knows who asks: heads without end, what is no HTTP, requests inside of requests."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
import uvicorn
from uvicorn.server import ServerState

from act.exchange import HANG_UP
from act.server.protocol import HEAD_SECONDS, IDLE_SECONDS, MAX_HEAD, MAX_HEADERS, MAX_WAITING, PIECE, BoundedHttp
from tests.attacks.raw import Answer, connect, head
from tests.support import ADMIN_KEY, Server

JSON = "Content-Type: application/json"
KEY = f"X-Api-Key: {ADMIN_KEY}"
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
LAST = head("GET", "/healthz", "Connection: close", "X-Request-ID: the-last")


@pytest.fixture(autouse=True)
def nothing_failed(server: Server) -> Iterator[None]:
    """What is wrong with a request is no error of the server."""
    before = len(server.log)
    yield
    assert "Traceback" not in server.log[before:]
    assert "uvicorn.error" not in server.log[before:].replace("uvicorn.error: Started", "")


@pytest.fixture
def question(server: Server) -> bytes:
    with server.api() as api:
        token = api.token(api.agent())
    return json.dumps(
        {"requestId": uuid4().hex, "capabilityToken": token, "action": "read", "resourceId": "api://x"}
    ).encode()


def answers(connection: socket.socket) -> list[Answer]:
    """All that come until the server closes."""
    data, found = b"", []
    while chunk := connection.recv(65536):
        data += chunk
    while data:
        start, _, data = data.partition(b"\r\n\r\n")
        status, *lines = start.decode().split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        length = int(dict(headers)["content-length"])
        found.append(Answer(int(status.split()[1]), headers, data[:length]))
        data = data[length:]
    return found


def said(server: Server, *parts: bytes) -> list[Answer]:
    with connect(server.url) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
        return answers(connection)


def check_refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.json()["decision"] == "denied"
    assert answer.json()["status"] == status
    assert answer.values("content-type") == ["application/problem+json"]
    assert answer.values("x-request-id") == [answer.json()["requestId"]]
    assert answer.values("cache-control") == ["no-store"]
    assert answer.values("connection") == ["close"]


def in_steps(request: bytes, width: int) -> list[bytes]:
    return [request[at : at + width] for at in range(0, len(request), width)]


BEGIN = b"GET /healthz HTTP/1.1\r\nHost: act\r\nX-Request-ID: mine\r\n"


class TestHeads:
    @pytest.mark.parametrize(
        "request_",
        [
            BEGIN + b"X-Long: " + b"a" * 200_000,
            BEGIN + b"X-Long: " + b"a" * (MAX_HEAD + PIECE) + b"\r\n\r\n",
            BEGIN + b"X-Short: a\r\n" * MAX_HEADERS + b"\r\n",
            BEGIN + b"X-Short: a\r\n" * 10_000,
            b"GET /" + b"a" * (MAX_HEAD + PIECE) + b" HTTP/1.1\r\nHost: act\r\n\r\n",
        ],
        ids=["without end", "one too long", "one too many", "many", "request line"],
    )
    def test_too_large(self, request_: bytes, server: Server) -> None:
        [answer] = said(server, request_)
        check_refused(answer, 431, "headers_too_large")
        assert answer.values("x-request-id") == ["mine"] or not request_.startswith(BEGIN)

    def test_one_without_end_is_not_read_to_its_end(self, server: Server) -> None:
        with connect(server.url) as connection, pytest.raises(OSError, match=r"reset|[Bb]roken"):
            connection.sendall(BEGIN + b"X-Long: ")
            for _ in range(64):
                connection.sendall(b"a" * 1024 * 1024)

    def test_as_large_as_may_be(self, server: Server) -> None:
        long = b"X-Long: " + b"a" * (MAX_HEAD - 1000) + b"\r\n"
        many = b"X-Short: a\r\n" * (MAX_HEADERS - 3)
        found = said(
            server, BEGIN + long + b"\r\n", BEGIN + many + b"\r\n", *in_steps(BEGIN + long + b"\r\n", 4000), LAST
        )
        assert [answer.status for answer in found] == [200] * 4

    def test_trailers_are_bounded_too(self, server: Server, question: bytes) -> None:
        begin = head("POST", "/v1/enforce", KEY, JSON, "Transfer-Encoding: chunked")
        chunk = b"%x\r\n%s\r\n0\r\n" % (len(question), question)
        [answer] = said(server, begin + chunk, b"X-Long: " + b"a" * 200_000)
        check_refused(answer, 431, "headers_too_large")

    def test_trailers_are_no_headers(self, server: Server, question: bytes) -> None:
        begin = head("POST", "/v1/enforce", JSON, "Transfer-Encoding: chunked")
        chunk = b"%x\r\n%s\r\n0\r\n%s\r\n\r\n" % (len(question), question, KEY.encode())
        refused, _ = said(server, begin + chunk + LAST)
        assert (refused.status, refused.json()["code"]) == (401, "api_key_missing")

    def test_a_long_body_is_no_head(self, server: Server) -> None:
        body = json.dumps({"name": "x", "description": "a" * 200_000}).encode()
        request = head("POST", "/v1/agents", KEY, JSON, f"Content-Length: {len(body)}") + body
        first, second, last = said(server, request, request + LAST)
        assert (first.status, second.status, last.status) == (422, 422, 200)


class TestMalformed:
    @pytest.mark.parametrize(
        "request_",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03secret-content",
            b"GET /healthz HTTP/1.1\r\nsecret content\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: act\r\nX: a\r\n secret-content\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"POST /v1/enforce HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            head("POST", "/v1/enforce", KEY, JSON, "Transfer-Encoding: chunked") + b"secret-content\r\n",
        ],
        ids=["TLS", "header", "folded", "HTTP/2", "two lengths", "chunk"],
    )
    def test_is_a_problem(self, request_: bytes, server: Server) -> None:
        before = len(server.log)
        [answer] = said(server, request_)
        check_refused(answer, 400, "http_malformed")
        assert server.log[before:].count("refused a request") == 1
        assert "secret" not in server.log[before:]

    def test_after_others_is_answered_in_its_turn(self, server: Server, question: bytes) -> None:
        asked = head("POST", "/v1/enforce", KEY, JSON, f"Content-Length: {len(question)}") + question
        first, second, third = said(server, asked + asked + b"\x00" + LAST)
        assert first.json()["reasonCode"] == second.json()["reasonCode"] == "no_matching_policy"
        check_refused(third, 400, "http_malformed")

    def test_a_broken_body_behind_others(self, server: Server) -> None:
        broken = head("POST", "/v1/enforce", KEY, JSON, "Transfer-Encoding: chunked") + b"zz\r\n"
        first, second = said(server, head("GET", "/healthz") + broken)
        assert first.status == 200
        check_refused(second, 400, "http_malformed")

    def test_a_proxy_it_is_not(self, server: Server) -> None:
        [answer] = said(server, b"CONNECT act:443 HTTP/1.1\r\nHost: act\r\n\r\n" + LAST)
        check_refused(answer, 405, "method_not_allowed")


def test_too_many_that_wait_on_one_connection(server: Server) -> None:
    *served, last = said(server, head("GET", "/healthz") * 3 * MAX_WAITING)
    assert [answer.status for answer in served] == [200] * (MAX_WAITING + 1)  # the first does not wait
    check_refused(last, 503, "overloaded")


class TestUpgrade:
    @pytest.mark.parametrize("width", [7, 100, 100_000])
    @pytest.mark.parametrize("chunked", [True, False])
    def test_is_ignored_and_the_body_is_read(
        self, server: Server, question: bytes, width: int, *, chunked: bool
    ) -> None:
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(question)}"
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(question), question) if chunked else question
        asked = head("POST", "/v1/enforce", KEY, JSON, length, *H2C, "X-Request-ID: upgraded") + body
        first, second, last = said(server, *in_steps(asked + asked + LAST, width))
        assert first.json()["reasonCode"] == second.json()["reasonCode"] == "no_matching_policy"
        assert first.values("x-request-id") == second.values("x-request-id") == ["upgraded"]
        assert last.values("x-request-id") == ["the-last"]

    @pytest.mark.parametrize("split", [True, False])
    def test_no_body_is_read_as_a_request(self, server: Server, *, split: bool) -> None:
        smuggled = head("GET", "/healthz", "X-Request-ID: smuggled")
        begin = head("POST", "/v1/enforce", KEY, JSON, f"Content-Length: {len(smuggled)}", *H2C)
        parts = [begin, smuggled + LAST] if split else [begin + smuggled + LAST]
        first, last = said(server, *parts)
        assert (first.status, first.json()["code"]) == (400, "json_malformed")
        assert last.values("x-request-id") == ["the-last"]

    def test_a_web_socket_there_is_none(self, server: Server) -> None:
        lines = ("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: YQ==")
        first, last = said(server, head("GET", "/healthz", *lines) + LAST)
        assert (first.status, last.status) == (200, 200)

    def test_many_in_one_packet(self, server: Server) -> None:
        *served, last = said(server, head("GET", "/", "Connection: upgrade", "Upgrade: a") * 1000)
        assert {answer.status for answer in served} == {404}
        check_refused(last, 503, "overloaded")


class _Peer:
    """A connection in this process, whose seconds are given by hand."""

    def __init__(self) -> None:
        self.made: list[BoundedHttp] = []
        self.connected, self.served = asyncio.Event(), asyncio.Event()
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send, and wait until it was read."""
        [protocol] = self.made
        read, received = asyncio.Event(), protocol.data_received
        protocol.data_received = lambda data: (received(data), read.set())  # type: ignore[method-assign, assignment, func-returns-value]
        self.writer.write(data)
        await read.wait()
        protocol.data_received = received  # type: ignore[method-assign]

    def seconds(self, count: int) -> None:
        for _ in range(count):
            self.made[0].tick()

    async def rest(self) -> bytes:
        """What comes until the server closes."""
        return await asyncio.wait_for(self.reader.read(), 20)


@asynccontextmanager
async def peer(app: Any = None) -> AsyncIterator[_Peer]:
    found = _Peer()

    async def ok(_scope: Any, _receive: Any, send: Any) -> None:
        await found.served.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    config, state = (
        uvicorn.Config(app or ok, http=BoundedHttp, ws="none", lifespan="off", log_config=None),
        ServerState(),
    )

    def make() -> BoundedHttp:
        found.made.append(BoundedHttp(config, state, {}))
        found.connected.set()
        return found.made[0]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    async with server:
        found.reader, found.writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await found.connected.wait()
        yield found
        found.writer.close()


class TestTime:
    @pytest.mark.parametrize("before", [0, 1], ids=["first", "second"])
    def test_a_head_that_comes_too_slowly(self, before: int) -> None:
        async def main() -> None:
            async with peer() as it:
                it.served.set()
                if before:
                    await it.send(BEGIN + b"\r\n")
                    assert (await it.reader.readuntil(b"ok")).endswith(b"ok")
                    it.seconds(HEAD_SECONDS)
                await it.send(BEGIN)
                for _ in range(HEAD_SECONDS):
                    it.seconds(1)
                    await it.send(b"X: a\r\n")
                assert not it.made[0].transport.is_closing()
                it.seconds(2)
                answer = await it.rest()
                assert answer.startswith(b"HTTP/1.1 408 ")
                assert b'"code":"headers_timeout"' in answer
                assert b"x-request-id: mine\r\n" in answer

        asyncio.run(main())

    @pytest.mark.parametrize("sent", [b"", b"\r\n", BEGIN + b"\r\n"], ids=["nothing", "a line end", "a request"])
    def test_an_idle_connection_is_closed(self, sent: bytes) -> None:
        async def main() -> None:
            async with peer() as it:
                it.served.set()
                if sent:
                    await it.send(sent)
                if sent.strip():
                    assert (await it.reader.readuntil(b"ok")).endswith(b"ok")
                it.seconds(IDLE_SECONDS)
                assert not it.made[0].transport.is_closing()
                it.seconds(2)
                assert await it.rest() == b""

        asyncio.run(main())

    def test_one_that_is_served_is_not(self) -> None:
        async def main() -> None:
            async with peer() as it:
                await it.send(BEGIN + b"\r\n")
                it.seconds(10 * IDLE_SECONDS)
                it.served.set()
                assert (await it.reader.readuntil(b"ok")).endswith(b"ok")

        asyncio.run(main())


def test_an_answer_that_is_cut_off_has_no_end() -> None:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        scope["state"][HANG_UP](scope)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def main() -> None:
        async with peer(app) as it:
            await it.send(BEGIN + b"\r\n")
            assert (await it.rest()).endswith(b"\r\n\r\n5\r\nbegun\r\n")

    asyncio.run(main())
