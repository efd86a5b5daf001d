"""Who is told: making, changing and ending webhooks, and looking at what became of the messages."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import Connection, Engine, Row

from act import models
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.database.ids import new_id
from act.database.pages import page, read_cursor
from act.problems import conflict, not_found, overloaded, unprocessable
from act.strict_json import Fault
from act.tenants.tenant import ApiKey
from act.webhooks import store
from act.webhooks.addresses import Destinations, Refused
from act.webhooks.outbox import Outbox
from act.webhooks.signing import SigningSecrets
from act.webhooks.webhook import OVERLAP, Attempt, Secret, rotated

MOST = 20
"""Webhooks of a tenant."""
CHECKED_AT_ONCE = 4
"""URLs. A name server that does not answer keeps a thread waiting, and there are 40 for all callers."""


class WebhookService:
    def __init__(
        self,
        writer: Writer,
        reader: Engine,
        clock: Clock,
        secrets: SigningSecrets,
        destinations: Destinations,
        outbox: Outbox,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._secrets = secrets
        self._destinations = destinations
        self._outbox = outbox
        self._checking = threading.BoundedSemaphore(CHECKED_AT_ONCE)

    def create(self, caller: ApiKey, body: models.WebhookCreate) -> models.IssuedWebhook:
        """Make a webhook and its signing secret, which is in this answer and nowhere else.

        Raises:
            ProblemError: 422 when nothing may be sent to the URL; 409 when there are 20 already; 503 when too many
                URLs are being checked.
        """
        self._check(body.url)
        tenant_id, id, now = caller.tenant_id, new_id("whk"), self._clock.now()
        secret_id, secret = self._secrets.make()

        def work(transaction: Transaction) -> Row[Any]:
            if store.count(transaction.connection, tenant_id) >= MOST:
                raise conflict("webhooks_full", f"A tenant has at most {MOST} webhooks; delete one first.")
            store.add(
                transaction.connection,
                id=id,
                tenant_id=tenant_id,
                url=body.url,
                description=body.description,
                events=list(dict.fromkeys(body.events)),
                include_arguments=body.include_arguments,
                enabled=True,
                secrets=(Secret(secret_id),),
                created_at=now,
                updated_at=now,
                revision=transaction.change(tenant_id, "webhook", id),
            )
            return self._recorded(transaction, caller, "webhook.created", id)

        try:
            row = self._writer.write(work)
        except BaseException:
            self._secrets.delete([Secret(secret_id)])
            raise
        return models.IssuedWebhook(secret=secret, **_answer(row).model_dump(by_alias=False))

    def list(self, caller: ApiKey, limit: int, cursor: str | None) -> models.Page[models.Webhook]:
        with self._reader.begin() as connection:
            rows = store.page(connection, caller.tenant_id, read_cursor(cursor), limit + 1)
        return page(rows, limit, lambda row: row.id, _answer)

    def get(self, caller: ApiKey, id: str) -> models.Webhook:
        with self._reader.begin() as connection:
            return _answer(_row(connection, caller.tenant_id, id))

    def update(self, caller: ApiKey, id: str, body: models.WebhookPatch) -> models.Webhook:
        """Change what the patch names. Disabling ends what waits; enabling forgets former failures.

        Raises:
            ProblemError: 404; 422 when nothing may be sent to the new URL.
        """
        self.get(caller, id)
        if body.url is not None:
            self._check(body.url)
        changed: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
        if body.events is not None:
            changed["events"] = list(dict.fromkeys(body.events))
        if body.enabled:
            changed |= {"failing_since": None, "disabled_reason": None}

        def work(transaction: Transaction) -> Row[Any]:
            connection, now = transaction.connection, self._clock.now()
            _row(connection, caller.tenant_id, id)
            revision = transaction.change(caller.tenant_id, "webhook", id)
            store.change(connection, caller.tenant_id, id, updated_at=now, revision=revision, **changed)
            if body.enabled is False:
                store.give_up(connection, id, now)
            return self._recorded(transaction, caller, "webhook.updated", id)

        return _answer(self._writer.write(work))

    def delete(self, caller: ApiKey, id: str) -> None:
        """Tell it nothing more; its deliveries and its secrets are gone too."""

        def work(transaction: Transaction) -> tuple[Secret, ...]:
            row = self._recorded(
                transaction, caller, "webhook.deleted", id, revision=transaction.change(caller.tenant_id, "webhook", id)
            )
            store.remove(transaction.connection, caller.tenant_id, id)
            return store.secrets(row)

        self._secrets.delete(self._writer.write(work))

    def rotate_secret(self, caller: ApiKey, id: str) -> models.WebhookSecretRotated:
        """Sign with a new secret from now on, and for 24 hours with the one before as well."""
        self.get(caller, id)
        secret_id, secret = self._secrets.make()
        now = self._clock.now()

        def work(transaction: Transaction) -> tuple[int, list[Secret]]:
            before = store.secrets(_row(transaction.connection, caller.tenant_id, id))
            after = rotated(before, secret_id, now)
            revision = transaction.change(caller.tenant_id, "webhook", id)
            changed = {"secrets": after, "updated_at": now, "revision": revision}
            store.change(transaction.connection, caller.tenant_id, id, **changed)
            self._recorded(transaction, caller, "webhook.secret_rotated", id)
            kept = {secret.id for secret in after}
            return revision, [secret for secret in before if secret.id not in kept]

        try:
            revision, gone = self._writer.write(work)
        except BaseException:
            self._secrets.delete([Secret(secret_id)])
            raise
        self._secrets.delete(gone)
        return models.WebhookSecretRotated(id=id, secret=secret, previous_until=now + OVERLAP, revision=revision)

    # --- messages ---

    def test(self, caller: ApiKey, id: str) -> models.Delivery:
        """Put out the event `webhook.test`; what became of it stands in the deliveries soon.

        Raises:
            ProblemError: 404; 409 when the webhook is disabled.
        """

        def work(transaction: Transaction) -> Row[Any]:
            webhook = store.value(_enabled(_row(transaction.connection, caller.tenant_id, id)))
            delivery_id = self._outbox.test(transaction, webhook)
            told = {"keyId": caller.id, "webhookId": id, "deliveryId": delivery_id}
            transaction.record(caller.tenant_id, "webhook.tested", told)
            return _delivery_row(transaction.connection, caller.tenant_id, id, delivery_id)

        return _delivery(self._writer.write(work))

    def deliveries(self, caller: ApiKey, id: str, limit: int, cursor: str | None) -> models.Page[models.Delivery]:
        """The newest first; those that are finished are kept for 7 days."""
        with self._reader.begin() as connection:
            _row(connection, caller.tenant_id, id)
            rows = store.page_of_deliveries(connection, caller.tenant_id, id, read_cursor(cursor), limit + 1)
        return page(rows, limit, lambda row: row.id, _delivery)

    def resend(self, caller: ApiKey, id: str, delivery_id: str) -> models.Delivery:
        """Send a message again, now, under the id it had; when that fails it is retried like a new one.

        Raises:
            ProblemError: 404; 409 when the webhook is disabled.
        """

        def work(transaction: Transaction) -> Row[Any]:
            connection = transaction.connection
            _enabled(_row(connection, caller.tenant_id, id))
            _delivery_row(connection, caller.tenant_id, id, delivery_id)
            again = {"status": "pending", "tries": 0, "next_at": self._clock.now(), "finished_at": None}
            store.change_delivery(connection, delivery_id, **again)
            told = {"keyId": caller.id, "webhookId": id, "deliveryId": delivery_id}
            transaction.record(caller.tenant_id, "webhook.resent", told)
            return _delivery_row(connection, caller.tenant_id, id, delivery_id)

        return _delivery(self._writer.write(work))

    def _check(self, url: str) -> None:
        if not self._checking.acquire(blocking=False):
            raise overloaded("Too many URLs are being checked; try again.")
        try:
            self._destinations.check(url)
        except Refused as refused:
            raise unprocessable([Fault("/url", str(refused))]) from None
        finally:
            self._checking.release()

    @staticmethod
    def _recorded(transaction: Transaction, caller: ApiKey, kind: str, id: str, **more: Any) -> Row[Any]:
        """Record a change. Of the URL only the host is told: its path may be a credential of the receiver."""
        row = _row(transaction.connection, caller.tenant_id, id)
        told = {
            "keyId": caller.id,
            "webhookId": id,
            "host": Destinations.host(row.url),
            "events": row.events,
            "includeArguments": row.include_arguments,
            "enabled": row.enabled,
            "revision": row.revision,
        }
        transaction.record(caller.tenant_id, kind, told | more)
        return row


def _row(connection: Connection, tenant_id: str, id: str) -> Row[Any]:
    row = store.find(connection, tenant_id, id)
    if row is None:
        raise not_found("webhook", id)
    return row


def _enabled(row: Row[Any]) -> Row[Any]:
    if not row.enabled:
        raise conflict("webhook_disabled", "The webhook is disabled; enable it first.")
    return row


def _delivery_row(connection: Connection, tenant_id: str, webhook_id: str, id: str) -> Row[Any]:
    row = store.delivery(connection, tenant_id, webhook_id, id)
    if row is None:
        raise not_found("delivery", id)
    return row


def _answer(row: Row[Any]) -> models.Webhook:
    return models.Webhook(
        id=row.id,
        url=row.url,
        description=row.description,
        events=row.events,
        include_arguments=row.include_arguments,
        enabled=row.enabled,
        disabled_reason=row.disabled_reason,
        failing_since=row.failing_since,
        created_at=row.created_at,
        updated_at=row.updated_at,
        revision=row.revision,
    )


def _delivery(row: Row[Any]) -> models.Delivery:
    return models.Delivery(
        id=row.id,
        webhook_id=row.webhook_id,
        event=row.event,
        status=row.status,
        attempts=[_attempt(attempt) for attempt in store.attempts(row)],
        next_attempt_at=row.next_at,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def _attempt(attempt: Attempt) -> models.DeliveryAttempt:
    return models.DeliveryAttempt(
        at=attempt.at,
        status=attempt.status,
        error=attempt.error,
        answer=attempt.answer,
        duration_ms=attempt.duration_ms,
    )
