"""Signing keys: what tokens are signed with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from act.client.call import Call, get, path, post
from act.client.groups.group import AsyncGroup, Group
from act.models import Page, SigningAlgorithm, SigningKey, SigningKeyRevoked, SigningKeyRotated


def list_keys(cursor: str | None = None) -> Call[Page[SigningKey]]:
    return get(path("keys"), Page[SigningKey], {"cursor": cursor})


def rotate_key(algorithm: SigningAlgorithm | None) -> Call[SigningKeyRotated]:
    return post(path("keys", "rotate"), SigningKeyRotated, {"algorithm": algorithm})


def revoke_key(kid: str) -> Call[SigningKeyRevoked]:
    return post(path("keys", kid, "revoke"), SigningKeyRevoked)


class Keys(Group):
    """The keys that sign tokens."""

    def list(self) -> Iterator[SigningKey]:
        """All of the tenant's, in the order in which they were made."""
        return self._all(list_keys)

    def rotate(self, algorithm: SigningAlgorithm | None = None) -> SigningKeyRotated:
        """Sign with the next key from now on, or with a new one of `algorithm`; old tokens stay good for their time."""
        return self._send(rotate_key(algorithm))

    def revoke(self, kid: str) -> SigningKeyRevoked:
        """Trust nothing that the key has signed, from the next request on."""
        return self._send(revoke_key(kid))


class AsyncKeys(AsyncGroup):
    """The keys that sign tokens."""

    def list(self) -> AsyncIterator[SigningKey]:
        return self._all(list_keys)

    async def rotate(self, algorithm: SigningAlgorithm | None = None) -> SigningKeyRotated:
        return await self._send(rotate_key(algorithm))

    async def revoke(self, kid: str) -> SigningKeyRevoked:
        return await self._send(revoke_key(kid))
