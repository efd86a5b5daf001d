"""Keys that sign tokens and checkpoints."""

from __future__ import annotations

from typing import Literal

from act.models.base import Answer, Moment, Request

SigningAlgorithm = Literal["RS256", "EdDSA", "ES256"]


class KeyRotation(Request):
    """`algorithm` is that of the key which signs from then on; without it, that of the next key."""

    algorithm: SigningAlgorithm | None = None


class SigningKey(Answer):
    """The public side of a key; `use` is `token`, or `audit` for the one that signs checkpoints.

    `next` is published and signs later, `active` signs, `retiring` still verifies until `retires_at`, `gone` does
    nothing any more.
    """

    kid: str
    use: Literal["token", "audit"]
    algorithm: str
    status: Literal["next", "active", "retiring", "gone"]
    created_at: Moment
    retires_at: Moment | None


class SigningKeyRotated(SigningKey):
    """The key that signs from now on."""

    revision: int


class SigningKeyRevoked(Answer):
    kid: str
    revision: int
