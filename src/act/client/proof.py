"""The key of a token that is bound to one: made here, kept here, never sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from act.proof_claims import TYPE, base64url, claims_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class ProofKey:
    """An Ed25519 key whose holder alone can use the tokens that are bound to it.

    It is neither shown nor written anywhere: one that is generated lives as long as this process. Safe to share among
    threads.
    """

    __slots__ = ("_key", "_public_jwk")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        x = base64url(key.public_key().public_bytes_raw())
        self._public_jwk: Mapping[str, str] = MappingProxyType({"kty": "OKP", "crv": "Ed25519", "x": x})

    @classmethod
    def generate(cls) -> ProofKey:
        """A new key.

        Raises:
            ImportError: the extra `proof` is not installed.
        """
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        except ImportError as error:
            raise _not_installed(error) from error
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> ProofKey:
        """The key in a file that `actctl tokens new-key` has made: Ed25519, PKCS #8, not encrypted (RFC 8410).

        Raises:
            ImportError: the extra `proof` is not installed.
            ValueError: it is no such key.
        """
        try:
            from cryptography.exceptions import UnsupportedAlgorithm
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
            from cryptography.hazmat.primitives.serialization import load_pem_private_key
        except ImportError as error:
            raise _not_installed(error) from error
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):  # the TypeError is of a key that is encrypted
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("It is not an Ed25519 private key in PEM that can be read without a password.")
        return cls(key)

    @property
    def public_jwk(self) -> dict[str, str]:
        """What to name as `cnf.jwk` when asking for a token (RFC 8037)."""
        return dict(self._public_jwk)

    def sign(
        self,
        token: str,
        action: str,
        resource_id: str,
        arguments: Mapping[str, Any],
        request_id: str,
        tenant_id: str,
        now: float,
    ) -> str:
        """The proof for one request; `now` is in seconds since the epoch. It is good once, for 60 s.

        Two proofs of one second for the same request are the same proof: a request that is sent again needs a new id.

        Raises:
            ValueError: `arguments` is not JSON, or a text cannot be encoded.
        """
        claims = claims_of(
            token=token,
            action=action,
            resource_id=resource_id,
            arguments=arguments,
            request_id=request_id,
            tenant_id=tenant_id,
        )
        parts = ({"alg": "EdDSA", "typ": TYPE}, {"iat": int(now), **claims})
        signed = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
        return f"{signed}.{base64url(self._key.sign(signed.encode()))}"

    def __repr__(self) -> str:
        return f"ProofKey(x={self._public_jwk['x']!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A ProofKey is not pickled: the key would leave this process.")


def _not_installed(error: ImportError) -> ImportError:
    return ImportError(
        f"A key for bound tokens needs cryptography ({error}); pip install 'agent-capability-tokens[proof]'."
    )
