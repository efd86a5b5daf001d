"""The compact form of JWS (RFC 7515, section 7.1), read so strictly that it reads in one way only.

What capability tokens and proofs of possession have in common, before a key is looked for: ASCII, a bounded length,
three parts of canonical unpadded base64url, header and payload JSON objects without duplicate keys, and a header of
exactly the named members, all of them texts.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Set
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from act import strict_json


class Compact(NamedTuple):
    """The parts of a string whose signature nobody has checked yet. `signed` is what `signature` is over."""

    header: Mapping[str, str]
    payload: Mapping[str, Any]
    signed: bytes
    signature: bytes


def split(string: str, *, members: Set[str], typ: str, max_length: int) -> Compact | str:
    """The parts, or a sentence that says why there are none.

    Args:
        members: the names that the header has, no more and no fewer; `typ` is among them.
        typ: the type, in exactly this spelling.
        max_length: in characters, which are bytes here.
    """
    if len(string) > max_length:
        return f"It is longer than {max_length} bytes."
    if not string.isascii():
        return "It is not ASCII."
    pieces = string.split(".")
    if len(pieces) != 3:
        return "It does not have three parts."
    canonical, header = _header(pieces[0]) if len(pieces[0]) <= _USUAL_HEADER else _read_header(pieces[0])
    second, signature = decode(pieces[1]), decode(pieces[2])
    if not canonical or second is None or signature is None:
        return "A part is not canonical base64url."
    payload = _object(second)
    if header is None or payload is None:
        return "A part is not a JSON object that reads in one way only."
    if header.keys() != members or not all(type(value) is str for value in header.values()):
        return f"The header is not exactly {', '.join(sorted(members))}."
    if header["typ"] != typ:
        return f"The type is not {typ}."
    return Compact(header, payload, string[: -len(pieces[2]) - 1].encode(), signature)


def _read_header(piece: str) -> tuple[bool, Mapping[str, Any] | None]:
    """Whether the part is canonical, and the object that it is, if it is one."""
    decoded = decode(piece)
    found = None if decoded is None else _object(decoded)
    return decoded is not None, None if found is None else MappingProxyType(found)


# Most tokens of a tenant have the same header: read once, and never changed.
_USUAL_HEADER = 256
_header = lru_cache(maxsize=64)(_read_header)


def encode(data: bytes) -> str:
    """Unpadded base64url (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(piece: str) -> bytes | None:
    """The bytes that `encode` gives exactly this text for, or None."""
    try:
        padded = piece.replace("-", "+").replace("_", "/") + "=" * (-len(piece) % 4)
        decoded = binascii.a2b_base64(padded, strict_mode=True)
    except (binascii.Error, ValueError):
        return None
    # Not every string that decodes is the one that encoding gives: spare bits, padding, another alphabet.
    return decoded if encode(decoded) == piece else None


def _object(piece: bytes) -> Mapping[str, Any] | None:
    try:
        value = strict_json.loads(piece)
    except (strict_json.MalformedJson, strict_json.AmbiguousJson):
        return None
    return value if isinstance(value, dict) else None
