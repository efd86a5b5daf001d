"""Tokens in memory, for every decision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from act.database.clock import Clock
from act.tokens import store


@dataclass(frozen=True, slots=True)
class LiveToken:
    """Moments in seconds since the epoch. From `superseded_at` on, another token stands in this one's place.

    `since_start` says that it was issued since this process started.
    """

    agent_id: str
    node: str
    expires_at: float
    superseded_at: float | None
    since_start: bool


class LiveTokens:
    """Follows the change kind `token`. A token that is not here is not valid, whatever it is signed with."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[str, LiveToken] = {}

    def load(self, connection: Connection) -> None:
        for row in store.unexpired(connection, self._clock.now()):
            self._put(row, since_start=False)

    def apply(self, connection: Connection, tenant_id: str, ids: Iterable[str]) -> None:
        for row in store.rows(connection, ids):
            known = self._tokens.get(row.id)
            self._put(row, since_start=known is None or known.since_start)

    def _put(self, row: Row[Any], *, since_start: bool) -> None:
        ends = None if row.superseded_at is None else row.superseded_at.timestamp()
        self._tokens[row.id] = LiveToken(row.agent_id, row.node, row.expires_at.timestamp(), ends, since_start)

    def get(self, id: str) -> LiveToken | None:
        return self._tokens.get(id)

    def forget_expired(self) -> None:
        """Expired tokens are refused by their date; they need not be remembered."""
        now = self._clock.now().timestamp()
        for id in [id for id, token in list(self._tokens.items()) if token.expires_at <= now]:
            self._tokens.pop(id, None)
