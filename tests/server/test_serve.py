"""A real process, from its first start to its end."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from act.database.engine import DatabaseUnusable
from act.server.app import Node
from act.server.serve import serve
from act.server.settings import Settings
from tests.support import ADMIN_KEY, Server


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
    "database", ["postgresql://localhost/act", "sqlite://", "sqlite:///", "sqlite:///:memory:", "act.db", ""]
)
def test_a_database_that_is_no_file(database: str) -> None:
    with pytest.raises(DatabaseUnusable, match="is not a SQLite file; write for example sqlite:///act"):
        Node(Settings(database))


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
