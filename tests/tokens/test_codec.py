"""The strict reader of token strings (2-semantics, "Verification"): each rule broken alone, each with its code."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.models import ReasonCode
from act.tokens.claims import Claims
from act.tokens.codec import MAX_LENGTH, VerificationKey, Verified, read, sign
from act.tokens.refusal import Refusal
from tests.tokens.forge import CLAIMS, HEADER, KEYS, KID, PUBLIC_PEM, SIGNING_KEY, STRANGER, encode, token

GOOD = token()
HEAD, BODY, SIGNATURE = GOOD.split(".")


def code(string: str, keys: dict[str, VerificationKey] = KEYS) -> ReasonCode:
    outcome = read(string, keys)
    assert isinstance(outcome, Refusal), f"read: {outcome}"
    return outcome.code


def header(**changed: Any) -> dict[str, Any]:
    return {name: value for name, value in (HEADER | changed).items() if value is not None}


def test_a_good_token() -> None:
    assert read(GOOD, KEYS) == Verified(CLAIMS, KID)


@given(st.integers(0, 2**53 - 1), st.text("abc:._-", min_size=1, max_size=20))
def test_what_is_signed_is_read_back(number: int, text: str) -> None:
    claims = CLAIMS._replace(sequence=number, expires_at=number, agent_id=text, node=text, actors=(text,))
    string = sign(claims, KID, "RS256", SIGNING_KEY)
    assert read(string, KEYS) == Verified(claims, KID)


@pytest.mark.parametrize(
    "string",
    [
        "",
        ".",
        "..",
        "...",
        "Bearer " + GOOD,
        HEAD,
        f"{HEAD}.{BODY}",
        f"{HEAD}..{SIGNATURE}",
        f".{BODY}.{SIGNATURE}",
        f"{GOOD}.",
        f"{GOOD}.{SIGNATURE}",
        f"{HEAD}.{BODY}.x.y.z",
        f" {GOOD}",
        f"{GOOD} ",
        f"{GOOD}\n",
        f"{HEAD}\n.{BODY}.{SIGNATURE}",
        f"{HEAD}=.{BODY}.{SIGNATURE}",
        f"{GOOD}==",
        f"{HEAD}.{BODY}.{SIGNATURE[:-2]}+/",
        f"{HEAD}.{BODY}.{SIGNATURE[:-1]}\u00e9",
        f"{HEAD}.{BODY}.{SIGNATURE[:-1]}\ud800",
        f"{HEAD}.{BODY}.{SIGNATURE}\x00",
        json.dumps({"payload": BODY, "protected": HEAD, "signature": SIGNATURE}),
        "a" * MAX_LENGTH,
    ],
)
def test_strings_that_are_no_tokens(string: str) -> None:
    assert code(string) is ReasonCode.TOKEN_MALFORMED


def test_every_other_spelling_of_the_same_bytes_is_refused() -> None:
    """Base64 has spare bits at the end: several strings decode to one signature, one of them is canonical."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(SIGNATURE[-1])
    assert len(SIGNATURE) % 4 == 2, "256 bytes leave four spare bits"
    spellings = [SIGNATURE[:-1] + alphabet[last ^ spare] for spare in range(1, 16)]
    assert {code(f"{HEAD}.{BODY}.{spelling}") for spelling in spellings} == {ReasonCode.TOKEN_MALFORMED}


def test_a_token_may_be_long_but_not_longer() -> None:
    claims = CLAIMS._replace(subject="s" * 4000)
    room = MAX_LENGTH - len(token(payload=claims.to_payload()))
    claims = claims._replace(subject="s" * (4000 + room * 3 // 4))
    fitting = token(payload=claims.to_payload())
    assert MAX_LENGTH - 3 <= len(fitting) <= MAX_LENGTH
    assert read(fitting, KEYS) == Verified(claims, KID)
    too_long = token(payload=claims._replace(subject=claims.subject + "sss").to_payload())
    assert len(too_long) > MAX_LENGTH
    assert code(too_long) is ReasonCode.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "changed",
    [
        {"typ": "JWT"},
        {"typ": "AT+JWT"},
        {"typ": "application/at+jwt"},
        {"typ": None},
        {"alg": None},
        {"kid": None},
        {"typ": ["at+jwt"]},
        {"alg": ["RS256"]},
        {"alg": 256},
        {"kid": 7},
        {"kid": {}},
        {"jku": "https://evil.example/jwks.json"},
        {"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}},
        {"x5u": "https://evil.example/cert.pem"},
        {"x5c": ["MII"]},
        {"crit": ["exp"], "exp": 1},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"cty": "JWT"},
    ],
)
def test_the_header_is_exactly_alg_typ_and_kid(changed: dict[str, Any]) -> None:
    assert code(token(header(**changed))) is ReasonCode.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b'{"alg":"RS256","alg":"RS256","typ":"at+jwt","kid":"%s"}' % KID.encode(),
        b'{"alg":"none","alg":"RS256","typ":"at+jwt","kid":"%s"}' % KID.encode(),
        b'{"alg":"RS256","typ":"at+jwt","kid":"%s"}x' % KID.encode(),
        b'\xef\xbb\xbf{"alg":"RS256","typ":"at+jwt","kid":"%s"}' % KID.encode(),
        b'{"alg":"RS256","typ":"at+jwt","kid":"\xff"}',
    ],
)
def test_headers_that_do_not_read_in_one_way(raw: bytes) -> None:
    assert code(token(raw)) is ReasonCode.TOKEN_MALFORMED


def _payload(text: str) -> bytes:
    """The good payload with another field in front, spelled as given."""
    return b"{" + text.encode() + b"," + json.dumps(CLAIMS.to_payload()).encode()[1:]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[1]",
        b"{",
        _payload('"exp":9999999999'),
        _payload('"sub":"agt_2"'),
        _payload('"\\u0073ub":"agt_2"'),
        _payload('"x":NaN'),
        _payload('"x":1e999'),
        _payload('"x":9007199254740993'),
        _payload('"x":' + "[" * 40 + "]" * 40),
        _payload('"x":"\\ud800"'),
    ],
)
def test_payloads_that_do_not_read_in_one_way(raw: bytes) -> None:
    assert code(token(payload=raw)) is ReasonCode.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "kid", ["", "unknown", KID.upper(), f" {KID}", "../../etc/passwd", "' OR 1=1 --", "https://evil.example/k"]
)
def test_the_key_is_found_by_its_id_and_nothing_else(kid: str) -> None:
    assert code(token(header(kid=kid))) is ReasonCode.TOKEN_KEY_UNKNOWN


@pytest.mark.parametrize("alg", ["none", "None", "", "HS256", "RS384", "RS512", "PS256", "ES256", "EdDSA", "rs256"])
def test_the_algorithm_is_that_of_the_key(alg: str) -> None:
    assert code(token(header(alg=alg))) is ReasonCode.TOKEN_ALGORITHM_NOT_ALLOWED


def test_no_hmac_with_the_public_key() -> None:
    signing_input = f"{encode(json.dumps(header(alg='HS256')).encode())}.{BODY}"
    forged = f"{signing_input}.{encode(hmac.digest(PUBLIC_PEM, signing_input.encode(), hashlib.sha256))}"
    assert code(forged) is ReasonCode.TOKEN_ALGORITHM_NOT_ALLOWED


@pytest.mark.parametrize(
    "string",
    [
        token(key=STRANGER),
        f"{HEAD}.{BODY}.",
        f"{HEAD}.{BODY}.{token(payload=CLAIMS._replace(sequence=8).to_payload()).split('.')[2]}",
        f"{HEAD}.{encode(json.dumps(CLAIMS._replace(agent_id='agt_2').to_payload()).encode())}.{SIGNATURE}",
        f"{HEAD}.{BODY}.{encode(bytes(256))}",
        f"{HEAD}.{BODY}.{encode(bytes(16))}",
        f"{encode(json.dumps(HEADER, separators=(',', ':')).encode())}.{BODY}.{SIGNATURE}",
    ],
)
def test_a_signature_that_does_not_hold(string: str) -> None:
    assert code(string) is ReasonCode.TOKEN_SIGNATURE_INVALID


@given(st.integers(0, len(GOOD) - 1), st.sampled_from("Aa0-_"))
def test_no_character_of_a_token_can_be_changed(at: int, character: str) -> None:
    changed = GOOD[:at] + character + GOOD[at + 1 :]
    if changed != GOOD:
        assert isinstance(read(changed, KEYS), Refusal)


def test_the_signature_comes_before_the_claims() -> None:
    """Nothing in an unsigned payload is worth an answer."""
    assert code(token(payload={"ver": 99}, key=STRANGER)) is ReasonCode.TOKEN_SIGNATURE_INVALID
    assert code(token(payload={"ver": 99})) is ReasonCode.TOKEN_MALFORMED


def test_the_key_of_one_tenant_signs_for_no_other() -> None:
    claims: Claims = CLAIMS._replace(tenant_id="t2")
    assert code(token(payload=claims.to_payload())) is ReasonCode.TOKEN_TENANT_MISMATCH


def test_a_refusal_never_repeats_the_token() -> None:
    for string in (f"{GOOD}x", token(header(kid="unknown")), token(key=STRANGER), token(header(alg="none"))):
        outcome = read(string, KEYS)
        assert isinstance(outcome, Refusal)
        assert not any(part and part in outcome.reason for part in string.split("."))
