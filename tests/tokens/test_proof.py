"""Proof of possession, as far as functions go: each rule of `check` broken alone, each with its code."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from act.models import ReasonCode
from act.tokens.compact import decode
from act.tokens.proof import MAX_AGE, MAX_AHEAD, MAX_LENGTH, Expected, check, digest, read_key
from act.tokens.refusal import Refusal
from tests.tokens.possession import (
    CLAIMS,
    EDWARDS,
    ELLIPTIC,
    EXPECTED,
    NOW,
    P256_ORDER,
    START,
    TOKEN,
    EdwardsKey,
    EllipticKey,
    encode,
    header,
    proof,
    public_jwk,
)

KEYS = [pytest.param(EDWARDS, id="Ed25519"), pytest.param(ELLIPTIC, id="P-256")]
GOOD = proof()
HEAD, BODY, SIGNATURE = GOOD.split(".")


def judged(
    string: str | None,
    key: EdwardsKey | EllipticKey | None = EDWARDS,
    expected: Expected = EXPECTED,
    now: float = NOW,
    not_before: float = START,
) -> Refusal | None:
    return check(string, None if key is None else read_key(public_jwk(key)), expected, now, not_before)


def refused(string: str | None, **given: Any) -> str:
    """The reason of a refusal as invalid."""
    outcome = judged(string, **given)
    assert outcome is not None, "accepted"
    assert outcome.code is ReasonCode.PROOF_INVALID
    assert TOKEN not in outcome.reason
    assert "ann@example.com" not in outcome.reason
    return outcome.reason


@pytest.mark.parametrize("key", KEYS)
def test_a_good_proof(key: EdwardsKey | EllipticKey) -> None:
    assert judged(proof(key=key), key=key) is None


# --- with and without a key ------------------------------------------------------------------------------------------


def test_a_bound_token_is_never_a_bearer_token() -> None:
    outcome = judged(None)
    assert outcome is not None
    assert outcome.code is ReasonCode.PROOF_REQUIRED


def test_a_bearer_token_needs_no_proof() -> None:
    assert judged(None, key=None) is None


@pytest.mark.parametrize("string", [GOOD, "", "anything"])
def test_a_proof_that_comes_with_a_bearer_token_is_not_ignored(string: str) -> None:
    assert "bound to no key" in refused(string, key=None)


# --- for this request and no other -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "claim"),
    [
        ({"token": TOKEN + "x"}, "ath"),
        ({"token": ""}, "ath"),
        ({"action": "read"}, "action"),
        ({"action": "Execute"}, "action"),
        ({"action": "execute "}, "action"),
        ({"resource_id": "tool://mail/send/all"}, "resourceId"),
        ({"arguments": {}}, "argumentsHash"),
        ({"arguments": {"to": "eve@example.com", "copies": 2}}, "argumentsHash"),
        ({"arguments": {"to": "ann@example.com", "copies": 3}}, "argumentsHash"),
        ({"arguments": {"to": "ann@example.com", "copies": "2"}}, "argumentsHash"),
        ({"arguments": {"to": "ann@example.com", "copies": True}}, "argumentsHash"),
        ({"arguments": {"to": "ann@example.com", "copies": 2, "bcc": None}}, "argumentsHash"),
        ({"request_id": "request-2"}, "requestId"),
        ({"tenant_id": "tenant-2"}, "tenantId"),
    ],
)
def test_a_proof_for_another_request(changed: dict[str, Any], claim: str) -> None:
    assert f"{claim} is not the same" in refused(GOOD, expected=replace(EXPECTED, **changed))


def test_the_order_of_the_arguments_does_not_matter() -> None:
    assert judged(GOOD, expected=replace(EXPECTED, arguments={"copies": 2, "to": "ann@example.com"})) is None


@pytest.mark.parametrize("arguments", [{"a": float("nan")}, {"a": 2**53}, {"a": "\ud800"}, {"a": object()}, {1: 2}])
def test_arguments_without_canonical_form(arguments: dict[Any, Any]) -> None:
    assert "no canonical form" in refused(GOOD, expected=replace(EXPECTED, arguments=arguments))


@pytest.mark.parametrize("claim", [name for name in CLAIMS if name != "iat"])
@pytest.mark.parametrize("value", ["", "x", 1, True, [], {}, ["execute"]])
def test_a_claim_of_another_value_or_type(claim: str, value: Any) -> None:
    assert f"{claim} is not the same" in refused(proof({claim: value}))


@pytest.mark.parametrize("claim", [name for name in CLAIMS if name != "iat"])
def test_a_claim_that_is_missing(claim: str) -> None:
    assert claim in refused(proof({claim: None}))


@pytest.mark.parametrize("name", ["jti", "exp", "cnf", "Action", "aud"])
def test_a_claim_that_is_unknown(name: str) -> None:
    assert name in refused(proof({name: "x"}))


# --- now and not at another time -------------------------------------------------------------------------------------


@pytest.mark.parametrize("issued_at", [NOW - MAX_AGE, NOW - 1, NOW, NOW + 1, NOW + MAX_AHEAD])
def test_within_the_window(issued_at: int) -> None:
    assert judged(proof({"iat": issued_at})) is None


@pytest.mark.parametrize(
    ("issued_at", "reason"),
    [
        (NOW - MAX_AGE - 1, "older than"),
        (0, "older than"),
        (-1, "older than"),
        (NOW + MAX_AHEAD + 1, "from the future"),
        (2**53 - 1, "from the future"),
    ],
)
def test_outside_of_the_window(issued_at: int, reason: str) -> None:
    assert reason in refused(proof({"iat": issued_at}))


def test_the_window_is_over_right_after_it() -> None:
    assert judged(GOOD, now=NOW + MAX_AGE) is None
    assert "older than" in refused(GOOD, now=NOW + MAX_AGE + 0.001)
    assert judged(GOOD, now=NOW - MAX_AHEAD) is None
    assert "from the future" in refused(GOOD, now=NOW - MAX_AHEAD - 0.001)


def test_a_proof_from_before_the_server_began_to_remember() -> None:
    assert judged(GOOD, not_before=NOW) is None
    assert "can remember" in refused(GOOD, not_before=NOW + 0.001)


@pytest.mark.parametrize("issued_at", [None, NOW + 0.5, float(NOW), str(NOW), True, [NOW], {}])
def test_a_date_that_is_no_integer(issued_at: Any) -> None:
    assert "iat" in refused(proof({"iat": issued_at}))


# --- by this key and no other ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
def test_a_proof_by_another_key_of_the_same_type(key: EdwardsKey | EllipticKey) -> None:
    stranger = EdwardsKey.generate() if isinstance(key, EdwardsKey) else ec.generate_private_key(ec.SECP256R1())
    assert "not signed with the key" in refused(proof(key=stranger), key=key)


@pytest.mark.parametrize(("signer", "bound"), [(EDWARDS, ELLIPTIC), (ELLIPTIC, EDWARDS)], ids=["Ed25519", "P-256"])
def test_a_proof_by_a_key_of_another_type(signer: EdwardsKey | EllipticKey, bound: EdwardsKey | EllipticKey) -> None:
    assert "another algorithm" in refused(proof(key=signer), key=bound)
    assert "not signed with the key" in refused(proof(head=header(bound), key=signer), key=bound)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("alg", ["none", "None", "HS256", "RS256", "ES384", "Ed25519", "eddsa", "es256", ""])
def test_an_algorithm_that_is_not_the_key_s(key: EdwardsKey | EllipticKey, alg: str) -> None:
    assert "another algorithm" in refused(proof(head=header(key) | {"alg": alg}, key=key), key=key)


def test_no_algorithm_and_no_signature() -> None:
    head = encode(json.dumps({"alg": "none", "typ": "act-pop+jwt"}).encode())
    assert "another algorithm" in refused(f"{head}.{BODY}.")
    assert "not signed with the key" in refused(f"{HEAD}.{BODY}.")


@pytest.mark.parametrize("key", KEYS)
def test_a_mac_with_the_public_key_as_its_secret(key: EdwardsKey | EllipticKey) -> None:
    public = key.public_key()
    secrets = [
        json.dumps(public_jwk(key)).encode(),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ]
    if isinstance(public, ed25519.Ed25519PublicKey):
        secrets.append(public.public_bytes_raw())
    else:
        secrets.append(public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
    for secret in secrets:
        for alg, reason in (("HS256", "another algorithm"), (header(key)["alg"], "not signed with the key")):
            signed = f"{encode(json.dumps(header(key) | {'alg': alg}).encode())}.{BODY}"
            mac = encode(hmac.digest(secret, signed.encode(), hashlib.sha256))
            assert reason in refused(f"{signed}.{mac}", key=key)


@pytest.mark.parametrize(
    "more",
    [
        {"jwk": public_jwk(EDWARDS)},
        {"jku": "https://evil.example/jwks.json"},
        {"kid": "1"},
        {"kid": "../../dev/null"},
        {"crit": ["exp"], "exp": NOW},
        {"b64": False, "crit": ["b64"]},
        {"x5c": ["MII"]},
        {"x5u": "https://evil.example/cert.pem"},
        {"cty": "JWT"},
        {"": ""},
    ],
    ids=lambda more: next(iter(more)) or "empty",
)
def test_a_header_that_says_more(more: dict[str, Any]) -> None:
    assert "header is not exactly alg, typ" in refused(proof(head=header(EDWARDS) | more))


def test_a_header_that_brings_its_own_key() -> None:
    stranger = EdwardsKey.generate()
    assert "header is not exactly" in refused(
        proof(head=header(stranger) | {"jwk": public_jwk(stranger)}, key=stranger)
    )


@pytest.mark.parametrize(
    "head",
    [
        {"alg": "EdDSA"},
        {"typ": "act-pop+jwt"},
        {},
        {"alg": ["EdDSA"], "typ": "act-pop+jwt"},
        {"alg": None, "typ": "act-pop+jwt"},
        {"alg": "EdDSA", "typ": ["act-pop+jwt"]},
        {"alg": "EdDSA", "TYP": "act-pop+jwt"},
    ],
)
def test_a_header_that_says_less_or_otherwise(head: dict[str, Any]) -> None:
    assert "header is not exactly" in refused(proof(head=head))


@pytest.mark.parametrize("typ", ["at+jwt", "JWT", "dpop+jwt", "ACT-POP+JWT", "application/act-pop+jwt", ""])
def test_another_type(typ: str) -> None:
    assert "type is not act-pop+jwt" in refused(proof(head=header(EDWARDS) | {"typ": typ}))


# --- read in one way only --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "string",
    [
        "",
        ".",
        "..",
        "...",
        HEAD,
        f"{HEAD}.{BODY}",
        f"{GOOD}.",
        f"{GOOD}.{SIGNATURE}",
        f"{HEAD}..{SIGNATURE}",
        f".{BODY}.{SIGNATURE}",
        f" {GOOD}",
        f"{GOOD} ",
        f"{GOOD}\n",
        f"\ufeff{GOOD}",
        f"{GOOD}=",
        f"{GOOD}==",
        f"{HEAD}=.{BODY}.{SIGNATURE}",
        f"{HEAD}.{BODY}\n.{SIGNATURE}",
        f"{HEAD}.{BODY}.{SIGNATURE[:-2]}+/",
        f"{HEAD}.{BODY}.{SIGNATURE[:-1]}\u0430",
        f"{HEAD}.{BODY}.{SIGNATURE[:-1]}\ud800",
        f"{GOOD}\x00",
        f"DPoP {GOOD}",
        json.dumps({"protected": HEAD, "payload": BODY, "signature": SIGNATURE}),
        "a" * (MAX_LENGTH + 1),
    ],
)
def test_strings_that_are_no_proofs(string: str) -> None:
    assert "not a proof of possession" in refused(string)


def test_a_proof_may_be_long_but_not_longer() -> None:
    spare = (MAX_LENGTH - len(GOOD)) // 4 * 3
    for more, accepted in ((spare - 3, True), (spare + 6, False)):
        action = "execute" + "x" * more
        string = proof({"action": action})
        assert (len(string) <= MAX_LENGTH) is accepted
        if accepted:
            assert judged(string, expected=replace(EXPECTED, action=action)) is None
        else:
            assert "longer than" in refused(string, expected=replace(EXPECTED, action=action))


def test_every_other_spelling_of_the_same_signature() -> None:
    """64 bytes leave four spare bits in the last character: sixteen strings decode to them, one is canonical."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(SIGNATURE[-1])
    assert last % 16 == 0
    for spare in range(1, 16):
        assert "canonical" in refused(f"{HEAD}.{BODY}.{SIGNATURE[:-1]}{alphabet[last ^ spare]}")


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps(CLAIMS)[:-1].encode() + b', "action": "execute"}',
        b'{"action": "read", ' + json.dumps(CLAIMS)[1:].encode(),
        json.dumps(CLAIMS)[:-1].encode() + b', "a\\u0063tion": "execute"}',
        json.dumps([CLAIMS]).encode(),
        b"null",
        b"",
        json.dumps(CLAIMS).encode() + b"{}",
        b"\xef\xbb\xbf" + json.dumps(CLAIMS).encode(),
        json.dumps(CLAIMS).encode("utf-16"),
        json.dumps(CLAIMS | {"iat": float("nan")}).encode(),
        json.dumps(CLAIMS | {"iat": 2**53}).encode(),
    ],
)
def test_a_payload_that_reads_in_two_ways_or_none(payload: bytes) -> None:
    assert "reads in one way only" in refused(proof(payload))


def test_a_header_that_reads_in_two_ways() -> None:
    head = b'{"alg": "none", "typ": "act-pop+jwt", "alg": "EdDSA"}'
    assert "reads in one way only" in refused(proof(head=head))


# The last character has spare bits: another one there is not always canonical.
@pytest.mark.parametrize("position", range(0, len(SIGNATURE) - 1, 5))
def test_a_changed_signature(position: int) -> None:
    changed = "A" if SIGNATURE[position] != "A" else "B"
    string = f"{HEAD}.{BODY}.{SIGNATURE[:position]}{changed}{SIGNATURE[position + 1 :]}"
    assert "not signed" in refused(string)


# --- signatures of P-256 ---------------------------------------------------------------------------------------------


def test_a_signature_of_p_256_is_64_bytes() -> None:
    head, body, signature = proof(key=ELLIPTIC).split(".")
    raw = _decoded(signature)
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    others = [
        encode_dss_signature(r, s),
        b"\x00" + raw[:32] + b"\x00" + raw[32:],
        raw + b"\x00",
        raw[:-1],
        bytes(64),
        raw[:32] + bytes(32),
        bytes(32) + raw[32:],
        (r + P256_ORDER).to_bytes(33) + b"\x00" + raw[32:],
    ]
    for other in others:
        assert "not signed" in refused(f"{head}.{body}.{encode(other)}", key=ELLIPTIC)


def test_the_second_signature_that_anyone_can_make_is_not_a_second_proof() -> None:
    """(r, n - s) holds wherever (r, s) does. So a proof is remembered by what was signed."""
    first = proof(key=ELLIPTIC)
    head, body, signature = first.split(".")
    raw = _decoded(signature)
    second = f"{head}.{body}.{encode(raw[:32] + (P256_ORDER - int.from_bytes(raw[32:])).to_bytes(32))}"
    assert second != first
    assert judged(second, key=ELLIPTIC) is None
    assert digest(second) == digest(first)
    assert digest(proof({"requestId": "request-2"}, key=ELLIPTIC)) != digest(first)


def test_nothing_of_the_request_is_shown() -> None:
    shown = repr(EXPECTED) + repr(read_key(public_jwk(EDWARDS)))
    assert TOKEN not in shown
    assert "ann@example.com" not in shown


def _decoded(piece: str) -> bytes:
    decoded = decode(piece)
    assert decoded is not None
    return decoded
