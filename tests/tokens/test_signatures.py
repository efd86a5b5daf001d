"""The three algorithms: each against another implementation, and no key under another's name."""

from __future__ import annotations

import hashlib
import hmac
import json
import warnings
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from act.models import ReasonCode
from act.tokens.codec import Key, KeyStatus, VerificationKey, Verified, read, sign
from act.tokens.refusal import Refusal
from act.tokens.signatures import algorithm_of, checker
from act.tokens.signatures import sign as signature_of
from tests.tokens.forge import CLAIMS, encode

PRIVATE: dict[str, Key] = {
    "RS256": RSAKey.generate_key(2048),
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "ES256": ECKey.generate_key("P-256"),
}
ALGORITHMS = tuple(PRIVATE)
CHECKS = {algorithm: checker(key.public_key) for algorithm, key in PRIVATE.items()}


def public(algorithm: str) -> Key:
    return type(PRIVATE[algorithm]).import_key(PRIVATE[algorithm].as_dict(private=False))


KEYS = {name: VerificationKey(name, "t1", name, "active", public(name)) for name in ALGORITHMS}


def code(token: str, keys: dict[str, VerificationKey] = KEYS) -> ReasonCode:
    outcome = read(token, keys)
    assert isinstance(outcome, Refusal), f"read: {outcome}"
    return outcome.code


def forged(header: dict[str, Any], signer: str) -> str:
    """A token that one key signed, whatever its header says."""
    signed = ".".join(encode(json.dumps(part).encode()) for part in (header, CLAIMS.to_payload()))
    return f"{signed}.{encode(signature_of(PRIVATE[signer].private_key, signed.encode()))}"


# --- against another implementation ---


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_library_reads_what_we_sign(algorithm: str) -> None:
    token = sign(CLAIMS, algorithm, algorithm, PRIVATE[algorithm])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the name EdDSA, which RFC 9864 would have otherwise
        found = jws.deserialize_compact(token, public(algorithm), algorithms=[algorithm])
    assert json.loads(found.payload) == CLAIMS.to_payload()
    assert found.headers() == {"alg": algorithm, "typ": "at+jwt", "kid": algorithm}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_we_read_what_another_library_signs(algorithm: str) -> None:
    header = {"alg": algorithm, "typ": "at+jwt", "kid": algorithm}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        token = jws.serialize_compact(
            header, json.dumps(CLAIMS.to_payload()), PRIVATE[algorithm], algorithms=[algorithm]
        )
    assert read(token, KEYS) == Verified(CLAIMS, algorithm)


@given(st.sampled_from(ALGORITHMS), st.binary(max_size=200))
def test_what_is_signed_holds_and_nothing_else_does(algorithm: str, data: bytes) -> None:
    signature = signature_of(PRIVATE[algorithm].private_key, data)
    check = CHECKS[algorithm]
    assert check(signature, data)
    assert not check(signature, data + b"x")
    assert not check(signature[:-1], data)
    assert not check(signature + b"\0", data)
    assert not check(bytes([signature[0] ^ 1]) + signature[1:], data)
    assert not check(b"", data)


# --- ES256: R and S of exactly 32 bytes each ---


def test_the_signature_of_es256_is_64_bytes_and_never_der() -> None:
    key, check = PRIVATE["ES256"].private_key, CHECKS["ES256"]
    for number in range(200):  # one R or S in 256 begins with a zero byte
        assert len(signature_of(key, bytes([number]))) == 64
    signature = signature_of(key, b"x")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    assert check(signature, b"x")
    assert not check(encode_dss_signature(r, s), b"x")
    assert not check(b"\0" + signature[:32] + b"\0" + signature[32:], b"x")
    assert not check(signature[:32] + b"\0" + signature[32:], b"x")


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.mark.parametrize(("r", "s"), [(0, 0), (0, 1), (1, 0), (1, 1), (ORDER, ORDER), (ORDER, 1), (2**256 - 1, 1)])
def test_numbers_that_are_no_signature(r: int, s: int) -> None:
    """CVE-2022-21449: zeros that some verifiers take for a signature of everything."""
    assert not CHECKS["ES256"](r.to_bytes(32, "big") + s.to_bytes(32, "big"), b"x")


# --- no key under another's name ---


@pytest.mark.parametrize(
    ("kid", "named", "signer"), [case for case in product(ALGORITHMS, repeat=3) if len(set(case)) > 1]
)
def test_key_algorithm_and_signature_are_of_one_kind(kid: str, named: str, signer: str) -> None:
    token = forged({"alg": named, "typ": "at+jwt", "kid": kid}, signer)
    expected = ReasonCode.TOKEN_ALGORITHM_NOT_ALLOWED if named != kid else ReasonCode.TOKEN_SIGNATURE_INVALID
    assert code(token) is expected


@pytest.mark.parametrize("alg", ["HS256", "none", "Ed25519", "ES256K", "ES384", "PS256", "eddsa", ""])
@pytest.mark.parametrize("kid", ALGORITHMS)
def test_no_other_algorithm_whatever_the_key(kid: str, alg: str) -> None:
    assert code(forged({"alg": alg, "typ": "at+jwt", "kid": kid}, kid)) is ReasonCode.TOKEN_ALGORITHM_NOT_ALLOWED


@pytest.mark.parametrize("kid", ALGORITHMS)
def test_no_hmac_with_a_public_key(kid: str) -> None:
    key = PRIVATE[kid].public_key
    for alg in ("HS256", kid):
        header = {"alg": alg, "typ": "at+jwt", "kid": kid}
        signed = ".".join(encode(json.dumps(part).encode()) for part in (header, CLAIMS.to_payload()))
        for secret in (
            key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            json.dumps(PRIVATE[kid].as_dict(private=False)).encode(),
        ):
            mac = encode(hmac.digest(secret, signed.encode(), hashlib.sha256))
            expected = "token_algorithm_not_allowed" if alg == "HS256" else "token_signature_invalid"
            assert code(f"{signed}.{mac}") == expected


@pytest.mark.parametrize(("algorithm", "named"), [(a, b) for a, b in product(ALGORITHMS, repeat=2) if a != b])
def test_a_key_cannot_be_filed_or_used_under_another_algorithm(algorithm: str, named: str) -> None:
    with pytest.raises(ValueError, match=f"is not one for {named}"):
        VerificationKey("k", "t1", named, "active", public(algorithm))
    with pytest.raises(ValueError, match=f"is not one for {named}"):
        sign(CLAIMS, "k", named, PRIVATE[algorithm])


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate(),
        "a text",
        None,
    ],
    ids=["RSA 1024", "P-384", "secp256k1", "Ed448", "text", "nothing"],
)
def test_keys_that_sign_nothing_here(key: Any) -> None:
    with pytest.raises(ValueError):
        algorithm_of(key)
    with pytest.raises(ValueError):
        signature_of(key, b"x")
    with pytest.raises(ValueError):
        checker(key.public_key() if hasattr(key, "public_key") else key)


def test_a_private_key_checks_nothing_and_a_public_one_signs_nothing() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(ValueError, match="not a public key"):
        checker(key)
    with pytest.raises(ValueError, match="not a private key"):
        signature_of(key.public_key(), b"x")


# --- where a key is in its life ---


@pytest.mark.parametrize(
    ("status", "accepted"), [("next", False), ("active", True), ("retiring", True), ("gone", False)]
)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_only_active_and_retiring_keys_verify(algorithm: str, status: KeyStatus, accepted: bool) -> None:
    token = sign(CLAIMS, algorithm, algorithm, PRIVATE[algorithm])
    keys = {algorithm: replace(KEYS[algorithm], status=status)}
    if accepted:
        assert read(token, keys) == Verified(CLAIMS, algorithm)
        return
    refusal = read(token, keys)
    assert isinstance(refusal, Refusal)
    assert refusal.code is ReasonCode.TOKEN_KEY_UNKNOWN
    assert ("no longer in use" if status == "gone" else "not in use yet") in refusal.reason


def test_a_retiring_key_ends_by_the_clock_as_well() -> None:
    """Even when nothing sweeps."""
    key = replace(KEYS["RS256"], status="retiring", retires_at=100.0)
    assert key.in_use_at(99.9)
    assert not key.in_use_at(100.0)
    assert replace(key, status="active", retires_at=None).in_use_at(1e12)
    assert not replace(key, status="gone").in_use_at(0.0)
    assert not replace(key, status="next", retires_at=None).in_use_at(0.0)
