"""What is to be told, written in the commit of what it tells of: neither is there without the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from act.audit.transaction import Transaction
from act.database.clock import Clock
from act.database.ids import new_id
from act.models import WebhookEvent
from act.webhooks import store
from act.webhooks.live import LiveWebhooks
from act.webhooks.webhook import TEST, Webhook, payload


class Outbox:
    """Other rooms tell of events here and know nothing of webhooks."""

    def __init__(self, clock: Clock, live: LiveWebhooks) -> None:
        self._clock = clock
        self._live = live

    def emit(
        self, transaction: Transaction, tenant_id: str, event: WebhookEvent, data: Callable[[], Mapping[str, Any]]
    ) -> None:
        """Tell every webhook that wants to hear of `event`. When there is none, nothing is asked and written.

        Args:
            data: gives what happened, as JSON; the member `arguments` goes only to webhooks that include it.
        """
        hearing = self._live.hearing(tenant_id, event)
        told, now = data() if hearing else {}, self._clock.now()
        # At most two, however many hear of it: every decision that is being written waits for this.
        wanted = {webhook.include_arguments for webhook in hearing}
        bodies = {each: payload(event, now, told, include_arguments=each) for each in wanted}
        for webhook in hearing:
            self._put_out(transaction, webhook, event, now, bodies[webhook.include_arguments])

    def test(self, transaction: Transaction, webhook: Webhook) -> str:
        """Tell one webhook of a test; the id of the delivery."""
        told, now = {"webhookId": webhook.id, "tenantId": webhook.tenant_id}, self._clock.now()
        return self._put_out(transaction, webhook, TEST, now, payload(TEST, now, told, include_arguments=False))

    def _put_out(self, transaction: Transaction, webhook: Webhook, event: str, now: datetime, body: str) -> str:
        id = new_id("whd")
        store.put_out(
            transaction.connection,
            id=id,
            tenant_id=webhook.tenant_id,
            webhook_id=webhook.id,
            event=event,
            body=body,
            created_at=now,
        )
        return id
