"""Sessions in memory follow the rows, and are dropped only when no token can lead to them any more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, insert, update

from act.database.tables import Moment, metadata, nodes, tenants
from act.sessions import store
from act.sessions.live import REMEMBERED, LiveSessions
from act.sessions.session import EMPTY, Session

NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)
READ = Session(frozenset({"untrusted"}), ("file://a",))


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        raise NotImplementedError


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.begin() as connection:
        for tenant_id in ("t1", "t2"):
            row = {"id": tenant_id, "name": tenant_id, "created_at": NOW, "max_token_ttl": 1, "default_token_ttl": 1}
            connection.execute(insert(tenants).values(row | _unset(tenants, row)))
        yield connection
    engine.dispose()


def _unset(table: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Values for the columns that are not of interest here."""
    values = {"INTEGER": 0, "BOOLEAN": False, "JSON": [], "VARCHAR": "x"}
    return {
        column.name: NOW if isinstance(column.type, Moment) else values[str(column.type)]
        for column in table.columns
        if column.name not in row and not column.nullable
    }


def _node(connection: Connection, id: str, expires_at: datetime, renew_until: datetime | None = None) -> None:
    row = {"id": id, "tenant_id": "t1", "expires_at": expires_at, "renew_until": renew_until or expires_at}
    connection.execute(insert(nodes).values(row | _unset(nodes, row)))


def _loaded(connection: Connection, clock: Any) -> LiveSessions:
    live = LiveSessions(clock)
    live.load(connection)
    return live


def test_what_was_never_reported_is_empty(connection: Connection, clock: Hand) -> None:
    assert _loaded(connection, clock).get("t1", "task:1") is EMPTY


def test_it_loads_and_follows(connection: Connection, clock: Hand) -> None:
    store.add(connection, "t1", "task:1", READ, NOW)
    live = _loaded(connection, clock)
    assert live.get("t1", "task:1") == READ
    more = Session(READ.labels | {"pii"}, (*READ.created, "file://b"))
    store.replace(connection, "t1", "task:1", more, NOW)
    store.add(connection, "t1", "task:2", READ, NOW)
    assert live.get("t1", "task:1") == READ
    live.apply(connection, "t1", ["task:1", "task:2"])
    assert (live.get("t1", "task:1"), live.get("t1", "task:2")) == (more, READ)


def test_equal_small_sessions_are_one_value(connection: Connection, clock: Hand) -> None:
    """Most have the default labels alone, and there are many."""
    small, big = Session(frozenset({"untrusted"})), Session(frozenset(map(str, range(20))))
    for number in range(3):
        store.add(connection, "t1", f"task:{number}", small, NOW)
        store.add(connection, "t1", f"big:{number}", big, NOW)
        store.add(connection, "t2", f"task:{number}", small, NOW)
    store.add(connection, "t1", "task:made", READ, NOW)
    live = _loaded(connection, clock)
    assert len({id(live.get(tenant, f"task:{number}")) for tenant in ("t1", "t2") for number in range(3)}) == 1
    assert len({id(live.get("t1", f"big:{number}")) for number in range(3)}) == 3
    assert live.get("t1", "task:made") == READ
    store.replace(connection, "t1", "task:0", READ, NOW)
    live.apply(connection, "t1", ["task:0"])
    assert [live.get("t1", f"task:{number}") for number in range(3)] == [READ, small, small]


def test_tenants_share_nothing(connection: Connection, clock: Hand) -> None:
    store.add(connection, "t1", "task:1", READ, NOW)
    live = _loaded(connection, clock)
    assert live.get("t2", "task:1") is EMPTY
    store.add(connection, "t2", "task:1", Session(frozenset({"other"})), NOW)
    live.apply(connection, "t2", ["task:1"])
    assert live.get("t1", "task:1") == READ


def _both(connection: Connection, live: LiveSessions, clock: Any, key: str) -> tuple[Session, Session]:
    """What is in memory after a sweep, and after a restart."""
    live.forget_ended(connection)
    return live.get("t1", key), _loaded(connection, clock).get("t1", key)


def test_the_session_of_a_node_is_dropped_after_the_node(connection: Connection, clock: Hand) -> None:
    _node(connection, "nod_1", NOW + HOUR)
    store.add(connection, "t1", "node:nod_1", READ, NOW)
    live = _loaded(connection, clock)
    clock.at = NOW + HOUR + REMEMBERED - timedelta(microseconds=1)
    assert _both(connection, live, clock, "node:nod_1") == (READ, READ)
    clock.at = NOW + HOUR + REMEMBERED
    assert _both(connection, live, clock, "node:nod_1") == (EMPTY, EMPTY)


def test_as_long_as_the_node_can_be_renewed_its_session_stays(connection: Connection, clock: Hand) -> None:
    _node(connection, "nod_1", NOW + HOUR, NOW + 9 * HOUR)
    store.add(connection, "t1", "node:nod_1", READ, NOW)
    live = _loaded(connection, clock)
    clock.at = NOW + 9 * HOUR
    assert _both(connection, live, clock, "node:nod_1") == (READ, READ)
    clock.at = NOW + 9 * HOUR + REMEMBERED
    assert _both(connection, live, clock, "node:nod_1") == (EMPTY, EMPTY)


def test_a_node_that_was_renewed_keeps_its_session(connection: Connection, clock: Hand) -> None:
    """Nothing tells sessions of a rotation: what is in the table counts, and not what was known at first."""
    _node(connection, "nod_1", NOW + HOUR)
    store.add(connection, "t1", "node:nod_1", READ, NOW)
    live = _loaded(connection, clock)
    connection.execute(update(nodes).values(expires_at=NOW + 5 * HOUR))
    clock.at = NOW + 4 * HOUR
    assert _both(connection, live, clock, "node:nod_1") == (READ, READ)
    clock.at = NOW + 5 * HOUR + REMEMBERED
    assert _both(connection, live, clock, "node:nod_1") == (EMPTY, EMPTY)


@pytest.mark.parametrize("key", ["task:1", "task:nod_1", "node:nod_unknown"])
def test_what_may_come_back_stays_for_ever(connection: Connection, clock: Hand, key: str) -> None:
    """A task may be given to a new token at any time, and may be named as a node is."""
    _node(connection, "nod_1", NOW)
    store.add(connection, "t1", key, READ, NOW)
    live = _loaded(connection, clock)
    clock.at = NOW + timedelta(days=4000)
    assert _both(connection, live, clock, key) == (READ, READ)


def test_many_are_dropped_in_steps(connection: Connection, clock: Hand) -> None:
    for number in range(1200):
        _node(connection, f"nod_{number}", NOW)
        store.add(connection, "t1", f"node:nod_{number}", READ, NOW)
    live = _loaded(connection, clock)
    clock.at = NOW + REMEMBERED
    left = []
    for _ in range(4):
        left.append(len(live._sessions))
        live.forget_ended(connection)
    assert left == [1200, 700, 200, 0]
    assert not live._until
