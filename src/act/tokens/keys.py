"""Making keys: those that sign a tenant's tokens, and the one that signs its audit checkpoints.

A tenant always has one active key and one next one, which is published before it signs (2-semantics, "Tokens").
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey, KeyParameters, OKPKey, RSAKey

from act.audit.transaction import Transaction
from act.database.keyfiles import KeyFiles
from act.tokens import key_store
from act.tokens.codec import Key, KeyStatus
from act.tokens.signatures import RSA_BITS

ALGORITHM: Final = "RS256"

_GENERATORS: Mapping[str, Callable[[KeyParameters], Key]] = {
    "RS256": lambda parameters: RSAKey.generate_key(RSA_BITS, parameters),
    "EdDSA": lambda parameters: OKPKey.generate_key("Ed25519", parameters),
    "ES256": lambda parameters: ECKey.generate_key("P-256", parameters),
}
ALGORITHMS: Final = tuple(_GENERATORS)


@dataclass(frozen=True, slots=True)
class NewKey:
    """The public half of a key whose private half is on disk and that no database knows yet."""

    kid: str
    algorithm: str
    public_jwk: dict[str, object]


def make_keys(transaction: Transaction, files: KeyFiles, tenant_id: str, now: datetime) -> None:
    """The first keys of a tenant: private keys to disk, public keys to the database."""
    for status in ("active", "next"):
        add_token_key(transaction, tenant_id, new_token_key(files, ALGORITHM), status, now)

    kid = _kid()
    audit = Ed25519PrivateKey.generate()
    files.write(kid, audit.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = OKPKey.import_key(audit.public_key(), {"kid": kid, "use": "sig", "alg": "Ed25519"})
    _add(transaction, tenant_id, NewKey(kid, "Ed25519", dict(public.as_dict(private=False))), "audit", "active", now)


def new_token_key(files: KeyFiles, algorithm: str) -> NewKey:
    """Make a key and write its private half to disk. Some 100 ms for RS256: not for the thread that writes."""
    kid = _kid()
    key = _GENERATORS[algorithm]({"kid": kid, "use": "sig", "alg": algorithm})
    files.write(kid, key.as_pem(private=True))
    return NewKey(kid, algorithm, dict(key.as_dict(private=False)))


def add_token_key(
    transaction: Transaction, tenant_id: str, key: NewKey, status: KeyStatus, now: datetime, by: str | None = None
) -> None:
    """Make a key known; `by` is the id of the API key that asked for it."""
    _add(transaction, tenant_id, key, "token", status, now, by)


def _add(
    transaction: Transaction,
    tenant_id: str,
    key: NewKey,
    use: str,
    status: KeyStatus,
    now: datetime,
    by: str | None = None,
) -> None:
    key_store.add(
        transaction.connection,
        kid=key.kid,
        tenant_id=tenant_id,
        use=use,
        algorithm=key.algorithm,
        public_jwk=key.public_jwk,
        status=status,
        created_at=now,
    )
    told = {"kid": key.kid, "use": use, "algorithm": key.algorithm, "status": status, "keyId": by}
    revision = transaction.change(tenant_id, "key", key.kid)
    transaction.record(tenant_id, "key.created", told | {"revision": revision})


def _kid() -> str:
    return secrets.token_hex(8)
