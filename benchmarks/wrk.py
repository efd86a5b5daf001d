"""Load from `wrk`: keep-alive connections of one thread, which ask as soon as they are answered."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MISSING = "wrk is missing: apt-get install wrk, dnf install wrk or brew install wrk."
TICKS = os.sysconf("SC_CLK_TCK")
ID = "0" * 16
"""Stands in a body where each request gets an id of its own, of the same length."""

_RUNS = itertools.count()
_PREFIX = secrets.token_hex(2)

# Two strings are joined for a request and nothing else, so that the driver leaves the cores to the server.
_SCRIPT = """\
local before, after = {%s}, {%s}
local count, number, format = #before, 0, string.format
request = function()
  number = number + 1
  local at = number %% count + 1
  return before[at] .. "%s" .. format("%%08x", number) .. after[at]
end
done = function(summary, latency)
  local errors = summary.errors
  io.write(format('\\nRESULT {"requests": %%d, "micros": %%d, "p50": %%d, "p99": %%d, "failed": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


class DriverMissing(Exception):
    """Says what to install."""


@dataclass(frozen=True)
class Target:
    """A server that is asked, and with what; every body has `ID` in it, once."""

    name: str
    host: str
    port: int
    pid: int
    path: str
    headers: dict[str, str]
    bodies: Sequence[bytes]


@dataclass(frozen=True)
class Measured:
    """Requests a second; milliseconds; CPU microseconds of the server for a request."""

    rate: float
    p50: float
    p99: float
    cpu: float


def binary() -> str:
    """Where wrk is.

    Raises:
        DriverMissing: nowhere.
    """
    found = shutil.which("wrk")
    if found is None:
        raise DriverMissing(MISSING)
    return found


def measure(target: Target, connections: int, seconds: int) -> Measured:
    """Load the target and measure it.

    Raises:
        DriverMissing: there is no wrk.
        RuntimeError: an answer was not 2xx, or none came.
    """
    with tempfile.TemporaryDirectory(prefix="act-bench-") as folder:
        script = Path(folder) / "requests.lua"
        script.write_text(_script(target))
        before = cpu_seconds(target.pid)
        found = _run(target, script, connections, seconds)
        cpu = cpu_seconds(target.pid) - before
    count = found["requests"]
    if found["failed"] or not count:
        raise RuntimeError(f"{target.name}: {found['failed']} of {count} requests failed.")
    return Measured(count / found["micros"] * 1e6, found["p50"] / 1000, found["p99"] / 1000, cpu / count * 1e6)


def together(turns: Sequence[Measured]) -> Measured:
    """Turns of the same length as one: what all came to, and the medians of their times."""
    rate = statistics.mean(turn.rate for turn in turns)
    cpu = sum(turn.cpu * turn.rate for turn in turns) / (rate * len(turns))
    p50, p99 = (statistics.median(getattr(turn, name) for turn in turns) for name in ("p50", "p99"))
    return Measured(rate, p50, p99, cpu)


def cpu_seconds(pid: int) -> float:
    """What the process, all its threads and its children have used, in user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(fields[11]) + int(fields[12])) / TICKS + sum(cpu_seconds(int(child)) for child in children)


def _script(target: Target) -> str:
    parts = [_request(target, body).split(ID) for body in target.bodies]
    # JSON's strings of printable ASCII are Lua's, too.
    before, after = (", ".join(json.dumps(part[which]) for part in parts) for which in (0, 1))
    return _SCRIPT % (before, after, f"{_PREFIX}{next(_RUNS):04x}")


def _request(target: Target, body: bytes) -> str:
    headers = {"Host": f"{target.host}:{target.port}", **target.headers, "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {target.path} HTTP/1.1\r\n{head}\r\n{body.decode()}"


def _run(target: Target, script: Path, connections: int, seconds: int) -> dict[str, Any]:
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script)]
    done = subprocess.run(
        [binary(), *options, f"http://{target.host}:{target.port}{target.path}"],
        capture_output=True,
        text=True,
        check=True,
    )
    _, mark, result = done.stdout.partition("\nRESULT ")
    if not mark:
        raise RuntimeError(f"wrk said nothing about {target.name}: {done.stderr.strip()}")
    return dict(json.loads(result))
