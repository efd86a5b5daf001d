"""What a guard holds: a token, the key that it is bound to, and when another token is to take its place.

Who rotates a token owns it: the old one, used after its grace, is taken for a stolen one, and its node ends. So the
guards of one client that were made from one token share one credential, whatever becomes of the token.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from act.client.claims import Claimed, claimed
from act.client.errors import Unreachable
from act.client.proof import ProofKey
from act.models import IssuedToken

SHARE: Final = 0.2
LEAST: Final = 30.0
SHORTEST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0

log = logging.getLogger("act.client")


def margin(lifetime: float) -> float:
    """How many seconds before its end a token is replaced: a fifth of its life or 30 s, and never more than half."""
    return min(max(lifetime * SHARE, LEAST), lifetime / 2)


@dataclass(frozen=True, slots=True)
class Held:
    """One token at one time. The repr shows neither the token nor the key."""

    token: str | None = field(repr=False)
    key: ProofKey | None = field(repr=False)
    claimed: Claimed


class Credential:
    """Safe to share between threads. With `refresh`, whoever asks next when it is time has to replace the token.

    That is: when `begin` is true, rotate, tell `renewed` or `failed`, and in any case `end`.
    """

    def __init__(self, token: str | None, key: ProofKey | None = None, *, refresh: bool = False) -> None:
        self.held = Held(token, key, claimed(token))
        self.refreshes = refresh
        self.when_renewed: Callable[[Credential], None] | None = None
        self._lock = threading.Lock()
        claims = self.held.claimed
        if claims.issued_at is None or claims.expires_at is None or claims.token_id is None:
            self.refreshes = False
            self._plan(0.0, 0.0)
        else:
            lifetime = max(0, claims.expires_at - claims.issued_at)
            # Never more than the whole life, even when the clock here is behind.
            self._plan(min(claims.expires_at - time.time(), lifetime), lifetime)

    @property
    def over(self) -> bool:
        """Whether the token has ended, by the clock of this process."""
        return time.monotonic() >= self._ends

    def begin(self) -> bool:
        """Whether it is time for another token and nobody else is at it."""
        if not self._is_time() or not self._lock.acquire(blocking=False):
            return False
        if self._is_time():
            return True
        self._lock.release()
        return False

    def renewed(self, token: str) -> None:
        """Hold this token from now on."""
        claims = claimed(token)
        # By how long it lives and not by when it ends: the clock of the server may be another.
        lifetime = max(0, (claims.expires_at or 0) - (claims.issued_at or 0))
        self._plan(lifetime, lifetime)
        self.held = Held(token, self.held.key, claims)
        if self.when_renewed is not None:
            self.when_renewed(self)

    def failed(self, error: Exception) -> None:
        """Go on with the old token, and try again later; soon when the answer may have been lost."""
        left = self._ends - time.monotonic()
        lost = isinstance(error, Unreachable) and error.sent
        pause = SHORTEST_PAUSE if lost else min(max(left / 8, SHORTEST_PAUSE), LONGEST_PAUSE)
        self._due = time.monotonic() + pause
        log.warning("The token of %s was not renewed and is used on. %s", self.held.claimed.agent_id, error)

    def end(self) -> None:
        self._lock.release()

    def _is_time(self) -> bool:
        return self.refreshes and self._due <= time.monotonic() < self._ends

    def _plan(self, left: float, lifetime: float) -> None:
        now = time.monotonic()
        self._ends = now + left
        self._due = now + left - margin(lifetime)


class Credentials:
    """The credentials of one client, by the tokens that they were made from."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[bytes, Credential] = WeakValueDictionary()
        self._rotated: set[Credential] = set()
        self._lock = threading.Lock()

    def of(self, token: str | IssuedToken | None, key: ProofKey | None, refresh: bool | None) -> Credential:
        """The credential for a token.

        Raises:
            ValueError: the token is not bound to `key`.
        """
        text = token.token if isinstance(token, IssuedToken) else token
        if key is not None and claimed(text).jwk != key.public_jwk:
            raise ValueError("The token is not bound to this key; name key.public_jwk as cnf when it is issued.")
        wanted = isinstance(token, IssuedToken) if refresh is None else refresh
        if not text:
            return Credential(text)
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            known = self._known.get(digest)
            if known is None or (key is not None and known.held.key is None):
                known = self._known[digest] = Credential(text, key)
                known.when_renewed = self._keep
            known.refreshes = known.refreshes or (wanted and known.held.claimed.token_id is not None)
            return known

    def _keep(self, credential: Credential) -> None:
        """Not to be forgotten while its first token could be shown again."""
        with self._lock:
            self._rotated = {kept for kept in self._rotated if not kept.over} | {credential}
