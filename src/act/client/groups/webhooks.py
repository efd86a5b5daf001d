"""Webhooks: which programs are told of what happens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

from pydantic.alias_generators import to_camel

from act.client.call import Call, get, nothing, path, post
from act.client.groups.group import AsyncGroup, Group
from act.client.narrowing import listed
from act.models import Delivery, IssuedWebhook, Page, Webhook, WebhookSecretRotated


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


class Webhooks(Group):
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
        return self._send(create_webhook(url, events, description, include_arguments))

    def list(self) -> Iterator[Webhook]:
        return self._all(list_webhooks)

    def get(self, id: str) -> Webhook:
        return self._send(get_webhook(id))

    def update(self, id: str, **changes: Any) -> Webhook:
        """Change `url`, `events`, `description`, `include_arguments` or `enabled`; what is not named stays."""
        return self._send(update_webhook(id, changes))

    def delete(self, id: str) -> None:
        self._send(delete_webhook(id))

    def rotate_secret(self, id: str) -> WebhookSecretRotated:
        """Sign with a new secret, which is in this answer alone; the old one signs too for 24 hours."""
        return self._send(rotate_webhook_secret(id))

    def test(self, id: str) -> Delivery:
        """Send the event `webhook.test`; `deliveries` tells how it went."""
        return self._send(test_webhook(id))

    def deliveries(self, id: str) -> Iterator[Delivery]:
        """What was sent in the last 7 days, and what waits; the newest first."""
        return self._all(lambda cursor: list_deliveries(id, cursor=cursor))

    def resend(self, id: str, delivery_id: str) -> Delivery:
        """Send a message again, under the id it had."""
        return self._send(resend_delivery(id, delivery_id))


class AsyncWebhooks(AsyncGroup):
    """Which programs are told of what happens."""

    async def create(
        self,
        url: str,
        events: Iterable[str] | None = None,
        *,
        description: str = "",
        include_arguments: bool = False,
    ) -> IssuedWebhook:
        return await self._send(create_webhook(url, events, description, include_arguments))

    def list(self) -> AsyncIterator[Webhook]:
        return self._all(list_webhooks)

    async def get(self, id: str) -> Webhook:
        return await self._send(get_webhook(id))

    async def update(self, id: str, **changes: Any) -> Webhook:
        return await self._send(update_webhook(id, changes))

    async def delete(self, id: str) -> None:
        await self._send(delete_webhook(id))

    async def rotate_secret(self, id: str) -> WebhookSecretRotated:
        return await self._send(rotate_webhook_secret(id))

    async def test(self, id: str) -> Delivery:
        return await self._send(test_webhook(id))

    def deliveries(self, id: str) -> AsyncIterator[Delivery]:
        return self._all(lambda cursor: list_deliveries(id, cursor=cursor))

    async def resend(self, id: str, delivery_id: str) -> Delivery:
        return await self._send(resend_delivery(id, delivery_id))
