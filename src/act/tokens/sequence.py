"""The per-tenant issue counter, and the mark up to which an agent's tokens are revoked (2-semantics, `sq`)."""

from __future__ import annotations

from sqlalchemy import Connection

from act.database.clock import Clock
from act.tokens import store


class Sequences:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def next(self, connection: Connection, tenant_id: str) -> int:
        """The number of the token that is being issued."""
        return store.last_sequence(connection, tenant_id) + 1

    def mark(self, connection: Connection, tenant_id: str, agent_id: str, old_mark: int) -> tuple[int, int]:
        """A mark above every token issued so far, and how many live tokens it revokes, those
        handed on from the agent among them."""
        live = store.live_of_agent(connection, tenant_id, agent_id, old_mark, self._clock.now())
        return store.last_sequence(connection, tenant_id), len(live)
