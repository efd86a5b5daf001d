"""A real server under a mixed load for minutes: does it stay as small, as fast and as right as it was?

    make soak MINUTES=10

Allowed and denied questions, approvals, outcomes, policies that change, tokens that are revoked, exports and listeners,
all at once, at a steady pace. Every minute a line. At the end it fails when memory grew, when answers became slower, or
when what the callers have counted is not what the log has.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx2

from tests.attacks.log import judge, keep
from tests.support import ADMIN_KEY, Api, Server

ASKERS: Final = 8
PAUSE: Final = 0.02
"""Seconds between two questions of one caller; the pace is the same from first to last, so that minutes compare."""
LIFE: Final = 60
"""Seconds for which what comes and goes is good, tokens and approvals: a server holds them as long, and a run that
tells something about its memory is longer than that."""
WARM: Final = 150.0
"""Seconds after which memory is as large as it gets: answers are known again for two minutes."""
SAMPLE: Final = 2.0
MOST_GROWTH: Final = 1.0
"""MB a minute after the warm-up, of a run that is long enough to tell."""
LONG: Final = 8.0
"""Minutes from which a run is: in a shorter one the end of the warm-up weighs too much."""
MOST_DRIFT: Final = 2.0
"""The median of the last minute, over that of the first after the warm-up (of a short run: over the first)."""


@dataclass
class Seen:
    """What all callers together have seen."""

    decisions: Counter[tuple[str, str]] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    """By kind: those that a caller knows to have caused."""
    seconds: list[tuple[float, float]] = field(default_factory=list)
    """When, and how long, a question took."""
    heard: Counter[int] = field(default_factory=Counter)
    exports: int = 0
    failures: list[str] = field(default_factory=list)


class Load:
    """The callers. `url` is where the server is, `asking` the API key of those who ask; who approves has another."""

    def __init__(self, url: str, asking: str, seen: Seen) -> None:
        limits = httpx2.Limits(max_connections=64, max_keepalive_connections=64)
        self.client = httpx2.AsyncClient(base_url=url, timeout=60.0, limits=limits)
        self.seen = seen
        self.ending = asyncio.Event()
        self.heads = {"X-Api-Key": ADMIN_KEY, "If-Match": "*"}
        self.asking = {"X-Api-Key": asking}

    async def call(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        answer = await self.client.request(method, path, json=body, headers=self.heads)
        if answer.status_code != status:
            raise AssertionError(f"{method} {path}: {answer.status_code}, not {status}: {answer.text[:300]}")
        return answer.json() if answer.content else None

    async def ask(self, token: str, action: str, resource: str, **more: Any) -> Any:
        body = {"requestId": uuid4().hex, "capabilityToken": token, "action": action, "resourceId": resource, **more}
        began = time.monotonic()
        answer = await self.client.post("/v1/enforce", json=body, headers=self.asking)
        self.seen.seconds.append((began, time.monotonic() - began))
        if answer.status_code != 200:
            raise AssertionError(f"enforce: {answer.status_code}: {answer.text[:300]}")
        told = answer.json()
        self.seen.decisions[told["decision"], told["reasonCode"]] += 1
        return told

    async def issue(self, agent: str, **more: Any) -> Any:
        issued = await self.call("POST", "/v1/tokens", {"agentId": agent, **more}, status=201)
        self.seen.records["token.issued"] += 1
        return issued

    async def agent(self) -> str:
        self.seen.records["agent.created"] += 1
        return str((await self.call("POST", "/v1/agents", {"name": f"soak-{uuid4().hex}"}, status=201))["id"])

    async def policy(self, agent: str, actions: list[str], **more: Any) -> Any:
        self.seen.records["policy.created"] += 1
        body = {"name": f"soak-{uuid4().hex}", "actions": actions, "resources": ["*"]}
        return await self.call("POST", "/v1/policies", body | {"appliesTo": {"agentIds": [agent]}} | more, status=201)

    # --- what goes on -------------------------------------------------------------------------------------------------

    async def asker(self, number: int) -> Callable[[int], Awaitable[None]]:
        agent = await self.agent()
        await self.policy(agent, ["run"])
        await self.policy(agent, ["count"], constraints={"maxRequests": 1_000_000, "maxConcurrentTasks": 100_000})
        token = (await self.issue(agent))["token"]

        async def turn(at: int) -> None:
            arguments = {"turn": at, "text": "x" * (at % 200)}
            if at % 4 == 0:
                assert (await self.ask(token, "fly", f"x{at % 50}"))["decision"] == "denied"
            elif at % 4 == 1:
                told = await self.ask(token, "count", f"x{at % 50}", arguments=arguments)
                path = f"/v1/decisions/{told['decisionId']}/outcome"
                await self.call("POST", path, {"status": "succeeded", "labels": []})
                self.seen.records["decision.outcome"] += 1
            else:
                told = await self.ask(token, "run", f"x{at % 50}", arguments=arguments)
                assert told["decision"] == "allowed"

        return turn

    async def approver(self) -> Callable[[int], Awaitable[None]]:
        agent = await self.agent()
        await self.policy(agent, ["pay"], constraints={"requiresApproval": {"expiresIn": LIFE}})
        token = (await self.issue(agent))["token"]

        async def turn(at: int) -> None:
            arguments = {"order": f"{uuid4().hex}"}
            told = await self.ask(token, "pay", "x", arguments=arguments)
            path = f"/v1/approvals/{told['approval']['id']}"
            if at % 3 == 0:
                await self.call("POST", f"{path}/reject", {"reason": "no"})
                self.seen.records["approval.rejected"] += 1
            else:
                await self.call("POST", f"{path}/approve", {})
                self.seen.records["approval.approved"] += 1
                assert (await self.ask(token, "pay", "x", arguments=arguments))["decision"] == "allowed"
            await asyncio.sleep(0.2)

        return turn

    async def changer(self) -> Callable[[int], Awaitable[None]]:
        """What was changed is obeyed by the next question."""
        agent = await self.agent()
        token = (await self.issue(agent))["token"]

        async def turn(at: int) -> None:
            made = await self.policy(agent, [f"do{at}"])
            assert (await self.ask(token, f"do{at}", "x"))["decision"] == "allowed"
            await self.call("DELETE", f"/v1/policies/{made['id']}", status=204)
            self.seen.records["policy.deleted"] += 1
            assert (await self.ask(token, f"do{at}", "x"))["decision"] == "denied"
            await asyncio.sleep(0.3)

        return turn

    async def revoker(self) -> Callable[[int], Awaitable[None]]:
        agent = await self.agent()
        await self.policy(agent, ["run"])

        async def turn(at: int) -> None:
            issued = await self.issue(agent, expiresIn=LIFE)
            assert (await self.ask(issued["token"], "run", "x"))["decision"] == "allowed"
            await self.call("POST", f"/v1/tokens/{issued['tokenId']}/revoke")
            self.seen.records["token.revoked"] += 1
            assert (await self.ask(issued["token"], "run", "x"))["reasonCode"] == "token_revoked"
            await asyncio.sleep(0.3)

        return turn

    async def exporter(self) -> Callable[[int], Awaitable[None]]:
        async def turn(at: int) -> None:
            last = b""
            async with self.client.stream("GET", "/v1/audit/export", headers=self.heads) as answer:
                async for piece in answer.aiter_bytes():
                    last = (last + piece)[-4096:]
            assert b'{"checkpoint":' in last.splitlines()[-1]
            self.seen.exports += 1
            await asyncio.sleep(10)

        return turn

    async def reader(self) -> Callable[[int], Awaitable[None]]:
        async def turn(at: int) -> None:
            await self.call("GET", "/v1/audit?decision=denied&limit=50")
            await self.call("GET", "/v1/approvals?limit=50")
            await self.call("GET", "/v1/policies?limit=50")
            assert (await self.call("GET", "/readyz"))["status"] == "ok"
            await asyncio.sleep(2)

        return turn

    async def listen(self, number: int) -> None:
        """Every record once, in the order of the log, over however many connections."""
        after: int | None = None
        while not self.ending.is_set():
            heads = self.heads | ({} if after is None else {"Last-Event-ID": str(after)})
            async with self.client.stream("GET", "/v1/events", headers=heads) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("id:"):
                        index = int(line[3:])
                        if after is not None and index != after + 1:
                            self.seen.failures.append(f"listener {number} was told of {index} after {after}")
                        after = index
                        self.seen.heard[number] += 1
                    if self.ending.is_set():
                        return

    # --- all of it ----------------------------------------------------------------------------------------------------

    async def run(self, seconds: float, minute: Callable[[], None]) -> None:
        made = [await self.asker(number) for number in range(ASKERS)]
        made += [await each() for each in (self.approver, self.changer, self.revoker, self.exporter, self.reader)]
        listening = [asyncio.create_task(self.listen(number)) for number in range(2)]
        end = time.monotonic() + seconds
        working = [asyncio.create_task(self._repeat(turn, end)) for turn in made]
        while time.monotonic() < end:
            await asyncio.sleep(min(60.0, max(0.0, end - time.monotonic())))
            minute()
        await asyncio.gather(*working)
        self.ending.set()
        await asyncio.sleep(1)
        for task in listening:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.client.aclose()

    async def _repeat(self, turn: Callable[[int], Awaitable[None]], end: float) -> None:
        for at in itertools.count():
            if time.monotonic() >= end:
                return
            try:
                await turn(at)
            except (AssertionError, httpx2.HTTPError) as error:
                self.seen.failures.append(f"{type(error).__name__}: {error}")
                return
            await asyncio.sleep(PAUSE)


def resident(pid: int) -> float:
    """MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the server is gone")


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@dataclass
class Watch:
    """What the server's process looked like, and when."""

    pid: int
    began: float = field(default_factory=time.monotonic)
    memory: list[tuple[float, float]] = field(default_factory=list)
    minutes: int = 0

    async def sample(self) -> None:
        while True:
            self.memory.append((time.monotonic() - self.began, resident(self.pid)))
            await asyncio.sleep(SAMPLE)

    def growth(self) -> float | None:
        """MB a minute after the warm-up (least squares); None when the run was too short to tell."""
        late = [(at / 60, megabytes) for at, megabytes in self.memory if at > WARM]
        return statistics.linear_regression(*zip(*late, strict=True)).slope if len(late) > 10 else None


def between(seen: Seen, begin: float, end: float) -> list[float]:
    return sorted(took for at, took in seen.seconds if begin <= at < end)


def quantile(ordered: list[float], part: float) -> float:
    """Milliseconds."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000 if ordered else 0.0


def show(watch: Watch, seen: Seen) -> None:
    watch.minutes += 1
    now = time.monotonic()
    took = between(seen, now - 60, now)
    print(
        f"{(now - watch.began) / 60:5.1f} min  {sum(seen.decisions.values()):8d} decisions  {len(took) / 60:6.0f}/s  "
        f"p50 {quantile(took, 0.5):6.2f} ms  p99 {quantile(took, 0.99):7.2f} ms  {resident(watch.pid):7.1f} MB  "
        f"{descriptors(watch.pid)} files  {seen.exports} exports  {sum(seen.heard.values())} events",
        flush=True,
    )


def counted(api: Api) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """What the log has: decisions by answer and reason, and all records by kind."""
    decisions, kinds = Counter[tuple[str, str]](), Counter[str]()
    with api.client.stream("GET", "/v1/audit/export") as answer:
        for line in answer.iter_lines():
            record = json.loads(line).get("record")
            if record is None:
                continue
            kinds[record["kind"]] += 1
            if record["kind"] == "decision":
                decisions[record["decision"], record["reasonCode"]] += 1
    return decisions, kinds


def faults(api: Api, seen: Seen, watch: Watch, first: float, last: float, minutes: float) -> list[str]:
    """Everything that is not as it should be."""
    found = list(seen.failures[:10])
    decisions, kinds = counted(api)
    if decisions != seen.decisions:
        found.append(f"decisions: the log has {dict(decisions)}, the callers {dict(seen.decisions)}")
    for kind, count in seen.records.items():
        if kinds[kind] != count:
            found.append(f"{kind}: the log has {kinds[kind]}, the callers {count}")
    growth = watch.growth()
    if growth is not None and minutes >= LONG and growth > MOST_GROWTH:
        found.append(f"memory grows by {growth:.2f} MB a minute")
    if first and last > MOST_DRIFT * first + 1:
        found.append(f"the median went from {first:.2f} ms to {last:.2f} ms")
    for number, heard in seen.heard.items():
        if heard < 0.9 * max(seen.heard.values()):
            found.append(f"listener {number} heard {heard}")
    return found


async def soak(server: Server, asking: str, seen: Seen, minutes: float) -> Watch:
    watch = Watch(server.pid)
    sampling = asyncio.create_task(watch.sample())
    await Load(server.url, asking, seen).run(minutes * 60, lambda: show(watch, seen))
    sampling.cancel()
    return watch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    seen = Seen()
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        with server.api() as api:
            asking = api.key("enforce")["key"]
            before, kept = counted(api), keep(api)
        seen.records.update(before[1])
        began = time.monotonic()
        watch = asyncio.run(soak(server, asking, seen, minutes))
        end = began + minutes * 60
        begin = began + (WARM if minutes >= LONG else 0)
        first, last = (quantile(between(seen, at, at + 60), 0.5) for at in (begin, end - 60))
        with server.api() as api:
            wrong = faults(api, seen, watch, first, last, minutes)
            found = judge(api, kept)
            if not found.ok:
                wrong.append(found.message)
            print(f"{found.message} {sum(seen.decisions.values())} decisions were counted by those who asked.")
        size = server.database.stat().st_size / 1e6
        if server.stop() != 0 or "Traceback" in server.log:
            wrong.append(f"the server's log: {server.log[-2000:]}")
    growth = watch.growth()
    grew = "too short to tell" if growth is None else f"{growth:+.2f} MB a minute after {WARM:.0f} s"
    print(f"memory {grew}; median {first:.2f} ms, then {last:.2f} ms; database {size:.0f} MB")
    for each in wrong:
        print(f"WRONG: {each}")
    print("All is well." if not wrong else f"{len(wrong)} things went wrong.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
