"""Context variables: what tasks and threads know about the call that they work for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def during(variable: ContextVar[T], value: T) -> Iterator[None]:
    """The time in which a context variable has this value."""
    before = variable.set(value)
    try:
        yield
    finally:
        variable.reset(before)
