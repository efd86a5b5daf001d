"""Signatures of JWS (RFC 7518 section 3, RFC 8037): the three algorithms ACT signs with, and no other.

The algorithm is always that of the key, told from its type; nothing that comes with a signature can choose it.
Whether base64url, header and claims are in order is for who calls; here are only bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

RSA_BITS: Final = 2048
_PADDING, _SHA256, _ECDSA = PKCS1v15(), SHA256(), ECDSA(SHA256())
_COORDINATE: Final = 32

Check = Callable[[bytes, bytes], bool]
"""`check(signature, signed)`: whether the signature over these bytes holds."""


def algorithm_of(key: object) -> str:
    """The JWS algorithm of a public or private key of `cryptography`.

    Raises:
        ValueError: no algorithm of ours goes with it.
    """
    if isinstance(key, RSAPublicKey | RSAPrivateKey) and key.key_size >= RSA_BITS:
        return "RS256"
    if isinstance(key, Ed25519PublicKey | Ed25519PrivateKey):
        return "EdDSA"
    if isinstance(key, EllipticCurvePublicKey | EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    raise ValueError("A key of this type or size signs nothing here.")


def checker(key: object) -> Check:
    """What verifies the signatures of a public key of `cryptography`.

    Raises:
        ValueError: no algorithm of ours goes with it.
    """
    algorithm_of(key)
    if isinstance(key, RSAPublicKey):
        return _rsa(key)
    if isinstance(key, Ed25519PublicKey):
        return _edwards(key)
    if isinstance(key, EllipticCurvePublicKey):
        return _elliptic(key)
    raise ValueError("This is not a public key.")


def _rsa(key: RSAPublicKey) -> Check:
    def check(signature: bytes, signed: bytes) -> bool:
        try:
            key.verify(signature, signed, _PADDING, _SHA256)
        except InvalidSignature:
            return False
        return True

    return check


def _edwards(key: Ed25519PublicKey) -> Check:
    def check(signature: bytes, signed: bytes) -> bool:
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    return check


def _elliptic(key: EllipticCurvePublicKey) -> Check:
    def check(signature: bytes, signed: bytes) -> bool:
        # RFC 7518, section 3.4: R and S, each of 32 bytes. What is shorter, longer or DER is no signature.
        if len(signature) != 2 * _COORDINATE:
            return False
        r, s = (int.from_bytes(half, "big") for half in (signature[:_COORDINATE], signature[_COORDINATE:]))
        try:
            key.verify(encode_dss_signature(r, s), signed, _ECDSA)
        except InvalidSignature:
            return False
        return True

    return check


def sign(key: object, signed: bytes) -> bytes:
    """The signature of a private key of `cryptography` over these bytes.

    Raises:
        ValueError: no algorithm of ours goes with it.
    """
    algorithm_of(key)
    if isinstance(key, RSAPrivateKey):
        return key.sign(signed, _PADDING, _SHA256)
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(signed)
    if isinstance(key, EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(signed, _ECDSA))
        return r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")
    raise ValueError("This is not a private key.")
