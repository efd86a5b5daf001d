"""Pages of a list: an opaque cursor that holds the last key of the page before."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from act.models import Answer, Page
from act.problems import ProblemError, unprocessable
from act.strict_json import Fault

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_DIGITS = 15

Row = TypeVar("Row")
Item = TypeVar("Item", bound=Answer)


def read_cursor(cursor: str | None) -> str:
    """The key that a page starts after; empty for the first page.

    Raises:
        ProblemError: 422, the cursor is not one of ours.
    """
    if cursor is None:
        return ""
    try:
        key = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("utf-8")
    except (UnicodeError, binascii.Error, ValueError):
        raise _not_ours() from None
    if _written(key) != cursor:  # the decoder passes over what it does not know
        raise _not_ours()
    return key


def read_number_cursor(cursor: str | None) -> int | None:
    """`read_cursor` for a list whose key is a number; None for the first page."""
    key = read_cursor(cursor)
    if not key:
        return None
    if not (key.isascii() and key.isdigit() and len(key) <= MAX_DIGITS):
        raise _not_ours()
    return int(key)


def _written(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _not_ours() -> ProblemError:
    return unprocessable([Fault("/cursor", "Send the nextCursor of the page before, unchanged.")])


def cut_page(rows: Sequence[Row], next_key: str | None, make: Callable[[Row], Item]) -> Page[Item]:
    """A page of rows; the next one comes after `next_key`, and there is none without it."""
    cursor = None if next_key is None else _written(next_key)
    return Page(items=[make(row) for row in rows], has_more=cursor is not None, next_cursor=cursor)


def page(rows: Sequence[Row], limit: int, key: Callable[[Row], str], make: Callable[[Row], Item]) -> Page[Item]:
    """A page of at most `limit` items out of rows of which one more than `limit` was asked for."""
    more = len(rows) > limit
    shown = rows[:limit]
    return cut_page(shown, key(shown[-1]) if more else None, make)
