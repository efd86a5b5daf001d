"""What belongs to one turn of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Generic, TypeVar

T = TypeVar("T")


def tellable(error: BaseException) -> Exception:
    """An error in a form in which one who waits can be told, and nobody else is hurt.

    A future refuses `StopIteration`; what is no `Exception`, such as a panic in a library, would end a thread.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    told = RuntimeError(f"{type(error).__name__}: {error}")
    told.__cause__ = error
    return told


class Turn(Generic[T]):
    """Takes what comes within one turn of the event loop, and hands it on together when the turn is over.

    A step that is done for many in a row finds its code and its data in the processor's caches; one that takes turns
    with all other steps does not (ADR 20). Belongs to one event loop.
    """

    def __init__(self, then: Callable[[list[T]], None]) -> None:
        self._then = then
        self._items: list[T] = []

    def add(self, item: T) -> None:
        """To be called on the event loop."""
        if not self._items:
            # In a context of nobody: the first one's is no business of the others.
            asyncio.get_running_loop().call_soon(self._end, context=Context())
        self._items.append(item)

    def _end(self) -> None:
        items, self._items = self._items, []
        self._then(items)
