"""The files of a database are taken away from under a server, or before it starts: nothing is answered into the void,
nothing is decided on what another process may have changed, and what can be saved is not destroyed by looking at it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.changes import ChangeFeed, last_revision
from act.database.clock import SystemClock
from act.database.engine import DatabaseUnusable, writing_engine
from act.database.keyfiles import KeyFiles
from act.server.app import Node
from act.server.settings import Settings
from tests.e2e.test_crash import serve
from tests.in_process import InProcess
from tests.server.test_damage import ctl
from tests.support import Api, Server

TENANT = "default-tenant"


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that a killed server left: nearly all is in the write-ahead log."""
    folder, kept = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("left")
    node = InProcess(folder)
    node.api.agent()
    shutil.copytree(folder, kept, dirs_exist_ok=True)
    node.close()
    return kept


@pytest.fixture
def database(left: Path, tmp_path: Path) -> Path:
    shutil.copytree(left, tmp_path / "copy")
    return tmp_path / "copy" / "act.db"


def wal(database: Path) -> Path:
    return database.with_name(database.name + "-wal")


def content(database: Path) -> dict[str, str]:
    """Every file and its hash, but for the index that SQLite makes anew, and the lock."""
    files = (
        each for each in database.parent.rglob("*") if each.is_file() and not each.name.endswith(("-shm", ".lock"))
    )
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


def start(database: Path) -> None:
    Node(Settings(database=f"sqlite:///{database}")).close()


# --- before a start ---------------------------------------------------------------------------------------------------

WAYS_IN: dict[str, list[str]] = {
    "serve": [],
    "doctor": ["doctor", "--deep"],
    "mend": ["doctor", "--deep", "--mend"],
    "verify": ["audit", "verify"],
    "backup": ["backup", "{folder}/saved"],
    "recover": ["recover"],
    "accept loss": ["recover", "--accept-loss"],
    "migrate": ["migrate"],
    "create": ["tenants", "create", "other"],
}


def enters(how: str, database: Path) -> str:
    """Go in that way; what it said when it refused."""
    if how == "serve":
        with pytest.raises(DatabaseUnusable) as refused:
            start(database)
        return str(refused.value)
    arguments = [each.format(folder=database.parent.parent) for each in WAYS_IN[how]]
    ran = ctl(*arguments, "--database", f"sqlite:///{database}")
    assert ran.returncode != 0
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("how", list(WAYS_IN))
def test_a_log_whose_file_is_empty_is_not_destroyed(database: Path, how: str) -> None:
    """SQLite deletes it when anybody opens the file, even for reading alone."""
    os.truncate(database, 0)
    before = content(database)
    assert wal(database).stat().st_size > 100_000
    said = enters(how, database)
    assert "it may hold the whole database" in said
    assert "Copy both files away" in said
    assert content(database) == before


@pytest.mark.parametrize("how", ["serve", "doctor", "migrate"])
def test_a_log_whose_file_is_cut_off_in_its_header(database: Path, how: str) -> None:
    os.truncate(database, 50)
    before = content(database)
    assert "it may hold the whole database" in enters(how, database)
    assert content(database) == before


def test_a_log_whose_file_is_missing(database: Path) -> None:
    database.unlink()
    shutil.rmtree(database.with_name("act.db.keys"))
    before = content(database)
    for how in ("serve", "migrate"):
        assert "it may hold the whole database" in enters(how, database)
    assert content(database) == before


def test_the_way_out_of_it(database: Path, left: Path, tmp_path: Path) -> None:
    """The command that the message names: what is there is renamed, and the backup served."""
    assert ctl("backup", str(tmp_path / "saved"), "--database", f"sqlite:///{database}").returncode == 0
    logged = wal(left / "act.db").read_bytes()
    wal(database).write_bytes(logged)
    database.write_bytes(b"")
    back = ctl("restore", str(tmp_path / "saved"), "--move-away", "--database", f"sqlite:///{database}")
    assert back.returncode == 0, back.stderr
    assert [each.read_bytes() for each in database.parent.glob("act.db.before-*-wal")] == [logged]
    start(database)


def test_without_its_keys_it_is_refused_and_not_changed(database: Path) -> None:
    shutil.rmtree(database.with_name("act.db.keys"))
    before = content(database)
    ran = serve(database)  # a process, because its end would write the write-ahead log into the file
    assert ran.returncode == 1
    assert "is missing; put it back from the copy" in ran.stderr
    assert content(database) == before


def test_with_another_master_key_it_is_refused_and_not_changed(database: Path) -> None:
    """Nor is a key that is not encrypted yet encrypted with it."""
    files = KeyFiles(database.with_name("act.db.keys"), "the right master key, 32 characters")
    [*_, plain] = sorted(each.stem for each in database.with_name("act.db.keys").glob("*.pem"))
    kept = files.read(plain)
    assert len(files.encrypt_plain()) > 1
    files.delete(plain)
    KeyFiles(database.with_name("act.db.keys")).write(plain, kept)
    before = content(database)
    ran = serve(database, ACT_MASTER_KEY="another master key of 32 characters")
    assert ran.returncode == 1
    assert "another master key" in ran.stderr
    assert content(database) == before


def test_a_folder_where_its_head_was(database: Path) -> None:
    head = database.with_name("act.db.head")
    head.unlink()
    head.mkdir()
    with pytest.raises(DatabaseUnusable, match=r"act\.db\.head cannot be read .* move act\.db\.head away"):
        start(database)
    ran = ctl("recover", "--accept-loss", "--database", f"sqlite:///{database}")
    assert (ran.returncode, "Traceback" in ran.stderr) == (1, False)
    assert "cannot be written" in ran.stderr
    head.rmdir()
    start(database)


# --- under a server ---------------------------------------------------------------------------------------------------


def set_up(api: Api) -> str:
    api.policy(["run"])
    return api.token(api.agent())


def refused(api: Api, token: str) -> str:
    """Why a decision is not made: nothing can be written, or nobody knows how old the state is."""
    body = {"requestId": os.urandom(8).hex(), "capabilityToken": token, "action": "run", "resourceId": "x"}
    problem = api.call("POST", "/v1/enforce", body, status=503)
    assert problem["decision"] == "denied"
    return str(problem["code"])


def not_ready(api: Api) -> dict[str, str]:
    checks: dict[str, str] = api.get("/readyz", status=503)["checks"]
    return checks


def test_a_second_server_and_a_revocation(tmp_path: Path) -> None:
    """Somebody removes the lock, and two processes serve one file: the first one decides nothing any more."""
    with Server(tmp_path) as first, first.api() as api:
        api.policy(["run"])
        issued = api.post("/v1/tokens", {"agentId": api.agent()})
        token = issued["token"]
        assert api.enforce(token, "run", "x")["decision"] == "allowed"
        (tmp_path / "act.db.lock").unlink()
        with Server(tmp_path) as second, second.api() as other:
            other.post(f"/v1/tokens/{issued['tokenId']}/revoke", status=200)
            assert other.enforce(token, "run", "x")["reasonCode"] == "token_revoked"
            assert refused(api, token) in ("overloaded", "stale_state")
            assert refused(api, token) == "stale_state"
            assert api.post("/v1/tokens/introspect", {"token": token}, status=503)["code"] == "stale_state"
            assert api.post("/v1/agents", {"name": "nobody"}, status=503)["code"] == "overloaded"
            assert "broken" in not_ready(api)["state"]
            assert other.enforce(token, "run", "x")["reasonCode"] == "token_revoked", "the second one goes on"
        assert refused(api, token) == "stale_state", "until a restart"
    assert "every decision is denied until a restart" in first.log
    assert "act.db.lock was removed or replaced" in first.log


@contextmanager
def another_writer(database: Path) -> Iterator[Writer]:
    """Writes past the lock."""
    engine = writing_engine(database)
    feed = ChangeFeed({})
    with engine.connect() as connection:
        feed.revision = last_revision(connection)
    writer = Writer(engine, feed, SystemClock())
    writer.start()
    yield writer
    writer.stop()
    engine.dispose()


def test_somebody_else_writes_to_the_file(tmp_path: Path) -> None:
    """The lock is where it was. What is in memory is not what is in the file, and no decision rests on it."""

    def small(transaction: Transaction) -> None:
        transaction.record(TENANT, "small", {})

    with Server(tmp_path) as server, server.api() as api:
        token = set_up(api)
        assert api.enforce(token, "run", "x")["decision"] == "allowed"
        with another_writer(server.database) as writer:
            writer.write(small)
        assert refused(api, token) in ("overloaded", "stale_state")
        assert refused(api, token) == "stale_state"
        assert api.post("/v1/agents", {"name": "nobody"}, status=503)["code"] == "overloaded"
        assert "broken" in not_ready(api)["state"]
        assert "another process has written to the database" in server.log
        server.stop()
    with server, server.api() as api:
        assert api.enforce(token, "run", "x")["decision"] == "allowed", "what is in the file is served again"


def read_at_once(server: Server, times: int) -> None:
    """As many as make the server open more connections, which find other files than the first ones."""

    def read(_: int) -> None:
        with server.api() as api:
            api.client.get("/v1/audit", params={"limit": 200})

    with ThreadPoolExecutor(times) as pool:
        list(pool.map(read, range(times)))


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_the_log_goes_away_under_a_server(tmp_path: Path, how: str) -> None:
    with Server(tmp_path) as server, server.api() as api:
        token = set_up(api)
        told = [api.enforce(token, "run", "x") for _ in range(5)]
        if how == "replaced":
            shutil.copyfile(wal(server.database), tmp_path / "copy")
            (tmp_path / "copy").replace(wal(server.database))
        else:
            wal(server.database).unlink()
        assert refused(api, token) == "overloaded"
        assert not_ready(api)["database"] != "ok"
        assert "act.db-wal was removed or replaced" in server.log
        read_at_once(server, 12)
        assert server.stop() == 0
    with server, server.api() as api:
        for answer in told:  # a stop in good order saves them, as the message says
            assert api.get(f"/v1/audit/{answer['audit']['index']}")["leafHash"] == answer["audit"]["leafHash"]
        assert api.enforce(token, "run", "x")["decision"] == "allowed"


def test_files_that_come_back(tmp_path: Path) -> None:
    """What was moved away and back is the same file, and is served on."""
    with Server(tmp_path) as server, server.api() as api:
        token = set_up(api)
        for file in (server.database, wal(server.database)):
            file.rename(tmp_path / "elsewhere")
            assert refused(api, token) == "overloaded"
            (tmp_path / "elsewhere").rename(file)
            assert api.enforce(token, "run", "x")["decision"] == "allowed"


def test_the_log_that_is_emptied_is_the_same_file(tmp_path: Path) -> None:
    """Erasing truncates it; that is SQLite's own doing."""
    node = InProcess(tmp_path)
    token = set_up(node.api)
    node.api.enforce(token, "run", "x")
    erased: dict[str, Any] = node.api.post("/v1/audit/erase", {"agentId": "nobody", "reason": "a test"}, status=200)
    assert erased["overwritten"]
    assert wal(tmp_path / "act.db").stat().st_size == 0
    assert node.api.enforce(token, "run", "x")["decision"] == "allowed"
    node.close()


# --- ready, or not ----------------------------------------------------------------------------------------------------


def allow_pages(node: InProcess, more: int) -> None:
    """From now on the database can grow by so many pages, as on a disk that is nearly full."""
    with node.node._writing.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + more}")


def test_not_ready_while_no_decision_can_be_written(tmp_path: Path) -> None:
    """A page may still fit where no decision does: that is not ready, and stays so until there is room again."""
    node = InProcess(tmp_path)
    token = set_up(node.api)
    assert node.api.send("GET", "/readyz").status_code == 200
    allow_pages(node, 0)
    for _ in range(200):
        body = {"requestId": os.urandom(8).hex(), "capabilityToken": token, "action": "run", "resourceId": "x" * 1000}
        if node.api.send("POST", "/v1/enforce", body).status_code == 503:
            break
    else:
        pytest.fail("it was never full")
    for seconds in (0.0, 1.5, 1.5):
        node.clock.move(seconds)
        assert not_ready(node.api)["database"] != "ok"
    allow_pages(node, 10_000)
    node.clock.move(1.5)
    assert node.api.send("GET", "/readyz").status_code == 200
    assert node.api.enforce(token, "run", "x")["decision"] == "allowed"
    node.close()
