"""Which guard the running code acts under: a context variable, so threads and tasks never share one by accident.

A new thread starts without a guard. A new asyncio task starts with its creator's, and what it binds stays its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from act.client.guard import AsyncGuard, Guard

G = TypeVar("G", "Guard", "AsyncGuard")

_bound: ContextVar[Guard | AsyncGuard | None] = ContextVar("act_guard", default=None)


def current_guard() -> Guard | AsyncGuard | None:
    """The guard bound innermost in this thread or task, or None."""
    return _bound.get()


@contextmanager
def bound(guard: G) -> Iterator[G]:
    """Bind `guard` for the block; afterwards the one before it is back."""
    before = _bound.set(guard)
    try:
        yield guard
    finally:
        _bound.reset(before)
