"""Pages of a list: an opaque cursor that holds the last key of the page before."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from act.models import Answer, Page
from act.problems import unprocessable
from act.strict_json import Fault

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

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
        return base64.urlsafe_b64decode(cursor.encode("ascii")).decode("utf-8")
    except (UnicodeError, binascii.Error, ValueError):
        message = "Send the nextCursor of the page before, unchanged."
        raise unprocessable([Fault("/cursor", message)]) from None


def page(rows: Sequence[Row], limit: int, key: Callable[[Row], str], make: Callable[[Row], Item]) -> Page[Item]:
    """A page of at most `limit` items out of rows of which one more than `limit` was asked for."""
    more = len(rows) > limit
    shown = rows[:limit]
    cursor = base64.urlsafe_b64encode(key(shown[-1]).encode()).decode() if more else None
    return Page(items=[make(row) for row in shown], has_more=more, next_cursor=cursor)
