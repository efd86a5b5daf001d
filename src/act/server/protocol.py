"""HTTP/1.1 as uvicorn speaks it, with bounds on what a client may send before anybody knows who it is.

Nothing here needs an API key, so nothing may cost much: heads are bounded in size, number and time, and so are requests
that wait on one connection. What is refused is answered as everywhere (RFC 9457), in its turn, and ends the connection.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from act.bodies import MAX_BODY
from act.exchange import HANG_UP, identify, on_every_answer, refuse
from act.problems import ProblemError
from act.server import refusals

MAX_HEAD: Final = 64 * 1024
"""Bytes of a request line and its headers together; of trailers as well. A piece too many may be read."""
MAX_TARGET: Final = 8 * 1024
"""Bytes of what is asked for, its query included. A piece too many may be read."""
MAX_HEADERS: Final = 100
MAX_CHUNKS: Final = 4096
"""Parts that a body may come in: each costs as much as many bytes do, and needs few."""
MAX_WAITING: Final = 100
"""Requests that wait on a connection, sent without reading the answers before (pipelining)."""
PIECE: Final = 8 * 1024
"""So much is parsed before the bounds are looked at again."""
HEAD_SECONDS: Final = 15
IDLE_SECONDS: Final = 30
"""Between two requests, and before the first."""
STALLED_SECONDS: Final = 30
"""A client that reads nothing of its last answer for so long is left."""
PAUSED_SECONDS: Final = 300
"""So is one in the middle of an answer, as of an export that somebody looks at page by page."""
STALLED_AT_END: Final = 2
"""Looks, while the server stops: a client that has read nothing between them is left."""
LINGER_SECONDS: Final = 2
MAX_DROPPED: Final = 1024 * 1024


class BoundedHttp(HttpToolsProtocol):
    """One connection. `tick` it once a second."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.app_state = {**self.app_state, HANG_UP: self.hang_up}
        self._unread = 0  # bytes since a head was complete, or some of a body came
        self._found: ProblemError | None = None
        self._chunks = 0
        self._chunked: Any = None  # whose these are
        self._served: RequestResponseCycle | None = None  # whom others wait for; `cycle` is the last of these
        self._over = False
        self._dropped = 0
        self._seen: Any = None
        self._idle = 0
        self._buffered = 0
        self._stalled = 0

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if (served := self._served) is not None and not served.response_complete:
            self._tell_gone(served)
        # These know this object; without them it is gone at once, and needs no collector.
        self.app_state = {}
        self.pipeline.clear()
        self.scope = self.cycle = self._served = self._found = self._seen = self._chunked = None  # type: ignore[assignment]

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled = 0  # much was read, whatever was written since

    def data_received(self, data: bytes) -> None:
        if self._over or len(data) > PIECE:
            self._in_pieces(data)
            return
        self._unread += len(data)
        if self._unread > PIECE and self._is_too_large():
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._serve_all_the_same(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._found or refusals.no_http())

    def on_headers_complete(self) -> None:
        if len(self.headers) > MAX_HEADERS:
            self._found = refusals.head_too_large(f"{MAX_HEADERS} headers")
            raise self._found  # ends what the parser does
        if (before := self.cycle) is not None and not before.response_complete:
            self._wait_behind(before)
        HttpToolsProtocol.on_headers_complete(self)
        # Trailers are no headers: whether they were read in time depends on how the request was cut into packets.
        self.headers = []
        self._unread = 0

    def on_chunk_header(self) -> None:
        if self._chunked is not self.scope:
            self._chunked, self._chunks = self.scope, 0
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            self._found = refusals.too_many_chunks(MAX_CHUNKS)
            raise self._found

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
                del cycle.body[MAX_BODY + 1 :]  # it is too large, however much of it is kept until its turn
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        # Without a timer for each answer, as the base has it: `tick` closes what is idle.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            # Read no further: nothing more may gather behind requests that wait already.
            self._served, app = self.pipeline.pop()
            self._start_asgi_task(self._served, app)
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.expect_100_continue:
            self._end_unread()

    def _should_upgrade(self) -> bool:
        return True  # has uvicorn leave alone what the parser stops at, for `_serve_all_the_same`

    def _is_too_large(self) -> bool:
        if self._unread > MAX_HEAD:
            self._refuse(refusals.head_too_large(f"{MAX_HEAD // 1024} KB"))
        elif self.scope is not None and "method" not in self.scope and len(self.url) > MAX_TARGET:
            self._refuse(refusals.target_too_long(MAX_TARGET))
        return self._over

    def _wait_behind(self, before: RequestResponseCycle) -> None:
        if not self.pipeline:
            self._served = before
        elif len(self.pipeline) >= MAX_WAITING:
            self._found = refusals.too_many_waiting(MAX_WAITING)
            raise self._found

    def _end_unread(self) -> None:
        """Take what follows for no request: a client whose `Expect` got its last word may send its body, or not."""
        if self.cycle.response_complete and self.cycle.more_body:
            self._over = True
            self._linger()

    def _in_pieces(self, data: bytes) -> None:
        for at in range(0, len(data), PIECE):
            if self._over:
                self._drop(len(data) - at)
                return
            self.data_received(data[at : at + PIECE])

    def _serve_all_the_same(self, rest: bytes) -> None:
        """Ignore `Upgrade` (RFC 9110, 7.8): read the head again without it, then what followed it, as ever.

        The parser takes the end of such a head for the end of HTTP, whatever body was announced.
        """
        method, headers = self.scope["method"], self.scope["headers"]
        if method == "CONNECT":
            self._refuse(refusals.no_proxy())
            return
        lines = [b"%s %s HTTP/%s" % (method.encode(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % (name, value) for name, value in headers if name != b"upgrade"]
        if any(b"\r" in line or b"\n" in line for line in lines):
            self._refuse(refusals.no_http())
            return
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        # The head was within the bound once, and what is added between its parts is not the client's.
        self._unread = -MAX_HEAD
        self._in_pieces(b"\r\n".join([*lines, b"", b""]))
        self._in_pieces(rest)

    def _refuse(self, problem: ProblemError) -> None:
        """Read nothing more; answer when it is this request's turn, and close."""
        self._over, self._found = True, None
        refusals.note(problem, self.client and self.client[0])
        last, waits = self.cycle, bool(self.pipeline)
        begun: Any = self.scope
        if last is not None and last.scope is begun and not last.more_body:
            begun = None  # nothing has, since that was whole: it is served, and its name is its own
        broken = last is not None and last.scope is begun
        if broken:
            if last.response_started:
                self.transport.close()
                return
            self._tell_gone(last)
            if waits:
                self.pipeline.popleft()
        in_turn = not waits and (broken or last is None or last.response_complete)
        self.cycle = cycle = self._last_answer(begun)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            request_id = identify(scope)
            # Which path it was may not be known, and who asks for a decision must read none but a denial.
            await refuse(send, problem, request_id, "denied", on_every_answer(request_id))

        if in_turn:
            self._start_asgi_task(cycle, app)
            return
        self.flow.pause_reading()
        if not waits:
            self._served = last
        self.pipeline.appendleft((cycle, app))

    @staticmethod
    def _tell_gone(cycle: RequestResponseCycle) -> None:
        """Nothing more comes from the client, and nothing more goes to it."""
        cycle.waiting_for_100_continue = False
        cycle.disconnected = True
        cycle.message_event.set()

    def _last_answer(self, to: Any) -> RequestResponseCycle:
        scope: Any = {"type": "http", "method": "GET", "headers": []}
        if to is not None:
            scope |= {"method": to.get("method", "GET"), "headers": to["headers"]}
        return RequestResponseCycle(
            scope=scope,
            transport=_StaysOpen(self.transport),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self._linger,
        )

    def _linger(self) -> None:
        """Close, but not at once (RFC 9112, 9.6): a client that still sends would lose the answer."""
        if self.transport.is_closing():
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _drop(self, count: int) -> None:
        self._dropped += count
        if self._dropped > MAX_DROPPED:
            self.transport.close()

    def hang_up(self, scope: Any) -> None:
        """Send what was said so far, and close without the end that HTTP wants."""
        for cycle in (self.cycle, self._served):
            if cycle is not None and cycle.scope is scope:
                cycle.disconnected = True
        self.transport.close()

    def tick(self, *, stopping: bool = False) -> None:
        """Leave a client that keeps the connection and does not do its part.

        Args:
            stopping: the server ends, so nobody is waited for who does not read.
        """
        if self._is_stalled(stopping):
            self.transport.abort()
            return
        if stopping:
            return
        latest = self.scope  # another one for each request
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or latest is not self._seen or self._over:
            self._seen, self._idle = latest, 0
            return
        self._idle += 1
        if self._idle > HEAD_SECONDS and latest is not None and "method" not in latest:
            self._refuse(refusals.head_too_slow(HEAD_SECONDS))
        elif self._idle > IDLE_SECONDS:
            self.transport.close()

    def _is_stalled(self, stopping: bool) -> bool:
        before, self._buffered = self._buffered, self.transport.get_write_buffer_size()
        self._stalled = self._stalled + 1 if self._buffered and self._buffered >= before > 0 else 0
        if stopping:
            return self._stalled >= STALLED_AT_END
        # Where neither holds, all that is to come is in the buffer, and what is idle is closed soon.
        final = self._over or self.transport.is_closing()
        most = STALLED_SECONDS if final else PAUSED_SECONDS
        return self._stalled >= most and (final or self.flow.write_paused)


class _StaysOpen(asyncio.Transport):
    """A transport whose closing is left to `BoundedHttp`."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        pass
