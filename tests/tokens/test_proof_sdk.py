"""The SDK's proofs as the server reads them: both bind the same request, whatever its arguments are."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import math
import pickle
import subprocess
import sys
import textwrap
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from act.client.deciding import Question
from act.client.proof import ProofKey
from act.models import ReasonCode
from act.proof_claims import arguments_hash
from act.strict_json import MAX_INTEGER, loads
from act.tokens.proof import Expected, check, confirmation_fault, digest, read_key
from tests.tokens.possession import EXPECTED, NOW, START, TOKEN

KEY = ProofKey.generate()
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([-0.0, 5e-324, 1e21, 1e-7, 9007199254740991.0, 1.7976931348623157e308])
    | TEXTS
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))
ARGUMENTS = st.dictionaries(TEXTS, VALUES, max_size=5)


def signed(expected: Expected, now: float = NOW, key: ProofKey = KEY) -> str:
    return key.sign(
        expected.token,
        expected.action,
        expected.resource_id,
        expected.arguments,
        expected.request_id,
        expected.tenant_id,
        now,
    )


def judged(proof: str, expected: Expected, now: float = NOW) -> ReasonCode | None:
    outcome = check(proof, read_key(KEY.public_jwk), expected, now, START)
    return None if outcome is None else outcome.code


def received(arguments: dict[str, Any]) -> Any:
    """The arguments as the server has them: what the SDK sends, through the strict reader."""
    body = Question("r1", TOKEN, "execute", "tool://x", arguments).call().content()
    assert body is not None
    return loads(body)["arguments"]


@given(ARGUMENTS, TEXTS, TEXTS, TEXTS, TEXTS)
def test_what_the_sdk_proves_the_server_accepts(
    arguments: dict[str, Any], action: str, resource: str, request_id: str, tenant_id: str
) -> None:
    asked = Expected(TOKEN, action, resource, arguments, request_id, tenant_id)
    assert judged(signed(asked), replace(asked, arguments=received(arguments))) is None


@given(ARGUMENTS)
def test_both_hash_the_same(arguments: dict[str, Any]) -> None:
    assert arguments_hash(received(arguments)) == arguments_hash(arguments)


@given(ARGUMENTS, ARGUMENTS)
def test_other_arguments_have_another_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (arguments_hash(one) == arguments_hash(other)) is (plain(one) == plain(other))


def plain(value: Any) -> Any:
    """A form in which JSON values are equal just when they are the same: Python takes True for 1."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return (type(value) is bool, value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 1.0}),
        ({"a": 0}, {"a": -0.0}),
        ({"a": 10**15}, {"a": 1e15}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": [1, 2]}, {"a": (1, 2)}),
        ({"\u00e9": 1}, json.loads('{"\\u00e9": 1}')),
    ],
)
def test_spellings_of_the_same_arguments(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert arguments_hash(one) == arguments_hash(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": True}),
        ({"a": None}, {}),
        ({"a": []}, {"a": {}}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": "\u00e9"}, {"a": "e\u0301"}),
        ({"a": 9007199254740991}, {"a": 9007199254740990}),
        ({"a": 0.1}, {"a": math.nextafter(0.1, 1)}),
    ],
)
def test_other_arguments(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert arguments_hash(one) != arguments_hash(other)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (-9007199254740992.0, "-9007199254740992"),
        (295147905179352830000.0, "295147905179352830000"),
        (999999999999999700000.0, "999999999999999700000"),
        (1e21, "1e+21"),
        (9.999999999999997e22, "9.999999999999997e+22"),
        (1e23, "1e+23"),
        (1e-6, "0.000001"),
        (9.999999999999997e-7, "9.999999999999997e-7"),
        (333333333.33333329, "333333333.3333333"),
        (1424953923781206.2, "1424953923781206.2"),
    ],
)
def test_numbers_are_written_as_in_rfc_8785_appendix_b(number: float, text: str) -> None:
    """So that a client in another language comes to the same hash."""

    expected = hashlib.sha256(f'{{"n":{text}}}'.encode()).digest()
    assert arguments_hash({"n": number}) == base64.urlsafe_b64encode(expected).rstrip(b"=").decode()


def test_keys_are_sorted_as_in_rfc_8785_section_3_2_3() -> None:

    names = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    canonical = ",".join(f"{json.dumps(name, ensure_ascii=False)}:0" for name in names)
    expected = base64.urlsafe_b64encode(hashlib.sha256(f"{{{canonical}}}".encode()).digest()).rstrip(b"=").decode()
    assert arguments_hash(dict.fromkeys(reversed(names), 0)) == expected


@pytest.mark.parametrize("arguments", [{"a": math.inf}, {"a": 2**53}, {"a": "\ud800"}, {"\ud800": 1}, {"a": set()}])
def test_what_is_no_json_is_not_signed(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        signed(replace(EXPECTED, arguments=arguments))


def test_what_is_nested_too_deeply_is_not_signed() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="nested too deeply"):
        signed(replace(EXPECTED, arguments=deep))


def test_each_field_is_bound() -> None:
    proof = signed(EXPECTED)
    assert judged(proof, EXPECTED) is None
    for name in ("token", "action", "resource_id", "request_id", "tenant_id"):
        assert judged(proof, replace(EXPECTED, **{name: "other"})) is ReasonCode.PROOF_INVALID
    assert judged(proof, replace(EXPECTED, arguments={})) is ReasonCode.PROOF_INVALID
    assert judged(proof, EXPECTED, now=NOW + 61) is ReasonCode.PROOF_INVALID


def test_the_date_is_a_whole_second_that_has_begun() -> None:
    assert judged(signed(EXPECTED, now=NOW + 0.999), EXPECTED, now=NOW + 60) is None
    assert judged(signed(EXPECTED, now=NOW + 0.999), EXPECTED, now=NOW + 60.001) is ReasonCode.PROOF_INVALID


def test_a_request_with_a_new_id_has_a_new_proof() -> None:
    assert digest(signed(EXPECTED)) == digest(signed(EXPECTED))
    assert digest(signed(replace(EXPECTED, request_id="request-2"))) != digest(signed(EXPECTED))


def test_every_key_is_another_and_a_token_can_be_bound_to_it() -> None:
    other = ProofKey.generate()
    assert confirmation_fault(KEY.public_jwk) is None
    assert KEY.public_jwk != other.public_jwk
    assert judged(signed(EXPECTED, key=other), EXPECTED) is ReasonCode.PROOF_INVALID


def test_the_key_is_not_shown_and_does_not_leave() -> None:
    assert repr(KEY) == f"ProofKey(x={KEY.public_jwk['x']!r})"
    assert "d" not in KEY.public_jwk
    assert not hasattr(KEY, "__dict__")
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="would leave this process"):
            leave(KEY)


def test_changing_the_jwk_that_was_handed_out_changes_nothing() -> None:
    before = KEY.public_jwk
    KEY.public_jwk["x"] = "AAAA"
    assert KEY.public_jwk == before


def test_the_bare_sdk_says_what_is_missing() -> None:
    """The SDK's own install has no cryptography; only making a key needs it."""
    program = """
        import sys
        sys.modules["cryptography"] = None
        from act.client.proof import ProofKey
        for make in (ProofKey.generate, lambda: ProofKey.from_pem(b"")):
            try:
                make()
            except ImportError as error:
                print(error)
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert ran.stdout.count("pip install 'agent-capability-tokens[proof]'") == 2


def test_a_key_from_a_file_signs_as_it_did() -> None:
    """Ed25519 is deterministic (RFC 8032), so the same key makes the same proof."""
    made = Ed25519PrivateKey.generate()
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert ProofKey.from_pem(pem).public_jwk == ProofKey(made).public_jwk
    assert signed(EXPECTED, key=ProofKey.from_pem(pem)) == signed(EXPECTED, key=ProofKey(made))


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"not a key",
        X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        Ed25519PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
        ),
        Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ],
    ids=["nothing", "text", "another kind", "der", "encrypted", "public"],
)
def test_what_is_no_key_of_ours_is_not_read(pem: bytes) -> None:
    with pytest.raises(ValueError, match="not an Ed25519 private key") as refused:
        ProofKey.from_pem(pem)
    assert refused.value.__cause__ is None
