"""Steps of approvals: each is stored once, or it is lost; and what is kept of one that is settled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Row

from act import models
from act.approvals import store
from act.approvals.approval import Approval
from act.approvals.telling import Teller
from act.audit.arguments import rest_of
from act.audit.record import clip
from act.audit.redaction import Keeping
from act.audit.transaction import Transaction
from act.tenants.live import LiveTenants


class StepLost(Exception):
    """The approval is no longer in the state that the step starts from."""


class Steps:
    def __init__(self, tenants: LiveTenants, teller: Teller) -> None:
        self._tenants = tenants
        self._teller = teller

    def record(
        self,
        transaction: Transaction,
        kind: models.WebhookEvent,
        row: Row[Any],
        before: Approval,
        after: Approval,
        told: dict[str, Any],
    ) -> None:
        """Store a step with its record; `told` is what that tells beside the approval.

        Raises:
            StepLost: another was faster; nothing of the unit is written.
        """
        if not self.stored(transaction, row, before, after):
            raise StepLost(before.id)
        told |= {
            "approvalId": row.id,
            "agentId": row.agent_id,
            "action": row.action,
            "resourceId": row.resource_id,
            "decisionId": row.decision_id,
            "status": after.status,
            "revision": transaction.change(row.tenant_id, "approval", row.id),
        }
        conversation = row.context.get("conversationId")
        if isinstance(conversation, str):
            told["conversationId"] = clip(conversation)
        transaction.record(row.tenant_id, kind, told)
        self._teller.tell(transaction, kind, after, told.get("reason"))

    def stored(self, transaction: Transaction, row: Row[Any], before: Approval, after: Approval) -> bool:
        """Store a step, unless another was faster. Of what is settled stays what the tenant's log keeps."""
        if after.open:
            return store.step(transaction.connection, before, after)
        keeping = Keeping("none") if row.erase else self._tenants.get(row.tenant_id).keeping
        arguments, context = rest_of(row.arguments, keeping), rest_of(row.context, keeping)
        rest: dict[str, Any] = {"arguments": arguments, "context": (context or {}) | _conversation(row.context)}
        if row.erase:
            rest["binding"] = store.no_binding()
        return store.step(transaction.connection, before, after, **rest)

    def erase(self, transaction: Transaction, tenant_id: str, ids: Iterable[str]) -> int:
        """Erase the arguments of approvals that are settled, and answer of how many; of open ones, once they are.

        Who decides has to see what is asked, so an open approval has them until then.
        """
        erased = 0
        for row in store.rows(transaction.connection, ids):
            if row.tenant_id == tenant_id and not row.erase:
                store.erase(transaction.connection, row.id, _conversation(row.context), open=store.value(row).open)
                erased += not store.value(row).open
        return erased


def _conversation(context: Mapping[str, Any]) -> dict[str, Any]:
    """What the log has of a context, too."""
    return {name: value for name, value in context.items() if name == "conversationId"}
