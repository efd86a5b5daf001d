"""A real server process on a database, for the benchmarks that call it over HTTP."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# The benchmarks themselves, and what runs them: `PYTHONPATH=.compiled make bench-http`.
PATHS = os.pathsep.join(filter(None, (str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH"))))
KEY = f"act_bench_{secrets.token_urlsafe(32)}"


@dataclass(frozen=True)
class Server:
    host: str
    port: int
    pid: int


@contextmanager
def serving(database: str, run: Sequence[str] = ("act",)) -> Iterator[Server]:
    """`run` is what takes the arguments of `actctl`: a module, and arguments of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", *run, "serve", "--port", "0", "--database", database],
        env={"ACT_BOOTSTRAP_API_KEY": KEY, "PYTHONPATH": PATHS},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said = []
        for line in process.stderr:
            if found := re.search(r"at http://([\d.]+):(\d+)", line):
                yield Server(found[1], int(found[2]), process.pid)
                return
            said.append(line)
        raise RuntimeError(f"The server did not start: {''.join(said)}")
    finally:
        process.terminate()
        process.wait(30)
