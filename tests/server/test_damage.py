"""A database that is not what was written is not served, and not changed: the start says what is wrong and what helps.

What is damaged here is a copy of the files of a node that runs, which is what `kill -9` leaves behind.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from act.audit.merkle import Frontier, leaf_hash
from act.audit.soundness import LATEST
from act.cli.app import actctl as actctl_command
from act.database import backup
from act.database.engine import DatabaseUnusable
from act.database.head import Reached
from act.database.soundness import DatabaseDamaged
from act.server.app import Node
from act.server.settings import Settings
from tests.attacks.log import keep
from tests.audit.old_records import write_old
from tests.e2e.test_crash import serve
from tests.in_process import InProcess

PAGE = 4096
TENANT = "default-tenant"
RECORDS = LATEST + 600
AT_LAST = 40
"""Records that are in the write-ahead log alone."""


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that a killed server left."""
    folder, kept = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("left")
    node = InProcess(folder)
    token = node.api.token(node.api.agent())
    node.api.policy(["run"])
    index = node.api.enforce(token, "run", "x")["audit"]["index"]
    while index < RECORDS - AT_LAST - 1:
        asked = {"capabilityToken": token, "action": "run", "resourceId": "x"}
        count = min(100, RECORDS - AT_LAST - 1 - index)
        requests = [asked | {"requestId": f"{index}-{number}"} for number in range(count)]
        node.api.post("/v1/enforce/batch", {"requests": requests}, status=200)
        index += count
    with closing(sqlite3.connect(folder / "act.db", timeout=10)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for _ in range(AT_LAST):
            assert node.api.enforce(token, "run", "x")["decision"] == "allowed"
        shutil.copytree(folder, kept, dirs_exist_ok=True)
    node.close()
    return kept


@pytest.fixture
def database(left: Path, tmp_path: Path) -> Path:
    shutil.copytree(left, tmp_path, dirs_exist_ok=True)
    return tmp_path / "act.db"


def start(database: Path) -> int:
    """How many records it has, once it has started."""
    node = Node(Settings(database=f"sqlite:///{database}"))
    try:
        return node._writer.head(TENANT).size
    finally:
        node.close()


def overwrite(file: Path, at: int, content: bytes) -> None:
    with file.open("r+b") as out:
        out.seek(at if at >= 0 else file.stat().st_size + at)
        out.write(content)


def wal(database: Path) -> Path:
    return database.with_name("act.db-wal")


def whole(database: Path) -> None:
    """Have everything in the one file, as after a stop in good order."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert not wal(database).exists()


def test_what_a_killed_server_left_is_whole(database: Path) -> None:
    assert wal(database).stat().st_size > 100_000
    assert start(database) == RECORDS


def test_without_the_shared_memory_file(database: Path) -> None:
    database.with_name("act.db-shm").unlink(missing_ok=True)
    assert start(database) == RECORDS


def test_with_garbage_for_a_shared_memory_file(database: Path) -> None:
    database.with_name("act.db-shm").write_bytes(os.urandom(32768))
    assert start(database) == RECORDS


def wal_gone(database: Path) -> None:
    wal(database).unlink()


def wal_empty(database: Path) -> None:
    wal(database).write_bytes(b"")


def wal_head_is_garbage(database: Path) -> None:
    overwrite(wal(database), 0, os.urandom(64))


def wal_middle_is_garbage(database: Path) -> None:
    overwrite(wal(database), wal(database).stat().st_size // 2, os.urandom(64))


def wal_end_is_gone(database: Path) -> None:
    os.truncate(wal(database), wal(database).stat().st_size - PAGE)


def wal_of_another_life(database: Path) -> None:
    overwrite(wal(database), 16, os.urandom(8))


@pytest.mark.parametrize(
    "damage",
    [wal_gone, wal_empty, wal_head_is_garbage, wal_middle_is_garbage, wal_end_is_gone, wal_of_another_life],
)
def test_a_write_ahead_log_that_lost_what_was_answered(database: Path, damage: Callable[[Path], None]) -> None:
    """For SQLite the database is sound, and only older; that would be a log with its tail cut off."""
    damage(database)
    before = {file: file.read_bytes() for file in (database, wal(database)) if file.exists()}
    for _ in range(2):
        with pytest.raises(DatabaseDamaged, match=rf"{RECORDS} records were answered and \d+ are there") as refused:
            start(database)
        assert "actctl recover --accept-loss" in str(refused.value)
        assert "actctl restore" in str(refused.value)
    assert {file: file.read_bytes() for file in before} == before, "nothing is changed, so all can be looked into"


def first_page_is_garbage(database: Path) -> None:
    overwrite(database, 0, os.urandom(PAGE))


def schema_is_garbage(database: Path) -> None:
    overwrite(database, 100, os.urandom(PAGE - 100))


def last_page_is_garbage(database: Path) -> None:
    overwrite(database, -PAGE, os.urandom(PAGE))


def last_page_is_zero(database: Path) -> None:
    overwrite(database, -PAGE, bytes(PAGE))


def middle_pages_are_garbage(database: Path) -> None:
    overwrite(database, database.stat().st_size // PAGE // 2 * PAGE, os.urandom(2 * PAGE))


def end_is_gone(database: Path) -> None:
    os.truncate(database, database.stat().st_size - PAGE)


def half_is_gone(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def all_but_the_first_page_is_gone(database: Path) -> None:
    os.truncate(database, PAGE)


def everything_is_gone(database: Path) -> None:
    os.truncate(database, 0)


def is_text(database: Path) -> None:
    database.write_text("not a database")


@pytest.mark.parametrize(
    "damage",
    [
        first_page_is_garbage,
        schema_is_garbage,
        last_page_is_garbage,
        last_page_is_zero,
        middle_pages_are_garbage,
        end_is_gone,
        half_is_gone,
        all_but_the_first_page_is_gone,
        everything_is_gone,
        is_text,
    ],
)
def test_a_damaged_file(database: Path, damage: Callable[[Path], None]) -> None:
    whole(database)
    damage(database)
    before = database.read_bytes()
    with pytest.raises(DatabaseDamaged, match="is not served; nothing was changed") as refused:
        start(database)
    assert f"actctl restore FOLDER --database sqlite:///{database}" in str(refused.value)
    assert f"actctl doctor --deep --database sqlite:///{database}" in str(refused.value)
    assert database.read_bytes() == before


# --- a log that somebody changed --------------------------------------------------------------------------------------


def rewrite(database: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute(statement, values).rowcount >= 1
        connection.commit()


def edited(database: Path, index: int, *, rehashed: bool = False) -> None:
    with closing(sqlite3.connect(database)) as connection:
        (text,) = connection.execute("SELECT record FROM audit_records WHERE idx = ?", (index,)).fetchone()
        assert '"allowed"' in text
        text = text.replace('"allowed"', '"altered"')
        connection.execute("UPDATE audit_records SET record = ? WHERE idx = ?", (text, index))
        if rehashed:
            hashed = leaf_hash(text.encode())
            connection.execute("UPDATE audit_records SET leaf_hash = ? WHERE idx = ?", (hashed, index))
        connection.commit()


def tail_removed(database: Path, *, adjusted: bool) -> None:
    """The last ten records; `adjusted` makes the head of the log fit, as whoever can write the file can."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DELETE FROM audit_records WHERE idx >= ?", (RECORDS - 10,))
        if adjusted:
            tree = Frontier()
            for (hashed,) in connection.execute("SELECT leaf_hash FROM audit_records ORDER BY idx"):
                tree = tree.append(hashed)
            connection.execute("UPDATE audit_trees SET size = ?, frontier = ?", (tree.size, tree.to_bytes()))
        connection.commit()


NOTICED: dict[str, tuple[Callable[[Path], None], str]] = {
    "the last record edited": (lambda file: edited(file, RECORDS - 1), rf"Record {RECORDS - 1} was changed"),
    "a late record edited": (lambda file: edited(file, RECORDS - 900), rf"Record {RECORDS - 900} was changed"),
    "a late record edited and hashed": (
        lambda file: edited(file, RECORDS - 2, rehashed=True),
        r"Records \d+ to \d+ are not those that its head is of",
    ),
    "the tail removed": (lambda file: tail_removed(file, adjusted=False), "the last one is"),
    "the tail removed, and the head made to fit": (
        lambda file: tail_removed(file, adjusted=True),
        rf"{RECORDS} records were answered and {RECORDS - 10} are there",
    ),
    "a late record removed": (
        lambda file: rewrite(file, "DELETE FROM audit_records WHERE idx = ?", RECORDS - 5),
        r"\d+ hashes of level 0|is missing",
    ),
    "the head removed": (lambda file: rewrite(file, "DELETE FROM audit_trees"), "Its head is missing"),
    "the head of fewer records": (lambda file: rewrite(file, "UPDATE audit_trees SET size = size - 1"), "Its head is"),
    "another head": (
        lambda file: rewrite(file, "UPDATE audit_trees SET frontier = randomblob(length(frontier))"),
        r"Records 0 to \d+ are not those",
    ),
    "a head of a wrong length": (
        lambda file: rewrite(file, "UPDATE audit_trees SET frontier = x'00'"),
        "subtree roots",
    ),
    "the hashes for proofs": (
        lambda file: rewrite(file, "UPDATE audit_subtrees SET hash = randomblob(32) WHERE number = 1"),
        r"Records 0 to \d+ are not those",
    ),
    "the hashes for proofs removed": (lambda file: rewrite(file, "DELETE FROM audit_subtrees"), "hashes of level 1"),
    "a record that is none": (
        lambda file: rewrite(file, "UPDATE audit_records SET record = '[]' WHERE idx = ?", RECORDS - 3),
        f"Record {RECORDS - 3} was changed",
    ),
    "a head of another tenant": (
        lambda file: rewrite(file, "UPDATE audit_trees SET tenant_id = 'other'"),
        "Its head is",
    ),
}


@pytest.mark.parametrize("how", list(NOTICED))
def test_a_log_that_was_changed_where_it_goes_on(database: Path, how: str) -> None:
    change, words = NOTICED[how]
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM audit_subtrees").fetchone()[0] >= 4
    change(database)
    with pytest.raises(DatabaseDamaged, match=words):
        start(database)


def test_an_old_record_that_was_edited_is_found_by_who_looks(database: Path) -> None:
    """A start does not compute every hash again; `doctor --deep` and `audit verify` do."""
    edited(database, 100)
    assert start(database) == RECORDS
    for command in (["doctor", "--deep", "-o", "json"], ["audit", "verify", "-o", "json"]):
        ran = ctl(*command, "--database", f"sqlite:///{database}")
        assert ran.returncode == 1
        assert "Record 100 was changed" in ran.stdout


# --- the file that says how far it has come ---------------------------------------------------------------------------


def test_a_copy_without_its_head(database: Path) -> None:
    database.with_name("act.db.head").unlink()
    assert start(database) == RECORDS
    assert database.with_name("act.db.head").read_bytes().startswith(f"act-head 1 {RECORDS:020d} ".encode())


@pytest.mark.parametrize("content", [b"", b"x", b"act-head 1 1 1\n", bytes(53)])
def test_a_head_that_is_none(database: Path, content: bytes) -> None:
    database.with_name("act.db.head").write_bytes(content)
    with pytest.raises(DatabaseUnusable, match="actctl recover --accept-loss"):
        start(database)


def test_a_head_that_is_behind_is_no_danger(database: Path) -> None:
    """As after a loss of power: it is not fsynced."""
    database.with_name("act.db.head").write_bytes(f"act-head 1 {5:020d} {1:020d}\n".encode())
    assert start(database) == RECORDS


# --- the way back -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    returncode: int
    stdout: str
    stderr: str


def ctl(*arguments: str) -> Ran:
    """A command, in this process."""
    result = CliRunner().invoke(actctl_command, list(arguments))
    return Ran(result.exit_code, result.stdout, result.stderr)


def test_the_server_refuses_in_one_sentence_and_the_commands_that_it_names_work(database: Path, tmp_path: Path) -> None:
    url, saved = f"sqlite:///{database}", tmp_path / "saved"
    made = ctl("backup", str(saved), "--database", url)
    assert made.returncode == 0, made.stderr
    assert sorted(file.name for file in saved.iterdir()) == ["act.db", "act.db.keys", "backup.json"]
    assert all(file.stat().st_mode & 0o077 == 0 for file in saved.rglob("*") if file.name != "backup.json")
    wal_gone(database)
    refused = serve(database)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "Traceback" not in refused.stderr
    assert f"{RECORDS} records were answered" in refused.stderr

    looked = ctl("recover", "--database", url)
    assert looked.returncode == 1
    assert "--accept-loss" in looked.stderr
    with pytest.raises(DatabaseDamaged):
        start(database)

    kept = ctl("restore", str(saved), "--database", url)
    assert kept.returncode == 1
    assert "--move-away" in kept.stderr
    back = ctl("restore", str(saved), "--database", url, "--move-away")
    assert back.returncode == 0, back.stderr
    assert list(tmp_path.glob("act.db.before-*"))
    assert start(database) == RECORDS
    deep = ctl("doctor", "--deep", "--database", url)
    assert deep.returncode == 0, deep.stdout


def test_going_on_without_what_is_missing(database: Path) -> None:
    wal_gone(database)
    ran = ctl("recover", "--accept-loss", "--database", f"sqlite:///{database}")
    assert ran.returncode == 0, ran.stderr
    assert f"{RECORDS} records were answered and {RECORDS - AT_LAST} are there" in ran.stderr
    assert start(database) == RECORDS - AT_LAST


def test_what_is_damaged_cannot_be_accepted(database: Path) -> None:
    wal_gone(database)
    edited(database, RECORDS - AT_LAST - 1)
    ran = ctl("recover", "--accept-loss", "--database", f"sqlite:///{database}")
    assert ran.returncode == 1
    assert "was changed" in ran.stderr
    with pytest.raises(DatabaseDamaged):
        start(database)


@pytest.mark.parametrize("part", ["act.db", "backup.json", "act.db.keys/*"])
def test_a_backup_that_was_changed_is_none(database: Path, tmp_path: Path, part: str) -> None:
    saved = tmp_path / "saved"
    backup.copy(database, saved)
    backup.seal(saved, Reached(RECORDS, 1), datetime.now(UTC))
    assert backup.read(saved).records == RECORDS
    file = next(iter(sorted(saved.glob(part))))
    middle = file.stat().st_size // 2
    overwrite(file, middle, bytes([file.read_bytes()[middle] ^ 0xFF]))
    with pytest.raises(backup.BackupUnusable):
        backup.read(saved)


def test_a_backup_of_a_server_that_runs(tmp_path: Path) -> None:
    """It is of one moment; restored, tokens of before are good, and the log goes on."""
    served, saved, place = tmp_path / "served", tmp_path / "saved", tmp_path / "restored"
    served.mkdir()
    place.mkdir()
    node = InProcess(served)
    node.api.policy(["run"])
    token = node.api.token(node.api.agent())
    with ThreadPoolExecutor(1) as meanwhile:
        ending = threading.Event()
        asking = meanwhile.submit(lambda: [node.api.enforce(token, "run", "x") for _ in iter(ending.is_set, True)])
        made = ctl("backup", str(saved), "--database", f"sqlite:///{served / 'act.db'}")
        ending.set()
        told = asking.result(60)
    at = node.clock.now()
    node.close()
    assert made.returncode == 0, made.stderr
    size = backup.read(saved).records
    back = ctl("restore", str(saved), "--database", f"sqlite:///{place / 'act.db'}")
    assert back.returncode == 0, back.stderr
    again = InProcess(place, at)
    assert [keep(again.api).size, size] == [size, size]
    for answer in told:
        if answer["audit"]["index"] < size:
            assert again.api.get(f"/v1/audit/{answer['audit']['index']}")["leafHash"] == answer["audit"]["leafHash"]
    assert again.api.enforce(token, "run", "x")["decision"] == "allowed"
    again.close()
    refused = ctl("restore", str(saved), "--database", f"sqlite:///{place / 'act.db'}")
    assert "--move-away" in refused.stderr


def test_a_damaged_database_makes_no_backup(database: Path, tmp_path: Path) -> None:
    edited(database, 70)
    saved = tmp_path / "saved"
    ran = ctl("backup", str(saved), "--database", f"sqlite:///{database}")
    assert ran.returncode == 1
    assert "Record 70 was changed" in ran.stderr
    refused = ctl("restore", str(saved), "--database", f"sqlite:///{tmp_path / 'new.db'}")
    assert "is no backup" in refused.stderr
    assert not (tmp_path / "new.db").exists()


# --- large files, and logs that are archived in part ------------------------------------------------------------------


@pytest.mark.parametrize("how", ["a late record edited", "another head", "the tail removed, and the head made to fit"])
def test_a_file_that_is_too_large_to_be_looked_through(
    database: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("act.database.soundness.LOOKED_THROUGH", 0)
    assert start(database) == RECORDS
    change, words = NOTICED[how]
    change(database)
    with pytest.raises(DatabaseDamaged, match=words):
        start(database)


def test_a_log_that_is_archived_in_part(tmp_path: Path) -> None:
    """Of records that are in archives the hashes are here, and are looked at as all others."""
    node = InProcess(tmp_path, datetime.now(UTC) - timedelta(days=30))
    node.clock.move(30 * 86400)
    write_old(node.node._writer, 600)
    assert node.api.post("/v1/audit/archives", {"olderThan": 10 * 86400})["archive"]["end"] == 512
    node.node.archives.remove()
    size = node.node._writer.head(TENANT).size
    node.close()
    database = tmp_path / "act.db"
    assert start(database) == size
    whole = ctl("audit", "verify", "--database", f"sqlite:///{database}", "-o", "json")
    assert whole.returncode == 0, whole.stderr
    assert '"archived": 512' in whole.stdout
    rewrite(database, "UPDATE audit_tiles SET hashes = zeroblob(length(hashes)) WHERE number = 0")
    found = ctl("audit", "verify", "--database", f"sqlite:///{database}", "-o", "json")
    assert found.returncode == 1
    assert '"badIndex": 0' in found.stdout
    rewrite(database, "DELETE FROM audit_tiles WHERE number = 1")
    with pytest.raises(DatabaseDamaged, match=r"Its head is of|hashes of level"):
        rewrite(database, "DELETE FROM audit_records WHERE idx < ?", size - 1)
        start(database)
