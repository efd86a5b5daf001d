"""Checkpoints: the head of a log as a C2SP signed note (signed-note.md, tlog-checkpoint.md), Ed25519.

A checkpoint kept elsewhere is what makes a shortened or rewritten log visible.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"
_DASH = "\u2014"


class NoteInvalid(ValueError):
    """The note is not one, or the signature is not by the expected key."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: its origin (a name), the number of leaves, the root hash."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def key_id(name: str, public_key: bytes) -> bytes:
    """The four bytes that tell keys of one name apart."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public_key).digest()[:4]


def verifier_key(name: str, public_key: bytes) -> str:
    """The key as outsiders are given it: `<name>+<key id in hex>+<base64>`."""
    return f"{name}+{key_id(name, public_key).hex()}+{base64.b64encode(ED25519 + public_key).decode()}"


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """The checkpoint as a note signed under its origin's name."""
    body = checkpoint.body()
    public_key = key.public_key().public_bytes_raw()
    signature = key_id(checkpoint.origin, public_key) + key.sign(body.encode())
    return f"{body}\n{_DASH} {checkpoint.origin} {base64.b64encode(signature).decode()}\n"


def verify(note: str, verifier: str) -> Checkpoint:
    """The checkpoint of a note that the verifier key's holder signed.

    Raises:
        NoteInvalid: says why not.
    """
    try:
        name, identity, encoded = verifier.split("+", 2)  # base64 has a plus too; a name has none
        key = base64.b64decode(encoded, validate=True)
        if key[:1] != ED25519 or len(key) != 33 or key_id(name, key[1:]).hex() != identity:
            raise NoteInvalid("The verifier key is not an Ed25519 note key.")
        body, _, signatures = note.partition("\n\n")
        checkpoint = _parse(body)
    except (ValueError, binascii.Error) as error:
        raise NoteInvalid(f"Not a signed checkpoint: {error}") from None
    prefix = f"{_DASH} {name} "
    for line in signatures.splitlines():
        if not line.startswith(prefix):
            continue
        try:
            signature = base64.b64decode(line[len(prefix) :], validate=True)
            if signature[:4] == key_id(name, key[1:]):
                Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], f"{body}\n".encode())
                return checkpoint
        except (binascii.Error, InvalidSignature):
            continue
    raise NoteInvalid(f"No valid signature of '{name}' on the checkpoint.")


def _parse(body: str) -> Checkpoint:
    origin, size, root, *_ = body.split("\n")
    if not size.isascii() or not size.isdigit() or str(int(size)) != size:
        raise NoteInvalid(f"{size!r} is not a tree size.")
    decoded = base64.b64decode(root, validate=True)
    if len(decoded) != 32 or not origin:
        raise NoteInvalid("A checkpoint names its origin and a root hash of 32 bytes.")
    return Checkpoint(origin, int(size), decoded)
