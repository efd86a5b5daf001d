"""Leases and counters as rows: the durable side of what is limited."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from act.database.many import Insert
from act.database.tables import counters, leases, microseconds, nodes
from act.limits.counters import SLOTS, Room, Series
from act.limits.leases import Wanted

FOREVER = 0
"""The slot of a count that does not end with time."""

REMEMBERED = timedelta(hours=1)
"""How much longer than its last token a total is kept, so that a clock that is set back finds it."""

MAX_VARIABLES = 500


_LEASE = ("decision_id", "tenant_id", "policy_id", "agent_id", "token_id", "taken_at", "expires_at")
_COUNT = ("tenant_id", "policy_id", "name", "holder", "slot", "amount", "seconds", "expires_at")
# A count is added to what is there, so that it does not matter which commit comes first.
_ADDED = "ON CONFLICT (tenant_id, policy_id, name, holder, slot) DO UPDATE SET amount = amount + excluded.amount"

add_leases = Insert("leases", _LEASE)
_add_counts = Insert("counters", _COUNT, _ADDED)


def lease(decision_id: str, token_id: str, wanted: Wanted, taken_at: datetime) -> tuple[Any, ...]:
    """A lease as a row."""
    tenant_id, policy_id, agent_id = wanted.key.tenant_id, wanted.key.policy_id, wanted.key.agent_id
    until = taken_at + timedelta(seconds=wanted.seconds)
    return decision_id, tenant_id, policy_id, agent_id, token_id, microseconds(taken_at), microseconds(until)


def end(driver: sqlite3.Connection, decision_id: str) -> None:
    """Delete the leases of a decision."""
    driver.execute("DELETE FROM leases WHERE decision_id = ?", (decision_id,))


def of_decision(connection: Connection, decision_id: str) -> Row[Any] | None:
    return connection.execute(select(leases).where(leases.c.decision_id == decision_id)).first()


def all_leases(connection: Connection) -> Sequence[Row[Any]]:
    return connection.execute(select(leases)).all()


def add_counts(driver: sqlite3.Connection, taken: Sequence[tuple[Sequence[Room], datetime]]) -> None:
    """Add to the counters what was taken, each with the wall-clock moment at which it was."""
    sums: dict[tuple[Series, str, int], int] = {}
    firsts: dict[tuple[Series, str, int], datetime] = {}
    for rooms, at in taken:
        moment = at.timestamp()
        for spend, _, _, _ in rooms:
            series, holder, _, amount, _ = spend
            seconds = series[3]
            key = (series, holder, FOREVER if seconds is None else int(moment * SLOTS / seconds))
            if key in sums:
                sums[key] += amount
            elif amount:
                sums[key] = amount
                firsts[key] = at
    _add_counts(driver, [_count(*key, amount, firsts[key]) for key, amount in sums.items()])


def _count(series: Series, holder: str, slot: int, amount: int, at: datetime) -> tuple[Any, ...]:
    """A count as a row."""
    tenant_id, policy_id, name, seconds = series
    until = None if seconds is None else microseconds(at + timedelta(seconds=seconds * (SLOTS + 1) / SLOTS))
    return tenant_id, policy_id, name, holder, slot, amount, seconds, until


def all_counts(connection: Connection) -> Sequence[Row[Any]]:
    return connection.execute(select(counters)).all()


def forget(connection: Connection, *, now: datetime, ended: Sequence[tuple[Series, str]]) -> list[tuple[Series, str]]:
    """Delete what is counted no more: what time has ended, with as much time again in case the clock was put forward,
    and of the totals `ended` those whose tokens are over by `now`. Answers these.
    """
    over = counters.c.expires_at + counters.c.seconds * 1_000_000 < microseconds(now)
    connection.execute(delete(counters).where(counters.c.seconds.is_not(None), over))
    living = _living(connection, {holder for _, holder in ended}, now - REMEMBERED)
    gone = [(series, holder) for series, holder in ended if holder not in living]
    for (tenant_id, policy_id, name, _), holder in gone:
        at = (counters.c.tenant_id == tenant_id) & (counters.c.policy_id == policy_id) & (counters.c.name == name)
        connection.execute(delete(counters).where(at, counters.c.holder == holder))
    return gone


def _living(connection: Connection, families: Iterable[str], since: datetime) -> set[str]:
    """Those of which a token was good after `since`."""
    found, left = set[str](), iter(families)
    while part := list(islice(left, MAX_VARIABLES)):
        query = select(nodes.c.id).where(nodes.c.id.in_(part), nodes.c.expires_at > since)
        found.update(connection.execute(query).scalars())
    return found
