"""Pages of a list: an opaque cursor that holds the last key of the page before."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from act.models import Answer, Page
from act.problems import ProblemError, unprocessable
from act.strict_json import Fault

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_DIGITS = 15
_ID: Final = re.compile("[A-Za-z0-9._:-]{1,128}")
_NUMBER: Final = re.compile(f"0|[1-9][0-9]{{0,{MAX_DIGITS - 1}}}")

Row = TypeVar("Row")
Item = TypeVar("Item", bound=Answer)


def read_cursor(cursor: str | None) -> str:
    """The id that a page starts after; empty for the first page.

    Raises:
        ProblemError: 422, the cursor is not one of ours.
    """
    return "" if cursor is None else _read(cursor, _ID)


def read_number_cursor(cursor: str | None) -> int | None:
    """`read_cursor` for a list whose key is a number; None for the first page."""
    return None if cursor is None else int(_read(cursor, _NUMBER))


def _read(cursor: str, form: re.Pattern[str]) -> str:
    try:
        key = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("utf-8")
    except (UnicodeError, binascii.Error, ValueError):
        raise not_ours() from None
    if _written(key) != cursor or not form.fullmatch(key):  # the decoder passes over what it does not know
        raise not_ours()
    return key


def _written(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def not_ours() -> ProblemError:
    """A cursor that no page has told."""
    return unprocessable([Fault("/cursor", "Send the nextCursor of the page before, unchanged.")], of="query")


def cut_page(rows: Sequence[Row], next_key: str | None, make: Callable[[Row], Item]) -> Page[Item]:
    """A page of rows; the next one comes after `next_key`, and there is none without it."""
    cursor = None if next_key is None else _written(next_key)
    return Page(items=[make(row) for row in rows], has_more=cursor is not None, next_cursor=cursor)


def page(rows: Sequence[Row], limit: int, key: Callable[[Row], str], make: Callable[[Row], Item]) -> Page[Item]:
    """A page of at most `limit` items out of rows of which one more than `limit` was asked for."""
    more = len(rows) > limit
    shown = rows[:limit]
    return cut_page(shown, key(shown[-1]) if more else None, make)
