"""The delegation tree: every root token makes a node, every delegation one below it (2-semantics, "Delegation").

Rotation gives a node a new token. Revocation is of nodes: it takes everything below with it, because the whole path
of a token is looked at for every request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Row

from act.database.clock import Clock
from act.policies.audience import Audience
from act.tokens import store
from act.tokens.scope import Scope, scope_of


@dataclass(frozen=True, slots=True)
class Node:
    """One place in the tree. Moments are seconds since the epoch.

    `seen` is the token as conditions see it. `sequence` is the number of the node's first token: a mark of its agent
    at or above it revokes the node. `max_depth` is how many nodes may follow below it, one under the other; 0 hands
    nothing down. One that is not `usable` was handed down to be handed on only.
    """

    id: str
    path: tuple[str, ...]
    agent_id: str
    sequence: int
    scope: Scope | None
    hand_to: Audience | None
    max_depth: int
    usable: bool
    confirmation: Mapping[str, Any] | None = field(repr=False)
    expires_at: float
    revoked: bool
    seen: Mapping[str, Any] = field(repr=False)


def seen(facts: Mapping[str, Any], task_id: str | None, on_behalf_of: str | None, depth: int) -> dict[str, Any]:
    """A token as conditions see it (`token`)."""
    return {"facts": facts, "task": task_id, "onBehalfOf": on_behalf_of, "depth": depth}


class LiveNodes:
    """Follows the change kind `node`. A node that is not here is not valid."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._nodes: dict[str, Node] = {}
        self._below: dict[str, int] = {}
        self._lock = Lock()

    def load(self, connection: Connection) -> None:
        for row in store.unexpired_nodes(connection, self._clock.now()):
            self._put(node_of(row))

    def apply(self, connection: Connection, tenant_id: str, ids: Iterable[str]) -> None:
        for row in store.node_rows(connection, ids):
            self._put(node_of(row))

    def _put(self, node: Node) -> None:
        with self._lock:
            if node.path and node.id not in self._nodes:
                self._below[node.path[0]] = self.below(node.path[0]) + 1
            self._nodes[node.id] = node

    def get(self, id: str) -> Node | None:
        return self._nodes.get(id)

    def below(self, root: str) -> int:
        """How many nodes below a root are held, however deep."""
        return self._below.get(root, 0)

    def forget_expired(self) -> None:
        """An expired node has no token that is good; no node below it outlives it."""
        now = self._clock.now().timestamp()
        for id in [id for id, node in list(self._nodes.items()) if node.expires_at <= now]:
            with self._lock:
                self._forget(id, now)

    def _forget(self, id: str, now: float) -> None:
        if (node := self._nodes.get(id)) is None or node.expires_at > now:
            return  # renewed meanwhile
        del self._nodes[id]
        if node.path:
            root = node.path[0]
            self._below[root] -= 1
            if not self._below[root]:
                del self._below[root]


def node_of(row: Row[Any]) -> Node:
    """A node from its row; what cannot be read is an error, never a wider node."""
    task = row.task
    return Node(
        id=row.id,
        path=tuple(row.path),
        agent_id=row.agent_id,
        sequence=row.sequence,
        scope=None if row.scope is None else stored_scope(row.scope),
        hand_to=None if row.hand_to is None else stored_audience(row.hand_to),
        usable="use" in row.grants,
        confirmation=row.cnf,
        max_depth=row.max_depth if "delegate" in row.grants else 0,
        expires_at=row.expires_at.timestamp(),
        revoked=row.revoked_at is not None,
        seen=seen(task["facts"] if task else {}, task["id"] if task else None, row.on_behalf_of, len(row.path)),
    )


def stored_scope(stored: Mapping[str, Any]) -> Scope:
    parts = [(part["actions"], part["resources"]) for part in stored["parts"]]
    return scope_of(parts, stored["policyIds"])


def stored_audience(stored: Mapping[str, Any]) -> Audience:
    return Audience(roles=frozenset(stored["roles"]), agent_ids=frozenset(stored["agentIds"]))
