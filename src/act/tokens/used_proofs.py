"""Which proofs of possession have been used: each is good for one request."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final

from act.tokens.proof import MAX_AGE, MAX_AHEAD

KEPT: Final = MAX_AGE + MAX_AHEAD + 5
"""Seconds. A proof from the future may be used once as early as MAX_AHEAD before its date and MAX_AGE after it."""


class UsedProofs:
    """What was used within the time in which it could be used again. Safe to share between threads.

    When it is full of proofs that could be used again, it takes no more: forgetting one would let it be replayed.
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self._capacity = capacity
        self._used: OrderedDict[bytes, float] = OrderedDict()
        self._lock = Lock()

    def take(self, digest: bytes, now: float) -> bool:
        """Use a proof up. False when it was used before, or when there is no room to remember that it is used now.

        Args:
            digest: `proof.digest` of a proof that `proof.check` has accepted.
            now: seconds of a monotonic clock, never less than in an earlier call.
        """
        with self._lock:
            self._forget(now - KEPT)
            if digest in self._used or len(self._used) >= self._capacity:
                return False
            self._used[digest] = now
            return True

    def give_back(self, digest: bytes) -> None:
        """The request of this proof was not decided, so it may be sent again."""
        with self._lock:
            self._used.pop(digest, None)

    def __len__(self) -> int:
        return len(self._used)

    def _forget(self, before: float) -> None:
        # The oldest stand first. A plain dictionary would look past every hole at its front, each time anew.
        while self._used:
            oldest = next(iter(self._used))
            if self._used[oldest] > before:
                return
            del self._used[oldest]
