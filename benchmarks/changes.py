"""Policy changes on a real server with 10,000 policies, while others enforce: how soon, and who waits for them.

A change is a `PUT` of a policy, durable and recorded; it is live when it is answered, which the next decision proves.
The clients enforce without a pause, once with no changes and once with ten a second, so that what they wait longer
is what changes cost them.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from act.audit.transaction import Transaction
from act.models import PolicyDraft
from act.policies import store
from act.policies.draft import bind, document
from act.server.app import Node
from act.server.settings import Settings
from act.tenants.tenant import DEFAULT_TENANT as TENANT
from benchmarks import tenants
from benchmarks.http import KEY, Server, serving

POLICIES = 10_000
CLIENTS = 4
SECONDS = 10.0
PAUSE = 0.1

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Times:
    """Milliseconds, sorted."""

    taken: list[float]

    def __str__(self) -> str:
        at = [self.taken[min(int(len(self.taken) * part), len(self.taken) - 1)] for part in (0.5, 0.99, 1)]
        return f"{len(self.taken):>8} {at[0]:>8.2f} {at[1]:>8.2f} {at[2]:>8.2f}"


def fill(database: str, *, one_role: bool) -> None:
    """Store the policies, as the service would, in one transaction; over HTTP it would take minutes."""
    drafts = [
        PolicyDraft.model_validate(
            {
                **{name: policy[name] for name in ("id", "effect", "actions")},
                "name": policy["id"],
                "resources": [f"{service}*" for service in policy["services"]],
                "appliesTo": {"roles": ["role-0" if one_role else policy["role"]]},
                "when": tenants.cel(policy["condition"]),
            }
        )
        for policy in tenants.tenant(POLICIES)["policies"]
    ]
    with Node(Settings(database=database, bootstrap_api_key=KEY)) as node:

        def work(transaction: Transaction) -> None:
            for draft in drafts:
                assert draft.id is not None
                revision = transaction.change(TENANT, "policy", draft.id)
                store.add(transaction.connection, TENANT, draft.id, NOW)
                values = document(draft, bind(draft, (), require_binding=True))
                store.add_version(
                    transaction.connection,
                    TENANT,
                    draft.id,
                    1,
                    **values,
                    warnings=[],
                    created_at=NOW,
                    revision=revision,
                )
            transaction.record(TENANT, "benchmark.filled", {"policies": len(drafts)})

        node._writer.write(work)


class Connection:
    """One kept-alive HTTP/1.1 connection that asks one thing after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, at: Server) -> Connection:
        return cls(*await asyncio.open_connection(at.host, at.port))

    async def ask(self, method: str, path: str, body: Any) -> tuple[float, Any]:
        """The milliseconds that it took, and the answer."""
        content = json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: bench\r\nx-api-key: {KEY}\r\nif-match: *\r\n"
            f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        started = time.perf_counter()
        self._writer.write(head.encode() + content)
        answered = await self._reader.readuntil(b"\r\n\r\n")
        length = next(line for line in answered.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        content = await self._reader.readexactly(int(length.partition(b":")[2]))
        taken = time.perf_counter() - started
        assert answered.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")), (answered, content)
        return taken * 1000, json.loads(content)


_numbers = count()


def enforcing(token: str, resource: str) -> dict[str, Any]:
    return {
        "requestId": f"bench-{next(_numbers)}",
        "capabilityToken": token,
        "action": "read",
        "resourceId": resource,
        "context": {"env": "prod"},
    }


async def enforce(at: Server, token: str, until: float) -> list[float]:
    connection, taken = await Connection.open(at), []
    while time.perf_counter() < until:
        resource = f"api://service-{next(_numbers) % tenants.SERVICES}/item"
        taken.append((await connection.ask("POST", "/v1/enforce", enforcing(token, resource)))[0])
    return taken


async def change(at: Server, token: str, until: float) -> list[float]:
    """Allow and forbid one thing in turns; each change is answered before the decision that must know it."""
    connection, taken, resource = await Connection.open(at), [], "mail://outbox"
    while time.perf_counter() < until:
        effect = ("allow", "deny")[len(taken) % 2]
        written = {"name": "changing", "effect": effect, "actions": ["read"], "resources": [resource]}
        written["appliesTo"] = {"roles": ["role-0"]}
        milliseconds, _ = await connection.ask("PUT", "/v1/policies/changing", written)
        _, decision = await connection.ask("POST", "/v1/enforce", enforcing(token, resource))
        assert decision["reasonCode"] == {"allow": "allowed", "deny": "policy_denied"}[effect], decision
        taken.append(milliseconds)
        await asyncio.sleep(PAUSE)
    return taken


async def measured(at: Server) -> dict[str, Times]:
    admin = await Connection.open(at)
    _, agent = await admin.ask("POST", "/v1/agents", {"name": "bench", "roles": ["role-0"]})
    _, issued = await admin.ask("POST", "/v1/tokens", {"agentId": agent["id"]})
    first = {"id": "changing", "name": "changing", "actions": ["read"], "resources": ["mail://outbox"]}
    await admin.ask("POST", "/v1/policies", {**first, "appliesTo": {"roles": ["role-0"]}})
    token, found = issued["token"], {}
    for name, changing in (("enforce, nothing changes", False), ("enforce, ten changes a second", True)):
        until = time.perf_counter() + SECONDS
        running = [enforce(at, token, until) for _ in range(CLIENTS)]
        changes = [change(at, token, until)] if changing else []
        *waits, last = await asyncio.gather(*running, *changes)
        if changing:
            found["a change, until it is live"] = Times(sorted(last))
        else:
            waits.append(last)
        found[name] = Times(sorted(taken for each in waits for taken in each))
    return found


@contextmanager
def filled(*, one_role: bool) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="act-bench-") as folder:
        database = f"sqlite:///{Path(folder) / 'act.db'}"
        fill(database, one_role=one_role)
        with serving(database) as at:
            yield at


def main() -> None:
    print(f"Policy changes over HTTP, durable, {POLICIES:,} policies, {CLIENTS} clients that enforce; milliseconds.")
    print(f"{'policies of':<16} {'':<30} {'':>8} {'p50':>8} {'p99':>8} {'most':>8}")
    for name, one_role in (("1,000 roles", False), ("one role", True)):
        with filled(one_role=one_role) as at:
            for what, times in asyncio.run(measured(at)).items():
                print(f"{name:<16} {what:<30} {times}", flush=True)
    print()


if __name__ == "__main__":
    main()
