"""Writing policies: every accepted change is a new immutable version; a refused one changes nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row

from act import models
from act.agents.live import LiveAgents
from act.audit.record import encode
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.database.ids import new_id
from act.database.pages import page, read_cursor, read_number_cursor
from act.policies import store
from act.policies.binding import inferred_roles
from act.problems import conflict, not_found, unprocessable
from act.strict_json import Fault
from act.tenants.tenant import ApiKey


@dataclass(frozen=True, slots=True)
class _Bound:
    """To whom a draft was bound, and what its author should know about it."""

    binding: models.Binding
    applies_to: dict[str, list[str]] | None
    warnings: tuple[models.Warned, ...] = ()


class PolicyService:
    def __init__(
        self, writer: Writer, reader: Engine, clock: Clock, agents: LiveAgents, *, require_binding: bool
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._agents = agents
        self._require_binding = require_binding

    def create(self, caller: ApiKey, draft: models.PolicyDraft) -> models.Policy:
        """Store a policy; live from the next request on.

        Raises:
            ProblemError: 409 when the id was given before; 422 when a binding is required and missing.
        """
        id = draft.id or new_id("pol")

        def work(transaction: Transaction) -> Row[Any]:
            if store.exists(transaction.connection, caller.tenant_id, id):
                raise conflict("policy_id_taken", f"The policy id '{id}' was given before; choose another.")
            now = self._clock.now()
            store.add(transaction.connection, caller.tenant_id, id, now)
            bound = self._bind(caller.tenant_id, draft)
            return self._new_version(transaction, caller, id, 1, draft, bound, "policy.created", now)

        return _answer(self._writer.write(work))

    def replace(self, caller: ApiKey, id: str, draft: models.PolicyDraft) -> models.Policy:
        """Make the draft the next version. Without `appliesTo` the policy stays bound as it is.

        Raises:
            ProblemError: 404; 422 when the draft names another id, or a binding is required and missing.
        """
        if draft.id not in (None, id):
            raise unprocessable([Fault("/id", f"The policy is '{id}'; leave the id out or write that one.")])

        def work(transaction: Transaction) -> Row[Any]:
            old = _row(transaction.connection, caller.tenant_id, id)
            bound = self._rebind(caller.tenant_id, draft, old)
            return self._new_version(
                transaction, caller, id, old.version + 1, draft, bound, "policy.updated", self._clock.now()
            )

        return _answer(self._writer.write(work))

    def delete(self, caller: ApiKey, id: str) -> None:
        def work(transaction: Transaction) -> None:
            row = _row(transaction.connection, caller.tenant_id, id)
            store.delete(transaction.connection, caller.tenant_id, id, self._clock.now())
            revision = transaction.change(caller.tenant_id, "policy", id)
            told = {"keyId": caller.id, "policyId": id, "policyName": row.name, "version": row.version}
            transaction.record(caller.tenant_id, "policy.deleted", told | {"revision": revision})

        self._writer.write(work)

    def get(self, caller: ApiKey, id: str) -> models.Policy:
        with self._reader.begin() as connection:
            return _answer(_row(connection, caller.tenant_id, id))

    def list(self, caller: ApiKey, limit: int, cursor: str | None) -> models.Page[models.Policy]:
        with self._reader.begin() as connection:
            rows = store.page(connection, caller.tenant_id, read_cursor(cursor), limit + 1)
        return page(rows, limit, lambda row: row.policy_id, _answer)

    def versions(self, caller: ApiKey, id: str, limit: int, cursor: str | None) -> models.Page[models.Policy]:
        """All versions of a policy, oldest first; also of a deleted one."""
        after = read_number_cursor(cursor) or 0
        with self._reader.begin() as connection:
            rows = store.versions(connection, caller.tenant_id, id, after, limit + 1)
        if not rows and not after:
            raise not_found("policy", id)
        return page(rows, limit, lambda row: str(row.version), _answer)

    def _new_version(
        self,
        transaction: Transaction,
        caller: ApiKey,
        id: str,
        version: int,
        draft: models.PolicyDraft,
        bound: _Bound,
        kind: str,
        now: datetime,
    ) -> Row[Any]:
        connection, tenant_id = transaction.connection, caller.tenant_id
        constraints = draft.constraints.model_dump(by_alias=True, exclude_unset=True) if draft.constraints else {}
        document = {
            "name": draft.name,
            "description": draft.description,
            "effect": draft.effect,
            "actions": draft.actions,
            "resources": draft.resources,
            "binding": bound.binding,
            "applies_to": bound.applies_to,
            "constraints": constraints,
            "mode": draft.mode,
            "enabled": draft.enabled,
        }
        dates = {"valid_from": draft.valid_from, "valid_until": draft.valid_until}
        revision = transaction.change(tenant_id, "policy", id)
        store.add_version(
            connection,
            tenant_id,
            id,
            version,
            **document,
            **dates,
            warnings=[warning.model_dump() for warning in bound.warnings],
            created_at=now,
            revision=revision,
        )
        told_dates = {name: models.rfc3339(moment) if moment else None for name, moment in dates.items()}
        digest = hashlib.sha256(encode(document | told_dates)).hexdigest()
        transaction.record(
            tenant_id,
            kind,
            {
                "keyId": caller.id,
                "policyId": id,
                "policyName": draft.name,
                "version": version,
                "effect": draft.effect,
                "binding": bound.binding,
                "enabled": draft.enabled,
                "documentHash": digest,
                "revision": revision,
            },
        )
        return _row(connection, tenant_id, id)

    def _bind(self, tenant_id: str, draft: models.PolicyDraft) -> _Bound:
        """2-semantics, "Who it applies to"; inference only ever narrows."""
        if draft.applies_to is not None:
            return self._explicit(tenant_id, draft.applies_to)
        if draft.effect == "deny":
            return _Bound("tenant", None)
        if self._require_binding:
            raise unprocessable([Fault("/appliesTo", "Say whom the policy applies to: roles, agentIds or both.")])
        known = (role for agent in self._agents.of_tenant(tenant_id) for role in agent.roles)
        if roles := inferred_roles(draft.name, known):
            return _Bound("inferred", {"roles": list(roles), "agentIds": []})
        message = (
            "The policy names nobody in appliesTo, and its name begins with no role of an agent, "
            "so it applies to every agent of the tenant."
        )
        return _Bound("tenant", None, (models.Warned(code="applies_to_everybody", message=message),))

    def _explicit(self, tenant_id: str, applies_to: models.AppliesTo) -> _Bound:
        roles, ids = set(applies_to.roles), set(applies_to.agent_ids)
        warnings: tuple[models.Warned, ...] = ()
        if not any(agent.id in ids or roles.intersection(agent.roles) for agent in self._agents.of_tenant(tenant_id)):
            message = "No agent of the tenant has one of these roles or ids, so the policy applies to nobody now."
            warnings = (models.Warned(code="applies_to_nobody", message=message),)
        return _Bound("explicit", {"roles": sorted(roles), "agentIds": sorted(ids)}, warnings)

    def _rebind(self, tenant_id: str, draft: models.PolicyDraft, old: Row[Any]) -> _Bound:
        # Leaving appliesTo out of an update must not widen what an earlier version narrowed.
        if draft.applies_to is None and draft.effect == old.effect == "allow" and not self._require_binding:
            return _Bound(old.binding, old.applies_to, tuple(models.Warned(**warning) for warning in old.warnings))
        return self._bind(tenant_id, draft)


def _row(connection: Connection, tenant_id: str, id: str) -> Row[Any]:
    row = store.find(connection, tenant_id, id)
    if row is None:
        raise not_found("policy", id)
    return row


def _answer(row: Row[Any]) -> models.Policy:
    return models.Policy(
        id=row.policy_id,
        version=row.version,
        name=row.name,
        description=row.description,
        effect=row.effect,
        actions=row.actions,
        resources=row.resources,
        applies_to=row.applies_to,
        binding=row.binding,
        constraints=row.constraints,
        mode=row.mode,
        enabled=row.enabled,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        warnings=[models.Warned(**warning) for warning in row.warnings],
        created_at=row.born_at,
        updated_at=row.created_at,
        revision=row.revision,
    )
