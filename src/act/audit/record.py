"""One leaf of the audit log, as bytes (2-semantics, "Audit").

A record is an object of strings, integers, booleans, nulls, lists and objects with ASCII keys. Its encoding is the
JSON Canonicalization Scheme (RFC 8785), which for such values is what `encode` writes: sorted keys, no white space.
Arguments are not in the record; their salted hash is (`act.audit.arguments`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from act.audit.canonical import canonical
from act.text import has_known
from act.text import without_secrets as text_without_secrets

VERSION = 1
MAX_TEXT = 2048
MAX_LEAF = 65_535
"""Bytes of a record; a bundle of entries can hold no longer one (C2SP tlog-tiles)."""


def encode(record: Mapping[str, Any]) -> bytes:
    """The bytes that are hashed and stored."""
    return canonical(record)


def fitted(record: Mapping[str, Any]) -> bytes:
    """`encode`, of at most `MAX_LEAF` bytes: what makes it longer is replaced, the longest member first.

    `cut` then says of each member that is not there how many bytes of JSON it had, and their SHA-256 in hex.
    """
    leaf = encode(record)
    if len(leaf) <= MAX_LEAF:
        return leaf
    left = dict(record)
    members = {name: canonical(value) for name, value in record.items()}
    cut: dict[str, Any] = {}
    for name in sorted(members, key=lambda name: len(members[name]), reverse=True):
        del left[name]
        cut[name] = {"bytes": len(members[name]), "sha256": hashlib.sha256(members[name]).hexdigest()}
        leaf = encode(left | {"cut": cut})
        if len(leaf) <= MAX_LEAF:
            break
    return leaf


def without_secrets(leaf: bytes) -> bytes:
    """An encoded record in which nothing looks like one of our tokens or keys, or is known, wherever it was written."""
    if b"eyJ" not in leaf and b"act_" not in leaf and b"whsec_" not in leaf and not has_known(leaf):
        return leaf
    return text_without_secrets(leaf.decode()).encode()


def clip(text: str) -> str:
    """A text from outside at a length that a record can hold; what was cut is told by its hash."""
    if len(text) <= MAX_TEXT:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    text = text_without_secrets(text)  # the half of one would not be known as one
    return f"{text[: MAX_TEXT - 80]}[cut, sha256 {digest}]"
