"""What a client can do with HTTP alone: requests inside of requests, answers to others, work without end."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from act.server.protocol import MAX_CHUNKS, MAX_HEAD
from act.server.serve import GRACE_SECONDS
from tests.attacks.raw import check_refused, connect, head, read_answer, said
from tests.support import ADMIN_KEY, Server

JSON = "Content-Type: application/json"
KEY = f"X-Api-Key: {ADMIN_KEY}"
CHUNKED = "Transfer-Encoding: chunked"
LAST = head("GET", "/healthz", "Connection: close", "X-Request-ID: the-last")

Asking = Callable[[], bytes]


@pytest.fixture(autouse=True)
def nothing_failed(server: Server) -> Iterator[None]:
    before = len(server.log)
    yield
    said = server.log[before:]
    assert "Traceback" not in said
    assert " ERROR " not in said
    assert "secret" not in said
    assert ADMIN_KEY not in said


@pytest.fixture(scope="module")
def asking(server: Server) -> Asking:
    """Makes bodies for `/v1/enforce`, each a question of its own that no policy matches."""
    with server.api() as api:
        token = api.token(api.agent())

    def question() -> bytes:
        asked = {"requestId": uuid4().hex, "capabilityToken": token, "action": "read", "resourceId": "secret://x"}
        return json.dumps(asked).encode()

    return question


def enforce(*lines: str | bytes) -> bytes:
    return head("POST", "/v1/enforce", KEY, JSON, *lines)


def chunks(body: bytes, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    return b"%x%s\r\n%s\r\n0\r\n%s\r\n" % (len(body), extension, body, trailers)


class TestSmuggling:
    @pytest.mark.parametrize(
        "lines",
        [
            ("{length}", CHUNKED),
            (CHUNKED, "{length}"),
            ("{length}", "{length}"),
            ("{length}, 1",),
            ("Content-Length: +1",),
            ("Content-Length: -1",),
            ("Content-Length: 0x1",),
            ("Content-Length: ",),
            ("Content-Length: 1 1",),
            ("Content-Length : 1",),
            ("Content-Length: 18446744073709551617",),
            ("Transfer-Encoding : chunked",),
            ("Transfer-Encoding: chunked, identity",),
            ("Transfer-Encoding: chunked, chunked",),
            ("Transfer-Encoding: identity",),
            ("Transfer-Encoding: xchunked",),
            ("Transfer-Encoding: chunked\x0b",),
            ("Transfer-Encoding: chunked;q=1",),
            ('Transfer-Encoding: "chunked"',),
            (CHUNKED, CHUNKED),
            (CHUNKED, "Transfer-Encoding: identity"),
            ("{length}", " " + CHUNKED),
            ("Transfer-Encoding:\r\n chunked",),
            ("{length}", "X: a\n" + CHUNKED),
            ("{length}", "X: a\r" + CHUNKED),
            ("{length}", "X: a\0"),
        ],
        ids=repr,
    )
    def test_a_body_of_two_lengths_or_none(self, server: Server, asking: Asking, lines: tuple[str, ...]) -> None:
        body = chunks(asking())
        lines = tuple(line.replace("{length}", f"Content-Length: {len(body)}") for line in lines)
        [answer] = said(server.url, enforce(*lines) + body + LAST)
        check_refused(answer, 400, "http_malformed")

    @pytest.mark.parametrize(
        "form",
        [
            b"%x\n%s\r\n0\r\n\r\n",
            b"%x\r\n%s\n0\r\n\r\n",
            b"%x\r\n%s\r\n0\n\n",
            b"%x\r\n%s\r\n0\r\n\n",
            b"%x;a\n%s\r\n0\r\n\r\n",
            b'%x;a="\n"\r\n%s\r\n0\r\n\r\n',
            b"%x \r\n%s\r\n0\r\n\r\n",
            b" %x\r\n%s\r\n0\r\n\r\n",
            b"0x%x\r\n%s\r\n0\r\n\r\n",
            b"-%x\r\n%s\r\n0\r\n\r\n",
            b"10000000000000%03x\r\n%s\r\n0\r\n\r\n",
            b"%x\r\n%sXX\r\n0\r\n\r\n",
            b"%x\r\n%s\r\n0\r\nContent-Length: 5\r\n\r\n",
            b"%x\r\n%s\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"%x\r\n%s\r\n0\r\nno trailer\r\n\r\n",
        ],
        ids=repr,
    )
    def test_chunks_that_two_read_differently(self, server: Server, asking: Asking, form: bytes) -> None:
        body = asking()
        [answer] = said(server.url, enforce(CHUNKED) + form % (len(body), body) + LAST)
        check_refused(answer, 400, "http_malformed")

    @pytest.mark.parametrize(
        "start",
        [
            b"GET /healthz HTTP/1.1\n",
            b"GET /healthz HTTP/1.1 \r\n",
            b"GET /healthz\tHTTP/1.1\r\n",
            b"GET /healthz HTTP/1.2\r\n",
            b"get /healthz HTTP/1.1\r\n",
            b"GET healthz HTTP/1.1\r\n",
            b"GET /\xff HTTP/1.1\r\n",
            b"GET http://act HTTP/1.1\r\n",
            b"GET /healthz HTTP/1.1\r\n X: folded\r\n",
            b"GET /healthz HTTP/1.1\r\nX: a\r\r\n",
        ],
        ids=repr,
    )
    def test_a_request_line_of_another_form(self, server: Server, start: bytes) -> None:
        [answer] = said(server.url, start + b"Host: act\r\n\r\n" + LAST)
        check_refused(answer, 400, "http_malformed")

    @pytest.mark.parametrize("trailer", [b"Upgrade: h2c\r\n", b"Connection: upgrade\r\n", b"X-Api-Key: secret\r\n"])
    @pytest.mark.parametrize("line", ["Connection: upgrade", "Upgrade: h2c"])
    def test_a_trailer_changes_nothing(self, server: Server, asking: Asking, line: str, trailer: bytes) -> None:
        first, last = said(server.url, enforce(CHUNKED, line) + chunks(asking(), trailers=trailer) + LAST)
        assert first.json()["reasonCode"] == "no_matching_policy"
        assert last.values("x-request-id") == ["the-last"]

    @pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "QUERY"])
    def test_a_body_that_nobody_reads_is_no_request(self, server: Server, method: str) -> None:
        inner = head("GET", "/healthz", "X-Request-ID: smuggled")
        for framed in (
            head(method, "/v1/enforce", KEY, f"Content-Length: {len(inner)}") + inner,
            head(method, "/v1/enforce", KEY, CHUNKED) + chunks(inner, b";x=1"),
        ):
            first, last = said(server.url, framed + LAST)
            assert first.status == 405
            assert last.values("x-request-id") == ["the-last"]

    def test_what_follows_the_last_request_is_none(self, server: Server, asking: Asking) -> None:
        body = asking()
        for version, line in ((b"HTTP/1.1", "Connection: close"), (b"HTTP/1.0", "Connection: keep-alive")):
            whole = (enforce(f"Content-Length: {len(body)}", line) + body).replace(b"HTTP/1.1", version)
            [answer] = said(server.url, whole + head("GET", "/healthz"))
            assert (answer.status, answer.values("connection")) == (200, ["close"])

    def test_a_length_may_have_zeros_before_it(self, server: Server, asking: Asking) -> None:
        body = asking()
        for length, status in ((len(body), 200), (300_000, 413)):
            first, *_ = said(server.url, enforce(f"Content-Length: {'0' * 5000}{length}") + body + LAST)
            assert first.status == status


class TestExpect:
    """Who expects leave to go on, and is told the last word instead, may send the body all the same, or not."""

    def test_a_refused_one_ends_the_connection(self, server: Server) -> None:
        """So that what comes next is taken for neither."""
        expecting = head("POST", "/v1/enforce", JSON, f"Content-Length: {len(LAST)}", "Expect: 100-continue")
        with connect(server.url) as connection:
            connection.sendall(expecting)
            answer = read_answer(connection)
            assert (answer.status, answer.json()["code"]) == (401, "api_key_missing")
            connection.sendall(LAST)
            assert connection.recv(1) == b""

    def test_one_whose_body_is_there_does_not(self, server: Server) -> None:
        expecting = head("POST", "/v1/enforce", JSON, f"Content-Length: {len(LAST)}", "Expect: 100-continue")
        first, last = said(server.url, expecting + LAST + LAST)
        assert (first.status, last.values("x-request-id")) == (401, ["the-last"])

    def test_one_that_is_read_does_not(self, server: Server, asking: Asking) -> None:
        body = asking()
        expecting = enforce(f"Content-Length: {len(body)}", "Expect: 100-continue")
        leave, first, last = said(server.url, expecting + body + LAST)
        assert (leave.status, first.status, last.status) == (100, 200, 200)

    def test_one_that_is_broken_is_given_no_leave(self, server: Server) -> None:
        for path in ("/v1/enforce", "/v1/agents"):
            expecting = head("POST", path, KEY, JSON, CHUNKED, "Expect: 100-continue")
            [answer] = said(server.url, expecting + b"zz\r\n")
            check_refused(answer, 400, "http_malformed")


class TestOrder:
    """Every request that was whole has its own answer, whatever follows it."""

    @pytest.mark.parametrize(
        "junk",
        [b"\r\n" * MAX_HEAD, b"\0" * 300_000, b"GET /" + b"a" * 200_000],
        ids=["blank lines", "no HTTP", "without end"],
    )
    @pytest.mark.parametrize("count", [1, 3])
    def test_a_decision_is_told(self, server: Server, asking: Asking, junk: bytes, count: int) -> None:
        bodies = [asking() for _ in range(count)]
        asked = [enforce(f"Content-Length: {len(body)}", f"X-Request-ID: it-{at}") for at, body in enumerate(bodies)]
        whole = b"".join(begin + body for begin, body in zip(asked, bodies, strict=True))
        *decided, refused = said(server.url, whole + junk)
        assert [answer.json()["reasonCode"] for answer in decided] == ["no_matching_policy"] * count
        assert [answer.values("x-request-id") for answer in decided] == [[f"it-{at}"] for at in range(count)]
        assert refused.json()["decision"] == "denied"
        assert not refused.values("x-request-id")[0].startswith("it-")

    def test_also_the_last_one(self, server: Server, asking: Asking) -> None:
        body = asking()
        [answer] = said(
            server.url, enforce(f"Content-Length: {len(body)}", "Connection: close") + body + b"a" * 200_000
        )
        assert answer.json()["reasonCode"] == "no_matching_policy"


class TestWork:
    def test_a_body_in_too_many_chunks(self, server: Server) -> None:
        [answer] = said(server.url, enforce(CHUNKED) + b"1\r\n \r\n" * 40_000 + b"0\r\n\r\n")
        check_refused(answer, 413, "body_too_large")

    def test_in_as_many_as_may_be(self, server: Server, asking: Asking) -> None:
        body = asking()
        many = b"1\r\n \r\n" * (MAX_CHUNKS - 2) + chunks(body)
        *decided, last = said(server.url, (enforce(CHUNKED) + many) * 2 + LAST)
        assert [answer.json()["reasonCode"] for answer in decided] == ["no_matching_policy"] * 2
        assert last.status == 200


def test_a_server_under_attack_ends(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        whole = head("GET", "/healthz")
        phases = [b"", whole[:-3], whole + whole[:9], whole + b"\0", head("GET", "/openapi.json") * 9]
        phases += [head("GET", "/v1/events", KEY, "Last-Event-ID: -1") + whole * 3, b"\0" * 100_000]
        phases += [head("POST", "/v1/enforce", "Content-Length: 100000"), head("GET", "/v1/approvals?wait=20", KEY)]
        open_ = list[socket.socket]()
        for phase in phases * 2:
            open_.append(connect(server.url))
            open_[-1].sendall(phase)
        with server.api() as api:
            api.agent()  # an answer, and an event, between all these
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < GRACE_SECONDS / 2
        for connection in open_:
            connection.close()
        assert "Traceback" not in server.log
        assert " ERROR " not in server.log
