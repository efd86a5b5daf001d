"""The resource groups of `AsyncAct`: `groups`, method by method, to be awaited; lists are asynchronous iterators.

What each method does, takes and raises stands in `groups`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeVar

from act.client import calls
from act.client.call import Call
from act.client.groups import cut_off, following
from act.client.narrowing import Scope, agents_of, scope_of, task_of
from act.client.proof import ProofKey
from act.client.transport import AsyncTransport
from act.models import (
    Agent,
    AgentTokensRevoked,
    ApiKey,
    ApiKeyRevoked,
    Approval,
    ApprovalStatus,
    ArchiveSealed,
    ArgumentsErased,
    AuditArchive,
    AuditArguments,
    AuditRecord,
    Checkpoint,
    ConsistencyProof,
    DelegationNode,
    Delivery,
    InclusionProof,
    Introspection,
    IssuedApiKey,
    IssuedToken,
    IssuedWebhook,
    Page,
    Permissions,
    Policy,
    PolicyComparison,
    PolicyValidated,
    SigningAlgorithm,
    SigningKey,
    SigningKeyRevoked,
    SigningKeyRotated,
    Tenant,
    TenantFrozen,
    Token,
    TokenRevoked,
    Webhook,
    WebhookSecretRotated,
)

T = TypeVar("T")


class _Group:
    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport
        self._send = transport.send

    async def _all(self, page_at: Callable[[str | None], Call[Page[T]]]) -> AsyncIterator[T]:
        cursor: str | None = None
        while True:
            page = await self._send(page_at(cursor))
            for item in page.items:
                yield item
            cursor = following(page, cursor)
            if cursor is None:
                return


class Agents(_Group):
    """Who may ask at all."""

    async def create(
        self,
        name: str,
        *,
        id: str | None = None,
        description: str = "",
        roles: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Agent:
        return await self._send(calls.create_agent(name, id, description, roles, metadata))

    def list(self) -> AsyncIterator[Agent]:
        return self._all(lambda cursor: calls.list_agents(cursor=cursor))

    async def get(self, id: str) -> Agent:
        return await self._send(calls.get_agent(id))

    async def update(self, id: str, **changes: Any) -> Agent:
        return await self._send(calls.update_agent(id, changes))

    async def permissions(self, id: str) -> Permissions:
        """What the agent may do now, with the policy that gives each right."""
        return await self._send(calls.agent_permissions(id))

    async def delete(self, id: str) -> None:
        await self._send(calls.delete_agent(id))

    async def suspend(self, id: str) -> Agent:
        return await self._send(calls.set_agent_status(id, "suspend"))

    async def resume(self, id: str) -> Agent:
        return await self._send(calls.set_agent_status(id, "resume"))

    async def revoke_tokens(self, id: str) -> AgentTokensRevoked:
        return await self._send(calls.revoke_agent_tokens(id))


class Policies(_Group):
    """What agents may do."""

    async def create(self, draft: calls.Draft | None = None, /, **fields: Any) -> Policy:
        return await self._send(calls.create_policy(draft, fields))

    def list(self) -> AsyncIterator[Policy]:
        return self._all(lambda cursor: calls.list_policies(cursor=cursor))

    async def get(self, id: str) -> Policy:
        return await self._send(calls.get_policy(id))

    async def replace(
        self, id: str, draft: calls.Draft | None = None, /, *, version: int | None = None, **fields: Any
    ) -> Policy:
        """Make the next version. Fields that are not given have their defaults, not their former values.

        With `version`, only if that is still the current one (412 otherwise).
        """
        return await self._send(calls.replace_policy(id, draft, fields, version))

    async def restore(self, id: str, version: int, *, current: int | None = None) -> Policy:
        """Make an old version the next one; with `current`, only if that is still the current one."""
        return await self._send(calls.restore_policy(id, version, current))

    async def validate(self, draft: calls.Draft | None = None, /, **fields: Any) -> PolicyValidated:
        """All faults and warnings of a draft; stores nothing."""
        return await self._send(calls.validate_policy(draft, fields))

    async def compare(self, id: str, before: int, after: int) -> PolicyComparison:
        """What changed from one version to another."""
        return await self._send(calls.compare_policy(id, before, after))

    async def delete(self, id: str) -> None:
        await self._send(calls.delete_policy(id))

    def versions(self, id: str) -> AsyncIterator[Policy]:
        return self._all(lambda cursor: calls.policy_versions(id, cursor=cursor))


class Tokens(_Group):
    """What agents show when they ask."""

    async def issue(
        self,
        agent_id: str,
        *,
        expires_in: int | None = None,
        renew_for: int | None = None,
        policy_ids: Iterable[str] | None = None,
        scope: Scope | None = None,
        actions: Iterable[str] | None = None,
        resources: Iterable[str] | None = None,
        task: str | None = None,
        facts: Mapping[str, Any] | None = None,
        on_behalf_of: str | None = None,
        cnf: Mapping[str, Any] | None = None,
    ) -> IssuedToken:
        narrowed = scope_of(scope, actions, resources)
        call = calls.issue_token(
            agent_id, expires_in, renew_for, policy_ids, narrowed, task_of(task, facts), on_behalf_of, cnf
        )
        return await self._send(call)

    def list(self, agent_id: str | None = None) -> AsyncIterator[Token]:
        return self._all(lambda cursor: calls.list_tokens(agent_id, cursor=cursor))

    async def get(self, id: str) -> Token:
        return await self._send(calls.get_token(id))

    async def revoke(self, id: str) -> TokenRevoked:
        return await self._send(calls.revoke_token(id))

    async def rotate(
        self,
        id: str,
        *,
        expires_in: int | None = None,
        grace: int | None = None,
        token: str | None = None,
        key: ProofKey | None = None,
    ) -> IssuedToken:
        return await self._send(calls.rotate_token(id, expires_in, grace, token, key))

    async def introspect(self, token: str) -> Introspection:
        return await self._send(calls.introspect_token(token))


class Delegations(_Group):
    """What agents hand down to one another."""

    async def create(
        self,
        parent_token: str,
        to: str,
        *,
        scope: Scope | None = None,
        actions: Iterable[str] | None = None,
        resources: Iterable[str] | None = None,
        expires_in: int | None = None,
        renew_for: int | None = None,
        grants: Iterable[str] | None = None,
        hand_to: Mapping[str, Iterable[str]] | None = None,
        max_depth: int | None = None,
        task: str | None = None,
        facts: Mapping[str, Any] | None = None,
        cnf: Mapping[str, Any] | None = None,
        key: ProofKey | None = None,
    ) -> IssuedToken:
        narrowed, given = scope_of(scope, actions, resources), task_of(task, facts)
        call = calls.delegate(
            parent_token, to, narrowed, expires_in, renew_for, grants, agents_of(hand_to), max_depth, given, cnf, key
        )
        return await self._send(call)

    async def tree(self, token_id: str) -> DelegationNode:
        return await self._send(calls.delegation_tree(token_id))


class Approvals(_Group):
    """What people are asked."""

    def list(self, status: ApprovalStatus | None = None) -> AsyncIterator[Approval]:
        return self._all(lambda cursor: calls.list_approvals(status, cursor=cursor))

    async def get(self, id: str, wait: int = 0) -> Approval:
        return await self._send(calls.get_approval(id, wait))

    async def approve(self, id: str, reason: str | None = None) -> Approval:
        return await self._send(calls.approve(id, reason))

    async def reject(self, id: str, reason: str) -> Approval:
        return await self._send(calls.reject(id, reason))


class Audit(_Group):
    """What happened."""

    def list(
        self,
        *,
        agent: str | None = None,
        requester: str | None = None,
        action: str | None = None,
        resource: str | None = None,
        decision: str | None = None,
        reason_code: str | None = None,
        request_id: str | None = None,
        decision_id: str | None = None,
        task: str | None = None,
        conversation: str | None = None,
        kind: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        begin: int | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
    ) -> AsyncIterator[AuditRecord]:
        filters = {name: value for name, value in locals().items() if name != "self"}
        return self._all(lambda cursor: calls.list_audit(filters, cursor=cursor))

    async def get(self, index: int) -> AuditRecord:
        return await self._send(calls.get_audit(index))

    async def erase(self, index: int, reason: str) -> ArgumentsErased:
        return await self._send(calls.erase_arguments(index, reason))

    async def erase_matching(
        self,
        reason: str,
        *,
        agent_id: str | None = None,
        requester_id: str | None = None,
        on_behalf_of: str | None = None,
        before: datetime | str | None = None,
    ) -> AsyncIterator[ArgumentsErased]:
        whose = {"agent_id": agent_id, "requester_id": requester_id, "on_behalf_of": on_behalf_of, "before": before}
        begin: int | None = 0
        while begin is not None:
            erased = await self._send(calls.erase_matching(whose, reason, begin))
            yield erased
            begin = erased.next

    async def export(self) -> AsyncIterator[AuditRecord]:
        closed = False
        async for line in self._transport.lines(calls.export_audit(calls.export_line)):
            if isinstance(line, AuditRecord):
                yield line
            closed = isinstance(line, Checkpoint)
        if not closed:
            raise cut_off()

    def export_lines(self, begin: int | None = None) -> AsyncIterator[bytes]:
        return self._transport.lines(calls.export_audit(bytes, begin))

    def archives(self) -> AsyncIterator[AuditArchive]:
        """The files that hold the oldest records, in the order of the log."""
        return self._all(lambda cursor: calls.list_archives(cursor=cursor))

    async def archive(self, older_than: int | None = None) -> ArchiveSealed:
        """Seal the oldest records, those older than so many seconds, or than the tenant's retention, into a file."""
        return await self._send(calls.seal_archive(older_than))

    async def checkpoint(self) -> Checkpoint:
        return await self._send(calls.checkpoint())

    async def inclusion(self, index: int, size: int | None = None) -> InclusionProof:
        """That a record is among the first `size`, or among all. Check it with what you kept, not with its own root."""
        return await self._send(calls.inclusion_proof(index, size))

    async def consistency(self, first: int, second: int | None = None) -> ConsistencyProof:
        """That the log of `second` records, or the whole log, begins with the `first`."""
        return await self._send(calls.consistency_proof(first, second))


class Keys(_Group):
    """The keys that sign tokens."""

    def list(self) -> AsyncIterator[SigningKey]:
        return self._all(lambda cursor: calls.list_keys(cursor=cursor))

    async def rotate(self, algorithm: SigningAlgorithm | None = None) -> SigningKeyRotated:
        return await self._send(calls.rotate_key(algorithm))

    async def revoke(self, kid: str) -> SigningKeyRevoked:
        return await self._send(calls.revoke_key(kid))


class ApiKeys(_Group):
    """Who may call ACT."""

    async def create(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        agent_id: str | None = None,
        expires_in: int | None = None,
        roles: Iterable[str] = (),
        person: str | None = None,
    ) -> IssuedApiKey:
        return await self._send(calls.create_api_key(name, scopes, agent_id, expires_in, roles, person))

    def list(self) -> AsyncIterator[ApiKey]:
        return self._all(lambda cursor: calls.list_api_keys(cursor=cursor))

    async def revoke(self, id: str) -> ApiKeyRevoked:
        return await self._send(calls.revoke_api_key(id))


class Tenants(_Group):
    """The tenant that the API key belongs to."""

    async def get(self, id: str) -> Tenant:
        return await self._send(calls.get_tenant(id))

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
            calls.update_tenant(
                id, max_token_ttl, default_token_ttl, default_labels, audit_arguments, redact_patterns, audit_retention
            )
        )

    async def freeze(self, id: str, reason: str | None = None) -> TenantFrozen:
        return await self._send(calls.freeze_tenant(id, reason))

    async def unfreeze(self, id: str, reason: str | None = None) -> TenantFrozen:
        return await self._send(calls.unfreeze_tenant(id, reason))


class Webhooks(_Group):
    """Which programs are told of what happens."""

    async def create(
        self,
        url: str,
        events: Iterable[str] | None = None,
        *,
        description: str = "",
        include_arguments: bool = False,
    ) -> IssuedWebhook:
        return await self._send(calls.create_webhook(url, events, description, include_arguments))

    def list(self) -> AsyncIterator[Webhook]:
        return self._all(lambda cursor: calls.list_webhooks(cursor=cursor))

    async def get(self, id: str) -> Webhook:
        return await self._send(calls.get_webhook(id))

    async def update(self, id: str, **changes: Any) -> Webhook:
        return await self._send(calls.update_webhook(id, changes))

    async def delete(self, id: str) -> None:
        await self._send(calls.delete_webhook(id))

    async def rotate_secret(self, id: str) -> WebhookSecretRotated:
        return await self._send(calls.rotate_webhook_secret(id))

    async def test(self, id: str) -> Delivery:
        return await self._send(calls.test_webhook(id))

    def deliveries(self, id: str) -> AsyncIterator[Delivery]:
        return self._all(lambda cursor: calls.list_deliveries(id, cursor=cursor))

    async def resend(self, id: str, delivery_id: str) -> Delivery:
        return await self._send(calls.resend_delivery(id, delivery_id))
