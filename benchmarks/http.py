"""`POST /v1/enforce` on a real server process, durable, against the same server answering `/healthz`."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx2

POLICIES = 100
SECONDS = 4.0
CONCURRENCY = (1, 16, 64)
KEY = f"act_bench_{secrets.token_urlsafe(32)}"


@dataclass(frozen=True)
class Server:
    host: str
    port: int
    pid: int


@dataclass(frozen=True)
class Measured:
    """Per second, milliseconds, and the server's CPU microseconds a request."""

    rate: float
    p50: float
    p99: float
    cpu: float


@contextmanager
def server() -> Iterator[Server]:
    with (
        tempfile.TemporaryDirectory(prefix="act-bench-") as folder,
        serving(f"sqlite:///{folder}/act.db") as at,
    ):
        yield at


@contextmanager
def serving(database: str) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, "-m", "act", "serve", "--port", "0", "--database", database],
        env={"ACT_BOOTSTRAP_API_KEY": KEY},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"at http://([\d.]+):(\d+)", line):
                yield Server(found[1], int(found[2]), process.pid)
                return
        raise RuntimeError("The server did not start.")
    finally:
        process.terminate()
        process.wait(30)


def prepare(at: Server) -> str:
    """An agent with 100 policies; its token."""
    with httpx2.Client(base_url=f"http://{at.host}:{at.port}", headers={"X-Api-Key": KEY}) as client:
        agent = client.post("/v1/agents", json={"name": "bench", "roles": ["bench"]}).json()["id"]
        for number in range(POLICIES):
            body = {"name": f"p{number}", "actions": ["read"], "resources": [f"api://service-{number}/*"]}
            client.post("/v1/policies", json={**body, "appliesTo": {"roles": ["bench"]}}).raise_for_status()
        return str(client.post("/v1/tokens", json={"agentId": agent}).json()["token"])


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def _client(at: Server, make: Callable[[], bytes], until: float, taken: list[float]) -> None:
    reader, writer = await asyncio.open_connection(at.host, at.port)
    while time.perf_counter() < until:
        started = time.perf_counter()
        writer.write(make())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        body = await reader.readexactly(int(length[1]))
        assert b'"denied"' not in body, body
        taken.append(time.perf_counter() - started)
    writer.close()


def measure(at: Server, make: Callable[[], bytes], concurrency: int) -> Measured:
    async def run() -> list[float]:
        taken: list[float] = []
        until = time.perf_counter() + SECONDS
        await asyncio.gather(*(_client(at, make, until, taken) for _ in range(concurrency)))
        return sorted(taken)

    before = cpu_seconds(at.pid)
    taken = asyncio.run(run())
    cpu = (cpu_seconds(at.pid) - before) / len(taken) * 1_000_000
    return Measured(len(taken) / SECONDS, taken[len(taken) // 2] * 1000, taken[int(len(taken) * 0.99)] * 1000, cpu)


def enforce_requests(token: str) -> Callable[[], bytes]:
    numbers = count()

    def make() -> bytes:
        body = json.dumps(
            {
                "requestId": f"bench-{next(numbers)}",
                "capabilityToken": token,
                "action": "read",
                "resourceId": "api://service-42/item",
                "arguments": {"id": 1},
            }
        ).encode()
        head = (
            f"POST /v1/enforce HTTP/1.1\r\nhost: bench\r\nx-api-key: {KEY}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    return make


def main() -> None:
    print(f"POST /v1/enforce over HTTP, durable, {POLICIES} policies; the floor is /healthz of the same server.")
    print("The driver is one Python process on the same machine, so rates are lower bounds.")
    print(f"{'clients':>8} {'':<9} {'per s':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU us':>8} {'of floor':>9}")
    with server() as at:
        enforce = enforce_requests(prepare(at))
        for concurrency in CONCURRENCY:
            floor = measure(at, lambda: b"GET /healthz HTTP/1.1\r\nhost: bench\r\n\r\n", concurrency)
            ours = measure(at, enforce, concurrency)
            for name, row in (("floor", floor), ("enforce", ours)):
                times = f"{row.p50:>8.2f} {row.p99:>8.2f} {row.cpu:>8.0f}"
                print(f"{concurrency:>8} {name:<9} {row.rate:>8.0f} {times} {row.rate / floor.rate:>8.0%}")


if __name__ == "__main__":
    main()
