"""Writing policies: every accepted change is a new immutable version; a refused one changes nothing."""

from __future__ import annotations

import builtins
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import ValidationError
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
from act.policies.compare import differences
from act.policies.draft import Bound, bind, document, warnings
from act.policies.live import LivePolicies
from act.policies.policy import CompiledPolicy
from act.problems import ProblemError, conflict, faults_of_validation, not_found, unprocessable
from act.strict_json import Fault
from act.tenants.tenant import ApiKey

ANY = "*"

_LOOKED_AT = 200
"""Policies that are looked at for warnings before others get the interpreter."""
_BREATH = 50e-6
"""Seconds; with none, it would be taken again before anybody else has woken."""


class PolicyService:
    def __init__(
        self,
        writer: Writer,
        reader: Engine,
        clock: Clock,
        agents: LiveAgents,
        live: LivePolicies,
        *,
        require_binding: bool,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._agents = agents
        self._live = live
        self._require_binding = require_binding

    def create(self, caller: ApiKey, draft: models.PolicyDraft) -> models.Policy:
        """Store a policy; live from the next request on.

        Raises:
            ProblemError: 409 when the id was given before; 422 when a binding is required and missing.
        """
        id = draft.id or new_id("pol")
        values = self._values(caller, id, draft, self._bind(caller.tenant_id, draft))

        def work(transaction: Transaction) -> Row[Any]:
            if store.exists(transaction.connection, caller.tenant_id, id):
                raise conflict("policy_id_taken", _taken(id))
            store.add(transaction.connection, caller.tenant_id, id, self._clock.now())
            return self._new_version(transaction, caller, id, 1, "policy.created", values)

        return _answer(self._writer.write(work))

    def replace(self, caller: ApiKey, id: str, draft: models.PolicyDraft, if_match: str | None) -> models.Policy:
        """Make the draft the next version. Without `appliesTo` an allow policy stays bound as it is.

        Raises:
            ProblemError: 404; 412 and 428 about `If-Match`; 422 when the draft names another id, or a binding is
                required and missing.
        """
        if faults := _faults_of_id(draft, id):
            raise unprocessable(faults)

        def values(old: Row[Any]) -> dict[str, Any]:
            return self._values(caller, id, draft, self._bind_again(caller.tenant_id, draft, old))

        return self._change(caller, id, if_match, "policy.updated", values)

    def restore(self, caller: ApiKey, id: str, version: int, if_match: str | None) -> models.Policy:
        """Make an old version the next one, binding included; its warnings are those of now.

        Raises:
            ProblemError: 404 for the policy or the version; 412 and 428 about `If-Match`.
        """

        def values(_: Row[Any]) -> dict[str, Any]:
            with self._reader.begin() as connection:
                old = store.version(connection, caller.tenant_id, id, version)
            if old is None:
                raise not_found("version", f"{id} v{version}")
            # Not validated again: it was, by the rules of its time, and is in force by those.
            draft = models.PolicyDraft.model_construct(
                name=old.name, effect=old.effect, actions=old.actions, resources=old.resources, arguments=old.arguments
            )
            warned = self._warnings(caller, id, draft, Bound(old.binding, old.applies_to))
            return {name: getattr(old, name) for name in store.DOCUMENT} | {"warnings": warned}

        return self._change(caller, id, if_match, "policy.restored", values)

    def delete(self, caller: ApiKey, id: str, if_match: str | None) -> None:
        """Take the policy out of force. Its versions stay readable; its id is never given again."""

        def work(transaction: Transaction) -> None:
            row = _row(transaction.connection, caller.tenant_id, id)
            _check_match(row, ANY if if_match is None else if_match)
            store.delete(transaction.connection, caller.tenant_id, id, self._clock.now())
            revision = transaction.change(caller.tenant_id, "policy", id)
            told = {"keyId": caller.id, "policyId": id, "policyName": row.name, "version": row.version}
            transaction.record(caller.tenant_id, "policy.deleted", told | {"revision": revision})

        self._writer.write(work)

    def validate(self, caller: ApiKey, written: Any, id: str | None = None) -> models.PolicyValidated:
        """All faults and warnings of a draft, as the next version of the policy `id` or as a new one; stores nothing.

        Raises:
            ProblemError: 404 for the policy.
        """
        faults: list[Fault] = []
        try:
            draft = models.PolicyDraft.model_validate(written)
            with self._reader.begin() as connection:
                if id is not None:
                    old = _row(connection, caller.tenant_id, id)
                    faults = _faults_of_id(draft, id)
                elif draft.id is not None and store.exists(connection, caller.tenant_id, draft.id):
                    faults = [Fault("/id", _taken(draft.id))]
            bound = (
                self._bind(caller.tenant_id, draft) if id is None else self._bind_again(caller.tenant_id, draft, old)
            )
            values = self._values(caller, id or draft.id or "", draft, bound)
        except ValidationError as error:
            faults = faults_of_validation(error, written)
        except ProblemError as problem:
            if problem.status != 422:
                raise
            faults += problem.faults
        if faults:
            return _invalid(faults)
        found = [models.Warned(**warning) for warning in values["warnings"]]
        return models.PolicyValidated(valid=True, warnings=found, binding=bound.binding, applies_to=bound.applies_to)

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

    def compare(self, caller: ApiKey, id: str, before: int, after: int) -> models.PolicyComparison:
        """What changed from one version to another."""
        with self._reader.begin() as connection:
            rows = {number: store.version(connection, caller.tenant_id, id, number) for number in (before, after)}
        for number, row in rows.items():
            if row is None:
                raise not_found("version", f"{id} v{number}")
        changes = differences(*(_written(rows[number]) for number in (before, after)))
        return models.PolicyComparison(policy_id=id, from_version=before, to_version=after, changes=changes)

    def _change(
        self,
        caller: ApiKey,
        id: str,
        if_match: str | None,
        kind: str,
        values: Callable[[Row[Any]], dict[str, Any]],
    ) -> models.Policy:
        """Store what `values` makes of the version that is there.

        It is asked before the write, for which everybody waits; and again in it, should another version be there by
        then.
        """
        if if_match is None:
            detail = 'Send If-Match with the ETag that you read, for example If-Match: "v3", or If-Match: * for any.'
            raise ProblemError(428, "precondition_required", "Precondition required", detail)
        with self._reader.begin() as connection:
            read = _row(connection, caller.tenant_id, id)
        _check_match(read, if_match)
        made = values(read)

        def work(transaction: Transaction) -> Row[Any]:
            old = _row(transaction.connection, caller.tenant_id, id)
            _check_match(old, if_match)
            new = made if old.version == read.version else values(old)
            return self._new_version(transaction, caller, id, old.version + 1, kind, new)

        return _answer(self._writer.write(work))

    def _bind(self, tenant_id: str, draft: models.PolicyDraft) -> Bound:
        return bind(draft, self._agents.of_tenant(tenant_id), require_binding=self._require_binding)

    def _bind_again(self, tenant_id: str, draft: models.PolicyDraft, old: Row[Any]) -> Bound:
        """Leaving appliesTo out of an update must not widen what an earlier version narrowed."""
        kept = draft.applies_to is None and draft.effect == old.effect == "allow" and not self._require_binding
        return Bound(old.binding, old.applies_to) if kept else self._bind(tenant_id, draft)

    def _values(self, caller: ApiKey, id: str, draft: models.PolicyDraft, bound: Bound) -> dict[str, Any]:
        return document(draft, bound) | {"warnings": self._warnings(caller, id, draft, bound)}

    def _warnings(
        self, caller: ApiKey, id: str, draft: models.PolicyDraft, bound: Bound
    ) -> builtins.list[dict[str, Any]]:
        reaching = self._live.of_tenant(caller.tenant_id).reaching(bound.audience)
        others = (policy for policy in _unhurried(reaching) if policy.id != id)
        found = warnings(draft, bound, list(self._agents.of_tenant(caller.tenant_id)), others)
        return [warning.model_dump() for warning in found]

    def _new_version(
        self, transaction: Transaction, caller: ApiKey, id: str, version: int, kind: str, values: dict[str, Any]
    ) -> Row[Any]:
        connection, tenant_id = transaction.connection, caller.tenant_id
        revision = transaction.change(tenant_id, "policy", id)
        created_at = self._clock.now()
        store.add_version(connection, tenant_id, id, version, **values, created_at=created_at, revision=revision)
        row = _row(connection, tenant_id, id)
        transaction.record(
            tenant_id,
            kind,
            {
                "keyId": caller.id,
                "policyId": id,
                "policyName": row.name,
                "version": version,
                "effect": row.effect,
                "mode": row.mode,
                "binding": row.binding,
                "enabled": row.enabled,
                "documentHash": hashlib.sha256(encode(_written(row))).hexdigest(),
                "revision": revision,
            },
        )
        return row


def _row(connection: Connection, tenant_id: str, id: str) -> Row[Any]:
    row = store.find(connection, tenant_id, id)
    if row is None:
        raise not_found("policy", id)
    return row


def _taken(id: str) -> str:
    return f"The policy id '{id}' was given before; choose another."


def _faults_of_id(draft: models.PolicyDraft, id: str) -> list[Fault]:
    """What is wrong with the id that a new version of the policy `id` has."""
    if draft.id in (None, id):
        return []
    return [Fault("/id", f"The policy is '{id}'; leave the id out or write that one.")]


def etag(version: int) -> str:
    return f'"v{version}"'


def _check_match(row: Row[Any], if_match: str) -> None:
    if if_match.strip() != ANY and etag(row.version) not in [tag.strip() for tag in if_match.split(",")]:
        detail = f"The policy is at {etag(row.version)} by now; read it again, and change that."
        raise ProblemError(412, "precondition_failed", "Precondition failed", detail)


def _unhurried(policies: Iterable[CompiledPolicy]) -> Iterator[CompiledPolicy]:
    """The same ones; a thread that looks at ten thousand without a pause has decisions wait for the interpreter."""
    for count, policy in enumerate(policies, 1):
        yield policy
        if count % _LOOKED_AT == 0:
            time.sleep(_BREATH)


def _invalid(faults: list[Fault]) -> models.PolicyValidated:
    errors = [models.ProblemFault(pointer=fault.pointer, message=fault.message) for fault in faults]
    return models.PolicyValidated(valid=False, errors=errors)


def _written(row: Any) -> dict[str, Any]:
    """The document of a version as it is on the wire, without what only its storing adds."""
    answer = _answer(row).model_dump(mode="json")
    beside = ("id", "version", "warnings", "createdAt", "updatedAt", "revision")
    return {name: value for name, value in answer.items() if name not in beside}


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
        arguments=row.arguments,
        when=row.condition,
        constraints=row.constraints,
        grants=row.grants,
        delegation=row.delegation,
        mode=row.mode,
        enabled=row.enabled,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        warnings=[models.Warned(**warning) for warning in row.warnings],
        created_at=row.born_at,
        updated_at=row.created_at,
        revision=row.revision,
    )
