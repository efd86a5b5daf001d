"""Registering agents, and taking rights away from one at once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, Row

from act import models
from act.agents import store
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.database.ids import new_id
from act.database.pages import page, read_cursor
from act.problems import ProblemError, conflict, not_found
from act.tenants.tenant import ApiKey
from act.tokens.sequence import Sequences


class AgentService:
    def __init__(self, writer: Writer, reader: Engine, clock: Clock, sequences: Sequences) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._sequences = sequences

    def register(self, caller: ApiKey, body: models.AgentCreate) -> models.Agent:
        """Register an agent.

        Raises:
            ProblemError: 409 when the id or the name is taken.
        """
        tenant_id, id, now = caller.tenant_id, body.id or new_id("agt"), self._clock.now()

        def work(transaction: Transaction) -> Row[Any]:
            connection = transaction.connection
            _refuse_taken(connection, tenant_id, id, body.name)
            store.add(
                connection,
                tenant_id=tenant_id,
                id=id,
                name=body.name,
                description=body.description,
                roles=list(dict.fromkeys(body.roles)),
                metadata=body.metadata,
                status="active",
                mark=0,
                created_at=now,
                updated_at=now,
                revision=transaction.change(tenant_id, "agent", id),
            )
            row = _row(connection, tenant_id, id)
            transaction.record(tenant_id, "agent.created", _told(caller, row))
            return row

        return _answer(self._writer.write(work))

    def list(self, caller: ApiKey, limit: int, cursor: str | None) -> models.Page[models.Agent]:
        with self._reader.begin() as connection:
            rows = store.page(connection, caller.tenant_id, read_cursor(cursor), limit + 1)
        return page(rows, limit, lambda row: row.id, _answer)

    def get(self, caller: ApiKey, id: str) -> models.Agent:
        with self._reader.begin() as connection:
            return _answer(_row(connection, caller.tenant_id, id))

    def update(self, caller: ApiKey, id: str, body: models.AgentPatch) -> models.Agent:
        """Change what the patch names.

        Raises:
            ProblemError: 404; 409 when the new name is taken.
        """
        changed = {name: getattr(body, name) for name in body.model_fields_set}

        def check(connection: Connection, row: Row[Any]) -> None:
            if body.name is not None and body.name != row.name:
                _refuse_taken(connection, caller.tenant_id, None, body.name)

        return self._change(caller, id, "agent.updated", changed, check)

    def suspend(self, caller: ApiKey, id: str) -> models.Agent:
        """Deny everything the agent asks, from the next request on, until it is resumed."""
        return self._change(caller, id, "agent.suspended", {"status": "suspended"})

    def resume(self, caller: ApiKey, id: str) -> models.Agent:
        return self._change(caller, id, "agent.resumed", {"status": "active"})

    def delete(self, caller: ApiKey, id: str) -> None:
        """Deny everything the agent asks, for ever. Its id is never given again; its name is free."""
        self._change(caller, id, "agent.deleted", {"status": "deleted"})

    def revoke_tokens(self, caller: ApiKey, id: str) -> models.AgentTokensRevoked:
        """Revoke every token issued to the agent so far, by raising its mark to the tenant's issue counter."""
        tenant_id = caller.tenant_id

        def work(transaction: Transaction) -> models.AgentTokensRevoked:
            row = _row(transaction.connection, tenant_id, id)
            mark, revoked = self._sequences.mark(transaction.connection, tenant_id, id, row.mark)
            revision = transaction.change(tenant_id, "agent", id)
            store.change(transaction.connection, tenant_id, id, mark=mark, revision=revision)
            transaction.record(tenant_id, "agent.tokens_revoked", _told(caller, row) | {"tokens": revoked})
            return models.AgentTokensRevoked(agent_id=id, revoked=revoked, revision=revision)

        return self._writer.write(work)

    def _change(
        self, caller: ApiKey, id: str, kind: str, changed: dict[str, Any], check: Any = lambda *_: None
    ) -> models.Agent:
        tenant_id = caller.tenant_id

        def work(transaction: Transaction) -> Row[Any]:
            connection = transaction.connection
            check(connection, _row(connection, tenant_id, id))
            revision = transaction.change(tenant_id, "agent", id)
            store.change(connection, tenant_id, id, updated_at=self._clock.now(), revision=revision, **changed)
            row = store.find(connection, tenant_id, id)
            assert row is not None
            transaction.record(tenant_id, kind, _told(caller, row))
            return row

        return _answer(self._writer.write(work))


def _row(connection: Connection, tenant_id: str, id: str) -> Row[Any]:
    row = store.find(connection, tenant_id, id)
    if row is None or row.status == "deleted":
        raise not_found("agent", id)
    return row


def _refuse_taken(connection: Connection, tenant_id: str, id: str | None, name: str) -> None:
    for row in store.claiming(connection, tenant_id, *([id] if id else []), name):
        raise _taken(id, name, row)


def _taken(id: str | None, name: str, row: Row[Any]) -> ProblemError:
    if row.name == name:
        return conflict("agent_name_taken", f"The name '{name}' is taken by agent '{row.id}'; names are unique.")
    label = id if row.id == id else name
    return conflict("agent_id_taken", f"'{label}' is the id or name of agent '{row.id}'; choose another.")


def _told(caller: ApiKey, row: Row[Any]) -> dict[str, Any]:
    return {
        "keyId": caller.id,
        "agentId": row.id,
        "agentName": row.name,
        "roles": row.roles,
        "metadataRole": role if isinstance(role := row.metadata.get("role"), str) else None,
        "revision": row.revision,
    }


def _answer(row: Row[Any]) -> models.Agent:
    return models.Agent(
        id=row.id,
        name=row.name,
        description=row.description,
        roles=row.roles,
        metadata=row.metadata,
        status=row.status,
        created_at=row.created_at,
        updated_at=row.updated_at,
        revision=row.revision,
    )
