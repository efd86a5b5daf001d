"""Telling webhooks what becomes of an approval, in the commit of the step."""

from __future__ import annotations

from typing import Any

from act.agents.live import LiveAgents
from act.approvals import store
from act.approvals.approval import Approval
from act.audit.transaction import Transaction
from act.models import WebhookEvent, rfc3339
from act.webhooks.outbox import Outbox


class Teller:
    def __init__(self, outbox: Outbox, agents: LiveAgents) -> None:
        self._outbox = outbox
        self._agents = agents

    def tell(
        self, transaction: Transaction, event: WebhookEvent, approval: Approval, reason: str | None = None
    ) -> None:
        """Tell of a step that was just stored; `reason` is what the person gave for it."""
        self._outbox.emit(transaction, approval.tenant_id, event, lambda: self._data(transaction, approval, reason))

    def _data(self, transaction: Transaction, approval: Approval, reason: str | None) -> dict[str, Any]:
        row = store.find(transaction.connection, approval.tenant_id, approval.id)
        assert row is not None, "a step is told of after it was stored"
        stored = store.value(row)
        agent = self._agents.get(row.tenant_id, row.agent_id)
        return {
            "approvalId": row.id,
            "status": row.status,
            "agentId": row.agent_id,
            "agentName": agent.name if agent else row.agent_id,
            "requesterId": row.requester_id,
            "action": row.action,
            "resourceId": row.resource_id,
            "arguments": row.arguments,
            "policies": row.policies,
            "approversNeeded": stored.approvers_needed,
            "approvedBy": [
                {"keyId": vote.key_id, "keyName": vote.key_name, "at": rfc3339(vote.at)} for vote in stored.votes
            ],
            "reason": reason,
            "expiresAt": rfc3339(row.expires_at),
            "tenantId": row.tenant_id,
        }
