"""Token strings: written by `sign`, read by a small strict parser before any library sees them.

Rules, in this order (2-semantics, "Verification"):
- ASCII, at most 16 KB, three parts of canonical unpadded base64url;
- header and payload are JSON objects without duplicate keys;
- the header is exactly `{alg, typ, kid}`, `typ` exactly `at+jwt`;
- the key is found by `kid` in a dictionary, and by nothing else;
- `alg` is the algorithm of that key, whatever the header would like;
- the signature holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from joserfc.jwk import ECKey, OKPKey, RSAKey

from act.models import ReasonCode
from act.tokens.claims import Claims, parse
from act.tokens.compact import encode, split
from act.tokens.refusal import Refusal
from act.tokens.signatures import Check, algorithm_of, checker
from act.tokens.signatures import sign as signature_of

TYPE = "at+jwt"
MAX_LENGTH = 16 * 1024
HEADER = frozenset(("alg", "typ", "kid"))

KeyStatus = Literal["next", "active", "retiring", "gone"]
Key = RSAKey | OKPKey | ECKey
_NOT_IN_USE: Mapping[str, str] = {"next": "not in use yet", "gone": "no longer in use"}
_KEY_TYPES: Mapping[str, type[Key]] = {"RSA": RSAKey, "OKP": OKPKey, "EC": ECKey}
_ALGORITHM_TYPES: Mapping[str, type[Key]] = {"RS256": RSAKey, "EdDSA": OKPKey, "ES256": ECKey, "Ed25519": OKPKey}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key that tokens of one tenant are signed with.

    Only an `active` key and, until `retires_at` (seconds since the epoch), a `retiring` one verify anything.

    Raises:
        ValueError: the key is not one of its algorithm.
    """

    kid: str
    tenant_id: str
    algorithm: str
    status: KeyStatus
    key: Key
    retires_at: float | None = None
    check: Check = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        public = self.key.public_key
        if algorithm_of(public) != self.algorithm:
            raise ValueError(f"The key {self.kid} is not one for {self.algorithm}.")
        object.__setattr__(self, "check", checker(public))

    @property
    def in_use(self) -> bool:
        return self.status in ("active", "retiring")

    def in_use_at(self, now: float) -> bool:
        return self.in_use and (self.retires_at is None or now < self.retires_at)


class Verified(NamedTuple):
    """Claims whose signature holds under the key `kid`."""

    claims: Claims
    kid: str


def import_key(material: Mapping[str, Any] | bytes, algorithm: str | None = None) -> Key:
    """A key from a JWK, or from the PEM of a private key for `algorithm`.

    Raises:
        ValueError: it is not a key, or not one that signs here.
    """
    if isinstance(material, bytes):
        return _ALGORITHM_TYPES[algorithm or ""].import_key(material)
    return _KEY_TYPES[material["kty"]].import_key(dict(material))


def sign(claims: Claims, kid: str, algorithm: str, key: Key) -> str:
    """The token string."""
    if algorithm_of(key.private_key) != algorithm:
        raise ValueError(f"The key {kid} is not one for {algorithm}.")
    header = {"alg": algorithm, "typ": TYPE, "kid": kid}
    signed = ".".join(
        encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims.to_payload())
    )
    return f"{signed}.{encode(signature_of(key.private_key, signed.encode()))}"


def read(token: str, keys: Mapping[str, VerificationKey]) -> Verified | Refusal:
    """Everything about a token that the string and the keys alone can tell."""
    parts = split(token, members=HEADER, typ=TYPE, max_length=MAX_LENGTH)
    if isinstance(parts, str):
        return _malformed(parts)
    key = keys.get(parts.header["kid"])
    if key is None:
        return Refusal(ReasonCode.TOKEN_KEY_UNKNOWN, "The token is signed with a key that this server does not have.")
    if not key.in_use:
        return Refusal(ReasonCode.TOKEN_KEY_UNKNOWN, f"The key of the token is {_NOT_IN_USE[key.status]}.")
    if parts.header["alg"] != key.algorithm:
        return Refusal(ReasonCode.TOKEN_ALGORITHM_NOT_ALLOWED, "The token names another algorithm than its key's.")
    if not key.check(parts.signature, parts.signed):
        return Refusal(ReasonCode.TOKEN_SIGNATURE_INVALID, "The signature of the token does not hold.")
    claims = parse(parts.payload)
    if isinstance(claims, Refusal):
        return claims
    if claims.tenant_id != key.tenant_id:
        return Refusal(ReasonCode.TOKEN_TENANT_MISMATCH, "The token is signed with the key of another tenant.")
    return Verified(claims, key.kid)


def _malformed(reason: str) -> Refusal:
    return Refusal(ReasonCode.TOKEN_MALFORMED, f"This is not a capability token. {reason}")
