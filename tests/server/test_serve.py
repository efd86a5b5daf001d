"""A real process, from its first start to its end."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from tests.support import ADMIN_KEY, STARTING, Server, actctl, environment


def _refused(*arguments: str) -> str:
    ended = subprocess.run(
        [actctl(), "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=STARTING,
        env=environment(),
        check=False,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stderr


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


def test_a_second_process_on_the_same_file_is_refused(server: Server) -> None:
    said = _refused("--port", "0", "--database", f"sqlite:///{server.database}")
    assert f"Another ACT process (pid {server.pid}) already serves {server.database}" in said


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = _refused("--port", str(port), "--database", f"sqlite:///{tmp_path}/act.db")
    assert f"Cannot serve at 127.0.0.1:{port}" in said
    assert "Choose another with --port." in said


def test_a_database_that_is_not_sqlite() -> None:
    said = _refused("--port", "0", "--database", "postgresql://localhost/act")
    assert "is not a SQLite file; write for example sqlite:///act.db" in said


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    said = _refused("--port", "0", "--database", f"sqlite:///{tmp_path}/missing/act.db")
    assert f"The database folder {tmp_path}/missing cannot be used" in said


def test_health_and_readiness(server: Server) -> None:
    with server.api(None) as api:
        assert api.get("/healthz")["status"] == "ok"
        ready = api.get("/readyz")
    assert ready["status"] == "ok"
    assert set(ready["checks"].values()) == {"ok"}
