"""The log, checked by a program that has nothing of ours: Go's `golang.org/x/mod/sumdb` (`note` and `tlog`).

Needs `go`, and the package in Go's path (Debian: golang-go, golang-golang-x-mod-dev).
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from act.audit.merkle import leaf_hash
from act.audit.record import encode
from act.audit.transaction import Transaction
from tests.attacks.log import Kept, keep
from tests.in_process import InProcess
from tests.limits.floods import DEEP
from tests.support import ADMIN_KEY, Server, environment

SOURCE = Path(__file__).parent / "sumdb"
TENANT = "default-tenant"
PACKAGES = Path("/usr/share/gocode")
SIZES = [1, 2, 255, 256, 257, 1000]
LARGE = 70_000 if DEEP else 1_500
"""More than 256 * 256 records have a third level of tiles."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled checker."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed (Debian: golang-go)")
    if not (PACKAGES / "src/golang.org/x/mod/sumdb").is_dir():
        pytest.skip("golang.org/x/mod is not installed (Debian: golang-golang-x-mod-dev)")
    folder = tmp_path_factory.mktemp("sumdb")
    go = {
        "GO111MODULE": "off",
        "GOPATH": str(PACKAGES),
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "",
        "GOPROXY": "off",
    }
    built = subprocess.run(
        ["go", "build", "-o", str(folder / "sumdb"), "."],
        cwd=SOURCE, env=environment(go), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return folder / "sumdb"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Kept]]:
    """A real server with a log of many records, put there through the writer."""
    folder = tmp_path_factory.mktemp("served")
    node = InProcess(folder)

    def many(to: Transaction) -> None:
        for number in range(10_000):
            to.record(TENANT, "decision", {"number": number, "reason": "x" * (number % 300)})

    while (rest := LARGE - node.node._writer.head(TENANT).size) > 0:
        if rest >= 10_000:
            node.node._writer.write(many)
        else:
            node.node._writer.write(lambda to, left=rest: [to.record(TENANT, "decision", {}) for _ in range(left)])
    node.close()
    with Server(folder) as server, server.api() as api:
        yield server, keep(api)


def check(program: Path, server: Server, kept: Kept, *sizes: int) -> subprocess.CompletedProcess[str]:
    command = [str(program), server.url, ADMIN_KEY, kept.key, *map(str, sizes)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.timeout(600)
def test_another_program_finds_the_same_log(program: Path, served: tuple[Server, Kept]) -> None:
    server, kept = served
    ran = check(program, server, kept, *SIZES)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"{kept.size} records, {len(SIZES) + 1} trees, ")


def test_it_finds_what_was_changed(program: Path, served: tuple[Server, Kept]) -> None:
    """So that the other program is known to look."""
    server, kept = served
    assert "no tree of" in check(program, server, kept, LARGE * 2).stderr
    other = kept.key[:-8] + "A" * 7 + "="
    assert check(program, server, Kept("", other, 0)).returncode == 1
    with closing(sqlite3.connect(server.database, timeout=20)) as connection:
        before = connection.execute("SELECT record, leaf_hash FROM audit_records WHERE idx = 300").fetchone()
        put = "UPDATE audit_records SET record = ?, leaf_hash = ? WHERE idx = 300"
        text = encode({"index": 300, "v": 1})
        for record, hashed in ((text.decode(), before[1]), (text.decode(), leaf_hash(text)), (before[0], bytes(32))):
            connection.execute(put, (record, hashed))
            connection.commit()
            assert check(program, server, kept, 1000).returncode == 1, record
        connection.execute(put, before)
        connection.commit()
    assert check(program, server, kept, 1000).returncode == 0
