"""The resource groups of `Act`: thin names over `calls`. `async_groups` mirrors this file, method by method.

Every method raises the `ActError` of its status, and `ValueError` for what cannot be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, TypeVar

from act.client import calls
from act.client.call import Call
from act.client.errors import UnexpectedAnswer
from act.client.narrowing import Scope, agents_of, scope_of, task_of
from act.client.proof import ProofKey
from act.client.transport import SyncTransport
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


def following(page: Page[Any], cursor: str | None) -> str | None:
    """The cursor of the page after `page`, which was read at `cursor`; None after the last."""
    if not page.has_more:
        return None
    if page.next_cursor is None or page.next_cursor == cursor:
        raise UnexpectedAnswer("The server says that the list goes on and does not say where.")
    return page.next_cursor


def cut_off() -> UnexpectedAnswer:
    """The error of an export that does not end as one."""
    return UnexpectedAnswer("The export ends without its checkpoint, so records are missing; export it again.")


class _Group:
    def __init__(self, transport: SyncTransport) -> None:
        self._transport = transport
        self._send = transport.send

    def _all(self, page_at: Callable[[str | None], Call[Page[T]]]) -> Iterator[T]:
        cursor: str | None = None
        while True:
            page = self._send(page_at(cursor))
            yield from page.items
            cursor = following(page, cursor)
            if cursor is None:
                return


class Agents(_Group):
    """Who may ask at all."""

    def create(
        self,
        name: str,
        *,
        id: str | None = None,
        description: str = "",
        roles: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Agent:
        """Register an agent; its name is unique in the tenant (409 otherwise)."""
        return self._send(calls.create_agent(name, id, description, roles, metadata))

    def list(self) -> Iterator[Agent]:
        """All agents, page by page as they are read."""
        return self._all(lambda cursor: calls.list_agents(cursor=cursor))

    def get(self, id: str) -> Agent:
        return self._send(calls.get_agent(id))

    def update(self, id: str, **changes: Any) -> Agent:
        """Change `name`, `description`, `roles` or `metadata`; what is not named stays."""
        return self._send(calls.update_agent(id, changes))

    def permissions(self, id: str) -> Permissions:
        """What the agent may do now, with the policy that gives each right."""
        return self._send(calls.agent_permissions(id))

    def delete(self, id: str) -> None:
        """Its tokens are denied from now on (`agent_deleted`)."""
        self._send(calls.delete_agent(id))

    def suspend(self, id: str) -> Agent:
        """Deny the agent everything until `resume`."""
        return self._send(calls.set_agent_status(id, "suspend"))

    def resume(self, id: str) -> Agent:
        return self._send(calls.set_agent_status(id, "resume"))

    def revoke_tokens(self, id: str) -> AgentTokensRevoked:
        """Revoke every token issued to the agent until now."""
        return self._send(calls.revoke_agent_tokens(id))


class Policies(_Group):
    """What agents may do."""

    def create(self, draft: calls.Draft | None = None, /, **fields: Any) -> Policy:
        """Write a policy: a document as in 2-semantics (camelCase), or its fields in snake_case.

        Example:
            act.policies.create(name="Executor", actions=["execute"], resources=["api://tasks/*"],
                                applies_to={"roles": ["executor"]})
        """
        return self._send(calls.create_policy(draft, fields))

    def list(self) -> Iterator[Policy]:
        return self._all(lambda cursor: calls.list_policies(cursor=cursor))

    def get(self, id: str) -> Policy:
        return self._send(calls.get_policy(id))

    def replace(
        self, id: str, draft: calls.Draft | None = None, /, *, version: int | None = None, **fields: Any
    ) -> Policy:
        """Make the next version. Fields that are not given have their defaults, not their former values.

        With `version`, only if that is still the current one (412 otherwise).
        """
        return self._send(calls.replace_policy(id, draft, fields, version))

    def restore(self, id: str, version: int, *, current: int | None = None) -> Policy:
        """Make an old version the next one; with `current`, only if that is still the current one."""
        return self._send(calls.restore_policy(id, version, current))

    def validate(self, draft: calls.Draft | None = None, /, **fields: Any) -> PolicyValidated:
        """All faults and warnings of a draft; stores nothing."""
        return self._send(calls.validate_policy(draft, fields))

    def compare(self, id: str, before: int, after: int) -> PolicyComparison:
        """What changed from one version to another."""
        return self._send(calls.compare_policy(id, before, after))

    def delete(self, id: str) -> None:
        self._send(calls.delete_policy(id))

    def versions(self, id: str) -> Iterator[Policy]:
        return self._all(lambda cursor: calls.policy_versions(id, cursor=cursor))


class Tokens(_Group):
    """What agents show when they ask."""

    def issue(
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
        """A token for the agent, for `expires_in` seconds. Its string is in this answer and nowhere else.

        Args:
            renew_for: seconds for which its holder may renew it. Without it, not at all if `expires_in` is given.
            policy_ids: only what one of these policies allows is allowed.
            actions, resources: only these actions on these resources (globs); `scope` is a list of several such parts.
            task: what the token is for; `facts` are values of the task that conditions see as `token.facts`.
            on_behalf_of: the user for whom the agent acts.
            cnf: the public JWK that the token is bound to (`ProofKey.public_jwk`).
        """
        narrowed = scope_of(scope, actions, resources)
        call = calls.issue_token(
            agent_id, expires_in, renew_for, policy_ids, narrowed, task_of(task, facts), on_behalf_of, cnf
        )
        return self._send(call)

    def list(self, agent_id: str | None = None) -> Iterator[Token]:
        return self._all(lambda cursor: calls.list_tokens(agent_id, cursor=cursor))

    def get(self, id: str) -> Token:
        return self._send(calls.get_token(id))

    def revoke(self, id: str) -> TokenRevoked:
        """Revoke the token, what was rotated from it, and all that was handed down; effective on the next request."""
        return self._send(calls.revoke_token(id))

    def rotate(
        self,
        id: str,
        *,
        expires_in: int | None = None,
        grace: int | None = None,
        token: str | None = None,
        key: ProofKey | None = None,
    ) -> IssuedToken:
        """A new token in the place of this one, which stays good for `grace` seconds (30 by default).

        Using the old one later is taken for theft, and revokes both and everything handed down from them.

        Args:
            token: the string of the token: whoever holds it needs a key for `enforce` only.
            key: what the token is bound to, if it is, and `token` is given.
        """
        return self._send(calls.rotate_token(id, expires_in, grace, token, key))

    def introspect(self, token: str) -> Introspection:
        """What a token is that somebody has shown (RFC 7662): `active`, and then its claims."""
        return self._send(calls.introspect_token(token))


class Delegations(_Group):
    """What agents hand down to one another."""

    def create(
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
        """A token for the agent `to` (id or name), by right of `parent_token`; `guard.delegate` is the short way.

        Args:
            actions, resources: what is handed down (globs); `scope` is a list of several such parts.
            grants: `use`, `delegate`, or both; `use` by default.
            hand_to: with `delegate`, to whom it may be handed on: `{"roles": [...]}`, `{"agent_ids": [...]}` or both.
            max_depth: with `delegate`, how many agents may follow; 1 by default.
            task, facts: the task of the parent token, which its children share; facts need a key for `tokens`.
            cnf: the public JWK that the new token is bound to.
            key: what the parent token is bound to, if it is.
        """
        narrowed, given = scope_of(scope, actions, resources), task_of(task, facts)
        call = calls.delegate(
            parent_token, to, narrowed, expires_in, renew_for, grants, agents_of(hand_to), max_depth, given, cnf, key
        )
        return self._send(call)

    def tree(self, token_id: str) -> DelegationNode:
        """The place of a token, and everything that was handed down from it."""
        return self._send(calls.delegation_tree(token_id))


class Approvals(_Group):
    """What people are asked."""

    def list(self, status: ApprovalStatus | None = None) -> Iterator[Approval]:
        return self._all(lambda cursor: calls.list_approvals(status, cursor=cursor))

    def get(self, id: str, wait: int = 0) -> Approval:
        """The approval; with `wait` (0 to 60 seconds) the answer comes when it is no longer pending, or then."""
        return self._send(calls.get_approval(id, wait))

    def approve(self, id: str, reason: str | None = None) -> Approval:
        """Say yes, as the person the API key belongs to."""
        return self._send(calls.approve(id, reason))

    def reject(self, id: str, reason: str) -> Approval:
        """Say no; `reason` goes back to the agent."""
        return self._send(calls.reject(id, reason))


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
    ) -> Iterator[AuditRecord]:
        """Records of the database that match all filters.

        `resource` is a glob, `begin` the first index that is looked at, `limit` the size of one page (at most 200).
        """
        filters = {name: value for name, value in locals().items() if name != "self"}
        return self._all(lambda cursor: calls.list_audit(filters, cursor=cursor))

    def get(self, index: int) -> AuditRecord:
        return self._send(calls.get_audit(index))

    def erase(self, index: int, reason: str) -> ArgumentsErased:
        """Erase what was kept of the arguments of one decision, also in its approval. The log stays valid."""
        return self._send(calls.erase_arguments(index, reason))

    def erase_matching(
        self,
        reason: str,
        *,
        agent_id: str | None = None,
        requester_id: str | None = None,
        on_behalf_of: str | None = None,
        before: datetime | str | None = None,
    ) -> Iterator[ArgumentsErased]:
        """Erase what was kept of the arguments of decisions to which all that is given applies, call by call.

        Nothing is done until the iterator is asked, and all of it only when it has ended.
        """
        whose = {"agent_id": agent_id, "requester_id": requester_id, "on_behalf_of": on_behalf_of, "before": before}
        begin: int | None = 0
        while begin is not None:
            erased = self._send(calls.erase_matching(whose, reason, begin))
            yield erased
            begin = erased.next

    def export(self) -> Iterator[AuditRecord]:
        """The log as the database holds it, streamed. Raises `UnexpectedAnswer` without the checkpoint at its end."""
        closed = False
        for line in self._transport.lines(calls.export_audit(calls.export_line)):
            if isinstance(line, AuditRecord):
                yield line
            closed = isinstance(line, Checkpoint)
        if not closed:
            raise cut_off()

    def export_lines(self, begin: int | None = None) -> Iterator[bytes]:
        """The lines of the export exactly as they were hashed, for `actctl audit verify`; nothing is checked."""
        return self._transport.lines(calls.export_audit(bytes, begin))

    def archives(self) -> Iterator[AuditArchive]:
        """The files that hold the oldest records, in the order of the log."""
        return self._all(lambda cursor: calls.list_archives(cursor=cursor))

    def archive(self, older_than: int | None = None) -> ArchiveSealed:
        """Seal the oldest records, those older than so many seconds, or than the tenant's retention, into a file."""
        return self._send(calls.seal_archive(older_than))

    def checkpoint(self) -> Checkpoint:
        """The signed head of the log."""
        return self._send(calls.checkpoint())

    def inclusion(self, index: int, size: int | None = None) -> InclusionProof:
        """That a record is among the first `size`, or among all. Check it with what you kept, not with its own root."""
        return self._send(calls.inclusion_proof(index, size))

    def consistency(self, first: int, second: int | None = None) -> ConsistencyProof:
        """That the log of `second` records, or the whole log, begins with the `first`."""
        return self._send(calls.consistency_proof(first, second))


class Keys(_Group):
    """The keys that sign tokens."""

    def list(self) -> Iterator[SigningKey]:
        """All of the tenant's, in the order in which they were made."""
        return self._all(lambda cursor: calls.list_keys(cursor=cursor))

    def rotate(self, algorithm: SigningAlgorithm | None = None) -> SigningKeyRotated:
        """Sign with the next key from now on, or with a new one of `algorithm`; old tokens stay good for their time."""
        return self._send(calls.rotate_key(algorithm))

    def revoke(self, kid: str) -> SigningKeyRevoked:
        """Trust nothing that the key has signed, from the next request on."""
        return self._send(calls.revoke_key(kid))


class ApiKeys(_Group):
    """Who may call ACT."""

    def create(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        agent_id: str | None = None,
        expires_in: int | None = None,
        roles: Iterable[str] = (),
        person: str | None = None,
    ) -> IssuedApiKey:
        """A key with some of `act.models.Scope`. Its string is in this answer and nowhere else.

        Args:
            roles: those in which its holder approves (`requiresApproval.from`).
            person: who holds it, such as an e-mail address; all keys of one person are one approver.
        """
        return self._send(calls.create_api_key(name, scopes, agent_id, expires_in, roles, person))

    def list(self) -> Iterator[ApiKey]:
        return self._all(lambda cursor: calls.list_api_keys(cursor=cursor))

    def revoke(self, id: str) -> ApiKeyRevoked:
        return self._send(calls.revoke_api_key(id))


class Tenants(_Group):
    """The tenant that the API key belongs to."""

    def get(self, id: str) -> Tenant:
        return self._send(calls.get_tenant(id))

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
            calls.update_tenant(
                id, max_token_ttl, default_token_ttl, default_labels, audit_arguments, redact_patterns, audit_retention
            )
        )

    def freeze(self, id: str, reason: str | None = None) -> TenantFrozen:
        """The kill switch: everything is denied from the next request on (`tenant_frozen`), until `unfreeze`."""
        return self._send(calls.freeze_tenant(id, reason))

    def unfreeze(self, id: str, reason: str | None = None) -> TenantFrozen:
        return self._send(calls.unfreeze_tenant(id, reason))


class Webhooks(_Group):
    """Which programs are told of what happens."""

    def create(
        self,
        url: str,
        events: Iterable[str] | None = None,
        *,
        description: str = "",
        include_arguments: bool = False,
    ) -> IssuedWebhook:
        """Tell `url` of some `act.models.WEBHOOK_EVENTS`, or of all. Its signing secret is in this answer alone.

        Args:
            include_arguments: send the arguments of what is asked as well; they may be confidential.
        """
        return self._send(calls.create_webhook(url, events, description, include_arguments))

    def list(self) -> Iterator[Webhook]:
        return self._all(lambda cursor: calls.list_webhooks(cursor=cursor))

    def get(self, id: str) -> Webhook:
        return self._send(calls.get_webhook(id))

    def update(self, id: str, **changes: Any) -> Webhook:
        """Change `url`, `events`, `description`, `include_arguments` or `enabled`; what is not named stays."""
        return self._send(calls.update_webhook(id, changes))

    def delete(self, id: str) -> None:
        self._send(calls.delete_webhook(id))

    def rotate_secret(self, id: str) -> WebhookSecretRotated:
        """Sign with a new secret, which is in this answer alone; the old one signs too for 24 hours."""
        return self._send(calls.rotate_webhook_secret(id))

    def test(self, id: str) -> Delivery:
        """Send the event `webhook.test`; `deliveries` tells how it went."""
        return self._send(calls.test_webhook(id))

    def deliveries(self, id: str) -> Iterator[Delivery]:
        """What was sent in the last 7 days, and what waits; the newest first."""
        return self._all(lambda cursor: calls.list_deliveries(id, cursor=cursor))

    def resend(self, id: str, delivery_id: str) -> Delivery:
        """Send a message again, under the id it had."""
        return self._send(calls.resend_delivery(id, delivery_id))
