"""Webhooks in memory: whether anybody hears of an event is asked in every commit that could tell of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from act.webhooks import store
from act.webhooks.webhook import Webhook


class LiveWebhooks:
    """Follows the change kind `webhook`. Secrets are not held; a lost one must not keep decisions from being made."""

    def __init__(self) -> None:
        self._by_id: dict[str, Webhook] = {}
        self._by_tenant: dict[str, tuple[Webhook, ...]] = {}

    def load(self, connection: Connection) -> None:
        for row in store.rows(connection):
            self._put(row.tenant_id, row.id, store.value(row))

    def apply(self, connection: Connection, tenant_id: str, ids: Iterable[str]) -> None:
        found = {row.id: store.value(row) for row in store.rows(connection, ids)}
        for id in ids:
            self._put(tenant_id, id, found.get(id))

    def _put(self, tenant_id: str, id: str, webhook: Webhook | None) -> None:
        others = tuple(other for other in self._by_tenant.get(tenant_id, ()) if other.id != id)
        if webhook is None:
            self._by_id.pop(id, None)
            self._by_tenant[tenant_id] = others
        else:
            self._by_id[id] = webhook
            self._by_tenant[tenant_id] = (*others, webhook)

    def get(self, id: str) -> Webhook | None:
        return self._by_id.get(id)

    def hearing(self, tenant_id: str, event: str) -> list[Webhook]:
        """The webhooks that are told of an event of the tenant."""
        return [webhook for webhook in self._by_tenant.get(tenant_id, ()) if webhook.hears(event)]

    def __iter__(self) -> Iterator[Webhook]:
        return iter(self._by_id.copy().values())
