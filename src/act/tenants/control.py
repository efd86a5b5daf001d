"""What an admin sees and changes of the tenant itself: token lifetimes, default labels, and the kill switch."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, Row

from act import models
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.problems import ProblemError, unprocessable
from act.strict_json import Fault
from act.tenants import store
from act.tenants.tenant import ApiKey


class TenantControl:
    """Every call is about the caller's own tenant; there is no other for it (404)."""

    def __init__(self, writer: Writer, reader: Engine, clock: Clock) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock

    def get(self, caller: ApiKey, id: str) -> models.Tenant:
        _refuse_stranger(caller, id)
        with self._reader.begin() as connection:
            return _answer(_row(connection, id))

    def update(self, caller: ApiKey, id: str, body: models.TenantPatch) -> models.Tenant:
        """Change how long tokens live, the default labels, what is kept of arguments, or when records go into archives.

        A lower maximum also refuses tokens that are out and live longer. Default labels count for outcomes that are
        reported from then on; sessions keep what they have. What was kept of arguments before stays as it is.

        Raises:
            ProblemError: 404 for another tenant, 422 for a default over the maximum.
        """
        _refuse_stranger(caller, id)
        changed = {name: getattr(body, name) for name in body.model_fields_set}
        if body.default_labels is not None:
            changed["default_labels"] = sorted(set(body.default_labels))
        if body.redact_patterns is not None:
            changed["redact_patterns"] = list(dict.fromkeys(body.redact_patterns))

        def work(transaction: Transaction) -> models.Tenant:
            row = _row(transaction.connection, id)
            if fault := _lifetime_fault(row, body):
                raise unprocessable([fault])
            revision = self._change(transaction, id, changed)
            row = _row(transaction.connection, id)
            told: dict[str, Any] = {"maxTokenTtl": row.max_token_ttl, "defaultTokenTtl": row.default_token_ttl}
            told |= {"defaultLabels": row.default_labels, "auditRetention": row.audit_retention}
            told |= {"auditArguments": row.audit_arguments, "redactPatterns": row.redact_patterns}
            transaction.record(id, "tenant.updated", told | {"keyId": caller.id, "revision": revision})
            return _answer(row, revision)

        return self._writer.write(work)

    def freeze(self, caller: ApiKey, id: str, reason: str | None) -> models.TenantFrozen:
        """Deny everything that the tenant's agents ask, from the next request on, until it is unfrozen.

        Freezing twice is no error; the first moment and reason stay, and both times are in the log.
        """

        def frozen(row: Row[Any]) -> dict[str, Any]:
            return {} if row.frozen_at else {"frozen_at": self._clock.now(), "frozen_reason": reason}

        return self._switch(caller, id, "tenant.frozen", reason, frozen)

    def unfreeze(self, caller: ApiKey, id: str, reason: str | None) -> models.TenantFrozen:
        """Decide again by tokens and policies. Tokens that were revoked or have expired meanwhile stay so."""
        gone = {"frozen_at": None, "frozen_reason": None}
        return self._switch(caller, id, "tenant.unfrozen", reason, lambda _: gone)

    def _switch(self, caller: ApiKey, id: str, kind: str, reason: str | None, changed: Any) -> models.TenantFrozen:
        _refuse_stranger(caller, id)

        def work(transaction: Transaction) -> models.TenantFrozen:
            revision = self._change(transaction, id, changed(_row(transaction.connection, id)))
            row = _row(transaction.connection, id)
            transaction.record(id, kind, {"keyId": caller.id, "reason": reason, "revision": revision})
            return models.TenantFrozen(
                tenant_id=id,
                frozen=row.frozen_at is not None,
                frozen_at=row.frozen_at,
                reason=row.frozen_reason,
                revision=revision,
            )

        return self._writer.write(work)

    @staticmethod
    def _change(transaction: Transaction, id: str, changed: dict[str, Any]) -> int:
        if changed:
            store.change_tenant(transaction.connection, id, **changed)
        return transaction.change(id, "tenant", id)


def _refuse_stranger(caller: ApiKey, id: str) -> None:
    """The same words for a tenant of others as for none, so that nothing can be probed."""
    if id != caller.tenant_id:
        detail = f"There is no tenant '{id[:128]}' that this API key belongs to."
        raise ProblemError(404, "not_found", "Not found", detail)


def _lifetime_fault(row: Row[Any], body: models.TenantPatch) -> Fault | None:
    maximum = row.max_token_ttl if body.max_token_ttl is None else body.max_token_ttl
    default = row.default_token_ttl if body.default_token_ttl is None else body.default_token_ttl
    if default <= maximum:
        return None
    if body.default_token_ttl is None:
        return Fault("/maxTokenTtl", f"The default is {default} seconds; lower defaultTokenTtl with the maximum.")
    return Fault("/defaultTokenTtl", f"A token of this tenant lives at most {maximum} seconds.")


def _row(connection: Connection, id: str) -> Row[Any]:
    row = store.tenant_row(connection, id)
    assert row is not None, "a tenant is never deleted"
    return row


def _answer(row: Row[Any], revision: int | None = None) -> models.Tenant:
    return models.Tenant(
        id=row.id,
        name=row.name,
        max_token_ttl=row.max_token_ttl,
        default_token_ttl=row.default_token_ttl,
        default_labels=row.default_labels,
        audit_retention=row.audit_retention,
        audit_arguments=row.audit_arguments,
        redact_patterns=row.redact_patterns,
        frozen=row.frozen_at is not None,
        frozen_at=row.frozen_at,
        frozen_reason=row.frozen_reason,
        created_at=row.created_at,
        revision=revision,
    )
