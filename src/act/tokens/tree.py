"""Reading the delegation tree, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, Row

from act import models
from act.agents.live import LiveAgents
from act.database.clock import Clock
from act.problems import ProblemError, not_found
from act.tokens import store
from act.tokens.revocation import agent_ended

MAX_SHOWN = 10_000


class Tree:
    def __init__(self, reader: Engine, clock: Clock, agents: LiveAgents) -> None:
        self._reader = reader
        self._clock = clock
        self._agents = agents

    def below(self, tenant_id: str, token_id: str) -> models.DelegationNode:
        """The node of a token, and everything that was handed down from it.

        Raises:
            ProblemError: 404; 413 for a tree that is too large to be shown whole.
        """
        with self._reader.begin() as connection:
            token = store.find(connection, tenant_id, token_id)
            if token is None:
                raise not_found("token", token_id)
            nodes = store.subtree(connection, token.node, MAX_SHOWN + 1)
            if len(nodes) > MAX_SHOWN:
                detail = f"The tree has more than {MAX_SHOWN} nodes; ask for that of a token further down."
                raise ProblemError(413, "tree_too_large", "Tree too large", detail)
            tokens: dict[str, list[str]] = {}
            for row in store.tokens_of(connection, token.node, MAX_SHOWN):
                tokens.setdefault(row.node, []).append(row.id)
            dead = any(self._ended(row) for row in store.node_rows(connection, token.path))
        return self._shown(nodes, tokens, dead)

    def received(self, tenant_id: str, agent_id: str) -> list[models.Received]:
        """What was handed down to an agent and is still good."""
        now = self._clock.now()
        with self._reader.begin() as connection:
            rows = store.received(connection, tenant_id, agent_id, now)
            above = {row.id: row for row in store.node_rows(connection, {id for row in rows for id in row.path})}
        return [
            models.Received(
                node=row.id,
                from_agent_id=above[row.parent].agent_id,
                scope=row.scope["parts"],
                grants=row.grants,
                expires_at=row.expires_at,
            )
            for row in rows
            if not self._ended(row) and all(id in above and not self._ended(above[id]) for id in row.path)
        ]

    def _ended(self, row: Row[Any]) -> bool:
        return row.revoked_at is not None or agent_ended(self._agents, row)

    def _shown(self, rows: Sequence[Row[Any]], tokens: dict[str, list[str]], dead: bool) -> models.DelegationNode:
        """`rows` has each node after its parent. Built from the last, so that every node finds its children made."""
        revoked = {rows[0].id} if dead else set[str]()
        for row in rows:
            if self._ended(row) or row.parent in revoked:
                revoked.add(row.id)
        made: dict[str, list[models.DelegationNode]] = {}
        for row in reversed(rows):
            expired = row.expires_at <= self._clock.now()
            node = models.DelegationNode(
                node=row.id,
                agent_id=row.agent_id,
                depth=len(row.path),
                scope=None if row.scope is None else row.scope["parts"],
                grants=row.grants,
                max_depth=row.max_depth,
                token_ids=tokens.get(row.id, []),
                status="revoked" if row.id in revoked else "expired" if expired else "active",
                expires_at=row.expires_at,
                children=made.pop(row.id, [])[::-1],
            )
            if row is rows[0]:
                return node
            made.setdefault(row.parent, []).append(node)
        raise AssertionError("a tree has a root")
