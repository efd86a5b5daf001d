"""The log as it grows: server-sent events (WHATWG HTML, "Server-sent events"), one for each record.

A listener holds no connection to the database between two looks, so a slow one costs others nothing. It is told of
new records by the writer, after the commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from sqlalchemy import Engine

from act.audit import store
from act.audit.store import Record

BATCH: Final = 500
QUIET_SECONDS: Final = 15.0
"""After so long without a record a comment is sent, so that nobody on the way closes the connection."""
MAX_LISTENERS: Final = 1_000
MAX_EVENTS: Final = 2**53


class TooManyListeners(Exception):
    """As many listen as may listen at once."""


class LogStream:
    """Tells listeners of every tenant that there is something new; each looks for itself what."""

    def __init__(self, reader: Engine) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._closing = False

    def grown(self) -> None:
        """There are new records; from any thread."""
        with self._lock:
            waiting = list(self._waiting.items())
        for event, loop in waiting:
            with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits any more
                loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        """End every stream."""
        self._closing = True
        self.grown()

    def admit(self) -> asyncio.Event:
        """A place for a listener.

        Raises:
            TooManyListeners: there is none.
        """
        event = asyncio.Event()
        with self._lock:
            if len(self._waiting) >= MAX_LISTENERS:
                raise TooManyListeners
            self._waiting[event] = asyncio.get_running_loop()
        return event

    async def events(
        self, tenant_id: str, after: int, limit: int | None, event: asyncio.Event, allowed: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        """The records after index `after` and all that come, `limit` of them, until the server stops.

        Args:
            event: the place that the listener was admitted to.
            allowed: whether it may still listen, asked before every look.
        """
        left = MAX_EVENTS if limit is None else limit
        try:
            while left and not self._closing and allowed():
                event.clear()
                found = await asyncio.to_thread(self._look, tenant_id, after, min(BATCH, left))
                for row in found:
                    after = row.idx
                    yield f"id: {row.idx}\nevent: {row.kind}\ndata: {row.record}\n\n".encode()
                if found:
                    left -= len(found)
                    continue
                try:
                    await asyncio.wait_for(event.wait(), QUIET_SECONDS)
                except TimeoutError:
                    yield b": nothing new\n\n"
        finally:
            with self._lock:
                self._waiting.pop(event, None)

    def _look(self, tenant_id: str, after: int, limit: int) -> Sequence[Record]:
        with self._reader.begin() as connection:
            return store.following(connection, tenant_id, after, limit)
