"""The two forms of one decision: what the caller reads, and what the audit log keeps."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from act import json_bytes
from act.audit.arguments import Body
from act.audit.record import clip
from act.audit.transaction import Sealed
from act.enforcement.answered import Answered
from act.enforcement.bearers import Asked
from act.enforcement.demand import counted, left_of
from act.enforcement.judge import Judgement
from act.enforcement.rate_headers import rate_headers
from act.enforcement.ruling import Shadow
from act.models import Verdict, rfc3339
from act.policies.policy import Near
from act.text import without_secrets


def answer(
    asked: Asked, judgement: Judgement, decision_id: str, revision: int, now: datetime, sealed: Sealed
) -> Answered:
    """What the caller reads, member by member as `act.models.Decision` writes it (a test compares the two)."""
    settlement, ruling, request, dry = judgement.settlement, judgement.ruling, asked.request, asked.request.dry_run
    lease, approval = settlement.lease_seconds, settlement.approval
    allowed = settlement.verdict is Verdict.ALLOWED
    limits = left_of(settlement.rooms) if settlement.rooms else []
    retry_after = None if settlement.retry_after is None else math.ceil(settlement.retry_after)
    body = json_bytes.encode(
        {
            "requestId": request.request_id,
            "decision": str(settlement.verdict),
            "reasonCode": str(settlement.code),
            "reason": without_secrets(clip(settlement.reason)),  # it names what was asked, and clients log it
            "decisionId": decision_id,
            "agentId": judgement.agent_id,
            "tenantId": asked.caller.tenant_id,
            "policies": [
                {"id": policy.id, "name": policy.name, "version": policy.version, "effect": policy.effect}
                for policy in (ruling.policies if ruling else ())
            ],
            "nearMisses": [_near(near) for near in ruling.near] if ruling else [],
            "obligations": dict(ruling.obligations) if ruling and allowed else {},
            "lease": None if lease is None else {"expiresAt": rfc3339(now + timedelta(seconds=lease))},
            "limits": limits,
            "retryAfter": retry_after,
            "approval": {"id": approval.id, "expiresAt": rfc3339(approval.expires_at)} if approval else None,
            "audit": {"index": sealed.index, "leafHash": sealed.leaf_hash},
            "revision": revision,
            "evaluatedAt": rfc3339(now),
            "dryRun": dry,
            "replayed": False,
        }
    )
    headers = rate_headers(limits, retry_after) if limits or retry_after is not None else {}
    return Answered(body, settlement.verdict, decision_id, dry, headers)


def _near(near: Near) -> dict[str, str]:
    # A sentence may name what was asked, as long as that is; answers are kept for two minutes.
    return {
        "policyId": near.policy.id,
        "name": near.policy.name,
        "pointer": near.pointer,
        "message": clip(near.message),
    }


def record(
    asked: Asked, judgement: Judgement, decision_id: str, revision: int, now: datetime, body: Body
) -> dict[str, Any]:
    """The record of a decision (2-semantics, "Audit"); enough of it to answer the same after a restart (`recall`)."""
    request, settlement, accepted = asked.request, judgement.settlement, judgement.accepted
    ruling, context = judgement.ruling, request.context
    told: dict[str, Any] = {
        "decisionId": decision_id,
        "requestId": clip(request.request_id),
        "requestDigest": asked.digest.hex(),
        "keyId": asked.caller.id,
        "agentId": judgement.agent_id,
        "tokenId": judgement.token_id,
        "action": clip(request.action),
        "resourceId": clip(request.resource_id),
        **body.told,
        "policies": [
            {"id": policy.id, "version": policy.version, "effect": policy.effect}
            for policy in (ruling.policies if ruling else ())
        ],
        "decision": str(settlement.verdict),
        "reasonCode": str(settlement.code),
        "reason": clip(settlement.reason),
        "revision": revision,
        "evaluatedAt": rfc3339(now),
    }
    if accepted:
        claims = accepted.claims
        told["agentName"] = accepted.agent.name
        told["rootNode"] = claims.root
        told["chain"] = [link.agent.id for link in accepted.links]
        if claims.task_id is not None:
            told["taskId"] = claims.task_id
        if claims.on_behalf_of:
            told["onBehalfOf"] = clip(claims.on_behalf_of)
    if asked.traceparent:
        told["traceparent"] = asked.traceparent
    if judgement.requester:
        told["requesterId"] = judgement.requester.id
    elif request.requester:
        told["requesterClaimed"] = clip(request.requester)
    if context and isinstance(conversation := context.get("conversationId"), str):
        told["conversationId"] = clip(conversation)
    if ruling and ruling.shadow:
        told["shadow"] = _shadow(ruling.shadow)
    if ruling and ruling.obligations and settlement.verdict is Verdict.ALLOWED:
        told["obligations"] = dict(ruling.obligations)
    if settlement.approval:
        told["approvalId"] = settlement.approval.id
    if settlement.effects and settlement.rooms:
        told["limits"] = counted(settlement.rooms)
    if settlement.lease_seconds is not None:
        told["leaseSeconds"] = int(settlement.lease_seconds)
    if request.dry_run:
        told["dryRun"] = True
    return told


def _shadow(shadow: Shadow) -> dict[str, Any]:
    """What would have been answered; limits and given approvals are not looked at."""
    named = [{"id": policy.id, "version": policy.version, "effect": policy.effect} for policy in shadow.policies]
    return {"reasonCode": str(shadow.code), "policies": named}
