"""What is known of the blocks of a log hides no record: whoever changes it is found, and it is made again."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from act.audit import hidden
from act.audit.blocks import BLOCK
from act.audit.soundness import examined
from act.audit.summaries import Summaries
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.changes import ChangeFeed
from act.database.clock import SystemClock
from act.database.engine import reading_engine, writing_engine
from act.database.soundness import looking
from tests.audit.old_records import write_old
from tests.in_process import InProcess
from tests.server.test_damage import ctl

TENANT = "default-tenant"
SIZE = 3 * BLOCK + 10
RARE = "agt_needle"


def fields(index: int) -> dict[str, Any]:
    return {
        "agentId": RARE if index == BLOCK + 7 else f"agt_{index % 5}",
        "requesterId": f"agt_{index % 3}" if index % 2 else None,
        "action": ("read", "write")[index % 2],
        "resourceId": f"api://a/{index % 50}" if index % 11 else None,
        "decision": "allowed",
        "requestId": f"req-{index}",
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a server that was stopped; of three blocks it is known what is in them."""
    folder = tmp_path_factory.mktemp("made")
    InProcess(folder).close()
    with writing(folder / "act.db") as writer:
        begin = writer.head(TENANT).size

        def fill(transaction: Transaction) -> None:
            for index in range(begin, SIZE):
                transaction.record(TENANT, "decision", fields(index))

        writer.write(fill)
    with served(folder / "act.db") as node:
        assert found(node) == [BLOCK + 7]
    return folder


@contextmanager
def writing(database: Path) -> Iterator[Writer]:
    """Writes while no server runs, and at the end makes what is kept for searches, as its sweeper does."""
    engine, reader, feed = writing_engine(database), reading_engine(database), ChangeFeed({})
    with engine.connect() as connection:
        feed.load(connection)
    writer = Writer(engine, feed, SystemClock())
    writer.start()
    yield writer
    Summaries(writer, reader).sweep([TENANT])
    writer.stop()
    reader.dispose()
    engine.dispose()


@pytest.fixture
def database(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy" / "act.db"


def found(node: InProcess) -> list[int]:
    """What a search for the rare agent finds."""
    page = node.api.get(f"/v1/audit?agent={RARE}&action=write")
    return [item["index"] for item in page["items"]]


def verdict(database: Path) -> tuple[bool, int | None, str]:
    with looking(database) as connection:
        finding = examined(connection, TENANT).finding
    return finding.ok, finding.bad_index, finding.message


def known(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM audit_blocks").fetchone()[0])


def change(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute(statement).rowcount >= 1
        connection.commit()


CHANGES: dict[str, tuple[str, int]] = {
    "zeroed": ("UPDATE audit_block_values SET marks = zeroblob(length(marks)) WHERE field = 'agent_id'", 0),
    "one taken out": (
        "UPDATE audit_block_values SET marks = substr(marks, 1, length(marks) - 4) "
        "WHERE field = 'agent_id' AND number = 1",
        1,
    ),
    "one field removed": ("DELETE FROM audit_block_values WHERE field = 'request_id' AND number = 2", 2),
    "under another name": ("UPDATE audit_block_values SET field = 'x' WHERE field = 'action' AND number = 1", 1),
    "as text": ("UPDATE audit_block_values SET marks = CAST(marks AS TEXT) WHERE field = 'kind'", 0),
    "a block removed": ("DELETE FROM audit_blocks WHERE number = 1", 1),
    "a later begin": ("UPDATE audit_blocks SET first_at = '2030-01-01T00:00:00Z' WHERE number = 1", 1),
    "an earlier end": ("UPDATE audit_blocks SET last_at = '2020-01-01T00:00:00Z' WHERE number = 2", 2),
    "no time": ("UPDATE audit_blocks SET last_at = x'00' WHERE number = 2", 2),
    "a block of records that come": ("UPDATE audit_blocks SET number = 1000 WHERE number = 2", 3),
}


def test_what_a_server_made_hides_nothing(database: Path) -> None:
    assert known(database) == 3
    assert verdict(database) == (True, None, f"{SIZE} records verified.")


@pytest.mark.parametrize("how", list(CHANGES))
def test_what_hides_a_record_is_found_and_mended(database: Path, how: str) -> None:
    statement, block = CHANGES[how]
    change(database, statement)
    ok, index, message = verdict(database)
    assert (ok, index) == (False, block * BLOCK)
    assert "searches pass over" in message
    assert "actctl doctor --deep --mend" in message
    assert hidden.mend(database) == [TENANT]
    assert (verdict(database)[0], known(database)) == (True, 0)
    assert hidden.mend(database) == []


def test_more_than_there_is_hides_nothing(database: Path) -> None:
    change(
        database, "UPDATE audit_block_values SET marks = CAST(marks || x'00000001' AS BLOB) WHERE field = 'agent_id'"
    )
    assert verdict(database)[0]


def test_a_block_whose_first_records_are_in_an_archive(tmp_path: Path) -> None:
    """It says more than is in it now, and the one before it is not known any more."""
    database, now = tmp_path / "act.db", datetime.now(UTC)
    InProcess(tmp_path, now - timedelta(days=30)).close()
    with writing(database) as writer:
        write_old(writer, 1400)
        write_old(writer, 800, days=1)
    assert known(database) == 2
    node = InProcess(tmp_path, now)
    assert node.api.post("/v1/audit/archives", {"olderThan": 10 * 86400})["archive"]["end"] == 1280
    node.node.archives.remove()
    node.close()
    assert (known(database), verdict(database)[0]) == (1, True)
    change(database, "UPDATE audit_block_values SET marks = zeroblob(4) WHERE field = 'action'")
    assert verdict(database)[:2] == (False, BLOCK)


def test_the_command_that_is_named(database: Path) -> None:
    """It finds and mends; the server makes it again, and searches find the record at every moment."""
    change(database, CHANGES["zeroed"][0])
    with served(database) as node:
        assert found(node) == [], "or nothing was hidden"
        running = ctl("doctor", "--deep", "--mend", "--database", f"sqlite:///{database}")
        assert "Stop it first" in running.stderr
    before = database.read_bytes()
    url = f"sqlite:///{database}"
    told = ctl("doctor", "--deep", "--database", url)
    assert (told.returncode, database.read_bytes() == before) == (1, True)
    assert "searches pass over" in told.stdout
    assert ctl("audit", "verify", "--database", url).returncode == 1
    mended = ctl("doctor", "--deep", "--mend", "--database", url)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert f"searches of the log of '{TENANT}'" in mended.stderr
    with served(database) as node:
        assert found(node) == [BLOCK + 7]
    with writing(database):
        pass
    with served(database) as node:
        assert found(node) == [BLOCK + 7]
    assert (known(database), verdict(database)[0]) == (3, True)
    assert "hides a record" in ctl("doctor", "--deep", "--mend", "--database", url).stderr
    assert "--mend needs --deep" in ctl("doctor", "--mend").stderr


@contextmanager
def served(database: Path) -> Iterator[InProcess]:
    node = InProcess(database.parent)
    try:
        yield node
    finally:
        node.close()
