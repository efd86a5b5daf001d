"""Answers by request id, so that a network retry is safe and nothing more (2-semantics, "Decisions").

Within two minutes the same id with the same body from the same key gets the same decision, unless it was pending,
its outcome was reported, or something it rested on changed. Another body under the same id is a conflict.
When more is answered within that time than can be kept, the tenant that has most of it loses its oldest first, so that
no tenant can have another's forgotten.
"""

from __future__ import annotations

import asyncio
from collections import Counter as Counts
from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from act.enforcement.answered import Answered
from act.models import Decision

WINDOW: Final = 120.0
MAX_KEPT: Final = 100_000
MAX_SAME: Final = 256
"""How many may wait for one request under way: where it has no answer to be given twice, each wakes all the others."""
ROOM: Final = 1000
"""How many are forgotten together when there are too many."""


class Key(NamedTuple):
    """Whose request it is, and how it is called."""

    tenant_id: str
    key_id: str
    request_id: str


@dataclass(slots=True)
class Entry:
    """A request under way, or one that was answered. `at` is monotonic: when it was begun, then when it was answered.

    `body` is the answer in JSON; None when it has to be made anew: then only the `digest` counts.
    """

    digest: bytes
    at: float
    body: bytes | None = None
    decision_id: str | None = None
    done: bool = False
    waiting: asyncio.Event | None = None
    many: int = 0
    """Who waits."""

    @property
    def crowded(self) -> bool:
        """Whether nobody else may wait for it."""
        return self.many >= MAX_SAME

    async def wait(self) -> None:
        """Until it is done."""
        if not self.done:
            if self.waiting is None:
                self.waiting = asyncio.Event()
            self.many += 1
            try:
                await self.waiting.wait()
            finally:
                self.many -= 1

    @property
    def decision(self) -> Decision | None:
        return None if self.body is None else Decision.model_validate_json(self.body)


class Replays:
    """Belongs to one event loop. What is under way is never forgotten, however long it takes and however many are."""

    def __init__(self) -> None:
        self._running: dict[Key, Entry] = {}
        self._answered: dict[str, OrderedDict[Key, Entry]] = {}
        """By tenant; the oldest first."""
        self._kept = 0
        self._by_decision: dict[str, Key] = {}

    def find(self, key: Key, now: float) -> Entry | None:
        if running := self._running.get(key):
            return running
        entry = mine.get(key) if (mine := self._answered.get(key.tenant_id)) else None
        if entry is None or now - entry.at >= WINDOW:
            return None
        return entry

    def running(self) -> Counts[str]:
        """How many are under way, by tenant."""
        return Counts(key.tenant_id for key in self._running)

    def begin(self, key: Key, digest: bytes, now: float) -> Entry:
        """Remember that this request is being decided; no other may be under way with this key."""
        if mine := self._answered.get(key.tenant_id):
            if now - next(iter(mine.values())).at >= WINDOW:
                self._forget_old(key.tenant_id, now)
            if key in mine:
                self._drop(key)
        if self._kept >= MAX_KEPT:
            self._make_room(now)
        entry = self._running[key] = Entry(digest, now)
        return entry

    def finish(self, key: Key, entry: Entry, answered: Answered | None, now: float) -> None:
        """Keep the answer, or nothing when there is none that may be given twice.

        The time in which it is given again begins now: a retry that waited through a stall must not be decided anew.
        """
        entry.done, entry.at = True, now
        if entry.waiting is not None:
            entry.waiting.set()
        if self._running.get(key) is not entry:
            return
        del self._running[key]
        if answered is not None and answered.replayable:
            entry.body, entry.decision_id = answered.body, answered.decision_id
            self._keep(key, entry)

    def recall(self, key: Key, digest: bytes, at: float, decision: Decision | None) -> None:
        """Know again what was answered before a restart. The oldest come first."""
        entry = Entry(digest, at, done=True)
        if decision is not None:
            entry.body, entry.decision_id = decision.model_dump_json().encode(), decision.decision_id
        self._drop(key)
        self._keep(key, entry)

    def spent(self, decision_id: str) -> None:
        """The action of this decision is over; the same id may not stand for it again."""
        if key := self._by_decision.get(decision_id):
            self._drop(key)

    def _keep(self, key: Key, entry: Entry) -> None:
        if (mine := self._answered.get(key.tenant_id)) is None:
            mine = self._answered[key.tenant_id] = OrderedDict()
        mine[key] = entry
        self._kept += 1
        if entry.decision_id is not None:
            self._by_decision[entry.decision_id] = key

    def _drop(self, key: Key) -> None:
        mine = self._answered.get(key.tenant_id)
        entry = mine.pop(key, None) if mine else None
        if entry is None:
            return
        self._kept -= 1
        if entry.decision_id is not None:
            self._by_decision.pop(entry.decision_id, None)

    def _forget_old(self, tenant_id: str, now: float) -> None:
        mine = self._answered.get(tenant_id)
        while mine:
            key, entry = next(iter(mine.items()))
            if now - entry.at < WINDOW:
                return
            self._drop(key)

    def _make_room(self, now: float) -> None:
        for tenant_id in list(self._answered):
            self._forget_old(tenant_id, now)
        while self._kept > MAX_KEPT - ROOM:
            most = max(self._answered.values(), key=len)
            for key in list(islice(most, min(ROOM, max(1, len(most) // 2)))):
                self._drop(key)
        self._answered = {tenant_id: mine for tenant_id, mine in self._answered.items() if mine}
