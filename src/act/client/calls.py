"""Every call of the API, one function each (3-api, "Calls"); they build a `Call` and do no I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from act.client.call import Call, get, nothing, path, post
from act.client.narrowing import listed
from act.client.proof import ProofKey
from act.client.proving import proved
from act.models import (
    Agent,
    AgentTokensRevoked,
    ApiKey,
    ApiKeyRevoked,
    Approval,
    ArchiveSealed,
    ArgumentsErased,
    AuditArchive,
    AuditArguments,
    AuditRecord,
    Checkpoint,
    ConsistencyProof,
    Decision,
    DelegationNode,
    Delivery,
    Health,
    InclusionProof,
    Introspection,
    IssuedApiKey,
    IssuedToken,
    IssuedWebhook,
    OutcomeRecorded,
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
    rfc3339,
)

T = TypeVar("T")

SEALING = 120.0
"""Seconds that an archive may take."""

Outcome = Literal["succeeded", "failed", "cancelled"]
Draft = Mapping[str, Any] | BaseModel

# --- agents -----------------------------------------------------------------------------------------------------------


def create_agent(
    name: str, id: str | None, description: str, roles: Iterable[str], metadata: Mapping[str, Any] | None
) -> Call[Agent]:
    body = {"id": id, "name": name, "description": description, "roles": list(roles), "metadata": metadata}
    return post(path("agents"), Agent, body)


def list_agents(cursor: str | None = None) -> Call[Page[Agent]]:
    return get(path("agents"), Page[Agent], {"cursor": cursor})


def get_agent(id: str) -> Call[Agent]:
    return get(path("agents", id), Agent)


def update_agent(id: str, changes: Mapping[str, Any]) -> Call[Agent]:
    return post(path("agents", id), Agent, changes, method="PATCH")


def delete_agent(id: str) -> Call[None]:
    return Call("DELETE", path("agents", id), nothing)


def set_agent_status(id: str, verb: Literal["suspend", "resume"]) -> Call[Agent]:
    return post(path("agents", id, verb), Agent)


def revoke_agent_tokens(id: str) -> Call[AgentTokensRevoked]:
    return post(path("agents", id, "revoke-tokens"), AgentTokensRevoked)


# --- policies ---------------------------------------------------------------------------------------------------------


def create_policy(draft: Draft | None, fields: Mapping[str, Any]) -> Call[Policy]:
    return _policy("POST", path("policies"), draft, fields)


def list_policies(cursor: str | None = None) -> Call[Page[Policy]]:
    return get(path("policies"), Page[Policy], {"cursor": cursor})


def get_policy(id: str) -> Call[Policy]:
    return get(path("policies", id), Policy)


def replace_policy(id: str, draft: Draft | None, fields: Mapping[str, Any], version: int | None) -> Call[Policy]:
    return _policy("PUT", path("policies", id), draft, fields, _if_match(version))


def restore_policy(id: str, version: int, current: int | None) -> Call[Policy]:
    return post(path("policies", id, "restore"), Policy, {"version": version}, headers=_if_match(current))


def validate_policy(draft: Draft | None, fields: Mapping[str, Any]) -> Call[PolicyValidated]:
    body = policy_body(draft, fields)
    return Call("POST", path("policies", "validate"), PolicyValidated.model_validate_json, body=body, idempotent=True)


def compare_policy(id: str, before: int, after: int) -> Call[PolicyComparison]:
    return get(path("policies", id, "compare"), PolicyComparison, {"from": str(before), "to": str(after)})


def agent_permissions(id: str) -> Call[Permissions]:
    return get(path("agents", id, "permissions"), Permissions)


def _if_match(version: int | None) -> dict[str, str]:
    """Change only this version; without one, whatever there is (RFC 9110, section 13.1.1)."""
    return {"If-Match": "*" if version is None else f'"v{version}"'}


def delete_policy(id: str) -> Call[None]:
    return Call("DELETE", path("policies", id), nothing)


def policy_versions(id: str, cursor: str | None = None) -> Call[Page[Policy]]:
    return get(path("policies", id, "versions"), Page[Policy], {"cursor": cursor})


def _policy(
    method: str, at: str, draft: Draft | None, fields: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Call[Policy]:
    # What the author wrote goes over as it is, null included: leaving it out could mean something else.
    return Call(method, at, Policy.model_validate_json, body=policy_body(draft, fields), headers=headers or {})


def policy_body(draft: Draft | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A policy document from a draft as its author writes it (camelCase), or from snake_case fields, or both."""
    if isinstance(draft, BaseModel):
        draft = draft.model_dump(mode="json", by_alias=True, exclude_unset=True)
    # An argument schema is the author's own text: the names in it are names of arguments.
    schema = {"arguments": fields["arguments"]} if "arguments" in fields else {}
    return {**(draft or {}), **_camel({name: value for name, value in fields.items() if name not in schema}), **schema}


def _camel(value: Any) -> Any:
    """Field names in camelCase; moments as ACT writes them. A value whose names are the author's is not for this."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return {to_camel(name): _camel(item) for name, item in value.items()}
    return rfc3339(value) if isinstance(value, datetime) else value


# --- tokens -----------------------------------------------------------------------------------------------------------


def issue_token(
    agent_id: str,
    expires_in: int | None,
    renew_for: int | None,
    policy_ids: Iterable[str] | None,
    scope: list[dict[str, list[str]]] | None,
    task: Mapping[str, Any] | None,
    on_behalf_of: str | None,
    cnf: Mapping[str, Any] | None,
) -> Call[IssuedToken]:
    """`scope` and `task` as `narrowing` makes them; `cnf` is the public key as a JWK."""
    body = {
        "agentId": agent_id,
        "expiresIn": expires_in,
        "renewFor": renew_for,
        "policyIds": None if policy_ids is None else listed("policy_ids", policy_ids),
        "scope": scope,
        "task": task,
        "onBehalfOf": on_behalf_of,
        "cnf": None if cnf is None else {"jwk": dict(cnf)},
    }
    return post(path("tokens"), IssuedToken, body)


def list_tokens(agent_id: str | None = None, cursor: str | None = None) -> Call[Page[Token]]:
    return get(path("tokens"), Page[Token], {"agentId": agent_id, "cursor": cursor})


def get_token(id: str) -> Call[Token]:
    return get(path("tokens", id), Token)


def revoke_token(id: str) -> Call[TokenRevoked]:
    """Idempotent: it is repeated until an answer says that it holds."""
    return Call("POST", path("tokens", id, "revoke"), TokenRevoked.model_validate_json, idempotent=True)


def rotate_token(
    id: str, expires_in: int | None, grace: int | None, token: str | None, key: ProofKey | None
) -> Call[IssuedToken]:
    """With `token`, by right of whoever holds it, and then idempotent.

    A second rotation leaves a token that nobody knows. A lost answer to the first, not asked for again within the
    grace, would leave the holder with a token whose use revokes the node.
    """
    body = {"expiresIn": expires_in, "grace": grace}
    given = {name: value for name, value in body.items() if value is not None}
    if token is not None:
        given = proved(given, key, token, "token", "rotate", f"token://{id}")
    return Call(
        "POST",
        path("tokens", id, "rotate"),
        IssuedToken.model_validate_json,
        body=given,
        idempotent=token is not None,
    )


def introspect_token(token: str) -> Call[Introspection]:
    at = path("tokens", "introspect")
    return Call("POST", at, Introspection.model_validate_json, body={"token": token}, idempotent=True)


# --- delegations ------------------------------------------------------------------------------------------------------


def delegate(
    parent_token: str,
    to: str,
    scope: list[dict[str, list[str]]] | None,
    expires_in: int | None,
    renew_for: int | None,
    grants: Iterable[str] | None,
    hand_to: Mapping[str, list[str]] | None,
    max_depth: int | None,
    task: Mapping[str, Any] | None,
    cnf: Mapping[str, Any] | None,
    key: ProofKey | None,
) -> Call[IssuedToken]:
    """`scope`, `task` and `hand_to` as `narrowing` makes them; `key` is what the parent token is bound to."""
    body = {
        "toAgentId": to,
        "scope": scope,
        "expiresIn": expires_in,
        "renewFor": renew_for,
        "grants": None if grants is None else listed("grants", grants),
        "to": hand_to,
        "maxDepth": max_depth,
        "task": task,
        "cnf": None if cnf is None else {"jwk": dict(cnf)},
    }
    given = proved(body, key, parent_token, "parentToken", "delegate", f"agent://{to}")
    return post(path("delegations"), IssuedToken, given)


def delegation_tree(token_id: str) -> Call[DelegationNode]:
    return get(path("delegations", token_id, "tree"), DelegationNode)


# --- decisions and approvals ------------------------------------------------------------------------------------------


def enforce(body: Mapping[str, Any], parse: Callable[[bytes], Decision]) -> Call[Decision]:
    """Idempotent by its `requestId`, which stays the same across retries (2-semantics, "Decisions")."""
    return Call("POST", path("enforce"), parse, body=body, idempotent=True)


def report_outcome(
    decision_id: str, status: Outcome, labels: Iterable[str] | None, created: Iterable[str] | None
) -> Call[OutcomeRecorded]:
    """Idempotent: the server records the same report once.

    Without `labels` the tenant's default labels count; an empty list is sent as one.
    """
    body: dict[str, Any] = {"status": status}
    for name, given in (("labels", labels), ("created", created)):
        if isinstance(given, str):
            raise TypeError(f"{name} is a list of texts, not one text.")
    if labels is not None:
        body["labels"] = list(labels)
    if made := list(created or ()):
        body["created"] = made
    at = path("decisions", decision_id, "outcome")
    return Call("POST", at, OutcomeRecorded.model_validate_json, body=body, idempotent=True)


def list_approvals(status: str | None = None, cursor: str | None = None) -> Call[Page[Approval]]:
    return get(path("approvals"), Page[Approval], {"status": status, "cursor": cursor})


def get_approval(id: str, wait: int = 0) -> Call[Approval]:
    return get(path("approvals", id), Approval, wait=wait)


def approve(id: str, reason: str | None) -> Call[Approval]:
    return post(path("approvals", id, "approve"), Approval, {"reason": reason})


def reject(id: str, reason: str) -> Call[Approval]:
    return post(path("approvals", id, "reject"), Approval, {"reason": reason})


# --- signing keys -----------------------------------------------------------------------------------------------------


def list_keys(cursor: str | None = None) -> Call[Page[SigningKey]]:
    return get(path("keys"), Page[SigningKey], {"cursor": cursor})


def rotate_key(algorithm: SigningAlgorithm | None) -> Call[SigningKeyRotated]:
    return post(path("keys", "rotate"), SigningKeyRotated, {"algorithm": algorithm})


def revoke_key(kid: str) -> Call[SigningKeyRevoked]:
    return post(path("keys", kid, "revoke"), SigningKeyRevoked)


# --- API keys ---------------------------------------------------------------------------------------------------------


def create_api_key(
    name: str,
    scopes: Iterable[str],
    agent_id: str | None,
    expires_in: int | None,
    roles: Iterable[str] = (),
    person: str | None = None,
) -> Call[IssuedApiKey]:
    # str(): a member of the Scope enumeration is not a plain JSON string.
    body: dict[str, Any] = {"name": name, "scopes": [str(s) for s in scopes], "agentId": agent_id}
    body |= {"expiresIn": expires_in, "roles": list(roles) or None, "person": person}
    return post(path("api-keys"), IssuedApiKey, body)


def list_api_keys(cursor: str | None = None) -> Call[Page[ApiKey]]:
    return get(path("api-keys"), Page[ApiKey], {"cursor": cursor})


def revoke_api_key(id: str) -> Call[ApiKeyRevoked]:
    return Call("DELETE", path("api-keys", id), ApiKeyRevoked.model_validate_json)


# --- tenants ----------------------------------------------------------------------------------------------------------


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


# --- webhooks ---------------------------------------------------------------------------------------------------------


def create_webhook(
    url: str, events: Iterable[str] | None, description: str, include_arguments: bool
) -> Call[IssuedWebhook]:
    chosen = None if events is None else listed("events", events)
    body = {"url": url, "events": chosen, "description": description or None}
    return post(path("webhooks"), IssuedWebhook, body | {"includeArguments": include_arguments or None})


def list_webhooks(cursor: str | None = None) -> Call[Page[Webhook]]:
    return get(path("webhooks"), Page[Webhook], {"cursor": cursor})


def get_webhook(id: str) -> Call[Webhook]:
    return get(path("webhooks", id), Webhook)


def update_webhook(id: str, changes: Mapping[str, Any]) -> Call[Webhook]:
    body = {to_camel(name): value for name, value in changes.items()}
    return post(path("webhooks", id), Webhook, body, method="PATCH")


def delete_webhook(id: str) -> Call[None]:
    return Call("DELETE", path("webhooks", id), nothing)


def rotate_webhook_secret(id: str) -> Call[WebhookSecretRotated]:
    return post(path("webhooks", id, "rotate-secret"), WebhookSecretRotated)


def test_webhook(id: str) -> Call[Delivery]:
    return post(path("webhooks", id, "test"), Delivery)


def list_deliveries(id: str, cursor: str | None = None) -> Call[Page[Delivery]]:
    return get(path("webhooks", id, "deliveries"), Page[Delivery], {"cursor": cursor})


def resend_delivery(id: str, delivery_id: str) -> Call[Delivery]:
    return post(path("webhooks", id, "deliveries", delivery_id, "resend"), Delivery)


# --- audit ------------------------------------------------------------------------------------------------------------


def list_audit(filters: Mapping[str, Any], cursor: str | None = None) -> Call[Page[AuditRecord]]:
    """`filters` in snake_case, as in 3-api: agent, requester, action, resource, decision, reason_code and so on."""
    given = {to_camel(name): _text(value) for name, value in filters.items()}
    return get(path("audit"), Page[AuditRecord], {**given, "cursor": cursor})


def get_audit(index: int) -> Call[AuditRecord]:
    return get(path("audit", str(index)), AuditRecord)


def erase_arguments(index: int, reason: str) -> Call[ArgumentsErased]:
    """Idempotent: it is made again at every try."""
    at = path("audit", str(index), "erase")
    return Call("POST", at, ArgumentsErased.model_validate_json, body={"reason": reason}, idempotent=True)


def erase_matching(whose: Mapping[str, Any], reason: str, begin: int) -> Call[ArgumentsErased]:
    """`whose` in snake_case: agent_id, requester_id, on_behalf_of, before. Idempotent, as `erase_arguments`."""
    given = {to_camel(name): text for name, value in whose.items() if (text := _text(value)) is not None}
    body = given | {"reason": reason, "begin": begin}
    return Call("POST", path("audit", "erase"), ArgumentsErased.model_validate_json, body=body, idempotent=True)


def list_archives(cursor: str | None = None) -> Call[Page[AuditArchive]]:
    return get(path("audit", "archives"), Page[AuditArchive], {"cursor": cursor})


def seal_archive(older_than: int | None) -> Call[ArchiveSealed]:
    made = post(path("audit", "archives"), ArchiveSealed, {"olderThan": older_than})
    return replace(made, wait=SEALING)


def export_audit(parse: Callable[[bytes], T], begin: int | None = None) -> Call[T]:
    """A streamed answer: `parse` reads one line of it."""
    params = {"format": "jsonl"} if begin is None else {"format": "jsonl", "begin": str(begin)}
    return Call("GET", path("audit", "export"), parse, params=params, idempotent=True)


def export_line(line: bytes) -> AuditRecord | Checkpoint | None:
    """One line of an export: a record, or the checkpoint that closes it; None for what was before the first record."""
    found = json.loads(line)
    if isinstance(found, dict) and "begin" in found:
        return None
    if isinstance(found, dict) and "checkpoint" in found:
        return Checkpoint.model_validate(found["checkpoint"])
    return AuditRecord.model_validate(found)


def checkpoint() -> Call[Checkpoint]:
    return get(path("audit", "checkpoint"), Checkpoint)


def inclusion_proof(index: int, size: int | None) -> Call[InclusionProof]:
    asked = {"index": str(index), "size": None if size is None else str(size)}
    return get(path("audit", "proof", "inclusion"), InclusionProof, asked)


def consistency_proof(first: int, second: int | None) -> Call[ConsistencyProof]:
    asked = {"first": str(first), "second": None if second is None else str(second)}
    return get(path("audit", "proof", "consistency"), ConsistencyProof, asked)


# --- server -----------------------------------------------------------------------------------------------------------


def ready() -> Call[Health]:
    """A server that is not ready says so with 503 and the same document."""
    return Call("GET", "/readyz", Health.model_validate_json, idempotent=True, answers=frozenset({503}))


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return rfc3339(value) if isinstance(value, datetime) else str(value)
