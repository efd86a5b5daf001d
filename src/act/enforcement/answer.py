"""The two forms of one decision: what the caller reads, and what the audit log keeps."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from act.audit.record import arguments_hash, clip
from act.audit.transaction import Sealed
from act.enforcement.bearers import Asked
from act.enforcement.demand import counted, left_of
from act.enforcement.judge import Judgement, deciding
from act.enforcement.ruling import Shadow
from act.models import ApprovalReference, AuditReference, Decision, Lease, NearMiss, Verdict, rfc3339
from act.policies.near import Near
from act.text import without_secrets


def answer(
    asked: Asked, judgement: Judgement, decision_id: str, revision: int, now: datetime, sealed: Sealed
) -> Decision:
    settlement, ruling, request = judgement.settlement, judgement.ruling, asked.request
    lease = None
    if settlement.lease_seconds is not None:
        lease = Lease(expires_at=now + timedelta(seconds=settlement.lease_seconds))
    approval = settlement.approval
    return Decision(
        request_id=request.request_id,
        decision_id=decision_id,
        decision=settlement.verdict,
        reason_code=settlement.code,
        reason=without_secrets(clip(settlement.reason)),  # it names what was asked, and clients log it
        agent_id=judgement.agent_id,
        tenant_id=asked.caller.tenant_id,
        policies=[deciding(policy) for policy in ruling.policies] if ruling else [],
        near_misses=[_near(near) for near in ruling.near] if ruling else [],
        obligations=dict(ruling.obligations) if ruling and settlement.verdict is Verdict.ALLOWED else {},
        lease=lease,
        limits=left_of(settlement.rooms),
        retry_after=None if settlement.retry_after is None else math.ceil(settlement.retry_after),
        approval=ApprovalReference(id=approval.id, expires_at=approval.expires_at) if approval else None,
        audit=AuditReference(index=sealed.index, leaf_hash=sealed.leaf_hash),
        revision=revision,
        evaluated_at=now,
        dry_run=request.dry_run,
    )


def _near(near: Near) -> NearMiss:
    # A sentence may name what was asked, as long as that is; answers are kept for two minutes.
    return NearMiss(policy_id=near.policy.id, name=near.policy.name, pointer=near.pointer, message=clip(near.message))


def record(
    asked: Asked, judgement: Judgement, decision_id: str, revision: int, now: datetime, salt: bytes
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
        "argumentsHash": arguments_hash(request.arguments, salt),
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
