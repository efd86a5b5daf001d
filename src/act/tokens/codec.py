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

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from act import strict_json
from act.models import ReasonCode
from act.tokens.claims import Claims, parse
from act.tokens.refusal import Refusal

TYPE = "at+jwt"
MAX_LENGTH = 16 * 1024

KeyStatus = Literal["active", "gone"]


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key that tokens of one tenant are signed with."""

    kid: str
    tenant_id: str
    algorithm: str
    status: KeyStatus
    key: RSAKey


@dataclass(frozen=True, slots=True)
class Verified:
    """Claims whose signature holds under the key `kid`."""

    claims: Claims
    kid: str


@dataclass(frozen=True, slots=True)
class _Parts:
    header: Mapping[str, Any]
    payload: Mapping[str, Any]


def sign(claims: Claims, kid: str, algorithm: str, key: RSAKey) -> str:
    """The token string."""
    header = {"alg": algorithm, "typ": TYPE, "kid": kid}
    payload = json.dumps(claims.to_payload(), separators=(",", ":")).encode()
    return jws.serialize_compact(header, payload, key, algorithms=[algorithm])


def read(token: str, keys: Mapping[str, VerificationKey]) -> Verified | Refusal:
    """Everything about a token that the string and the keys alone can tell."""
    parts = _split(token)
    if isinstance(parts, Refusal):
        return parts
    key = keys.get(parts.header["kid"])
    if key is None:
        return Refusal(ReasonCode.TOKEN_KEY_UNKNOWN, "The token is signed with a key that this server does not have.")
    if parts.header["alg"] != key.algorithm:
        return Refusal(ReasonCode.TOKEN_ALGORITHM_NOT_ALLOWED, "The token names another algorithm than its key's.")
    try:
        jws.deserialize_compact(token, key.key, algorithms=[key.algorithm])
    except (JoseError, ValueError):
        return Refusal(ReasonCode.TOKEN_SIGNATURE_INVALID, "The signature of the token does not hold.")
    claims = parse(parts.payload)
    if isinstance(claims, Refusal):
        return claims
    if claims.tenant_id != key.tenant_id:
        return Refusal(ReasonCode.TOKEN_TENANT_MISMATCH, "The token is signed with the key of another tenant.")
    return Verified(claims, key.kid)


def _split(token: str) -> _Parts | Refusal:
    if len(token) > MAX_LENGTH:
        return _malformed(f"It is longer than {MAX_LENGTH} bytes.")
    if not token.isascii():
        return _malformed("It is not ASCII.")
    pieces = token.split(".")
    if len(pieces) != 3:
        return _malformed("It does not have three parts.")
    decoded = [_decode(piece) for piece in pieces]
    if None in decoded:
        return _malformed("A part is not canonical base64url.")
    header, payload = (_object(piece) for piece in decoded[:2])
    if header is None or payload is None:
        return _malformed("A part is not a JSON object that reads in one way only.")
    if header.keys() != {"alg", "typ", "kid"} or not all(type(value) is str for value in header.values()):
        return _malformed("The header is not exactly alg, typ and kid.")
    if header["typ"] != TYPE:
        return _malformed(f"The type is not {TYPE}.")
    return _Parts(header, payload)


def _decode(piece: str) -> bytes | None:
    try:
        decoded = base64.b64decode(piece + "=" * (-len(piece) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    # Not every string that decodes is the one that encoding gives: spare bits, padding, another alphabet.
    canonical = base64.urlsafe_b64encode(decoded).rstrip(b"=").decode()
    return decoded if canonical == piece else None


def _object(piece: bytes | None) -> Mapping[str, Any] | None:
    try:
        value = strict_json.loads(piece or b"")
    except (strict_json.MalformedJson, strict_json.AmbiguousJson):
        return None
    return value if isinstance(value, dict) else None


def _malformed(reason: str) -> Refusal:
    return Refusal(ReasonCode.TOKEN_MALFORMED, f"This is not a capability token. {reason}")
