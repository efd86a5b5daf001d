"""Tokens made by hand, with the server's own key or another: nothing here checks anything."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def b64(data: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def dump(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


class Forger:
    """Takes a good token apart and makes bad ones of it.

    Args:
        database: the server's database file; the private keys are in the folder beside it.
        token: a token that the server issued.
    """

    def __init__(self, database: Path, token: str) -> None:
        header, payload, _ = token.split(".")
        self.token = token
        self.keys = database.with_name(database.name + ".keys")
        self._header = json.loads(unb64(header))
        self._payload = json.loads(unb64(payload))
        self.key = self.read_key(self._header["kid"])

    @property
    def header(self) -> dict[str, Any]:
        return dict(self._header)

    @property
    def payload(self) -> dict[str, Any]:
        return dict(self._payload)

    def read_key(self, kid: str) -> rsa.RSAPrivateKey:
        key = load_pem_private_key((self.keys / f"{kid}.pem").read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key

    def other_kids(self) -> set[str]:
        """All key ids on disk but the one the good token is signed with."""
        return {file.stem for file in self.keys.glob("*.pem")} - {self._header["kid"]}

    def make(
        self,
        payload: Any = None,
        header: Any = None,
        key: rsa.RSAPrivateKey | None = None,
        hash_algorithm: HashAlgorithm | None = None,
    ) -> str:
        """Sign with RSASSA-PKCS1-v1_5, by default what the good token says. Bytes are taken as they are."""
        signed = f"{b64(dump(self._header if header is None else header))}.{b64(dump(payload or self._payload))}"
        signature = (key or self.key).sign(signed.encode(), padding.PKCS1v15(), hash_algorithm or SHA256())
        return f"{signed}.{b64(signature)}"

    def claiming(self, **claims: Any) -> str:
        """A rightly signed token with other claims; a claim that is `...` is left out."""
        changed = self._payload | claims
        return self.make({name: value for name, value in changed.items() if value is not ...})

    def headed(self, **fields: Any) -> str:
        """A rightly signed token with other header fields; a field that is `...` is left out."""
        changed = self._header | fields
        return self.make(header={name: value for name, value in changed.items() if value is not ...})
