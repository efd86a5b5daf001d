"""Issuing, rotating, revoking and reading tokens."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Row

from act import models
from act.agents.agent import Agent
from act.agents.live import LiveAgents
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.database.pages import page, read_cursor
from act.policies.live import LivePolicies
from act.problems import conflict, not_found, unprocessable
from act.strict_json import Fault
from act.tenants.frozen import refuse_frozen
from act.tenants.live import LiveTenants
from act.tenants.tenant import ApiKey, Tenant
from act.tokens import store
from act.tokens.mint import Grant, Mint, Minted, told
from act.tokens.proof import confirmation_fault
from act.tokens.revocation import agent_ended, revoke_node
from act.tokens.scope import Scope, scope_of

Warnings = list[models.Warned]


class TokenService:
    def __init__(
        self,
        writer: Writer,
        reader: Engine,
        clock: Clock,
        tenants: LiveTenants,
        agents: LiveAgents,
        policies: LivePolicies,
        mint: Mint,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._tenants = tenants
        self._agents = agents
        self._policies = policies
        self._mint = mint

    def issue(self, caller: ApiKey, body: models.TokenRequest) -> models.IssuedToken:
        """Issue a token to an agent. The string is in this answer and nowhere else.

        Raises:
            ProblemError: 404 for an unknown agent, 409 for a suspended one, 422 for a time to live over the maximum or
                a key that a token cannot be bound to.
        """
        tenant = self._tenants.get(caller.tenant_id)
        seconds = lifetime(tenant, body.expires_in)
        agent = self._agents.get(tenant.id, body.agent_id)
        if agent is None or agent.status == "deleted":
            raise not_found("agent", body.agent_id)
        if agent.status != "active":
            raise conflict("agent_suspended", f"The agent '{agent.name}' is suspended; resume it first.")
        grant = Grant(
            (agent.id,),
            scope=_scope(body),
            task_id=body.task.id if body.task else None,
            facts=body.task.facts if body.task else {},
            on_behalf_of=user_of(body, agent),
            confirmation=confirmation(body.cnf),
        )

        def work(transaction: Transaction) -> Minted:
            refuse_frozen(transaction.connection, tenant.id)
            now = self._clock.now().replace(microsecond=0)
            renewable = renewal(tenant, body.expires_in, body.renew_for)
            renew_until = now + timedelta(seconds=tenant.max_token_ttl if renewable is None else renewable)
            expires_at = now + timedelta(seconds=seconds)
            minted = self._mint.new_node(transaction, tenant.id, grant, now, expires_at, renew_until)
            fields = told(minted.claims) | {"keyId": caller.id, "revision": minted.revision}
            transaction.record(tenant.id, "token.issued", fields)
            return minted

        return self._mint.issued(self._writer.write(work), self._warnings(tenant, agent, body))

    def revoke(self, caller: ApiKey, id: str) -> models.TokenRevoked:
        """Revoke a token, whatever was rotated from it, and all that was handed down from it.

        Denied from the next request on. Revoking twice is no error.
        """
        tenant_id = caller.tenant_id

        def work(transaction: Transaction) -> models.TokenRevoked:
            row = _row(transaction.connection, tenant_id, id)
            live, revision = revoke_node(transaction, tenant_id, row.node, self._clock.now())
            below = sum(node != row.node for node in live)
            fields = {"keyId": caller.id, "agentId": row.agent_id, "tokenId": id, "node": row.node}
            counts = {"tokens": len(live), "delegated": below, "revision": revision}
            transaction.record(tenant_id, "token.revoked", fields | counts)
            return models.TokenRevoked(token_id=id, revoked=len(live), delegated=below, revision=revision)

        return self._writer.write(work)

    def get(self, caller: ApiKey, id: str) -> models.Token:
        with self._reader.begin() as connection:
            row = _row(connection, caller.tenant_id, id)
            return self._answer(row, self._dead(connection, [row]))

    def list(self, caller: ApiKey, agent_id: str | None, limit: int, cursor: str | None) -> models.Page[models.Token]:
        with self._reader.begin() as connection:
            rows = store.page(connection, caller.tenant_id, agent_id, read_cursor(cursor), limit + 1)
            dead = self._dead(connection, rows)
        return page(rows, limit, lambda row: row.id, lambda row: self._answer(row, dead))

    def _warnings(self, tenant: Tenant, agent: Agent, body: models.TokenRequest) -> Warnings:
        applying = self._policies.of_tenant(tenant.id).applying(agent)
        warnings: Warnings = []
        if not applying:
            message = f"No policy applies to '{agent.name}' now, so everything it asks is denied."
            warnings.append(models.Warned(code="no_policies", message=message))
        strange = sorted(set(body.policy_ids or ()) - {policy.id for policy in applying})
        if applying and strange:
            message = f"These policies do not apply to '{agent.name}' now, so they allow nothing: {', '.join(strange)}."
            warnings.append(models.Warned(code="policies_do_not_apply", message=message))
        return warnings

    def _dead(self, connection: Connection, rows: Sequence[Row[Any]]) -> set[str]:
        """The nodes above these tokens that give nothing any more."""
        above = store.node_rows(connection, {id for row in rows for id in row.path})
        return {node.id for node in above if node.revoked_at or agent_ended(self._agents, node)}

    def _answer(self, row: Row[Any], dead: Collection[str]) -> models.Token:
        return models.Token(
            id=row.id,
            agent_id=row.agent_id,
            status=self._status(row, dead),
            node=row.node,
            parent=row.parent,
            depth=len(row.path),
            scope=None if row.scope is None else row.scope["parts"],
            policy_ids=None if row.scope is None else row.scope["policyIds"],
            grants=row.grants,
            task=row.task,
            on_behalf_of=row.on_behalf_of,
            bound_to_key=row.cnf is not None,
            issued_at=row.issued_at,
            expires_at=row.expires_at,
            superseded_at=row.superseded_at,
            revoked_at=row.revoked_at,
        )

    def _status(self, row: Row[Any], dead: Collection[str]) -> Literal["active", "superseded", "expired", "revoked"]:
        now = self._clock.now()
        if row.revoked_at or agent_ended(self._agents, row) or any(id in dead for id in row.path):
            return "revoked"
        if row.expires_at <= now:
            return "expired"
        return "superseded" if row.superseded_at is not None and row.superseded_at <= now else "active"


def user_of(body: models.TokenRequest, agent: Agent) -> str | None:
    """The user on whose behalf the token is; an agent's id would read as nobody, so it is refused.

    Raises:
        ProblemError: 422.
    """
    if body.on_behalf_of == agent.id:
        raise unprocessable([Fault("/onBehalfOf", "Name a user; a token is the agent's own without it.")])
    return body.on_behalf_of


def lifetime(tenant: Tenant, wanted: int | None) -> int:
    """Seconds that a token is to live.

    Raises:
        ProblemError: 422 when that is more than the tenant allows.
    """
    if wanted is None:
        return min(tenant.default_token_ttl, tenant.max_token_ttl)
    if wanted > tenant.max_token_ttl:
        message = f"A token of this tenant lives at most {tenant.max_token_ttl} seconds."
        raise unprocessable([Fault("/expiresIn", message)])
    return wanted


def renewal(tenant: Tenant, expires_in: int | None, renew_for: int | None) -> int | None:
    """Seconds for which a holder may renew a token; None where nothing was said of its end.

    Raises:
        ProblemError: 422 when that is more than the tenant allows.
    """
    if renew_for is not None and renew_for > tenant.max_token_ttl:
        message = f"A token of this tenant is renewed by its holder for at most {tenant.max_token_ttl} seconds."
        raise unprocessable([Fault("/renewFor", message)])
    return expires_in if renew_for is None else renew_for


def confirmation(written: models.Confirmation | None) -> dict[str, Any] | None:
    """The key to bind a token to.

    Raises:
        ProblemError: 422 when it is not a public key that ACT knows.
    """
    if written is None:
        return None
    if fault := confirmation_fault(written.jwk):
        raise unprocessable([Fault("/cnf/jwk", f"Send a public Ed25519 or P-256 JWK: {fault}.")])
    return written.jwk


def _scope(body: models.TokenRequest) -> Scope | None:
    if body.scope is None and body.policy_ids is None:
        return None
    parts = [(item.actions, item.resources) for item in body.scope or ()] or [(["*"], ["*"])]
    return scope_of(parts, body.policy_ids)


def _row(connection: Connection, tenant_id: str, id: str) -> Row[Any]:
    row = store.find(connection, tenant_id, id)
    if row is None:
        raise not_found("token", id)
    return row
