"""Which guard the running code acts under: a context variable, so threads and tasks never share one by accident.

- A new thread starts without a guard. A new asyncio task starts with its creator's, and what it binds stays its own.
- Of several blocks the one entered last counts. A block takes back its own guard and no other, also when blocks end in
  another order than that of a stack: generators can do that, and a task can end a block that another one has begun.
- A generator shares the context of whoever draws from it. What it binds around a `yield` is bound for them too: bind
  inside of what one `next()` runs, or hand the guard over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from act.client.async_guard import AsyncGuard
    from act.client.guard import Guard

G = TypeVar("G", "Guard", "AsyncGuard")


class _Block:
    """One `with guard.bind()`. Compared by identity: the same guard may be bound twice."""

    __slots__ = ("guard",)

    def __init__(self, guard: Guard | AsyncGuard) -> None:
        self.guard = guard


_blocks: ContextVar[tuple[_Block, ...]] = ContextVar("act_guards", default=())


def current_guard() -> Guard | AsyncGuard | None:
    """The guard bound innermost in this thread or task, or None."""
    blocks = _blocks.get()
    return blocks[-1].guard if blocks else None


@contextmanager
def bound(guard: G) -> Iterator[G]:
    """Bind `guard` for the block; afterwards the one before it is back."""
    block = _Block(guard)
    _blocks.set((*_blocks.get(), block))
    try:
        yield guard
    finally:
        _blocks.set(tuple(other for other in _blocks.get() if other is not block))
