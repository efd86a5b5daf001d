"""Which 32 bytes are a public key of Ed25519 (RFC 8032, section 5.1.3). Pure.

OpenSSL takes any 32 bytes for a key and finds out at the signature. A confirmation key is checked when it is named:
bytes that are no point can never prove anything, and for a point of small order anyone can make signatures.
"""

from __future__ import annotations

from typing import Final

_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P
_COFACTOR_DOUBLINGS: Final = 3  # the cofactor is 8


def is_point(encoded: bytes) -> bool:
    """Whether the bytes are the one encoding of a point of the curve that is not of small order."""
    if len(encoded) != 32:
        return False
    y = int.from_bytes(encoded, "little") & (1 << 255) - 1
    if y >= _P or not _is_square(_x_squared(y)):
        return False
    # The sign of x does not matter: P and -P have the same order, and x = 0 is of small order.
    for _ in range(_COFACTOR_DOUBLINGS):
        y = _doubled(y)
    return y != 1


def _x_squared(y: int) -> int:
    """x^2 of the points with this y: -x^2 + y^2 = 1 + d x^2 y^2."""
    return (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P


def _is_square(value: int) -> bool:
    return pow(value, (_P - 1) // 2, _P) in (0, 1)


def _doubled(y: int) -> int:
    """The y of twice a point. Its denominator is never zero, because d is not a square."""
    xx, yy = _x_squared(y), y * y
    return (yy + xx) * pow(1 - _D * xx * yy, -1, _P) % _P
