"""Counts of one commit as rows: each counter once, with the sum; and added to what is there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert

from act.database.engine import writing_engine
from act.database.migrate import migrate
from act.database.session import WriteSession
from act.database.tables import tenants
from act.limits import store
from act.limits.counters import SLOTS, Room, Series, Spend

MINUTE = Series("t", "p", "rate:60", 60)
FOREVER = Series("t", "p", "quota", None)
AT = datetime(2026, 11, 22, 18, tzinfo=UTC)
HOLDERS = 151
"""Of each two rows: as many as several statements take, of 256, 32, 8, 4 and 2."""


def room(series: Series, holder: str, amount: int) -> Room:
    return Room(Spend(series, holder, 100, amount), 0, None)


def test_one_commit_of_many_and_a_second(tmp_path: Path) -> None:
    engine = writing_engine(tmp_path / "act.db")
    migrate(engine)
    holders = [f"h{number}" for number in range(HOLDERS)]
    # Two decisions on each of them in the same slot, the second of which takes nothing that the first has not taken.
    taken = [([room(MINUTE, holder, at), room(FOREVER, holder, 2)], AT) for holder in holders for at in (1, 3)]
    nothing = ([room(MINUTE, "idle", 0)], AT)
    with engine.begin() as connection:
        values = {"id": "t", "name": "t", "max_token_ttl": 1, "default_token_ttl": 1, "created_at": AT}
        connection.execute(insert(tenants).values(values))
    with WriteSession(engine) as session:
        store.add_counts(session.driver, [*taken, nothing])
    with WriteSession(engine) as session:
        store.add_counts(session.driver, taken[:10])
        store.add_counts(session.driver, [([room(MINUTE, "h0", 7)], AT + timedelta(seconds=60))])
    with engine.connect() as connection:
        rows = store.all_counts(connection)
    found = {(row.name, row.holder, row.slot): (row.amount, row.seconds, row.expires_at) for row in rows}
    slot, until = int(AT.timestamp() * SLOTS / 60), AT + timedelta(seconds=60 * (SLOTS + 1) / SLOTS)
    expected: dict[tuple[str, str, int], tuple[int, int | None, datetime | None]] = {}
    for number, holder in enumerate(holders):
        times = 2 if number < 5 else 1
        expected["rate:60", holder, slot] = 4 * times, 60, until
        expected["quota", holder, store.FOREVER] = 4 * times, None, None
    expected["rate:60", "h0", slot + SLOTS] = 7, 60, until + timedelta(seconds=60)
    assert found == expected
    engine.dispose()
