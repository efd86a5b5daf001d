"""Sessions in memory, for every decision."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import Connection, Row

from act.database.clock import Clock
from act.sessions import store
from act.sessions.session import EMPTY, Session

REMEMBERED = timedelta(hours=1)
"""How much longer than its node a session is held, so that a clock that is set back finds it."""

_LOOKED_AT = 500
_SHARED_LABELS = 16


class LiveSessions:
    """Follows the change kind `session`.

    All sessions are held that a token can still lead to: that of a node as long as tokens of the node can be accepted
    or renewed, that of a task for ever, because a token for the same task may be issued at any time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[tuple[str, str], Session] = {}
        self._until: dict[tuple[str, str], datetime] = {}
        # Most tasks have read the same few things and made nothing: one value stands for all of them.
        self._shared: WeakValueDictionary[frozenset[str], Session] = WeakValueDictionary()

    def load(self, connection: Connection) -> None:
        for row in store.needed(connection, self._clock.now() - REMEMBERED):
            self._put(row)

    def apply(self, connection: Connection, tenant_id: str, ids: Iterable[str]) -> None:
        for row in store.rows(connection, tenant_id, ids):
            self._put(row)

    def _put(self, row: Row[Any]) -> None:
        place = (sys.intern(row.tenant_id), row.key)
        if row.expires_at is not None:
            self._until[place] = max(row.expires_at, row.renew_until)
        self._sessions[place] = self._once(store.value(row))

    def _once(self, session: Session) -> Session:
        """The value that all sessions like this one share, if it is small."""
        if session.created or len(session.labels) > _SHARED_LABELS:
            return session
        return self._shared.setdefault(session.labels, session)

    def get(self, tenant_id: str, key: str) -> Session:
        """The session of a key; the empty one when nothing was reported."""
        return self._sessions.get((tenant_id, key), EMPTY)

    def forget_ended(self, connection: Connection) -> None:
        """Drop sessions whose node is over, a few at a time; a node that was renewed meanwhile is asked for again."""
        over = self._clock.now() - REMEMBERED
        due: dict[str, list[str]] = defaultdict(list)
        for tenant_id, key in islice((at for at, until in list(self._until.items()) if until <= over), _LOOKED_AT):
            due[tenant_id].append(key)
        for tenant_id, keys in due.items():
            for row in store.rows(connection, tenant_id, keys):
                place, until = (tenant_id, row.key), max(row.expires_at, row.renew_until)
                if until > over:
                    self._until[place] = until
                    continue
                self._sessions.pop(place, None)
                self._until.pop(place, None)
