"""The log as it grows: server-sent events (WHATWG HTML, "Server-sent events"), one for each record.

A listener holds no connection to the database between two looks, so a slow one costs others nothing. It is told of
new records of its tenant by the writer, after the commit; it looks at most a few times a second, and few look at once,
so that many who listen do not keep others waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from fastapi import Request
from fastapi.responses import StreamingResponse
from sqlalchemy import Engine
from starlette.types import Receive, Scope, Send

from act.audit import archive_store, store
from act.audit.store import Record
from act.exchange import HANG_UP

BATCH: Final = 500
QUIET_SECONDS: Final = 15.0
"""After so long without a record a comment is sent, so that nobody on the way closes the connection."""
PAUSE_SECONDS: Final = 0.2
"""Between two looks of one listener; what is written meanwhile comes with the next."""
AT_ONCE: Final = 2
"""So many look at the same time. They share their threads with long polls and idempotency keys."""
MAX_LISTENERS: Final = 1_000
MAX_OF_TENANT: Final = 50
MAX_EVENTS: Final = 2**53

log = logging.getLogger("act.server")


class TooManyListeners(Exception):
    """As many listen as may listen at once."""


class _Archived(Exception):
    """The next record is in an archive by now."""


class LogStream:
    """Tells the listeners of a tenant that there is something new; each looks for itself what.

    Args:
        size: how many records the log of a tenant has, as of the last commit.
    """

    def __init__(self, reader: Engine, size: Callable[[str], int]) -> None:
        self._reader = reader
        self._size = size
        self._lock = threading.Lock()
        self._waiting: dict[str, dict[asyncio.Event, asyncio.AbstractEventLoop]] = {}
        self._told: dict[str, int] = {}
        self._looks = asyncio.Semaphore(AT_ONCE)
        self._closing = False

    def grown(self) -> None:
        """There may be new records; from any thread."""
        with self._lock:
            told = {tenant_id: self._size(tenant_id) for tenant_id in self._waiting}
            grown = [tenant_id for tenant_id, size in told.items() if size != self._told.get(tenant_id)]
            self._told = told
            waiting = [place for tenant_id in grown for place in self._waiting[tenant_id].items()]
        _wake(waiting)

    def close(self) -> None:
        """End every stream."""
        self._closing = True
        with self._lock:
            waiting = [place for places in self._waiting.values() for place in places.items()]
        _wake(waiting)

    def admit(self, tenant_id: str) -> asyncio.Event:
        """A place for a listener; `leave` it.

        Raises:
            TooManyListeners: there is none.
        """
        event = asyncio.Event()
        with self._lock:
            if sum(map(len, self._waiting.values())) >= MAX_LISTENERS:
                raise TooManyListeners
            places = self._waiting.setdefault(tenant_id, {})
            if len(places) >= MAX_OF_TENANT:
                raise TooManyListeners
            places[event] = asyncio.get_running_loop()
        return event

    def leave(self, tenant_id: str, event: asyncio.Event) -> None:
        """Give up a place."""
        with self._lock:
            places = self._waiting.get(tenant_id, {})
            places.pop(event, None)
            if not places:
                self._waiting.pop(tenant_id, None)

    async def events(
        self, tenant_id: str, after: int, limit: int | None, event: asyncio.Event, allowed: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        """The records after index `after` and all that come, `limit` of them, until the server stops.

        It ends rather than leave records out that were archived meanwhile; who comes back is told (410).

        Args:
            event: the place that the listener was admitted to.
            allowed: whether it may still listen, asked before every look and every record.
        """
        left = MAX_EVENTS if limit is None else limit
        while left and not self._closing and allowed():
            event.clear()
            found: Sequence[Record] = ()
            if self._size(tenant_id) > after + 1:
                try:
                    async with self._looks:
                        found = await asyncio.to_thread(self._look, tenant_id, after, min(BATCH, left))
                except _Archived:
                    return
            for row in found:
                if not allowed():
                    return
                after = row.idx
                yield f"id: {row.idx}\nevent: {row.kind}\ndata: {row.record}\n\n".encode()
            if found:
                left -= len(found)
                await asyncio.sleep(PAUSE_SECONDS if left and len(found) < BATCH else 0)
                continue
            try:
                await asyncio.wait_for(event.wait(), QUIET_SECONDS)
            except TimeoutError:
                yield b": nothing new\n\n"

    def _look(self, tenant_id: str, after: int, limit: int) -> Sequence[Record]:
        with self._reader.begin() as connection:
            if archive_store.held_from(connection, tenant_id) > after + 1:
                raise _Archived
            return store.following(connection, tenant_id, after, limit)


class Listening(StreamingResponse):
    """The answer to a listener, who leaves when it ends, however it does: also before the first record was asked for.

    Args:
        leave: gives up the place.
    """

    def __init__(self, events: AsyncIterator[bytes], leave: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


def cut_off(request: Request, why: str) -> None:
    """End an answer that is not whole, so that HTTP says so, too; where the server can (`HANG_UP`)."""
    log.warning("cut off an export: %s", why, extra={"requestId": request.scope.get("act.request_id")})
    if hang_up := request.scope.get("state", {}).get(HANG_UP):
        hang_up(request.scope)


def _wake(waiting: Sequence[tuple[asyncio.Event, asyncio.AbstractEventLoop]]) -> None:
    """Set events in the loops that they are of, each loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Event]] = {}
    for event, loop in waiting:
        by_loop.setdefault(loop, []).append(event)
    for loop, events in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_set_all, events)


def _set_all(events: Sequence[asyncio.Event]) -> None:
    for event in events:
        event.set()
