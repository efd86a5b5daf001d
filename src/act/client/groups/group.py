"""What the groups have in common: how their calls are sent, and how a list goes on from page to page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

from act.client.call import Call
from act.client.errors import UnexpectedAnswer
from act.client.transport import AsyncTransport, SyncTransport
from act.models import Page

T = TypeVar("T")


class Group:
    """A group of `Act`. Its methods raise the `ActError` of their status, and `ValueError` for what cannot be sent."""

    def __init__(self, transport: SyncTransport) -> None:
        self._transport = transport
        self._send = transport.send

    def _all(self, page_at: Callable[[str | None], Call[Page[T]]]) -> Iterator[T]:
        cursor: str | None = None
        while True:
            page = self._send(page_at(cursor))
            yield from page.items
            cursor = _following(page, cursor)
            if cursor is None:
                return


class AsyncGroup:
    """A group of `AsyncAct`: as the one of `Act`, to be awaited; lists are asynchronous iterators."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport
        self._send = transport.send

    async def _all(self, page_at: Callable[[str | None], Call[Page[T]]]) -> AsyncIterator[T]:
        cursor: str | None = None
        while True:
            page = await self._send(page_at(cursor))
            for item in page.items:
                yield item
            cursor = _following(page, cursor)
            if cursor is None:
                return


def _following(page: Page[Any], cursor: str | None) -> str | None:
    """The cursor of the page after `page`, which was read at `cursor`; None after the last."""
    if not page.has_more:
        return None
    if page.next_cursor is None or page.next_cursor == cursor:
        raise UnexpectedAnswer("The server says that the list goes on and does not say where.")
    return page.next_cursor
