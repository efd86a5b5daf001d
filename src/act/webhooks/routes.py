"""`/v1/webhooks`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Query

from act import models
from act.database.pages import DEFAULT_LIMIT, MAX_LIMIT
from act.models import Scope
from act.tenants.access import Access
from act.tenants.tenant import ApiKey
from act.webhooks.service import WebhookService


def routes(service: WebhookService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])
    needed = Depends(access.requires(Scope.ADMIN))

    @router.post("", status_code=201)
    def create_webhook(body: models.WebhookCreate, caller: ApiKey = needed) -> models.IssuedWebhook:
        """The signing secret is in this answer alone."""
        return service.create(caller, body)

    @router.get("")
    def list_webhooks(
        limit: int = Query(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT), cursor: str | None = None, caller: ApiKey = needed
    ) -> models.Page[models.Webhook]:
        return service.list(caller, limit, cursor)

    @router.get("/{webhook_id}")
    def get_webhook(webhook_id: str, caller: ApiKey = needed) -> models.Webhook:
        return service.get(caller, webhook_id)

    @router.patch("/{webhook_id}")
    def update_webhook(webhook_id: str, body: models.WebhookPatch, caller: ApiKey = needed) -> models.Webhook:
        return service.update(caller, webhook_id, body)

    @router.delete("/{webhook_id}", status_code=204)
    def delete_webhook(webhook_id: str, caller: ApiKey = needed) -> None:
        service.delete(caller, webhook_id)

    @router.post("/{webhook_id}/rotate-secret")
    def rotate_webhook_secret(webhook_id: str, caller: ApiKey = needed) -> models.WebhookSecretRotated:
        """The new secret is in this answer alone; the old one signs too for 24 hours."""
        return service.rotate_secret(caller, webhook_id)

    @router.post("/{webhook_id}/test", status_code=202)
    def test_webhook(webhook_id: str, caller: ApiKey = needed) -> models.Delivery:
        """Send the event `webhook.test`; the deliveries tell how it went."""
        return service.test(caller, webhook_id)

    @router.get("/{webhook_id}/deliveries")
    def list_deliveries(
        webhook_id: str,
        limit: int = Query(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT),
        cursor: str | None = None,
        caller: ApiKey = needed,
    ) -> models.Page[models.Delivery]:
        return service.deliveries(caller, webhook_id, limit, cursor)

    @router.post("/{webhook_id}/deliveries/{delivery_id}/resend", status_code=202)
    def resend_delivery(webhook_id: str, delivery_id: str, caller: ApiKey = needed) -> models.Delivery:
        return service.resend(caller, webhook_id, delivery_id)

    return router
