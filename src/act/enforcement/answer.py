"""The two forms of one decision: what the caller reads, and what the audit log keeps."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import orjson

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
    body = orjson.dumps(
        {
            "requestId": request.request_id,
            "decision": settlement.verdict.value,
            "reasonCode": settlement.code.value,
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
    conversation = request.context.get("conversationId")
    ruling, allowed = judgement.ruling, settlement.verdict is Verdict.ALLOWED
    return {
        "decisionId": decision_id,
        "requestId": clip(request.request_id),
        "requestDigest": asked.digest.hex(),
        "keyId": asked.caller.id,
        "agentId": judgement.agent_id,
        "agentName": accepted.agent.name if accepted else None,
        "tokenId": judgement.token_id,
        "taskId": accepted.claims.task_id if accepted else None,
        "rootNode": accepted.claims.root if accepted else None,
        "chain": [link.agent.id for link in accepted.links] if accepted else None,
        "onBehalfOf": clip(user) if accepted and (user := accepted.claims.on_behalf_of) else None,
        "requesterId": judgement.requester.id if judgement.requester else None,
        "requesterClaimed": clip(request.requester) if request.requester and not judgement.requester else None,
        "action": clip(request.action),
        "resourceId": clip(request.resource_id),
        **body.told,
        "conversationId": clip(conversation) if isinstance(conversation, str) else None,
        "traceparent": asked.traceparent,
        "policies": [
            {"id": policy.id, "version": policy.version, "effect": policy.effect}
            for policy in (ruling.policies if ruling else ())
        ],
        "shadow": _shadow(ruling.shadow) if ruling and ruling.shadow else None,
        "decision": str(settlement.verdict),
        "reasonCode": str(settlement.code),
        "reason": clip(settlement.reason),
        "approvalId": settlement.approval.id if settlement.approval else None,
        "obligations": dict(ruling.obligations) if ruling and ruling.obligations and allowed else None,
        "limits": counted(settlement.rooms) if settlement.effects and settlement.rooms else None,
        "leaseSeconds": None if settlement.lease_seconds is None else int(settlement.lease_seconds),
        "dryRun": True if request.dry_run else None,
        "revision": revision,
        "evaluatedAt": rfc3339(now),
    }


def _shadow(shadow: Shadow) -> dict[str, Any]:
    """What would have been answered; limits and given approvals are not looked at."""
    named = [{"id": policy.id, "version": policy.version, "effect": policy.effect} for policy in shadow.policies]
    return {"reasonCode": str(shadow.code), "policies": named}
