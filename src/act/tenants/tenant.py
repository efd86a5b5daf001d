"""A tenant, an API key and a caller as decisions see them: frozen values."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from act.audit.redaction import Keeping
from act.models import Scope

DEFAULT_TENANT = "default-tenant"
DEFAULT_TOKEN_TTL = 3600
MAX_TOKEN_TTL = 86400
DEFAULT_LABELS = ("untrusted",)
SHORTEST_KEY = 32


@dataclass(frozen=True, slots=True)
class Tenant:
    """Token lifetimes in seconds. While it is `frozen`, everything that its agents ask is denied.

    `default_labels` is what an action has read whose outcome tells no labels; sorted. `audit_retention` is the age in
    seconds at which audit records go into archives; None keeps them in the database for ever. `keeping` is what the log
    has of arguments.
    """

    id: str
    name: str
    max_token_ttl: int
    default_token_ttl: int
    frozen: bool
    default_labels: tuple[str, ...] = DEFAULT_LABELS
    audit_retention: int | None = None
    keeping: Keeping = field(default_factory=Keeping)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`roles` and `person` are its holder's: the roles in which they approve, and who they are."""

    id: str
    tenant_id: str
    name: str
    hash: bytes
    scopes: frozenset[Scope]
    agent_id: str | None
    expires_at: datetime | None
    roles: frozenset[str] = frozenset()
    person: str | None = None

    def has(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def has_one_of(self, scopes: Iterable[Scope]) -> bool:
        for scope in scopes:  # noqa: SIM110 - every request comes by here, and any() costs as much as all else
            if self.has(scope):
                return True
        return False


def hash_key(key: str) -> bytes:
    """What is stored of a key. Keys are long random strings, so one round of SHA-256 is enough."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def new_key() -> tuple[str, str]:
    """A new key `act_<prefix>_<secret>` and its prefix, by which people tell keys apart."""
    prefix = secrets.token_hex(4)
    return f"act_{prefix}_{secrets.token_urlsafe(32)}", prefix
