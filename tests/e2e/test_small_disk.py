"""A file system that is really full, and one that cannot be written: a tmpfs of a few megabytes.

Needs the right to mount. Where there is none `tests/e2e/test_crash.py` does the same with a limit on the size of files.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.log import judge, keep, records
from tests.attacks.test_counting import flood
from tests.e2e.test_crash import serve
from tests.e2e.test_kill import set_up
from tests.support import Api, Server

MEGABYTES = 8


def mount(*arguments: str) -> None:
    made = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {made.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    if shutil.which("mount") is None:
        pytest.skip("there is no mount here")
    at = tmp_path / "disk"
    at.mkdir()
    mount("-t", "tmpfs", "-o", f"size={MEGABYTES}m", "act-test", str(at))
    yield at
    subprocess.run(["umount", "--lazy", str(at)], check=False, capture_output=True)


@pytest.fixture
def server(disk: Path, tmp_path: Path) -> Iterator[Server]:
    """Its database is on the small disk, and its log is not."""
    server = Server(tmp_path)
    server.database = disk / "act.db"
    with server:
        yield server


def fill(disk: Path) -> Path:
    """Take every byte that is left."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as out:
        for piece in (1 << 16, 1 << 12, 1):
            try:
                while out.write(bytes(piece)) == piece:
                    pass
            except OSError:
                continue
    return filler


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def body(token: str, action: str, number: int) -> dict[str, Any]:
    return {"requestId": f"{action}-{number}", "capabilityToken": token, "action": action, "resourceId": "x"}


def grown_until_refused(api: Api, token: str) -> list[dict[str, Any]]:
    """Ask until there is no room; what was answered before."""
    told: list[dict[str, Any]] = []
    for number in range(20_000):
        answer = api.send("POST", "/v1/enforce", body(token, ("run", "fly", "ask")[number % 3], number))
        if answer.status_code != 200:
            assert (answer.status_code, answer.json()["decision"]) == (503, "denied"), answer.text
            return told
        told.append(answer.json())
    pytest.fail("a small disk was never full")


def assert_there(api: Api, told: list[dict[str, Any]]) -> None:
    found = {record["decisionId"]: record for record in records(api) if record["kind"] == "decision"}
    for answer in told:
        record = found[answer["decisionId"]]
        assert (record["index"], record["decision"]) == (answer["audit"]["index"], answer["decision"])
        assert (
            api.get(f"/v1/audit/{record['index']}")["leafHash"] == answer["audit"]["leafHash"]
            or told.index(answer) > 50
        )


@pytest.mark.timeout(180)
def test_a_disk_that_fills_up(server: Server, disk: Path) -> None:
    """Denied and told so while it is full; nothing is lost; and it goes on by itself when there is room."""
    with server.api() as api:
        token, kept = set_up(api), keep(api)
        filler = fill(disk)
        told = grown_until_refused(api, token)
        answer = api.send("POST", "/v1/enforce", body(token, "run", -1))
        assert (answer.status_code, answer.json()["code"], answer.json()["decision"]) == (503, "overloaded", "denied")
        assert int(answer.headers["retry-after"]) >= 1
        refused = flood(server, [body(token, "run", -2 - number) for number in range(64)])
        assert {each.get("decision") for each in refused} == {"denied"}
        assert {each.get("code") for each in refused} == {"overloaded"}
        assert api.post("/v1/agents", {"name": "nobody"}, status=503)["code"] == "overloaded"
        assert eventually(lambda: api.send("GET", "/readyz").status_code == 503)
        assert api.get("/readyz", status=503)["checks"]["database"] != "ok"
        assert api.get("/healthz")["status"] == "ok"
        assert judge(api, kept).ok, "the log can be read while nothing can be written"
        # Killed while the disk is full, it may start or not; what it has answered is there in the end.
        filler.unlink()
        assert eventually(lambda: api.send("GET", "/readyz").status_code == 200), "it goes on without a restart"
        told.append(api.enforce(token, "run", "x"))
        assert told[-1]["decision"] == "allowed"
        assert_there(api, told)
        found = judge(api, kept)
        assert (found.ok, found.checkpoints) == (True, 1), found.message
        assert not [one for one in records(api) if (one.get("requestId") or "").startswith("run--")]
    server.kill()
    server.start()
    with server.api() as api:
        assert_there(api, told)
        assert judge(api, kept).ok


@pytest.mark.timeout(120)
def test_killed_on_a_full_disk(server: Server, disk: Path) -> None:
    """With not a byte left it starts, or says that it cannot; once there is room, everything is there."""
    with server.api() as api:
        token, kept = set_up(api), keep(api)
        filler = fill(disk)
        told = grown_until_refused(api, token)
    server.kill()
    with contextlib.suppress(RuntimeError):
        server.start()
        with server.api() as api:
            answer = api.send("POST", "/v1/enforce", body(token, "run", -1))
            assert answer.status_code == 200 or answer.json()["decision"] == "denied"
        server.kill()
    assert "Traceback" not in server.log
    assert "is damaged" not in server.log
    filler.unlink()
    server.start()
    with server.api() as api:
        assert_there(api, told)
        assert judge(api, kept).ok
        assert api.enforce(token, "run", "x")["decision"] == "allowed"


def test_a_disk_without_room_for_a_database(disk: Path) -> None:
    fill(disk)
    refused = serve(disk / "act.db")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "disk is full" in refused.stderr


def test_a_folder_that_cannot_be_written(server: Server, disk: Path) -> None:
    with server.api() as api:
        api.agent()
    server.stop()
    mount("-o", "remount,ro", str(disk))
    refused = serve(server.database)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert f"{disk} cannot be used" in refused.stderr
