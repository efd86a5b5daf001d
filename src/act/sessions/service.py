"""What outcomes report about a session."""

from __future__ import annotations

from collections.abc import Sequence

from act.audit.transaction import Transaction
from act.database.clock import Clock
from act.problems import conflict
from act.sessions import store
from act.sessions.live import LiveSessions
from act.sessions.session import EMPTY, SessionFull, merged


class SessionService:
    def __init__(self, clock: Clock, live: LiveSessions) -> None:
        self._clock = clock
        self._live = live

    def add(
        self,
        transaction: Transaction,
        tenant_id: str,
        key: str,
        labels: Sequence[str] = (),
        created: Sequence[str] = (),
        defaults: Sequence[str] = (),
    ) -> int | None:
        """Add to a session, in the commit of who reports it. Answers the revision, None when nothing is new.

        `defaults` are labels that nobody reported; see `merged`.

        Raises:
            ProblemError: 409 when the session is full.
        """
        if self._live.get(tenant_id, key).has(labels, created, defaults):
            return None  # what is in memory was committed, and a session only grows
        connection = transaction.connection
        known = store.find(connection, tenant_id, key)
        before = EMPTY if known is None else known
        try:
            after = merged(before, labels, created, defaults)
        except SessionFull as error:
            detail = f"{error} Nothing was recorded; go on with a token for another task."
            raise conflict("session_full", detail) from None
        if after is before:
            return None
        write = store.add if known is None else store.replace
        write(connection, tenant_id, key, after, self._clock.now())
        return transaction.change(tenant_id, "session", key)
