"""Records that are taken away as an archive would take them are missed: only what the log tells of may be gone."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from act.audit.soundness import examined
from act.database.soundness import looking
from tests.audit.old_records import TENANT, write_old
from tests.in_process import InProcess
from tests.server.test_damage import ctl

DAY = 86_400
ROW = "INSERT INTO audit_archives SELECT"
TAKE_AWAY = f"""
    INSERT INTO audit_tiles VALUES ('{TENANT}', 3, x'');
    DELETE FROM audit_records WHERE idx BETWEEN 768 AND 1023;
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three archives, of which the last one has the announcements of the others, and what came later."""
    folder, now = tmp_path_factory.mktemp("made"), datetime.now(UTC)
    node = InProcess(folder, now - timedelta(days=30))
    node.clock.move(30 * DAY)
    for days in (20, 15):
        write_old(node.node._writer, 300, days)
    for older_than in (18, 13):
        assert node.api.post("/v1/audit/archives", {"olderThan": older_than * DAY})["archive"]
    write_old(node.node._writer, 300, 3)
    node.clock.move(20 * DAY)
    assert node.api.post("/v1/audit/archives", {"olderThan": 10 * DAY})["archive"]["end"] == 768
    write_old(node.node._writer, 300, 1)
    node.node.archives.remove()
    node.close()
    return folder


@pytest.fixture
def database(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy" / "act.db"


def change(database: Path, script: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        hashes = connection.execute("SELECT leaf_hash FROM audit_records WHERE idx BETWEEN 768 AND 1023 ORDER BY idx")
        tile = b"".join(row[0] for row in hashes)
        connection.executescript(script)
        connection.execute("UPDATE audit_tiles SET hashes = ? WHERE hashes = x''", [tile])
        connection.commit()


def verdict(database: Path) -> tuple[bool, int | None, str]:
    with looking(database) as connection:
        found = examined(connection, TENANT).finding
    return found.ok, found.bad_index, found.message


def test_what_was_archived_is_told_of(database: Path) -> None:
    assert verdict(database)[0]


CHANGES = {
    "records taken away": (TAKE_AWAY, 512),  # what tells of the last archive is among them
    "records taken away, with a row": (
        f"{TAKE_AWAY} {ROW} tenant_id, 768, 1024, 1024, file, bytes, sha256, root_hash, first_at, last_at, sealed_at"
        " FROM audit_archives WHERE first = 512",
        768,
    ),
    "a row alone, so that searches pass over": (
        f"{ROW} tenant_id, 768, 900, 768, 'x', 1, 'x', 'x', first_at, last_at, sealed_at FROM audit_archives"
        " WHERE first = 512",
        768,
    ),
    "a longer archive": ('UPDATE audit_archives SET "end" = 800 WHERE first = 512', 512),
    "a shorter archive": ('UPDATE audit_archives SET "end" = 700 WHERE first = 512', 512),
    "another file": ("UPDATE audit_archives SET file = 'other' WHERE first = 512", 512),
    "another hash": ("UPDATE audit_archives SET sha256 = 'other' WHERE first = 512", 512),
    "a row that is gone": ("DELETE FROM audit_archives WHERE first = 512", 256),
    "no rows": ("DELETE FROM audit_archives", 0),
    "a hole between archives": ("DELETE FROM audit_archives WHERE first = 256", 256),
    "an archive twice": (
        f"{ROW} tenant_id, 300, 768, removed, file, bytes, sha256, root_hash, first_at, last_at, sealed_at"
        " FROM audit_archives WHERE first = 512",
        300,
    ),
}


@pytest.mark.parametrize("how", list(CHANGES))
def test_what_nobody_told_of_is_found(database: Path, how: str) -> None:
    script, index = CHANGES[how]
    change(database, script)
    ok, first, message = verdict(database)
    assert (ok, first) == (False, index), message
    assert "no record of the log says where to" in message


def test_the_commands_find_it(database: Path) -> None:
    change(database, CHANGES["records taken away, with a row"][0])
    for command in (["doctor", "--deep"], ["audit", "verify"]):
        told = ctl(*command, "--database", f"sqlite:///{database}")
        assert told.returncode == 1
        assert "no record of the log says where to" in told.stdout + told.stderr
