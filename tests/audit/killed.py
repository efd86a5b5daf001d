"""A program: archives, killed at each of its steps; after each the log is whole, and archiving comes to its end."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from act.audit import archive_files, archive_pacing, archive_store
from act.audit.writer import Writer
from act.server import app
from tests.in_process import InProcess

DAY = 86_400
FILES = ("act.db", "act.db.keys")


def before(found: Callable[..., Any], step: Callable[[str], None], name: str) -> Callable[..., Any]:
    def around(*of: Any, **more: Any) -> Any:
        step(f"before-{name}")
        return found(*of, **more)

    return around


def after(found: Callable[..., Any], step: Callable[[str], None], name: str) -> Callable[..., Any]:
    def around(*of: Any, **more: Any) -> Any:
        value = found(*of, **more)
        step(f"after-{name}")
        return value

    return around


def killing(at: int) -> Callable[[str], None]:
    steps = count()

    def step(name: str) -> None:
        if next(steps) == at:
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def archive(folder: Path, at: int) -> None:
    """Archive, and be killed at a step."""
    node = InProcess(folder, datetime.now(UTC))
    step = killing(at)
    archive_files.os = Os(step)  # type: ignore[assignment]
    archive_files.Path.replace = before(Path.replace, step, "rename")  # type: ignore[method-assign]
    archive_store.add = after(archive_store.add, step, "told")
    archive_store.remove = after(archive_store.remove, step, "removed")
    Writer._commit = before(Writer._commit, step, "commit")  # type: ignore[method-assign]
    node.api.post("/v1/audit/archives", {"olderThan": DAY})
    node.node.archives.remove()
    node.close()


class Os:
    """`os`, whose fsync is a step: of the file, and of the first folder above it."""

    def __init__(self, step: Callable[[str], None]) -> None:
        self._left, self._sync = 2, before(os.fsync, step, "sync")

    def fsync(self, descriptor: int) -> None:
        self._left -= 1
        (self._sync if self._left >= 0 else os.fsync)(descriptor)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def check(folder: Path) -> None:
    """Everything is in the database or in a file that is told of; and what was begun can be finished."""
    were = (folder / "before").read_bytes().splitlines()
    node = InProcess(folder, datetime.now(UTC))
    whole(node, folder, were)
    node.api.post("/v1/audit/archives", {"olderThan": DAY})
    node.node.archives.remove()
    whole(node, folder, were)
    [one] = node.api.get("/v1/audit/archives")["items"]
    assert (one["end"], one["removed"]) == (512, 512)
    assert [path.name for path in (folder / "act.db.archives" / "default-tenant").iterdir()] == [Path(one["file"]).name]
    node.close()


def whole(node: InProcess, folder: Path, were: list[bytes]) -> None:
    found: dict[int, bytes] = {}
    with node.node._reading.connect() as connection:
        here = {row[0] for row in connection.exec_driver_sql("SELECT idx FROM audit_records")}
    for one in node.api.get("/v1/audit/archives")["items"]:
        lines = gzip.decompress((folder / "act.db.archives" / one["file"]).read_bytes()).splitlines()
        found |= {json.loads(line)["index"]: line for line in lines if line.startswith(b'{"index":')}
    assert set(range(len(were))) <= here | found.keys(), "a record is nowhere"
    rest = node.api.send("GET", "/v1/audit/export").content.splitlines()
    found |= {json.loads(line)["index"]: line for line in rest if line.startswith(b'{"index":')}
    assert [found[index] for index in range(len(were))] == were
    for path in ("proof/inclusion?index=3&size=560", "proof/consistency?first=100&second=500", "tile/0/000"):
        assert node.api.send("GET", f"/v1/audit/{path}").status_code == 200


def forked(work: Callable[[], None]) -> int:
    """Do it in a process of its own; the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    if os.WEXITSTATUS(status):
        raise SystemExit("a part of it failed")
    return 0


def main(folder: Path) -> None:
    archive_pacing.PACE = 0.0  # type: ignore[misc]
    app.SWEEP_SECONDS = 1e6  # nobody else removes, and every run has the same steps
    for at in count():
        run = folder / f"run-{at}"
        run.mkdir()
        for name in FILES:
            (shutil.copytree if (folder / name).is_dir() else shutil.copy)(folder / name, run / name)
        shutil.copy(folder / "before", run / "before")
        ended = forked(lambda run=run, at=at: archive(run, at))  # type: ignore[misc]
        forked(lambda run=run: check(run))  # type: ignore[misc]
        shutil.rmtree(run)
        if ended != signal.SIGKILL:
            print("end")
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
