"""Finding records, a bounded piece of work at a time: in ten million of them as in ten thousand.

A page that looked through as much as one page may is short, or even empty, and says where the next one goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from act.audit import block_store, store
from act.audit.blocks import BLOCK, mark, mark_of_pattern
from act.audit.store import Filter, Order, Record
from act.problems import ProblemError

SCANNED: Final = 16
"""Blocks whose records one page looks through."""
LOOKED: Final = 8192
"""Blocks of which one page asks whether they can have what is looked for."""
SOFT_SECONDS: Final = 0.25
"""After so long a page ends with what it has."""
PAUSE: Final = 0.01
"""The most seconds of rest after a block that was looked through."""
HARD_SECONDS: Final = 5.0
"""After so long a query is given up."""
_STEPS: Final = 20_000
"""Of SQLite's machine, between two looks at the clock."""

Span = tuple[int, int]
"""Indexes from the first to the last, exclusive."""


@dataclass(frozen=True, slots=True)
class Found:
    """`after` is where the next page goes on, as an index that it begins after in its order; None at the end."""

    rows: Sequence[Record]
    after: int | None


def search(connection: Connection, tenant_id: str, wanted: Filter, within: Span, limit: int, order: Order) -> Found:
    """At most `limit` records among those of `within` that match, in order.

    Raises:
        ProblemError: 503; the database took too long.
    """
    with _in_time(connection):
        spans, rest = _spans(connection, tenant_id, wanted, within, limit, order)
        rows: list[Record] = []
        until = time.monotonic() + SOFT_SECONDS
        for begin, end in spans:
            began, left = time.monotonic(), limit + 1 - len(rows)
            rows += store.search(connection, tenant_id, wanted, None, left, order, (begin, end))
            if len(rows) > limit:
                return Found(rows[:limit], rows[limit - 1].idx)
            if (begin, end) == spans[-1]:
                break
            if time.monotonic() > until:
                rest = _after(begin, end, order)
                break
            # Half of one processor at most: a search can wait, a decision cannot.
            time.sleep(min(PAUSE, time.monotonic() - began))
        return Found(rows, rest)


def _spans(
    connection: Connection, tenant_id: str, wanted: Filter, within: Span, limit: int, order: Order
) -> tuple[list[Span], int | None]:
    """What one page looks through, in its order, and where the next one goes on."""
    if within[0] >= within[1]:
        return [], None
    if wanted == Filter():
        return [within], None
    if wanted.indexed:
        return _by_index(connection, tenant_id, wanted, within, order)
    return _by_blocks(connection, tenant_id, wanted, within, order)


def _by_index(
    connection: Connection, tenant_id: str, wanted: Filter, within: Span, order: Order
) -> tuple[list[Span], int | None]:
    last = store.reached(connection, tenant_id, wanted.only_indexed(), SCANNED * BLOCK, order, within)
    if last is None:
        return [within], None
    return [(last, within[1]) if order == "desc" else (within[0], last + 1)], last


def _by_blocks(
    connection: Connection, tenant_id: str, wanted: Filter, within: Span, order: Order
) -> tuple[list[Span], int | None]:
    begin, end = within
    newest_first = order == "desc"
    known = max(begin, min(end, block_store.known_until(connection, tenant_id)))
    unknown = _cut((known, end), newest_first=newest_first)
    if newest_first and len(unknown) > SCANNED:
        spans = unknown[:SCANNED]
        return spans, _after(*spans[-1], order)
    spans = unknown if newest_first else []
    first, last = begin // BLOCK, -(-known // BLOCK)
    if begin < known:
        low = max(first, last - LOOKED) if newest_first else first
        high = last if newest_first else min(last, first + LOOKED)
        room = SCANNED - len(spans)
        numbers = block_store.candidates(
            connection, tenant_id, _marks(wanted), wanted.since, wanted.until, low, high, room + 1,
            newest_first=newest_first,
        )  # fmt: skip
        spans = spans + [(max(begin, n * BLOCK), min(known, (n + 1) * BLOCK)) for n in numbers[:room]]
        if len(numbers) > room:
            return spans, _after(*spans[-1], order)
        if newest_first and low > first:
            return spans, low * BLOCK
        if not newest_first and high < last:
            return spans, high * BLOCK - 1
    if newest_first:
        return spans, None
    spans = spans + unknown
    if len(spans) > SCANNED:
        spans = spans[:SCANNED]
        return spans, _after(*spans[-1], order)
    return spans, None


def _cut(span: Span, *, newest_first: bool) -> list[Span]:
    """A span in pieces of at most a block, in the order in which they are looked through; a few more than one page."""
    begin, end = span
    pieces: list[Span] = []
    while begin < end and len(pieces) <= SCANNED:
        if newest_first:
            pieces.append((max(begin, end - BLOCK), end))
            end -= BLOCK
        else:
            pieces.append((begin, min(end, begin + BLOCK)))
            begin += BLOCK
    return pieces


def _after(begin: int, end: int, order: Order) -> int:
    """The index after which a page goes on that has looked through a span."""
    return begin if order == "desc" else end - 1


def _marks(wanted: Filter) -> dict[str, bytes]:
    exact = {
        "kind": wanted.kind,
        "decision": wanted.decision,
        "reason_code": wanted.reason_code,
        "action": wanted.action,
        "agent_id": wanted.agent,
        "requester_id": wanted.requester,
        "request_id": wanted.request_id,
    }
    found = {name: mark(value) for name, value in exact.items() if value is not None}
    if wanted.resource is not None and (resource := mark_of_pattern(wanted.resource)) is not None:
        found["resource_id"] = resource
    return found


@contextmanager
def _in_time(connection: Connection) -> Iterator[None]:
    """Have SQLite give up what takes too long.

    Raises:
        ProblemError: 503, it did.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    until = time.monotonic() + HARD_SECONDS
    driver.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        yield
    except OperationalError as error:
        if "interrupted" not in str(error.orig):
            raise
        detail = f"The search took more than {HARD_SECONDS:.0f} seconds and was given up; narrow it, or try again."
        raise ProblemError(503, "search_too_long", "Search too long", detail, headers={"Retry-After": "5"}) from None
    finally:
        driver.set_progress_handler(None, 0)
