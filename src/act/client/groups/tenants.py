"""Tenants: the one that the API key belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

from act.client.call import Call, get, path, post
from act.client.groups.group import AsyncGroup, Group
from act.client.narrowing import listed
from act.models import AuditArguments, Tenant, TenantFrozen


def get_tenant(id: str) -> Call[Tenant]:
    return get(path("tenants", id), Tenant)


def update_tenant(
    id: str,
    max_token_ttl: int | None,
    default_token_ttl: int | None,
    default_labels: Iterable[str] | None,
    audit_arguments: AuditArguments | None = None,
    redact_patterns: Iterable[str] | None = None,
    audit_retention: int | Literal["forever"] | None = None,
) -> Call[Tenant]:
    labels = None if default_labels is None else listed("default_labels", default_labels)
    patterns = None if redact_patterns is None else listed("redact_patterns", redact_patterns)
    body: dict[str, Any] = {"maxTokenTtl": max_token_ttl, "defaultTokenTtl": default_token_ttl, "defaultLabels": labels}
    body |= {"auditArguments": audit_arguments, "redactPatterns": patterns}
    if audit_retention != "forever":
        body["auditRetention"] = audit_retention
    made = post(path("tenants", id), Tenant, body, method="PATCH")
    # Only null says that there is none; a name that is left out is kept.
    return replace(made, body={**(made.body or {}), "auditRetention": None}) if audit_retention == "forever" else made


def freeze_tenant(id: str, reason: str | None) -> Call[TenantFrozen]:
    """Idempotent: it is made again at every try. To unfreeze is not, for a second one could undo a freeze."""
    body = {} if reason is None else {"reason": reason}
    at = path("tenants", id, "freeze")
    return Call("POST", at, TenantFrozen.model_validate_json, body=body, idempotent=True)


def unfreeze_tenant(id: str, reason: str | None) -> Call[TenantFrozen]:
    return post(path("tenants", id, "unfreeze"), TenantFrozen, {"reason": reason})


class Tenants(Group):
    """The tenant that the API key belongs to."""

    def get(self, id: str) -> Tenant:
        return self._send(get_tenant(id))

    def update(
        self,
        id: str,
        *,
        max_token_ttl: int | None = None,
        default_token_ttl: int | None = None,
        default_labels: Iterable[str] | None = None,
        audit_arguments: AuditArguments | None = None,
        redact_patterns: Iterable[str] | None = None,
        audit_retention: int | Literal["forever"] | None = None,
    ) -> Tenant:
        """Change what is named.

        Args:
            max_token_ttl, default_token_ttl: how many seconds tokens live. A lower maximum also refuses tokens that are
                out and live longer.
            default_labels: what an action has read whose outcome tells no labels; an empty list for nothing.
            audit_arguments: what the audit log keeps of the arguments of calls.
            redact_patterns: patterns of member names, or JSON pointers, that are redacted besides what always is; they
                replace those that were there.
            audit_retention: the age in seconds at which audit records go into archives, or "forever".
        """
        return self._send(
            update_tenant(
                id, max_token_ttl, default_token_ttl, default_labels, audit_arguments, redact_patterns, audit_retention
            )
        )

    def freeze(self, id: str, reason: str | None = None) -> TenantFrozen:
        """The kill switch: everything is denied from the next request on (`tenant_frozen`), until `unfreeze`."""
        return self._send(freeze_tenant(id, reason))

    def unfreeze(self, id: str, reason: str | None = None) -> TenantFrozen:
        return self._send(unfreeze_tenant(id, reason))


class AsyncTenants(AsyncGroup):
    """The tenant that the API key belongs to."""

    async def get(self, id: str) -> Tenant:
        return await self._send(get_tenant(id))

    async def update(
        self,
        id: str,
        *,
        max_token_ttl: int | None = None,
        default_token_ttl: int | None = None,
        default_labels: Iterable[str] | None = None,
        audit_arguments: AuditArguments | None = None,
        redact_patterns: Iterable[str] | None = None,
        audit_retention: int | Literal["forever"] | None = None,
    ) -> Tenant:
        return await self._send(
            update_tenant(
                id, max_token_ttl, default_token_ttl, default_labels, audit_arguments, redact_patterns, audit_retention
            )
        )

    async def freeze(self, id: str, reason: str | None = None) -> TenantFrozen:
        return await self._send(freeze_tenant(id, reason))

    async def unfreeze(self, id: str, reason: str | None = None) -> TenantFrozen:
        return await self._send(unfreeze_tenant(id, reason))
