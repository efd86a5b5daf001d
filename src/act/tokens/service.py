"""Issuing and revoking tokens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row

from act import models
from act.agents.live import LiveAgents
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.database.ids import new_id
from act.database.pages import page, read_cursor
from act.policies.live import LivePolicies
from act.problems import conflict, not_found, unprocessable
from act.strict_json import Fault
from act.tenants.live import LiveTenants
from act.tenants.tenant import ApiKey
from act.tokens import store
from act.tokens.claims import Claims
from act.tokens.codec import sign
from act.tokens.live import LiveKeys
from act.tokens.sequence import Sequences


class TokenService:
    def __init__(
        self,
        writer: Writer,
        reader: Engine,
        clock: Clock,
        sequences: Sequences,
        tenants: LiveTenants,
        agents: LiveAgents,
        policies: LivePolicies,
        keys: LiveKeys,
        *,
        issuer: str,
        audience: str,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._sequences = sequences
        self._tenants = tenants
        self._agents = agents
        self._policies = policies
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    def issue(self, caller: ApiKey, body: models.TokenRequest) -> models.IssuedToken:
        """Issue a token to an agent. The string is in this answer and nowhere else.

        Raises:
            ProblemError: 404 for an unknown agent, 409 for a suspended one, 422 for a time to live over the maximum.
        """
        tenant = self._tenants.get(caller.tenant_id)
        seconds = body.expires_in
        if seconds is None:
            seconds = min(tenant.default_token_ttl, tenant.max_token_ttl)
        if seconds > tenant.max_token_ttl:
            message = f"A token of this tenant lives at most {tenant.max_token_ttl} seconds."
            raise unprocessable([Fault("/expiresIn", message)])
        agent = self._agents.get(tenant.id, body.agent_id)
        if agent is None or agent.status == "deleted":
            raise not_found("agent", body.agent_id)
        if agent.status != "active":
            raise conflict("agent_suspended", f"The agent '{agent.name}' is suspended; resume it first.")

        def work(transaction: Transaction) -> tuple[Claims, datetime, int]:
            issued_at = self._clock.now().replace(microsecond=0)
            expires_at = issued_at + timedelta(seconds=seconds)
            claims = Claims(
                issuer=self._issuer,
                audience=self._audience,
                token_id=new_id("tok"),
                issued_at=int(issued_at.timestamp()),
                not_before=int(issued_at.timestamp()),
                expires_at=int(expires_at.timestamp()),
                tenant_id=tenant.id,
                subject=agent.id,
                agent_id=agent.id,
                sequence=self._sequences.next(transaction.connection, tenant.id),
                node=new_id("nod"),
            )
            store.add(
                transaction.connection,
                id=claims.token_id,
                tenant_id=tenant.id,
                agent_id=agent.id,
                node=claims.node,
                sequence=claims.sequence,
                issued_at=issued_at,
                expires_at=expires_at,
            )
            revision = transaction.change(tenant.id, "token", claims.token_id)
            told = {"agentId": agent.id, "tokenId": claims.token_id, "expiresAt": models.rfc3339(expires_at)}
            transaction.record(tenant.id, "token.issued", told | {"keyId": caller.id, "revision": revision})
            return claims, expires_at, revision

        claims, expires_at, revision = self._writer.write(work)
        warnings = []
        if not self._policies.of_tenant(tenant.id).applying(agent):
            message = f"No policy applies to '{agent.name}' now, so everything it asks is denied."
            warnings.append(models.Warned(code="no_policies", message=message))
        return models.IssuedToken(
            token=sign(claims, *self._keys.signing(tenant.id)),
            token_id=claims.token_id,
            agent_id=agent.id,
            expires_at=expires_at,
            warnings=warnings,
            revision=revision,
        )

    def revoke(self, caller: ApiKey, id: str) -> models.TokenRevoked:
        """Revoke one token; denied from the next request on. Revoking twice is no error."""
        tenant_id = caller.tenant_id

        def work(transaction: Transaction) -> models.TokenRevoked:
            row = _row(transaction.connection, tenant_id, id)
            if row.revoked_at is None:
                store.revoke(transaction.connection, id, self._clock.now())
            revision = transaction.change(tenant_id, "token", id)
            told = {"keyId": caller.id, "agentId": row.agent_id, "tokenId": id, "revision": revision}
            transaction.record(tenant_id, "token.revoked", told)
            return models.TokenRevoked(token_id=id, revoked=0 if row.revoked_at else 1, revision=revision)

        return self._writer.write(work)

    def get(self, caller: ApiKey, id: str) -> models.Token:
        with self._reader.begin() as connection:
            return self._answer(_row(connection, caller.tenant_id, id))

    def list(self, caller: ApiKey, agent_id: str | None, limit: int, cursor: str | None) -> models.Page[models.Token]:
        with self._reader.begin() as connection:
            rows = store.page(connection, caller.tenant_id, agent_id, read_cursor(cursor), limit + 1)
        return page(rows, limit, lambda row: row.id, self._answer)

    def _answer(self, row: Row[Any]) -> models.Token:
        agent = self._agents.get(row.tenant_id, row.agent_id)
        dead = agent is None or agent.status == "deleted" or row.sequence <= agent.mark
        expired = row.expires_at <= self._clock.now()
        return models.Token(
            id=row.id,
            agent_id=row.agent_id,
            status="revoked" if row.revoked_at or dead else "expired" if expired else "active",
            issued_at=row.issued_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
        )


def _row(connection: Connection, tenant_id: str, id: str) -> Row[Any]:
    row = store.find(connection, tenant_id, id)
    if row is None:
        raise not_found("token", id)
    return row
