"""Proofs of possession made by hand, independent of the SDK, so that every rule of the reader can be broken alone."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from act.tokens.proof import Expected

NOW = 1_800_000_000
START = NOW - 3600
TOKEN = "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"
EXPECTED = Expected(
    token=TOKEN,
    action="execute",
    resource_id="tool://mail/send",
    arguments={"to": "ann@example.com", "copies": 2},
    request_id="request-1",
    tenant_id="tenant-1",
)
CLAIMS: dict[str, Any] = {
    "iat": NOW,
    "ath": base64.urlsafe_b64encode(hashlib.sha256(TOKEN.encode()).digest()).rstrip(b"=").decode(),
    "action": "execute",
    "resourceId": "tool://mail/send",
    "argumentsHash": base64.urlsafe_b64encode(
        hashlib.sha256(b'{"copies":2,"to":"ann@example.com"}').digest(),
    )
    .rstrip(b"=")
    .decode(),
    "requestId": "request-1",
    "tenantId": "tenant-1",
}
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

EdwardsKey = ed25519.Ed25519PrivateKey
EllipticKey = ec.EllipticCurvePrivateKey
EDWARDS = EdwardsKey.generate()
ELLIPTIC = ec.generate_private_key(ec.SECP256R1())


def encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def public_jwk(key: EdwardsKey | EllipticKey) -> dict[str, Any]:
    if isinstance(key, EdwardsKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().public_bytes_raw())}
    numbers = key.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": encode(numbers.x.to_bytes(32)), "y": encode(numbers.y.to_bytes(32))}


def signature(signed: bytes, key: EdwardsKey | EllipticKey) -> bytes:
    if isinstance(key, EdwardsKey):
        return key.sign(signed)
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def header(key: EdwardsKey | EllipticKey) -> dict[str, Any]:
    return {"alg": "EdDSA" if isinstance(key, EdwardsKey) else "ES256", "typ": "act-pop+jwt"}


def proof(
    changed: dict[str, Any] | bytes | None = None,
    head: dict[str, Any] | bytes | None = None,
    key: EdwardsKey | EllipticKey = EDWARDS,
) -> str:
    """A proof whose signature holds over exactly these parts.

    Args:
        changed: members in place of those of CLAIMS, None to leave one out; bytes are the whole payload as it is.
        head: the header, as it is.
    """
    if not isinstance(changed, bytes):
        claims = {name: value for name, value in (CLAIMS | (changed or {})).items() if value is not None}
        changed = json.dumps(claims).encode()
    head = header(key) if head is None else head
    signed = f"{encode(head if isinstance(head, bytes) else json.dumps(head).encode())}.{encode(changed)}"
    return f"{signed}.{encode(signature(signed.encode(), key))}"
