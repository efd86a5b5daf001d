"""HTTP/1.1 as uvicorn speaks it, with bounds on what a client may send before anybody knows who it is.

Nothing here needs an API key, so nothing may cost much: heads are bounded in size, number and time, and so are requests
that wait on one connection. What is refused is answered as everywhere (RFC 9457), in its turn, and ends the connection.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from act.exchange import HANG_UP, identify, on_every_answer, refuse
from act.problems import ProblemError, overloaded

MAX_HEAD: Final = 64 * 1024
"""Bytes of a request line and its headers together; of trailers as well. A piece too many may be read."""
MAX_HEADERS: Final = 100
MAX_WAITING: Final = 100
"""Requests that wait on a connection, sent without reading the answers before (pipelining)."""
PIECE: Final = 8 * 1024
"""So much is parsed before the bounds are looked at again."""
HEAD_SECONDS: Final = 15
IDLE_SECONDS: Final = 30
"""Between two requests, and before the first."""
STALLED_SECONDS: Final = 30
"""A client that reads nothing of its last answer for so long is left."""
STALLED_AT_END: Final = 2
"""Looks, while the server stops: a client that has read nothing between them is left."""
LINGER_SECONDS: Final = 2
MAX_DROPPED: Final = 1024 * 1024

log = logging.getLogger("act.server")


class BoundedHttp(HttpToolsProtocol):
    """One connection. `tick` it once a second."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.app_state = {**self.app_state, HANG_UP: self.hang_up}
        self._unread = 0  # bytes since a head was complete, or some of a body came
        self._found: ProblemError | None = None
        self._over = False
        self._dropped = 0
        self._seen: Any = None
        self._idle = 0
        self._buffered = 0
        self._stalled = 0

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.app_state = {}  # which knows this object

    def data_received(self, data: bytes) -> None:
        if self._over or len(data) > PIECE:
            self._in_pieces(data)
            return
        self._unread += len(data)
        if self._unread > MAX_HEAD:
            self._refuse(_head_too_large(f"{MAX_HEAD // 1024} KB"))
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._serve_all_the_same(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._found or _no_http())

    def on_headers_complete(self) -> None:
        if len(self.headers) > MAX_HEADERS:
            self._found = _head_too_large(f"{MAX_HEADERS} headers")
            raise self._found  # ends what the parser does
        if len(self.pipeline) >= MAX_WAITING:
            self._found = _too_many_waiting()
            raise self._found
        HttpToolsProtocol.on_headers_complete(self)
        # Trailers are no headers: whether they were read in time depends on how the request was cut into packets.
        self.headers = []
        self._unread = 0

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        # Without a timer for each answer, as the base has it: `tick` closes what is idle.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def _should_upgrade(self) -> bool:
        return True  # has uvicorn leave alone what the parser stops at, for `_serve_all_the_same`

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
            detail = "This server is no proxy; CONNECT leads nowhere."
            self._refuse(ProblemError(405, "method_not_allowed", "Method Not Allowed", detail))
            return
        lines = [b"%s %s HTTP/%s" % (method.encode(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % (name, value) for name, value in headers if name != b"upgrade"]
        if any(b"\r" in line or b"\n" in line for line in lines):
            self._refuse(_no_http())
            return
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        # The head was within the bound once, and what is added between its parts is not the client's.
        self._unread = -MAX_HEAD
        self._in_pieces(b"\r\n".join([*lines, b"", b""]))
        self._in_pieces(rest)

    def _refuse(self, problem: ProblemError) -> None:
        """Read nothing more; answer when it is this request's turn, and close."""
        self._over = True
        log.info("refused a request: %s", problem.detail, extra={"client": self.client and self.client[0]})
        broken = self.cycle
        if broken is not None and broken.scope is self.scope:
            # The head was whole, what followed is not; whoever waits for it is told that nothing comes.
            waiting = self.pipeline and self.pipeline[0][0] is broken
            broken.disconnected = True
            broken.message_event.set()
            if broken.response_started:
                self.transport.close()
                return
            if waiting:
                self.pipeline.popleft()
            in_turn = not waiting
        else:
            in_turn = broken is None or broken.response_complete
        self.cycle = cycle = self._last_answer()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            request_id = identify(scope)
            # Which path it was may not be known, and who asks for a decision must read none but a denial.
            await refuse(send, problem, request_id, "denied", on_every_answer(request_id))

        if in_turn:
            self._start_asgi_task(cycle, app)
        else:
            self.pipeline.appendleft((cycle, app))

    def _last_answer(self) -> RequestResponseCycle:
        scope: Any = {"type": "http", "method": "GET", "headers": []}
        if self.scope is not None:
            scope |= {"method": self.scope.get("method", "GET"), "headers": self.scope["headers"]}
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
        if self.cycle is not None and self.cycle.scope is scope:
            self.cycle.disconnected = True
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
            detail = f"The headers did not arrive within {HEAD_SECONDS} seconds."
            self._refuse(ProblemError(408, "headers_timeout", "Request time-out", detail))
        elif self._idle > IDLE_SECONDS:
            self.transport.close()

    def _is_stalled(self, stopping: bool) -> bool:
        before, self._buffered = self._buffered, self.transport.get_write_buffer_size()
        self._stalled = self._stalled + 1 if self._buffered and self._buffered >= before > 0 else 0
        if stopping:
            return self._stalled >= STALLED_AT_END
        return self._stalled >= STALLED_SECONDS and (self._over or self.transport.is_closing())


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


def _head_too_large(most: str) -> ProblemError:
    detail = f"The head of a request has at most {most}."
    return ProblemError(431, "headers_too_large", "Request header fields too large", detail)


def _too_many_waiting() -> ProblemError:
    return overloaded(f"At most {MAX_WAITING} requests wait on one connection; read the answers first.")


def _no_http() -> ProblemError:
    return ProblemError(400, "http_malformed", "Malformed HTTP", "This is no HTTP/1.1 request.")
