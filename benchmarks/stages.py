"""Where the time of a decision goes: each step alone, and the whole with 64 requests at once, without a network.

The steps are called one after the other, which keeps all they need in the processor's caches; in the whole they take
turns, as they do in a server. What is left of the whole is what lies between the steps: ids, retries, metrics, futures,
the two threads that hand over to each other, and those caches. CPU time, in microseconds for one decision.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import uvloop

from act import Act
from act.audit.arguments import SALT_SIZE, body_of
from act.audit.transaction import Transaction
from act.client.embedded import URL, EmbeddedTransport, Service
from act.database.ids import new_id
from act.database.session import WriteSession
from act.enforcement.answer import answer, record
from act.enforcement.bearers import Asked
from act.enforcement.route import PATH, EnforceRoute, validated
from act.exchange import identify
from act.models import EnforceRequest, Verdict
from act.server.app import Node
from act.server.memory import settle
from act.server.settings import Settings

AGENTS, POLICIES, TOGETHER = 32, 100, 64
CALLS, ROUNDS = 4_000, 7
WHOLE = 12_800
KEY = f"act_bench_{secrets.token_urlsafe(32)}"
HEADERS = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"x-api-key", KEY.encode())]


@dataclass(frozen=True)
class Bench:
    """A node with a policy for each service, and the tokens of its agents."""

    node: Node
    tokens: list[str]

    def body(self, number: int) -> bytes:
        """A question that nobody has asked before."""
        asked = {
            "requestId": f"{number}-{time.perf_counter_ns()}",
            "capabilityToken": self.tokens[number % AGENTS],
            "action": "read",
            "resourceId": f"api://service-{number % POLICIES}/item",
            "arguments": {"id": 1},
        }
        return json.dumps(asked, separators=(",", ":")).encode()

    @property
    def route(self) -> EnforceRoute:
        # What the node has joined is asked for from inside: there is no other way to it without HTTP.
        found = self.node.app._decisions[PATH]  # type: ignore[attr-defined]
        assert isinstance(found, EnforceRoute)
        return found


@contextmanager
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="act-bench-") as folder:
        node = Node(Settings(database=f"sqlite:///{Path(folder) / 'act.db'}", bootstrap_api_key=KEY))
        with Act(URL, KEY, timeout=60, transport=EmbeddedTransport(Service(node.app, KEY, node.close))) as act:
            for number in range(POLICIES):
                resources, to = [f"api://service-{number}/*"], {"roles": ["bench"]}
                act.policies.create(name=f"p{number}", actions=["read"], resources=resources, applies_to=to)
            agents = [act.agents.create(f"agent-{number}", roles=["bench"]) for number in range(AGENTS)]
            tokens = [act.tokens.issue(agent.id, expires_in=86_400).token for agent in agents]
            settle()  # as the server does when it has loaded
            yield Bench(node, tokens)


def taken(step: Callable[[], Any]) -> float:
    """The least that a call took in any round: what else the machine does can only add to it."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for _ in range(CALLS):
            step()
        found.append((time.process_time_ns() - began) / CALLS / 1000)
    return min(found)


def finished(coroutine: Any) -> Any:
    """What a coroutine that waits for nothing comes to."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


def exchange(body: bytes) -> tuple[dict[str, Any], Callable[[], Any]]:
    length = (b"content-length", str(len(body)).encode())
    scope = {"type": "http", "method": "POST", "path": PATH, "query_string": b"", "headers": [*HEADERS, length]}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return scope, receive


def steps(it: Bench) -> tuple[dict[str, float], dict[str, float]]:
    """Those on the event loop, and those on the writer's thread."""
    node, route, now = it.node, it.route, datetime.now(UTC)
    pipeline, judge, writer = route._pipeline, route._pipeline._judge, node._writer
    scope, receive = exchange(it.body(1))

    def arrived() -> Asked:
        identify(scope)
        found = finished(route._arrived(scope, receive))
        return Asked(found.caller, validated(EnforceRequest, found.document), sha256(found.body).digest())

    asked, salt = arrived(), secrets.token_bytes(SALT_SIZE)
    id, revision = new_id("dec"), pipeline._feed.revision
    judgement = judge.judge(asked, id, now)
    assert judgement.settlement.verdict is Verdict.ALLOWED
    body = body_of(asked.request.arguments, salt, judge.keeping(asked))
    fields = record(asked, judgement, id, revision, now, body)

    def described() -> None:
        made = body_of(asked.request.arguments, salt, judge.keeping(asked))
        record(asked, judgement, id, revision, now, made)

    with WriteSession(node._writing) as session:
        transaction = Transaction(session, node._clock, writer._trees, revision)

        def leaf() -> Any:
            transaction.rows.clear()
            transaction.ending.clear()
            return transaction.record(asked.caller.tenant_id, "decision", fields, body)

        sealed = leaf()
        token = taken(lambda: judge._bearers.shown(asked, now))
        on_loop = {
            "the request: headers, key, strict JSON, the model, digest": taken(arrived),
            "its token, verified again": token,
            "the decision, on what it holds now": taken(lambda: judge.judge(asked, id, now)) - token,
            "the record: arguments hashed and redacted, members": taken(described),
            "the answer, as JSON": taken(lambda: answer(asked, judgement, id, revision, now, sealed)),
        }
        on_thread = {"the leaf: canonical, searched for secrets, hashed, in the tree": taken(leaf)}
        transaction.rows.clear()
        transaction.grown.clear()
    return on_loop, on_thread


async def whole(it: Bench) -> tuple[float, float]:
    """The whole way with so many at once: the event loop's thread and the writer's."""
    numbers = iter(range(10**9))

    async def send(message: dict[str, Any]) -> None:
        assert message.get("status", 200) == 200

    async def asker() -> None:
        for _ in range(WHOLE // TOGETHER):
            scope, receive = exchange(it.body(next(numbers)))
            await it.node.app(scope, receive, send)

    writing = time.pthread_getcpuclockid(it.node._writer._worker.ident or 0)
    found = []
    for _ in range(ROUNDS):
        began = time.thread_time(), time.clock_gettime(writing)
        await asyncio.gather(*(asker() for _ in range(TOGETHER)))
        found.append((time.thread_time() - began[0], time.clock_gettime(writing) - began[1]))
    loop, thread = min(found, key=sum)
    return loop / WHOLE * 1e6, thread / WHOLE * 1e6


def asking(it: Bench) -> float:
    """What the questions themselves cost here."""
    return taken(lambda: exchange(it.body(1)))


def main() -> None:
    with bench() as it:
        on_loop, on_thread = steps(it)
        loop, thread = uvloop.run(whole(it))
        loop -= asking(it)
    rows = {
        "on the event loop": None,
        **on_loop,
        "between them": loop - sum(on_loop.values()),
        "on the writer's thread": None,
        **on_thread,
        "SQLite, the commit, between them": thread - sum(on_thread.values()),
        "all": loop + thread,
    }
    import act.enforcement.decide

    compiled = "compiled" if act.enforcement.decide.__file__.endswith(".so") else "interpreted"
    print(f"Python {sys.version.split()[0]}, {compiled}; {TOGETHER} at once; CPU us for one decision")
    for name, value in rows.items():
        print(f"\n{name}" if value is None else f"  {name:<66}{value:7.1f}")


if __name__ == "__main__":
    main()
