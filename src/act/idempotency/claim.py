"""What a request with an `Idempotency-Key` is known by, and how its answer is kept. Pure.

Answers carry tokens and API keys, which are never stored in the clear (2-semantics, "Tokens"). So an answer is sealed
with AES-256-GCM under a key that HKDF-SHA256 (RFC 5869) makes of the API key which the caller presents. The server
keeps the hash of API keys only: whoever has its file, and not the API key, cannot open any answer.
"""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAX_KEPT: Final = 256 * 1024
"""Bytes of a body. A larger answer is not kept; that the request was carried out is."""

SALT: Final = 16
KEY_FORM: Final = r"[!-~]{1,255}"

_KEY, _NONCE = 32, 12
_INFO: Final = b"act idempotency answer 1\0"
# What an answer says again, beside its status and body; all else is about the one exchange.
_SAFE: Final = (b"content-type", b"etag", b"location")
_key_form = re.compile(KEY_FORM)

Place = tuple[str, bytes]
Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was sent. Its repr does not show the body, which may be a token."""

    status: int
    headers: Headers
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """One request under an `Idempotency-Key`: whose, by which key, and what is asked.

    `hash` and `fingerprint` are HMAC-SHA256 under the API key, so that nothing can be guessed from them: 32 bytes each.
    """

    tenant_id: str
    key_id: str
    hash: bytes
    fingerprint: bytes
    _api_key: bytes = field(repr=False)
    _name: bytes = field(repr=False)

    @property
    def place(self) -> Place:
        """Every API key has its own keys."""
        return self.key_id, self.hash

    def seal(self, answer: Answer, salt: bytes) -> bytes | None:
        """The answer, to be opened by the same request alone; None when it is too large to be kept.

        Args:
            salt: random, and never used for another answer.
        """
        if len(answer.body) > MAX_KEPT:
            return None
        said = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers if name in _SAFE]
        head = json.dumps([answer.status, said]).encode()
        cipher, nonce = self._cipher(salt)
        return cipher.encrypt(nonce, head + b"\n" + answer.body, self.fingerprint)

    def unseal(self, sealed: bytes, salt: bytes) -> Answer | None:
        """The answer; None when it is not what `seal` made of it."""
        cipher, nonce = self._cipher(salt)
        try:
            opened = cipher.decrypt(nonce, sealed, self.fingerprint)
        except InvalidTag:
            return None
        head, _, body = opened.partition(b"\n")
        status, said = json.loads(head)
        return Answer(status, tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in said), body)

    def _cipher(self, salt: bytes) -> tuple[AESGCM, bytes]:
        # The salt makes a key for one answer, so the nonce may come from it too.
        derived = HKDF(SHA256(), _KEY + _NONCE, salt, _INFO + self._name).derive(self._api_key)
        return AESGCM(derived[:_KEY]), derived[_KEY:]


def claim(
    tenant_id: str,
    key_id: str,
    api_key: str,
    name: str,
    method: str,
    path: str,
    query: bytes,
    if_match: tuple[bytes, ...],
    body: bytes,
) -> Claim:
    """The claim of a request.

    Args:
        api_key: as it was presented.
        name: the `Idempotency-Key`.
        if_match: every such header.
    """
    secret = api_key.encode("utf-8", "surrogatepass")
    asked = [method, path, query.decode("latin-1"), [value.decode("latin-1") for value in if_match]]
    fingerprint = _hmac(secret, b"request", json.dumps(asked).encode() + b"\n" + body)
    return Claim(tenant_id, key_id, _hmac(secret, b"key", name.encode()), fingerprint, secret, name.encode())


def well_formed(name: str) -> bool:
    """Whether an `Idempotency-Key` is one: 1 to 255 visible ASCII characters."""
    return _key_form.fullmatch(name) is not None


def _hmac(secret: bytes, purpose: bytes, data: bytes) -> bytes:
    return hmac.digest(secret, purpose + b"\0" + data, "sha256")
