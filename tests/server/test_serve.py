"""A real process, from its first start to its end."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from act.cli.app import actctl as command_line
from act.database.engine import DatabaseUnusable, sqlite_path
from act.server.app import Node
from act.server.serve import serve
from act.server.settings import Settings
from tests.support import ADMIN_KEY, Server, actctl, environment


def test_sigterm_ends_it_in_good_order(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        with server.api() as api:
            api.agent("Planner")
        assert server.stop() == 0
        assert "stopped; everything that was answered is on disk" in server.log


def test_the_keys_stay_out_of_the_log_and_of_other_peoples_sight(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        with server.api() as api:
            token = api.token(api.agent())
            made = api.key("enforce")["key"]
            api.enforce(token, "execute", "api://tasks/1")
            api.send("POST", "/v1/enforce", {"capabilityToken": token})
        server.stop()
        for secret in (ADMIN_KEY, token, made):
            assert secret not in server.log
    for file in (server.database, *tmp_path.glob("act.db.keys/*")):
        assert file.stat().st_mode & 0o077 == 0, file


def test_the_first_start_shows_a_key_once_on_stdout(tmp_path: Path) -> None:
    with Server(tmp_path, admin_key=None) as server:
        key = server.admin_key
        assert key.startswith("act_")
        server.restart()
        assert server.log.count(key) == 1
        with server.api(key) as api:
            assert api.get("/v1/agents")["items"] == []


def test_a_second_one_on_the_same_file_is_refused(server: Server) -> None:
    refusal = re.escape(f"Another ACT process (pid {server.pid}) already serves {server.database}")
    with pytest.raises(DatabaseUnusable, match=refusal):
        Node(Settings(f"sqlite:///{server.database}"))
    with server.api(None) as api:
        assert api.get("/readyz")["status"] == "ok"


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"Cannot serve at 127\.0\.0\.1:{port}: .* Choose another with --port\."):
            serve(Settings(f"sqlite:///{tmp_path}/act.db", port=port))
    assert not (tmp_path / "act.db").exists()


@pytest.mark.parametrize(
    "database",
    [
        *("postgresql://localhost/act", "sqlite://", "sqlite:///", "sqlite:///:memory:", ":memory:", "", " "),
        *("sqlite:/act.db", "sqlite:act.db", "sqlite//act.db", "sqlite///act.db", "SQLite:///act.db", "file:act.db"),
        *("postgresql:/act", "postgres:act", "sqlite+pysqlite:///act.db", "https://localhost/act.db", "./a://b"),
    ],
)
def test_a_database_that_is_no_file(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatabaseUnusable, match="is not a SQLite file; write for example sqlite:///act"):
        Node(Settings(database))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ("sqlite:///act.db?mode=ro", "parameters after"),
        (".", "is a folder; name the file in it"),
        ("sqlite:///.", "is a folder; name the file in it"),
        ("data/", "is a folder; name the file in it"),
        ("circle", "cannot be a file"),
        ("~nobody-of-this-name/act.db", "cannot be a file"),
        ("act\0.db", "cannot be a file"),
    ],
)
def test_a_path_that_cannot_be_meant(database: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(DatabaseUnusable, match=said):
        Node(Settings(database))
    assert [found.name for found in tmp_path.iterdir()] == ["circle"]


def test_a_database_elsewhere_is_named_without_its_password() -> None:
    with pytest.raises(DatabaseUnusable) as refusal:
        Node(Settings("postgresql://act:hunter2@localhost/act"))
    assert "'postgresql://...'" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_a_path_and_a_url_are_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link.db").symlink_to("act.db")
    whole = str(tmp_path / "act.db")
    ways = ("act.db", "./act.db", "~/act.db", "link.db", whole, "sqlite:///act.db", f"sqlite:///{whole}")
    assert {sqlite_path(way) for way in ways} == {tmp_path / "act.db"}
    assert sqlite_path("./a:b.db") == tmp_path / "a:b.db"


def test_every_command_takes_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ACT_DATABASE", raising=False)
    path = str(tmp_path / "act.db")

    def ctl(*arguments: str, **variables: str) -> str:
        result = CliRunner().invoke(command_line, list(arguments), env=variables)
        assert result.exit_code == 0, result.output
        return result.output

    ctl("migrate", "--database", path)
    assert "up to date" in ctl("migrate", ACT_DATABASE="act.db")
    ctl("tenants", "create", "research", "--database", "act.db")
    ctl("backup", "saved", "--database", path)
    ctl("audit", "verify", "--database", "act.db")
    ctl("doctor", "--deep", ACT_DATABASE=path)
    ctl("restore", "saved", "--database", "act.db", "--move-away")
    ctl("recover", "--accept-loss", "--database", path)
    assert {file.name.partition(".")[0] for file in tmp_path.iterdir()} == {"act", "saved"}


def test_the_server_takes_a_path(tmp_path: Path) -> None:
    variables = environment({"ACT_DATABASE": "act.db"})
    with subprocess.Popen(
        [actctl(), "serve", "--port", "0"], env=variables, cwd=tmp_path, stderr=subprocess.PIPE
    ) as it:
        assert it.stderr is not None
        assert any(b"ACT serves act.db at http://" in line for line in it.stderr)
        it.terminate()
        it.stderr.read()
    assert it.returncode == 0
    assert (tmp_path / "act.db").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    refusal = re.escape(f"The database folder {tmp_path}/missing cannot be used")
    with pytest.raises(DatabaseUnusable, match=refusal):
        Node(Settings(f"sqlite:///{tmp_path}/missing/act.db"))


def test_health_and_readiness(server: Server) -> None:
    with server.api(None) as api:
        assert api.get("/healthz")["status"] == "ok"
        ready = api.get("/readyz")
    assert ready["status"] == "ok"
    assert set(ready["checks"].values()) == {"ok"}
