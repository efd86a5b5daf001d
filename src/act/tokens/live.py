"""Tokens and keys in memory, for every decision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.jwk import RSAKey
from sqlalchemy import Connection, Row

from act.database.clock import Clock
from act.database.keyfiles import KeyFiles
from act.tokens import store
from act.tokens.codec import VerificationKey


@dataclass(frozen=True, slots=True)
class LiveToken:
    """`expires_at` in seconds since the epoch."""

    agent_id: str
    expires_at: float
    revoked: bool


class LiveTokens:
    """Follows the change kind `token`. A token that is not here is not valid, whatever it is signed with."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[str, LiveToken] = {}

    def load(self, connection: Connection) -> None:
        for row in store.unexpired(connection, self._clock.now()):
            self._put(row)

    def apply(self, connection: Connection, tenant_id: str, ids: Iterable[str]) -> None:
        for row in store.rows(connection, ids):
            self._put(row)

    def _put(self, row: Row[Any]) -> None:
        self._tokens[row.id] = LiveToken(row.agent_id, row.expires_at.timestamp(), row.revoked_at is not None)

    def get(self, id: str) -> LiveToken | None:
        return self._tokens.get(id)

    def forget_expired(self) -> None:
        """Expired tokens are refused by their date; they need not be remembered."""
        now = self._clock.now().timestamp()
        for id in [id for id, token in list(self._tokens.items()) if token.expires_at <= now]:
            self._tokens.pop(id, None)


class LiveKeys:
    """Follows the change kind `key`: the keys that tokens are verified and signed with, and the audit log's keys."""

    def __init__(self, files: KeyFiles) -> None:
        self._files = files
        self.verifying: dict[str, VerificationKey] = {}
        self._signing: dict[str, tuple[str, str, RSAKey]] = {}
        self._audit: dict[str, Ed25519PrivateKey] = {}

    def load(self, connection: Connection) -> None:
        for row in store.key_rows(connection):
            self._put(row)

    def apply(self, connection: Connection, tenant_id: str, ids: Iterable[str]) -> None:
        for row in store.key_rows(connection, ids):
            self._put(row)

    def _put(self, row: Row[Any]) -> None:
        if row.use == "audit":
            private = load_pem_private_key(self._files.read(row.kid), None)
            if not isinstance(private, Ed25519PrivateKey):
                raise TypeError(f"The audit key {row.kid} is not an Ed25519 key.")
            self._audit[row.tenant_id] = private
            return
        public = RSAKey.import_key(row.public_jwk)
        self.verifying[row.kid] = VerificationKey(row.kid, row.tenant_id, row.algorithm, row.status, public)
        if row.status == "active":
            key = RSAKey.import_key(self._files.read(row.kid))
            self._signing[row.tenant_id] = (row.kid, row.algorithm, key)

    def signing(self, tenant_id: str) -> tuple[str, str, RSAKey]:
        """Key id, algorithm and private key that the tenant's tokens are signed with."""
        return self._signing[tenant_id]

    def audit(self, tenant_id: str) -> Ed25519PrivateKey:
        """The key that the tenant's checkpoints are signed with."""
        return self._audit[tenant_id]

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JWK set (RFC 7517, section 5)."""
        return {"keys": [dict(key.key.as_dict(private=False)) for key in self.verifying.values()]}
