"""What is refused before anybody knows who asks: heads without end, what is no HTTP, requests inside of requests."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
import uvicorn
from uvicorn.server import ServerState

from act.bodies import MAX_BODY
from act.exchange import HANG_UP
from act.server.protocol import (
    HEAD_SECONDS,
    IDLE_SECONDS,
    MAX_HEAD,
    MAX_HEADERS,
    MAX_TARGET,
    MAX_WAITING,
    PAUSED_SECONDS,
    PIECE,
    BoundedHttp,
)
from act.server.refusals import LINES_A_SECOND, Lines
from tests.attacks.raw import check_refused, connect, head, said
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
        ],
        ids=["without end", "one too long", "one too many", "many"],
    )
    def test_too_large(self, request_: bytes, server: Server) -> None:
        [answer] = said(server.url, request_)
        check_refused(answer, 431, "headers_too_large")
        assert answer.values("x-request-id") == ["mine"] or not request_.startswith(BEGIN)

    @pytest.mark.parametrize("begin", [b"GET /", b"GET /healthz?", b"PUT /%41"], ids=["path", "query", "escaped"])
    def test_a_target_that_is_too_long(self, begin: bytes, server: Server) -> None:
        end = b" HTTP/1.1\r\nX-Request-ID: mine\r\n\r\n"
        [answer] = said(server.url, begin + b"a" * (MAX_TARGET + PIECE) + end + LAST)
        check_refused(answer, 414, "target_too_long")

    def test_a_target_as_long_as_may_be(self, server: Server) -> None:
        long = b"GET /healthz?" + b"a" * (MAX_TARGET - 20) + b" HTTP/1.1\r\n\r\n"
        assert [answer.status for answer in said(server.url, long, *in_steps(long, 100), LAST)] == [200] * 3

    def test_one_without_end_is_not_read_to_its_end(self, server: Server) -> None:
        with connect(server.url) as connection, pytest.raises(OSError, match=r"reset|[Bb]roken"):
            connection.sendall(BEGIN + b"X-Long: ")
            for _ in range(64):
                connection.sendall(b"a" * 1024 * 1024)

    def test_as_large_as_may_be(self, server: Server) -> None:
        long = b"X-Long: " + b"a" * (MAX_HEAD - 1000) + b"\r\n"
        many = b"X-Short: a\r\n" * (MAX_HEADERS - 3)
        found = said(
            server.url, BEGIN + long + b"\r\n", BEGIN + many + b"\r\n", *in_steps(BEGIN + long + b"\r\n", 4000), LAST
        )
        assert [answer.status for answer in found] == [200] * 4

    def test_trailers_are_bounded_too(self, server: Server, question: bytes) -> None:
        begin = head("POST", "/v1/enforce", KEY, JSON, "Transfer-Encoding: chunked")
        chunk = b"%x\r\n%s\r\n0\r\n" % (len(question), question)
        [answer] = said(server.url, begin + chunk, b"X-Long: " + b"a" * 200_000)
        check_refused(answer, 431, "headers_too_large")

    def test_trailers_are_no_headers(self, server: Server, question: bytes) -> None:
        begin = head("POST", "/v1/enforce", JSON, "Transfer-Encoding: chunked")
        chunk = b"%x\r\n%s\r\n0\r\n%s\r\n\r\n" % (len(question), question, KEY.encode())
        refused, _ = said(server.url, begin + chunk + LAST)
        assert (refused.status, refused.json()["code"]) == (401, "api_key_missing")

    def test_a_long_body_is_no_head(self, server: Server) -> None:
        body = json.dumps({"name": "x", "description": "a" * 200_000}).encode()
        request = head("POST", "/v1/agents", KEY, JSON, f"Content-Length: {len(body)}") + body
        first, second, last = said(server.url, request, request + LAST)
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
        [answer] = said(server.url, request_)
        check_refused(answer, 400, "http_malformed")
        assert server.log[before:].count("refused a request") == 1
        assert "secret" not in server.log[before:]

    def test_after_others_is_answered_in_its_turn(self, server: Server, question: bytes) -> None:
        asked = head("POST", "/v1/enforce", KEY, JSON, f"Content-Length: {len(question)}") + question
        first, second, third = said(server.url, asked + asked + b"\x00" + LAST)
        assert first.json()["reasonCode"] == second.json()["reasonCode"] == "no_matching_policy"
        check_refused(third, 400, "http_malformed")

    def test_a_broken_body_behind_others(self, server: Server) -> None:
        broken = head("POST", "/v1/enforce", KEY, JSON, "Transfer-Encoding: chunked") + b"zz\r\n"
        first, second = said(server.url, head("GET", "/healthz") + broken)
        assert first.status == 200
        check_refused(second, 400, "http_malformed")

    def test_a_proxy_it_is_not(self, server: Server) -> None:
        [answer] = said(server.url, b"CONNECT act:443 HTTP/1.1\r\nHost: act\r\n\r\n" + LAST)
        check_refused(answer, 405, "method_not_allowed")


def test_too_many_that_wait_on_one_connection(server: Server) -> None:
    *served, last = said(server.url, head("GET", "/healthz") * 3 * MAX_WAITING)
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
        first, second, last = said(server.url, *in_steps(asked + asked + LAST, width))
        assert first.json()["reasonCode"] == second.json()["reasonCode"] == "no_matching_policy"
        assert first.values("x-request-id") == second.values("x-request-id") == ["upgraded"]
        assert last.values("x-request-id") == ["the-last"]

    @pytest.mark.parametrize("split", [True, False])
    def test_no_body_is_read_as_a_request(self, server: Server, *, split: bool) -> None:
        smuggled = head("GET", "/healthz", "X-Request-ID: smuggled")
        begin = head("POST", "/v1/enforce", KEY, JSON, f"Content-Length: {len(smuggled)}", *H2C)
        parts = [begin, smuggled + LAST] if split else [begin + smuggled + LAST]
        first, last = said(server.url, *parts)
        assert (first.status, first.json()["code"]) == (400, "json_malformed")
        assert last.values("x-request-id") == ["the-last"]

    def test_a_web_socket_there_is_none(self, server: Server) -> None:
        lines = ("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: YQ==")
        first, last = said(server.url, head("GET", "/healthz", *lines) + LAST)
        assert (first.status, last.status) == (200, 200)

    def test_many_in_one_packet(self, server: Server) -> None:
        *served, last = said(server.url, head("GET", "/", "Connection: upgrade", "Upgrade: a") * 1000)
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


@pytest.mark.parametrize("waiting", [0, 2])
def test_an_answer_that_is_cut_off_has_no_end(waiting: int) -> None:
    """Also when much of it is still to be sent, and others wait behind it."""
    piece, ended = b"a" * 32768, asyncio.Event()

    async def main() -> None:
        async def app(scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while not it.made[0].transport.get_write_buffer_size():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            scope["state"][HANG_UP](scope)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            ended.set()

        async with peer(app) as it:
            await it.send((BEGIN + b"\r\n") * (1 + waiting))
            await ended.wait()
            assert (await it.rest()).endswith(b"\r\n8000\r\n%s\r\n" % piece)

    asyncio.run(asyncio.wait_for(main(), 20))


async def until(holds: Callable[[], bool]) -> None:
    while True:
        if holds():
            return
        await asyncio.sleep(0)


class TestWhatIsLeft:
    """Of a client that goes away, or does not read: nothing that grows, and nobody who waits for it."""

    def test_whoever_is_served_is_told_that_it_is_gone(self) -> None:
        """Also when others wait behind it, of which the last is the connection's latest."""
        begun, told = asyncio.Event(), list[str]()

        async def app(_scope: Any, receive: Any, _send: Any) -> None:
            while (message := await receive())["type"] == "http.request":
                begun.set()
            told.append(message["type"])

        async def main() -> None:
            async with peer(app) as it:
                await it.send((BEGIN + b"\r\n") * 3)
                await begun.wait()
                it.writer.transport.abort()
                [protocol] = it.made
                await until(lambda: not protocol.tasks)
                assert told == ["http.disconnect"]

        asyncio.run(asyncio.wait_for(main(), 20))

    def test_a_body_that_waits_for_its_turn_is_bounded(self) -> None:
        held = asyncio.Event()

        async def app(scope: Any, _receive: Any, send: Any) -> None:
            if scope["method"] == "POST":
                await held.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})

        async def main() -> None:
            async with peer(app) as it:
                post = b"POST / HTTP/1.1\r\nContent-Length: 16000000\r\n\r\n"
                it.writer.write((BEGIN + b"\r\n") * 50 + post + b"a" * 16_000_000)
                for _ in range(50):
                    await it.reader.readuntil(b"ok")
                [protocol] = it.made
                await until(lambda: protocol.flow.read_paused)
                assert MAX_BODY // 4 < len(protocol.cycle.body) <= MAX_BODY + 1
                held.set()

        asyncio.run(asyncio.wait_for(main(), 20))

    @pytest.mark.parametrize(
        "sent",
        [b"", BEGIN, BEGIN + b"\r\n", (BEGIN + b"\r\n") * 3, b"\0", BEGIN + b"X: a\r\n" * MAX_HEADERS + b"\r\n"],
        ids=["nothing", "half a head", "a request", "three", "no HTTP", "too many headers"],
    )
    def test_a_connection_is_gone_without_the_collector(self, sent: bytes) -> None:
        async def main() -> None:
            async with peer() as it:
                it.served.set()
                if sent:
                    it.writer.write(sent)
                if sent not in (b"", BEGIN):
                    assert await it.reader.read(1)
                it.writer.transport.abort()
                known = weakref.ref(it.made.pop())
                await until(lambda: known() is None)

        gc.collect()
        gc.disable()
        try:
            asyncio.run(asyncio.wait_for(main(), 20))
        finally:
            gc.enable()

    @pytest.mark.parametrize("reads", [True, False])
    def test_a_client_that_reads_nothing_of_its_answer(self, *, reads: bool) -> None:
        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while not ended.is_set():
                await send({"type": "http.response.body", "body": b"a" * 65536, "more_body": True})
                await asyncio.sleep(0)

        async def main() -> None:
            async with peer(app) as it:
                await it.send(BEGIN + b"\r\n")
                [protocol] = it.made
                for _ in range(PAUSED_SECONDS):
                    await until(lambda: protocol.flow.write_paused)
                    it.seconds(1)
                    assert not protocol.transport.is_closing()
                    while reads and protocol.flow.write_paused:
                        await it.reader.read(2**20)
                it.seconds(2)
                assert protocol.transport.is_closing() is not reads
                ended.set()
                it.writer.transport.abort()
                await until(lambda: not protocol.tasks)

        ended = asyncio.Event()
        asyncio.run(asyncio.wait_for(main(), 20))


def test_refusals_do_not_fill_the_log() -> None:
    lines = Lines()
    assert sum(lines.one_more(1) for _ in range(3 * LINES_A_SECOND)) == LINES_A_SECOND
    assert lines.one_more(2)
