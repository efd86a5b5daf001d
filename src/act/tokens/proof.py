"""Proof of possession: a token that is bound to a key (`cnf`, RFC 7800) is worth nothing without it.

With such a token comes, for each request, a compact JWS by that key over the request (`act.proof_claims`). Read like a
token, strictly and before any key is asked; the header is exactly `{alg, typ}`, so there is nothing in it that could
name a key, and `alg` has to be the algorithm of the key. A proof is never ignored and never done without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from act.models import ReasonCode
from act.proof_claims import TYPE, claims_of
from act.tokens.compact import decode, split
from act.tokens.edwards import is_point
from act.tokens.refusal import Refusal
from act.tokens.signatures import Check, algorithm_of, checker

MAX_AGE: Final = 60
MAX_AHEAD: Final = 10
MAX_LENGTH: Final = 16 * 1024
_HEADER: Final = frozenset({"alg", "typ"})
_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "OKP": frozenset({"kty", "crv", "x"}),
    "EC": frozenset({"kty", "crv", "x", "y"}),
}
_CURVES: Final[Mapping[str, str]] = {"OKP": "Ed25519", "EC": "P-256"}
_COORDINATE: Final = 32
_P256_PRIME: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1


@dataclass(frozen=True, slots=True)
class ConfirmationKey:
    """A public key that a token is bound to, made ready for verifying."""

    algorithm: str
    check: Check = field(repr=False)


@dataclass(frozen=True, slots=True)
class Expected:
    """The request that a proof has to be for. The repr shows neither the token nor the arguments."""

    token: str = field(repr=False)
    action: str
    resource_id: str
    arguments: Mapping[str, Any] = field(repr=False)
    request_id: str
    tenant_id: str


def confirmation_fault(jwk: Mapping[str, Any]) -> str | None:
    """Why a token cannot be bound to this key; None when it can.

    It is a public Ed25519 (RFC 8037) or P-256 (RFC 7518, section 6.2) JWK with the members that make the key and no
    other: one key has one spelling, and nobody sends a private one by mistake.
    """
    kind = jwk.get("kty")
    if not isinstance(kind, str) or kind not in _MEMBERS:
        return "kty is neither OKP nor EC"
    members = _MEMBERS[kind]
    if jwk.keys() != members:
        return f"the members of the public key are exactly {', '.join(sorted(members))}"
    if jwk["crv"] != _CURVES[kind]:
        return f"crv is not {_CURVES[kind]}"
    coordinates = [_coordinate(jwk[name]) for name in ("x", "y") if name in members]
    if None in coordinates:
        return f"a coordinate is not {_COORDINATE} bytes of unpadded base64url"
    if kind == "OKP" and not is_point(coordinates[0] or b""):
        return "x is not a point of Ed25519 that can be a key"
    try:
        _public_key(jwk)
    except ValueError:
        return f"the coordinates are not a point of {jwk['crv']}"
    return None


def read_key(jwk: Mapping[str, Any]) -> ConfirmationKey:
    """The key in a JWK.

    Raises:
        ValueError: there is a `confirmation_fault`.
    """
    if fault := confirmation_fault(jwk):
        raise ValueError(fault)
    key = _public_key(jwk)
    return ConfirmationKey(algorithm_of(key), checker(key))


def check(
    proof: str | None, key: ConfirmationKey | None, expected: Expected, now: float, not_before: float
) -> Refusal | None:
    """Whether a request may use its token, as far as a proof without a memory can tell; `UsedProofs` is the memory.

    Args:
        proof: what came with the request, if anything.
        key: what the token is bound to, if it is bound.
        now: seconds since the epoch.
        not_before: seconds since the epoch; a proof that is dated earlier is refused. A memory that was lost at some
            moment held only proofs dated up to MAX_AHEAD later.
    """
    if key is None:
        return None if proof is None else _invalid("The token is bound to no key, so there is nothing to prove.")
    if proof is None:
        return Refusal(ReasonCode.PROOF_REQUIRED, "The token is bound to a key; prove that you hold it.")
    parts = split(proof, members=_HEADER, typ=TYPE, max_length=MAX_LENGTH)
    if isinstance(parts, str):
        return _invalid(f"This is not a proof of possession. {parts}")
    if parts.header["alg"] != key.algorithm:
        return _invalid("The proof names another algorithm than that of the key that the token is bound to.")
    if not key.check(parts.signature, parts.signed):
        return _invalid("The proof is not signed with the key that the token is bound to.")
    return _check_date(parts.payload, now, not_before) or _check_request(parts.payload, expected)


def digest(proof: str) -> bytes:
    """What a proof is remembered by: SHA-256 of what was signed.

    Not of the whole string: from a signature of ECDSA anyone can make a second one over the same bytes.
    """
    return hashlib.sha256(proof.rpartition(".")[0].encode()).digest()


def _check_date(payload: Mapping[str, Any], now: float, not_before: float) -> Refusal | None:
    issued_at = payload.get("iat")
    if type(issued_at) is not int:
        return _invalid("iat of the proof is not an integer.")
    if issued_at < now - MAX_AGE:
        return _invalid(f"The proof is older than {MAX_AGE} s.")
    if issued_at > now + MAX_AHEAD:
        return _invalid("The proof is from the future.")
    if issued_at < not_before:
        return _invalid("The proof is older than what this server can remember. Make a new one.")
    return None


def _check_request(payload: Mapping[str, Any], expected: Expected) -> Refusal | None:
    try:
        claims = claims_of(
            token=expected.token,
            action=expected.action,
            resource_id=expected.resource_id,
            arguments=expected.arguments,
            request_id=expected.request_id,
            tenant_id=expected.tenant_id,
        )
    except ValueError:
        return _invalid("The request has no canonical form that a proof could be for.")
    if odd := payload.keys() ^ {*claims, "iat"}:
        return _invalid(f"The claims of the proof are not those of this version: {', '.join(sorted(odd))[:200]}.")
    # A claim of another type is not equal either: every claim is a text.
    for name, value in claims.items():
        if payload[name] != value:
            return _invalid(f"The proof is for another request: {name} is not the same.")
    return None


def _coordinate(value: object) -> bytes | None:
    decoded = decode(value) if isinstance(value, str) and value.isascii() else None
    return decoded if decoded is not None and len(decoded) == _COORDINATE else None


def _public_key(jwk: Mapping[str, Any]) -> object:
    x = decode(jwk["x"]) or b""
    if jwk["kty"] == "OKP":
        return Ed25519PublicKey.from_public_bytes(x)
    numbers = EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(decode(jwk["y"]) or b""), SECP256R1())
    if max(numbers.x, numbers.y) >= _P256_PRIME:
        raise ValueError("OpenSSL would take a coordinate modulo the prime: a second spelling of the same key.")
    return numbers.public_key()


def _invalid(reason: str) -> Refusal:
    return Refusal(ReasonCode.PROOF_INVALID, reason)
