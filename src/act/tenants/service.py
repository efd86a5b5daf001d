"""Making tenants and API keys. A key is shown once; only its hash is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, Row

from act import models
from act.agents.live import LiveAgents
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.database.ids import new_id
from act.database.keyfiles import KeyFiles
from act.database.pages import page, read_cursor
from act.models import Scope
from act.problems import conflict, forbidden, not_found, unprocessable
from act.strict_json import Fault
from act.tenants import store
from act.tenants.live import LiveApiKeys
from act.tenants.tenant import DEFAULT_LABELS, DEFAULT_TOKEN_TTL, MAX_TOKEN_TTL, SHORTEST_KEY, ApiKey, hash_key, new_key
from act.tokens.keys import make_keys


class TenantService:
    def __init__(
        self,
        writer: Writer,
        reader: Engine,
        clock: Clock,
        files: KeyFiles,
        agents: LiveAgents,
        keys: LiveApiKeys,
        *,
        max_token_ttl: int = MAX_TOKEN_TTL,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._files = files
        self._agents = agents
        self._keys = keys
        self._max_token_ttl = max_token_ttl

    def create_tenant(self, id: str, name: str, admin_key: str | None = None) -> str:
        """Make a tenant, its signing keys and its first admin key, all in one commit.

        Args:
            admin_key: the key to be, 32 characters or more; None makes one.

        Returns:
            The admin key, which is kept nowhere.

        Raises:
            ValueError: the given key is too short.
            ProblemError: 409 when the tenant is there already.
        """
        if admin_key is not None and len(admin_key) < SHORTEST_KEY:
            raise ValueError(f"An API key has at least {SHORTEST_KEY} characters; this one has {len(admin_key)}.")
        made, prefix = new_key()
        key = admin_key or made
        prefix = "chosen" if admin_key else prefix

        def work(transaction: Transaction) -> None:
            now = self._clock.now()
            if any(row.id == id or row.name == name for row in store.tenant_rows(transaction.connection)):
                raise conflict("tenant_taken", f"There is a tenant '{id}' or one named '{name}' already.")
            store.insert_tenant(
                transaction.connection,
                id=id,
                name=name,
                max_token_ttl=self._max_token_ttl,
                default_token_ttl=min(DEFAULT_TOKEN_TTL, self._max_token_ttl),
                default_labels=list(DEFAULT_LABELS),
                created_at=now,
            )
            revision = transaction.change(id, "tenant", id)
            transaction.record(id, "tenant.created", {"tenantName": name, "revision": revision})
            make_keys(transaction, self._files, id, now)
            self._add_key(transaction, id, None, prefix, key, _admin("admin"))

        self._writer.write(work)
        return key

    def admit_admin(self, tenant_id: str, key: str, name: str) -> None:
        """Make a given key an admin key of the tenant.

        Raises:
            PermissionError: it was one before, and was revoked or has expired.
        """

        def work(transaction: Transaction) -> None:
            if any(row.hash == hash_key(key) for row in store.key_rows(transaction.connection)):
                raise PermissionError(
                    f"The API key '{name}' was revoked or has expired; delete the file it is kept in."
                )
            self._add_key(transaction, tenant_id, None, "chosen", key, _admin(name))

        self._writer.write(work)

    def create_key(self, caller: ApiKey, body: models.ApiKeyCreate) -> models.IssuedApiKey:
        """Make an API key.

        Raises:
            ProblemError: 422 when it is bound to an agent that is not there.
        """
        if body.agent_id is not None:
            agent = self._agents.get(caller.tenant_id, body.agent_id)
            if agent is None or agent.status == "deleted":
                raise unprocessable([Fault("/agentId", f"There is no agent '{body.agent_id}' in this tenant.")])
            if set(body.scopes) != {Scope.ENFORCE}:
                message = "A key that is bound to an agent has the scope 'enforce' and no other."
                raise unprocessable([Fault("/scopes", message)])
        key, prefix = new_key()

        def work(transaction: Transaction) -> str:
            return self._add_key(transaction, caller.tenant_id, caller, prefix, key, body)

        row = self._find(caller, self._writer.write(work))
        return models.IssuedApiKey(key=key, **_answer(row).model_dump(by_alias=False))

    def list_keys(self, caller: ApiKey, limit: int, cursor: str | None) -> models.Page[models.ApiKey]:
        with self._reader.begin() as connection:
            rows = store.page_of_keys(connection, caller.tenant_id, read_cursor(cursor), limit + 1)
        return page(rows, limit, lambda row: row.id, self._with_use)

    def revoke_key(self, caller: ApiKey, id: str) -> models.ApiKeyRevoked:
        """Revoke a key; refused from the next request on. A key cannot revoke itself, so none locks itself out."""
        if id == caller.id:
            raise forbidden("own_key", "A key cannot revoke itself; use another admin key.")

        def work(transaction: Transaction) -> int:
            row = store.key_row(transaction.connection, caller.tenant_id, id)
            if row is None:
                raise not_found("API key", id)
            if row.revoked_at is None:
                store.revoke_key(transaction.connection, id, self._clock.now())
            revision = transaction.change(caller.tenant_id, "api_key", id)
            told = {"keyId": caller.id, "apiKeyId": id, "apiKeyName": row.name, "revision": revision}
            transaction.record(caller.tenant_id, "api_key.revoked", told)
            return revision

        return models.ApiKeyRevoked(id=id, revision=self._writer.write(work))

    def _add_key(
        self,
        transaction: Transaction,
        tenant_id: str,
        caller: ApiKey | None,
        prefix: str,
        key: str,
        wanted: models.ApiKeyCreate,
    ) -> str:
        id, now = new_id("key"), self._clock.now()
        store.insert_key(
            transaction.connection,
            id=id,
            tenant_id=tenant_id,
            name=wanted.name,
            prefix=prefix,
            hash=hash_key(key),
            scopes=[str(scope) for scope in dict.fromkeys(wanted.scopes)],
            agent_id=wanted.agent_id,
            roles=sorted(set(wanted.roles)),
            person=wanted.person,
            created_at=now,
            expires_at=None if wanted.expires_in is None else now + timedelta(seconds=wanted.expires_in),
        )
        told = {
            "apiKeyId": id,
            "apiKeyName": wanted.name,
            "scopes": [str(scope) for scope in wanted.scopes],
            "agentId": wanted.agent_id,
            "roles": sorted(set(wanted.roles)) or None,
            "person": wanted.person,
            "keyId": caller.id if caller else None,
            "revision": transaction.change(tenant_id, "api_key", id),
        }
        transaction.record(tenant_id, "api_key.created", told)
        return id

    def _find(self, caller: ApiKey, id: str) -> Row[Any]:
        with self._reader.begin() as connection:
            row = store.key_row(connection, caller.tenant_id, id)
        if row is None:
            raise not_found("API key", id)
        return row

    def _with_use(self, row: Row[Any]) -> models.ApiKey:
        return _answer(row).model_copy(update={"last_used_at": self._keys.last_used.get(row.id)})


def _admin(name: str) -> models.ApiKeyCreate:
    return models.ApiKeyCreate(name=name, scopes=[Scope.ADMIN])


def _answer(row: Row[Any]) -> models.ApiKey:
    return models.ApiKey(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=[Scope(scope) for scope in row.scopes],
        agent_id=row.agent_id,
        roles=row.roles,
        person=row.person,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=None,
        revoked_at=row.revoked_at,
    )
