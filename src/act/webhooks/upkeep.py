"""What nobody needs any more: old deliveries, and the secrets that have been replaced."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from sqlalchemy import Connection, Engine

from act.audit.writer import Writer
from act.database.clock import Clock
from act.webhooks import store
from act.webhooks.live import LiveWebhooks
from act.webhooks.signing import SigningSecrets
from act.webhooks.webhook import in_use

KEPT = timedelta(days=7)
"""For so long a finished delivery can be looked at and sent again."""
SECONDS = 600.0


class Upkeep:
    """Called often, does something every ten minutes. None of it is a change that anyone has to account for."""

    def __init__(
        self, writer: Writer, reader: Engine, clock: Clock, live: LiveWebhooks, secrets: SigningSecrets
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._live = live
        self._secrets = secrets
        self._next = 0.0

    def sweep(self) -> None:
        if self._clock.monotonic() < self._next:
            return
        self._next = self._clock.monotonic() + SECONDS
        now = self._clock.now()
        with self._reader.begin() as connection:
            lost = [id for id in store.waiting(connection, now) if not self._enabled(id)]
            old = store.has_finished(connection, now - KEPT)
        if lost or old:
            self._writer.tidy(partial(self._forget, lost))
        for webhook in self._live:
            good = in_use(webhook.secrets, now)
            self._secrets.delete(secret for secret in webhook.secrets if secret not in good)

    def _enabled(self, webhook_id: str) -> bool:
        webhook = self._live.get(webhook_id)
        return webhook is not None and webhook.enabled

    def _forget(self, lost: list[str], connection: Connection) -> None:
        now = self._clock.now()
        for id in lost:
            store.give_up(connection, id, now)
        store.forget(connection, now - KEPT)
