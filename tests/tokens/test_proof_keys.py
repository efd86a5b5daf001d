"""Which keys a token can be bound to."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from act.tokens.edwards import is_point
from act.tokens.proof import confirmation_fault, read_key
from tests.tokens.possession import EDWARDS, ELLIPTIC, EdwardsKey, encode, public_jwk

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
OKP, EC = public_jwk(EDWARDS), public_jwk(ELLIPTIC)


def numbered(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


def test_the_public_keys_of_both_types() -> None:
    for jwk, algorithm in ((OKP, "EdDSA"), (EC, "ES256")):
        assert confirmation_fault(jwk) is None
        assert read_key(jwk).algorithm == algorithm


@pytest.mark.parametrize(
    ("jwk", "fault"),
    [
        ({}, "kty"),
        ({**OKP, "kty": "oct"}, "kty"),
        ({**OKP, "kty": None}, "kty"),
        ({**OKP, "kty": ["OKP"]}, "kty"),
        ({"kty": "RSA", "n": "AQAB", "e": "AQAB"}, "kty"),
        ({"kty": "oct", "k": "AAAA"}, "kty"),
        ({**OKP, "d": encode(EDWARDS.private_bytes_raw())}, "members"),
        ({**OKP, "kid": "1"}, "members"),
        ({**OKP, "use": "sig"}, "members"),
        ({**OKP, "alg": "EdDSA"}, "members"),
        ({**OKP, "key_ops": ["verify"]}, "members"),
        ({**OKP, "y": EC["y"]}, "members"),
        ({"kty": "OKP", "crv": "Ed25519"}, "members"),
        ({"kty": "OKP", "x": OKP["x"]}, "members"),
        ({**EC, "d": encode(bytes(32))}, "members"),
        ({name: value for name, value in EC.items() if name != "y"}, "members"),
        ({**OKP, "crv": "X25519"}, "crv"),
        ({**OKP, "crv": "Ed448"}, "crv"),
        ({**OKP, "crv": "ed25519"}, "crv"),
        ({**OKP, "crv": "P-256"}, "crv"),
        ({**OKP, "crv": None}, "crv"),
        ({**OKP, "crv": ["Ed25519"]}, "crv"),
        ({**EC, "crv": "P-384"}, "crv"),
        ({**EC, "crv": "secp256k1"}, "crv"),
        ({**EC, "crv": "Ed25519"}, "crv"),
        ({**EC, "kty": "OKP"}, "members"),
        ({**OKP, "x": ""}, "coordinate"),
        ({**OKP, "x": 7}, "coordinate"),
        ({**OKP, "x": None}, "coordinate"),
        ({**OKP, "x": OKP["x"] + "="}, "coordinate"),
        ({**OKP, "x": OKP["x"] + " "}, "coordinate"),
        ({**OKP, "x": OKP["x"][:-1] + "\u0430"}, "coordinate"),
        ({**OKP, "x": encode(bytes.fromhex("00") + EDWARDS.public_key().public_bytes_raw())}, "coordinate"),
        ({**OKP, "x": encode(EDWARDS.public_key().public_bytes_raw()[:-1])}, "coordinate"),
        ({**EC, "y": encode(bytes(1) + ELLIPTIC.public_key().public_numbers().y.to_bytes(32))}, "coordinate"),
        ({**EC, "x": EC["y"], "y": EC["x"]}, "not a point"),
        ({**EC, "y": EC["x"]}, "not a point"),
        ({**EC, "x": encode(bytes(32)), "y": encode(bytes(32))}, "not a point"),
        ({**EC, "x": encode(b"\xff" * 32)}, "not a point"),
        ({**OKP, "x": encode(bytes(32))}, "not a point"),
        ({**OKP, "x": encode(numbered(1))}, "not a point"),
        ({**OKP, "x": encode(numbered(2))}, "not a point"),
    ],
)
def test_a_key_that_no_token_can_be_bound_to(jwk: dict[str, Any], fault: str) -> None:
    assert fault in (confirmation_fault(jwk) or "")
    with pytest.raises(ValueError, match=fault):
        read_key(jwk)


def test_a_coordinate_of_p_256_has_one_spelling() -> None:
    """x and x + p are the same number modulo p; the second fits into 32 bytes for small x only."""
    p = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    x = next(x for x in range(1, 100) if pow(x**3 - 3 * x + b, (p - 1) // 2, p) == 1)
    y = pow(x**3 - 3 * x + b, (p + 1) // 4, p)
    assert confirmation_fault({**EC, "x": encode(x.to_bytes(32)), "y": encode(y.to_bytes(32))}) is None
    assert confirmation_fault({**EC, "x": encode((x + p).to_bytes(32)), "y": encode(y.to_bytes(32))})
    assert confirmation_fault({**EC, "x": encode(x.to_bytes(32)), "y": encode((p - y).to_bytes(32))}) is None


# --- Ed25519 ---------------------------------------------------------------------------------------------------------


def decompressed(encoded: bytes) -> tuple[int, int] | None:
    """RFC 8032, section 5.1.3, step by step."""
    number = int.from_bytes(encoded, "little")
    y, sign = number % 2**255, number >> 255
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if v * x * x % P != u:
        return None
    if x == 0 and sign:
        return None
    return (P - x if x % 2 != sign else x), y


def added(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P


def can_be_a_key(encoded: bytes) -> bool:
    point = decompressed(encoded)
    if point is None:
        return False
    for _ in range(3):
        point = added(point, point)
    return point != (0, 1)


def test_every_key_that_is_made_is_a_point() -> None:
    for _ in range(50):
        assert is_point(EdwardsKey.generate().public_key().public_bytes_raw())


def test_points_are_told_as_rfc_8032_decompresses_them() -> None:
    numbers = [*range(60), *(P - offset for offset in range(20)), *(P + offset for offset in range(19)), 2**255 - 1]
    encodings = [numbered(y, sign) for y in numbers for sign in (0, 1)]
    encodings += [secrets.token_bytes(32) for _ in range(100)]
    for encoded in encodings:
        assert is_point(encoded) is can_be_a_key(encoded), encoded.hex()
    assert {is_point(encoded) for encoded in encodings} == {True, False}


def test_for_points_of_small_order_anyone_can_sign() -> None:
    """The eight of them: sums of a point with itself, from one of order eight."""
    y = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
    first = decompressed(numbered(y))
    assert first is not None
    point, small = first, set()
    for _ in range(8):
        small.add(numbered(point[1], point[0] % 2))
        point = added(point, first)
    assert len(small) == 8
    assert numbered(1) in small
    assert not any(is_point(encoded) for encoded in small)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_point_has_32_bytes(length: int) -> None:
    raw = EDWARDS.public_key().public_bytes_raw()
    assert not is_point((raw * 2)[:length])


def test_other_curves_of_the_right_length() -> None:
    for curve in (ec.SECP256K1(), ec.BrainpoolP256R1()):
        numbers = ec.generate_private_key(curve).public_key().public_numbers()
        jwk = {**EC, "x": encode(numbers.x.to_bytes(32)), "y": encode(numbers.y.to_bytes(32))}
        assert confirmation_fault(jwk) == "the coordinates are not a point of P-256"
