"""Answers by request id, so that a network retry is safe and nothing more (2-semantics, "Decisions").

Within two minutes the same id with the same body from the same key gets the same decision, unless it was pending,
its outcome was reported, or something it rested on changed. Another body under the same id is a conflict.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from act.models import Decision, Verdict

WINDOW = 120.0
MAX_KEPT = 100_000

Key = tuple[str, str]


@dataclass(slots=True)
class Entry:
    """A request under way (`decision` is None) or answered. `at` is monotonic."""

    digest: bytes
    at: float
    decision: Decision | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Replays:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._by_decision: dict[str, Key] = {}

    def find(self, key: Key, now: float) -> Entry | None:
        entry = self._entries.get(key)
        if entry is None or now - entry.at >= WINDOW:
            return None
        return entry

    def begin(self, key: Key, digest: bytes, now: float) -> Entry:
        """Remember that this request is being decided."""
        self._forget_old(now)
        self._drop(key)
        entry = self._entries[key] = Entry(digest, now)
        return entry

    def finish(self, key: Key, entry: Entry, decision: Decision | None) -> None:
        """Keep the answer, or nothing when there is none that may be given twice."""
        keep = decision is not None and decision.decision is not Verdict.PENDING_APPROVAL and not decision.dry_run
        if self._entries.get(key) is entry:
            if keep and decision is not None and decision.decision_id is not None:
                entry.decision = decision
                self._by_decision[decision.decision_id] = key
            else:
                del self._entries[key]
        entry.done.set()

    def spent(self, decision_id: str) -> None:
        """The action of this decision is over; the same id may not stand for it again."""
        if key := self._by_decision.get(decision_id):
            self._drop(key)

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None and entry.decision is not None and entry.decision.decision_id is not None:
            self._by_decision.pop(entry.decision.decision_id, None)

    def _forget_old(self, now: float) -> None:
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if now - entry.at < WINDOW and len(self._entries) < MAX_KEPT:
                return
            self._drop(key)
