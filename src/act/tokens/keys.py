"""Making the keys of a tenant: one that signs its tokens, one that signs its audit checkpoints."""

from __future__ import annotations

import secrets
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import OKPKey, RSAKey

from act.audit.transaction import Transaction
from act.database.keyfiles import KeyFiles
from act.tokens import store

RSA_BITS = 2048
ALGORITHM = "RS256"


def make_keys(transaction: Transaction, files: KeyFiles, tenant_id: str, now: datetime) -> None:
    """Write both private keys to disk and both public keys to the database."""
    kid = _kid()
    key = RSAKey.generate_key(RSA_BITS, {"kid": kid, "use": "sig", "alg": ALGORITHM}, private=True)
    files.write(kid, key.as_pem(private=True))
    _add(transaction, tenant_id, kid, "token", ALGORITHM, dict(key.as_dict(private=False)), now)

    kid = _kid()
    audit = Ed25519PrivateKey.generate()
    files.write(kid, audit.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = OKPKey.import_key(audit.public_key(), {"kid": kid, "use": "sig", "alg": "Ed25519"})
    _add(transaction, tenant_id, kid, "audit", "Ed25519", dict(public.as_dict(private=False)), now)


def _add(
    transaction: Transaction, tenant_id: str, kid: str, use: str, algorithm: str, jwk: dict[str, object], now: datetime
) -> None:
    store.add_key(
        transaction.connection,
        kid=kid,
        tenant_id=tenant_id,
        use=use,
        algorithm=algorithm,
        public_jwk=jwk,
        status="active",
        created_at=now,
    )
    transaction.change(tenant_id, "key", kid)
    transaction.record(tenant_id, "key.created", {"kid": kid, "use": use, "algorithm": algorithm})


def _kid() -> str:
    return secrets.token_hex(8)
