"""The keys in memory: those that tokens are verified and signed with, and those that audit checkpoints are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Row

from act.database.keyfiles import KeyFiles, KeysUnusable
from act.tokens import key_store
from act.tokens.codec import Key, VerificationKey, import_key


class LiveKeys:
    """Follows the change kind `key`.

    The private key of a `next` key is held already, so that a rotation has nothing left to read. `discarded` are the
    ids of keys that are gone and whose file may still be there.
    """

    def __init__(self, files: KeyFiles) -> None:
        self._files = files
        self.verifying: dict[str, VerificationKey] = {}
        self.discarded: set[str] = set()
        self._private: dict[str, Key] = {}
        self._signing: dict[str, tuple[str, str, Key]] = {}
        self._audit: dict[str, Ed25519PrivateKey] = {}

    def load(self, connection: Connection) -> None:
        self._follow(key_store.rows(connection))

    def apply(self, connection: Connection, tenant_id: str, ids: Iterable[str]) -> None:
        self._follow(key_store.rows(connection, ids))

    def _follow(self, rows: Sequence[Row[Any]]) -> None:
        # The one that signs from now on comes first: nothing is ever signed with a key that is gone already.
        for row in sorted(rows, key=lambda row: row.status != "active"):
            if row.use == "audit":
                self._audit[row.tenant_id] = self._audit_key(row)
            else:
                self._put(row)

    def _put(self, row: Row[Any]) -> None:
        if row.status in ("next", "active") and row.kid not in self._private:
            self._private[row.kid] = _private_key(row, self._files.read(row.kid))
        self.verifying[row.kid] = VerificationKey(
            row.kid,
            row.tenant_id,
            row.algorithm,
            row.status,
            import_key(row.public_jwk),
            None if row.retires_at is None else row.retires_at.timestamp(),
        )
        if row.status == "active":
            self._signing[row.tenant_id] = (row.kid, row.algorithm, self._private[row.kid])
        elif row.status != "next":
            self._private.pop(row.kid, None)
        if row.status == "gone":
            self.discarded.add(row.kid)

    def _audit_key(self, row: Row[Any]) -> Ed25519PrivateKey:
        private = _private_key(row, self._files.read(row.kid)).private_key
        if not isinstance(private, Ed25519PrivateKey):
            raise KeysUnusable(f"The audit key {row.kid} is not an Ed25519 key.")
        return private

    def signing(self, tenant_id: str) -> tuple[str, str, Key]:
        """Key id, algorithm and private key that the tenant's tokens are signed with."""
        return self._signing[tenant_id]

    def audit(self, tenant_id: str) -> Ed25519PrivateKey:
        """The key that the tenant's checkpoints are signed with."""
        return self._audit[tenant_id]

    def retired(self, now: float) -> list[VerificationKey]:
        """Keys whose time is over at `now` (seconds since the epoch) and that are not marked as gone yet."""
        return [key for key in self.verifying.copy().values() if key.status == "retiring" and not key.in_use_at(now)]

    def jwks(self) -> dict[str, Any]:
        """The public keys that sign, will sign or have signed, as a JWK set (RFC 7517, section 5)."""
        keys = self.verifying.copy().values()
        return {"keys": [dict(key.key.as_dict(private=False)) for key in keys if key.status != "gone"]}


def _private_key(row: Row[Any], pem: bytes) -> Key:
    try:
        key = import_key(pem, row.algorithm)
    except ValueError:  # without its words: they might quote the file
        raise KeysUnusable(f"The file of the key {row.kid} holds no private key; put it back from a copy.") from None
    if key.thumbprint() != import_key(row.public_jwk).thumbprint():
        raise KeysUnusable(f"The file of the key {row.kid} holds another key than the database knows.")
    return key
