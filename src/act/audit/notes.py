"""Checkpoints: the head of a log as a C2SP signed note (signed-note.md, tlog-checkpoint.md), Ed25519.

A checkpoint kept elsewhere is what makes a shortened or rewritten log visible. A witness says with a cosignature
(tlog-cosignature.md) when it saw one that all it had seen before led to.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"
COSIGNATURE = b"\x04"
_DASH = "\u2014"
_LONGEST_SIZE = 19
"""Digits: a size is less than 2^63."""


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


def key_id(name: str, public_key: bytes, kind: bytes = ED25519) -> bytes:
    """The four bytes that tell keys of one name apart."""
    return hashlib.sha256(name.encode() + b"\n" + kind + public_key).digest()[:4]


def verifier_key(name: str, public_key: bytes, kind: bytes = ED25519) -> str:
    """The key as outsiders are given it: `<name>+<key id in hex>+<base64>`."""
    return f"{name}+{key_id(name, public_key, kind).hex()}+{base64.b64encode(kind + public_key).decode()}"


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
    name, key = _key_of(verifier, ED25519)
    body, _, signatures = note.partition("\n\n")
    try:
        checkpoint = _parse(body)
    except (ValueError, binascii.Error) as error:
        raise NoteInvalid(f"Not a signed checkpoint: {error}") from None
    for signature in _signatures_of(signatures, name, key_id(name, key)):
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, f"{body}\n".encode())
        except InvalidSignature:
            continue
        return checkpoint
    raise NoteInvalid(f"No valid signature of '{name}' on the checkpoint.")


def parsed_key(verifier: str) -> tuple[str, bytes]:
    """The name and the public key (32 bytes) of a log's verifier key.

    Raises:
        NoteInvalid: it is none.
    """
    return _key_of(verifier, ED25519)


def cosign(note: str, name: str, key: Ed25519PrivateKey, at: int) -> str:
    """The note with one more line: its body and when a witness called `name` saw it, in seconds since the epoch."""
    body, _, signatures = note.partition("\n\n")
    if not signatures.endswith("\n"):
        signatures += "\n"
    public_key = key.public_key().public_bytes_raw()
    signed = at.to_bytes(8, "big") + key.sign(_cosigned(body, at))
    line = base64.b64encode(key_id(name, public_key, COSIGNATURE) + signed).decode()
    return f"{body}\n\n{signatures}{_DASH} {name} {line}\n"


def cosigned_at(note: str, verifier: str) -> int:
    """When the witness with this verifier key saw the checkpoint, in seconds since the epoch.

    Raises:
        NoteInvalid: it has not signed that it did.
    """
    name, key = _key_of(verifier, COSIGNATURE)
    body, _, signatures = note.partition("\n\n")
    for signature in _signatures_of(signatures, name, key_id(name, key, COSIGNATURE)):
        at = int.from_bytes(signature[:8], "big")
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature[8:], _cosigned(body, at))
        except InvalidSignature:
            continue
        return at
    raise NoteInvalid(f"No valid cosignature of '{name}' on the checkpoint.")


def _cosigned(body: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{body}\n".encode()


def _key_of(verifier: str, kind: bytes) -> tuple[str, bytes]:
    try:
        name, identity, encoded = verifier.split("+", 2)  # base64 has a plus too; a name has none
        key = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise NoteInvalid("Not a verifier key: it is <name>+<id>+<key in base64>.") from None
    if key[:1] != kind or len(key) != 33 or key_id(name, key[1:], kind).hex() != identity:
        raise NoteInvalid("The verifier key is not an Ed25519 key for this.")
    return name, key[1:]


def _signatures_of(signatures: str, name: str, identity: bytes) -> Iterator[bytes]:
    prefix = f"{_DASH} {name} "
    for line in signatures.splitlines():
        if line.startswith(prefix):
            try:
                signature = base64.b64decode(line[len(prefix) :], validate=True)
            except binascii.Error:
                continue
            if signature[:4] == identity:
                yield signature[4:]


def _parse(body: str) -> Checkpoint:
    origin, size, root, *_ = [*body.split("\n"), "", ""]
    if not origin.isprintable() or not size or not root:
        raise NoteInvalid("It does not begin with the lines of one: a name, a size, a hash.")
    # What is long or no number is not repeated: it may be any file.
    if len(size) > _LONGEST_SIZE or not size.isascii() or not size.isdigit() or str(int(size)) != size:
        raise NoteInvalid("Its second line is not the size of a log.")
    decoded = base64.b64decode(root, validate=True)
    if len(decoded) != 32 or not origin:
        raise NoteInvalid("A checkpoint names its origin and a root hash of 32 bytes.")
    return Checkpoint(origin, int(size), decoded)
