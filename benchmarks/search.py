"""Searching a large log while decisions are made: `make bench-search` (ROWS=10000000 for ten million records).

A database is filled through the format of the records themselves, and a real server serves it. Each filter is timed
from the first page to the last, or to the tenth; meanwhile, and alone, one client enforces.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

from act.audit.summaries import Summaries
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.changes import ChangeFeed
from act.database.clock import SystemClock
from act.database.engine import reading_engine, writing_engine
from act.models import rfc3339
from act.tenants.tenant import DEFAULT_TENANT
from benchmarks.http import KEY, Server, serving

PIECE = 4096
PAGES = 10
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(milliseconds=200)
"""Between two records: ten million of them are three weeks."""


def record(number: int, rows: int) -> dict[str, Any]:
    """One decision of a hundred agents; one agent, one action and one reason are rare."""
    chance = random.Random(number)
    rare = number % max(1, rows // 5) == 1000
    agent = "agt_rare" if rare else f"agt_{chance.randrange(100):032x}"
    denied = number % 50 == 0
    return {
        "at": rfc3339(BEGAN + number * STEP),
        "decisionId": f"dec_{number:032x}",
        "requestId": f"{chance.getrandbits(128):032x}",
        "requestDigest": f"{chance.getrandbits(256):064x}",
        "keyId": "key_01a206de20fd7600b9484beae9b7818e",
        "tokenId": f"tok_{chance.randrange(1000):032x}",
        "rootNode": f"nod_{chance.randrange(1000):032x}",
        "agentId": agent,
        "agentName": f"Agent {agent[-4:]}",
        "chain": [agent],
        "requesterId": f"agt_{chance.randrange(20):032x}",
        "taskId": f"task-{number // 1000}",
        "conversationId": f"conversation-{number // 100}",
        "action": "shred" if rare else chance.choice(["read", "write", "send", "execute"]),
        "resourceId": f"api://service-{chance.randrange(500)}/item/{chance.randrange(100_000)}",
        "argumentsHash": f"{chance.getrandbits(256):064x}",
        "policies": [{"id": "pol_01a206de20fd7600b9484beae9b7818e", "version": 3, "effect": "allow"}],
        "decision": "denied" if denied else "allowed",
        "reasonCode": "token_revoked" if rare else ("no_matching_policy" if denied else "allowed"),
        "reason": "Allowed by policy 'Executor Capabilities' v3.",
        "revision": 42,
        "evaluatedAt": rfc3339(BEGAN + number * STEP),
        "latencyMicros": 812,
    }


def fill(path: Path, rows: int) -> None:
    """Append records to the default tenant's log, and make what is known of their blocks."""
    engine, reader = writing_engine(path), reading_engine(path)
    feed = ChangeFeed({})
    with reader.connect() as connection:
        feed.load(connection)
    writer = Writer(engine, feed, SystemClock())
    summaries = Summaries(writer, reader)
    writer.start()
    began = time.perf_counter()
    for first in range(0, rows, PIECE):
        writer.write(partial(_append, first, min(rows, first + PIECE), rows))
        summaries.sweep([DEFAULT_TENANT], 1_000)
        if first % (PIECE * 25) == 0:
            print(f"\r{first:>12,} records, {first / (time.perf_counter() - began):,.0f} a second", end="", flush=True)
    writer.stop()
    engine.dispose()
    reader.dispose()
    size = sum(each.stat().st_size for each in path.parent.glob(path.name + "*") if each.is_file())
    print(f"\r{rows:>12,} records, {size / 1e9:.2f} GB, {time.perf_counter() - began:.0f} s{'':20}")


def _append(first: int, end: int, rows: int, transaction: Transaction) -> None:
    for number in range(first, end):
        transaction.record(DEFAULT_TENANT, "decision", record(number, rows))


def filters(rows: int) -> Iterator[tuple[str, dict[str, str]]]:
    middle = record(rows // 2, rows)
    yield "nothing", {}
    yield "agent, 1 of 100", {"agent": middle["agentId"]}
    yield "agent, rare", {"agent": "agt_rare"}
    yield "agent, unknown", {"agent": "agt_unknown"}
    yield "requester", {"requester": middle["requesterId"]}
    yield "action", {"action": "send"}
    yield "action, rare", {"action": "shred"}
    yield "resource of one service", {"resource": middle["resourceId"].rsplit("/", 2)[0] + "/*"}
    yield "resource, exact", {"resource": middle["resourceId"]}
    yield "resource, ends with", {"resource": "*/99999"}
    yield "resource, never", {"resource": "*/never/*"}
    yield "decision", {"decision": "denied"}
    yield "reasonCode, rare", {"reasonCode": "token_revoked"}
    yield "kind", {"kind": "agent.created"}
    yield "requestId", {"requestId": middle["requestId"]}
    yield "decisionId", {"decisionId": middle["decisionId"]}
    yield "task", {"task": middle["taskId"]}
    yield "task, denied", {"task": middle["taskId"], "decision": "denied"}
    yield "conversation", {"conversation": middle["conversationId"]}
    hour = BEGAN + rows // 2 * STEP
    yield "an hour", {"since": rfc3339(hour), "until": rfc3339(hour + timedelta(hours=1))}
    yield (
        "agent, denied, an hour",
        {
            "agent": middle["agentId"],
            "decision": "denied",
            "since": rfc3339(hour),
            "until": rfc3339(hour + timedelta(hours=1)),
        },
    )


def prepare(at: Server) -> str:
    """An agent that may read; its token."""
    with httpx2.Client(base_url=f"http://{at.host}:{at.port}", headers={"X-Api-Key": KEY}) as client:
        agent = client.post("/v1/agents", json={"name": "bench"}).raise_for_status().json()["id"]
        policy = {"name": "p", "actions": ["read"], "resources": ["api://*"], "appliesTo": {"agentIds": [agent]}}
        client.post("/v1/policies", json=policy).raise_for_status()
        return str(client.post("/v1/tokens", json={"agentId": agent}).raise_for_status().json()["token"])


def search(client: httpx2.Client, wanted: dict[str, str]) -> tuple[list[float], int, bool]:
    """Milliseconds of each page, how many records, and whether that was all."""
    taken: list[float] = []
    found, cursor = 0, None
    while len(taken) < PAGES or (found == 0 and len(taken) < 2_000):
        began = time.perf_counter()
        page = client.get("/v1/audit", params=wanted | ({"cursor": cursor} if cursor else {})).raise_for_status().json()
        taken.append((time.perf_counter() - began) * 1000)
        found += len(page["items"])
        cursor = page["nextCursor"]
        if cursor is None:
            return taken, found, True
    return taken, found, False


def enforce(at: Server, token: str, taken: list[float], until: threading.Event) -> None:
    """One client that asks one thing after the other."""
    headers = {"X-Api-Key": KEY}
    with httpx2.Client(base_url=f"http://{at.host}:{at.port}", headers=headers) as client:
        number = 0
        while not until.is_set():
            number += 1
            body = {"requestId": f"{id(taken)}-{number}", "capabilityToken": token, "action": "read"}
            began = time.perf_counter()
            client.post("/v1/enforce", json=body | {"resourceId": "api://service-42/item"}).raise_for_status()
            taken.append((time.perf_counter() - began) * 1000)


def said(name: str, taken: list[float]) -> None:
    taken = sorted(taken)
    p50, p99 = taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
    print(f"  {name:<32} {len(taken):>6} decisions  p50 {p50:6.2f}  p99 {p99:7.2f}  most {taken[-1]:7.2f} ms")


def while_enforcing(at: Server, token: str, name: str, work: Any) -> None:
    taken: list[float] = []
    until = threading.Event()
    thread = threading.Thread(target=enforce, args=(at, token, taken, until))
    thread.start()
    work()
    until.set()
    thread.join()
    said(name, taken)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="act-bench-") as folder:
        path = Path(folder) / "act.db"
        with serving(f"sqlite:///{path}"):
            pass
        fill(path, given.rows)
        with serving(f"sqlite:///{path}") as at:
            _measure(at, given.rows, given.seconds)


def _measure(at: Server, rows: int, seconds: float) -> None:
    token = prepare(at)
    url, headers = f"http://{at.host}:{at.port}", {"X-Api-Key": KEY}
    wanted = list(filters(rows))
    with httpx2.Client(base_url=url, headers=headers, timeout=60) as client:
        print(f"  {'filter':<28} {'first page':>11} {'most':>9} {'pages':>7} {'all ms':>9} {'found':>7}")
        for name, each in wanted:
            taken, found, whole = search(client, each)
            more = "" if whole else "+"
            print(
                f"  {name:<28} {taken[0]:>8.1f} ms {max(taken):>6.1f} ms {len(taken):>6}{more or ' '} "
                f"{sum(taken):>9.0f} {found:>6}{more or ' '}"
            )

    print("  enforce, one client, durable:")
    while_enforcing(at, token, "alone", lambda: time.sleep(seconds))
    never = [each for name, each in wanted if name == "resource, never"]
    for name, chosen in (("with all these searches", [each for _, each in wanted]), ("with one in vain", never)):
        # In a process of its own, or the two would wait for one interpreter.
        process = multiprocessing.get_context("spawn").Process(target=searching, args=(url, KEY, chosen, seconds))
        process.start()
        while_enforcing(at, token, name, process.join)
    while_enforcing(at, token, "alone again", lambda: time.sleep(seconds))


def searching(url: str, key: str, wanted: list[dict[str, str]], seconds: float) -> None:
    """Page after page, one client."""
    end = time.perf_counter() + seconds
    with httpx2.Client(base_url=url, headers={"X-Api-Key": key}, timeout=60) as client:
        for each in itertools.cycle(wanted):
            search(client, each)
            if time.perf_counter() > end:
                return


if __name__ == "__main__":
    main()
