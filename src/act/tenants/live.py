"""Tenants and API keys in memory, for every request."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from act.audit.redaction import Keeping
from act.models import Scope
from act.tenants import store
from act.tenants.tenant import ApiKey, Tenant, hash_key
from act.text import forget, know


class LiveTenants:
    """Follows the change kind `tenant`."""

    def __init__(self) -> None:
        self._tenants: dict[str, Tenant] = {}

    def load(self, connection: Connection) -> None:
        for row in store.tenant_rows(connection):
            self._put(row)

    def apply(self, connection: Connection, tenant_id: str, ids: Iterable[str]) -> None:
        for row in store.tenant_rows(connection, ids):
            self._put(row)

    def _put(self, row: Row[Any]) -> None:
        frozen = row.frozen_at is not None
        labels = tuple(row.default_labels)
        self._tenants[row.id] = Tenant(
            row.id,
            row.name,
            row.max_token_ttl,
            row.default_token_ttl,
            frozen,
            labels,
            row.audit_retention,
            Keeping(row.audit_arguments, tuple(row.redact_patterns)),
        )

    def get(self, tenant_id: str) -> Tenant:
        return self._tenants[tenant_id]

    def __iter__(self) -> Iterator[Tenant]:
        return iter(self._tenants.values())


class LiveApiKeys:
    """Follows the change kind `api_key`. Revoked keys are not held at all."""

    def __init__(self) -> None:
        self._by_hash: dict[bytes, ApiKey] = {}
        self._by_id: dict[str, ApiKey] = {}
        self.last_used: dict[str, datetime] = {}
        self._known: list[str] = []

    def load(self, connection: Connection) -> None:
        for row in store.key_rows(connection):
            self._put(row)

    def apply(self, connection: Connection, tenant_id: str, ids: Iterable[str]) -> None:
        for row in store.key_rows(connection, ids):
            self._put(row)

    def _put(self, row: Row[Any]) -> None:
        if row.revoked_at is not None:
            if gone := self._by_id.pop(row.id, None):
                self._by_hash.pop(gone.hash, None)
            return
        scopes = frozenset(Scope(scope) for scope in row.scopes)
        key = ApiKey(
            row.id,
            row.tenant_id,
            row.name,
            row.hash,
            scopes,
            row.agent_id,
            row.expires_at,
            frozenset(row.roles),
            row.person,
        )
        self._by_hash[key.hash] = self._by_id[key.id] = key

    def in_use(self, id: str, now: datetime) -> bool:
        """Whether there is a key of this id that is not revoked and has not expired."""
        key = self._by_id.get(id)
        return key is not None and (key.expires_at is None or now < key.expires_at)

    def find(self, presented: str, now: datetime) -> ApiKey | None:
        """The key that was presented, unless it is unknown, revoked or expired."""
        hashed = hash_key(presented)
        key = self._by_hash.get(hashed)
        if key is None or not hmac.compare_digest(key.hash, hashed):
            return None
        if key.expires_at is not None and key.expires_at <= now:
            return None
        if key.id not in self.last_used and know(presented):  # it has a form of its own, and no record may show it
            self._known.append(presented)
        self.last_used[key.id] = now
        return key

    def close(self) -> None:
        """Forget the texts of the keys that were used."""
        while self._known:
            forget(self._known.pop())
