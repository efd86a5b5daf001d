"""Leases and counters as rows: the durable side of what is limited."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select
from sqlalchemy.dialects.sqlite import insert as insert_or

from act.database.tables import counters, leases, microseconds, nodes
from act.limits.counters import SLOTS, Series, Spend
from act.limits.leases import Wanted

FOREVER = 0
"""The slot of a count that does not end with time."""

REMEMBERED = timedelta(hours=1)
"""How much longer than its last token a total is kept, so that a clock that is set back finds it."""

MAX_VARIABLES = 500


def lease(decision_id: str, token_id: str, wanted: Wanted, taken_at: datetime) -> dict[str, Any]:
    """A lease as a row."""
    key = wanted.key
    return {
        "decision_id": decision_id,
        "tenant_id": key.tenant_id,
        "policy_id": key.policy_id,
        "agent_id": key.agent_id,
        "token_id": token_id,
        "taken_at": taken_at,
        "expires_at": taken_at + timedelta(seconds=wanted.seconds),
    }


def add_leases(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    connection.execute(insert(leases), rows)


def end(connection: Connection, decision_id: str) -> int:
    """Delete the leases of a decision; how many there were."""
    return connection.execute(delete(leases).where(leases.c.decision_id == decision_id)).rowcount


def of_decision(connection: Connection, decision_id: str) -> Row[Any] | None:
    return connection.execute(select(leases).where(leases.c.decision_id == decision_id)).first()


def all_leases(connection: Connection) -> Sequence[Row[Any]]:
    return connection.execute(select(leases)).all()


# A count is added to what is there, so that it does not matter which commit comes first.
_more = insert_or(counters)
_add = _more.on_conflict_do_update(
    index_elements=["tenant_id", "policy_id", "name", "holder", "slot"],
    set_={"amount": counters.c.amount + _more.excluded.amount},
)


def add_counts(connection: Connection, spent: Sequence[tuple[Sequence[Spend], datetime]]) -> None:
    """Add to the counters, each with the wall-clock moment at which it was spent."""
    sums: dict[tuple[Series, str, int], dict[str, Any]] = {}
    for spends, at in spent:
        moment = at.timestamp()
        for spend in spends:
            series, holder, _, amount, _ = spend
            seconds = series.seconds
            slot = FOREVER if seconds is None else int(moment * SLOTS / seconds)
            row = sums.get((series, holder, slot))
            if row is not None:
                row["amount"] += amount
            elif amount:
                sums[series, holder, slot] = _count(spend, slot, at)
    if sums:
        connection.execute(_add, list(sums.values()))


def _count(spend: Spend, slot: int, at: datetime) -> dict[str, Any]:
    """A count as a row."""
    tenant_id, policy_id, name, seconds = spend.series
    return {
        "tenant_id": tenant_id,
        "policy_id": policy_id,
        "name": name,
        "holder": spend.holder,
        "slot": slot,
        "amount": spend.amount,
        "seconds": seconds,
        "expires_at": None if seconds is None else at + timedelta(seconds=seconds * (SLOTS + 1) / SLOTS),
    }


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
