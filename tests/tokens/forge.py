"""Token strings made by hand, so that every rule of the reader can be broken alone."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc.jwk import RSAKey

from act.tokens.claims import Claims
from act.tokens.codec import VerificationKey

KID = "4f1c0a7be2d93586"
HEADER = {"alg": "RS256", "typ": "at+jwt", "kid": KID}
PRIVATE = rsa.generate_private_key(65537, 2048)
STRANGER = rsa.generate_private_key(65537, 2048)
CLAIMS = Claims(
    issuer="urn:act:issuer",
    audience="urn:act:audience",
    token_id="tok_1",
    issued_at=1_800_000_000,
    not_before=1_800_000_000,
    expires_at=1_800_003_600,
    tenant_id="t1",
    subject="agt_1",
    agent_id="agt_1",
    sequence=7,
    node="nod_1",
    actors=("agt_1",),
)


PUBLIC_PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
SIGNING_KEY = RSAKey.import_key(PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
KEYS = {KID: VerificationKey(KID, "t1", "RS256", "active", RSAKey.import_key(PUBLIC_PEM))}


def encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def token(
    header: dict[str, Any] | bytes | None = None,
    payload: dict[str, Any] | bytes | None = None,
    key: rsa.RSAPrivateKey = PRIVATE,
) -> str:
    """A token whose signature holds over exactly these parts; bytes are taken as they are."""
    parts = [HEADER if header is None else header, CLAIMS.to_payload() if payload is None else payload]
    texts = [encode(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in parts]
    signing_input = ".".join(texts)
    signature = key.sign(signing_input.encode(), padding.PKCS1v15(), SHA256())
    return f"{signing_input}.{encode(signature)}"
