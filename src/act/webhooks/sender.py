"""Sending what is due, on a thread and an event loop of its own: no decision ever waits for a receiver.

The outbox is polled, so that what was written before a crash is sent after it. An attempt whose result could not be
written is made again: every message arrives at least once, or its delivery says why not.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Engine, Row

from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.webhooks import store
from act.webhooks.live import LiveWebhooks
from act.webhooks.post import Post
from act.webhooks.webhook import Attempt, DisabledReason, Schedule, Webhook, following

AT_ONCE = 64
PER_TENANT = 16
PER_WEBHOOK = 1
"""Attempts under way at the same time. One for a webhook: who accepts everything gets everything in order."""

HOLD_SECONDS = 30.0
"""A delivery that has no result, or whose result could not be written, rests for so long."""

log = logging.getLogger("act.webhooks")


class Sender:
    """Start once, stop once.

    Args:
        schedule: when a failed delivery is tried again.
        poll: seconds between two looks at the outbox.
        chance: a number from 0 to 1, for the jitter.
    """

    def __init__(
        self,
        writer: Writer,
        reader: Engine,
        clock: Clock,
        live: LiveWebhooks,
        post: Post,
        *,
        schedule: Schedule = Schedule(),
        poll: float = 0.25,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._live = live
        self._post = post
        self._schedule = schedule
        self._poll = poll
        self._chance = chance
        self._under_way: dict[str, Webhook] = {}
        self._turns = itertools.count(1)
        self._served: dict[str, int] = {}
        """The last turn of each tenant for whom something is under way or waits."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="act-webhooks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End at once; what is under way will be sent again."""
        self._stopping.set()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed already
                self._loop.call_soon_threadsafe(self._wake.set)
        if self._thread.ident is not None:
            self._thread.join()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            try:
                self._begin_due()
            except Exception:
                log.exception("webhooks could not be sent and will be tried again")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._poll)
            self._wake.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin_due(self) -> None:
        if not any(webhook.enabled for webhook in self._live):
            return
        now = self._clock.now()
        with self._reader.begin() as connection:
            for webhook in self._in_turn(store.waiting(connection, now)):
                for row in store.due(connection, webhook.id, now, self._of(webhook.id), self._room(webhook)):
                    self._under_way[row.id] = webhook
                    self._served[webhook.tenant_id] = next(self._turns)
                    task = asyncio.create_task(self._deliver(webhook, row))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    def _in_turn(self, waiting: Sequence[str]) -> list[Webhook]:
        """The webhooks that are waited for, those of tenants for whom least is under way first.

        Of these the tenant comes first whose last turn is longest ago: where several attempts end at once, as by the
        same time-out, nothing is under way, and whoever has waited longest would have all turns again and again.
        Those that are disabled or gone are left out: the commit that did it has ended what waited, or the upkeep will.
        """
        there = [webhook for id in waiting if (webhook := self._live.get(id)) is not None and webhook.enabled]
        busy = Counter(webhook.tenant_id for webhook in self._under_way.values())
        known = busy.keys() | {webhook.tenant_id for webhook in there}
        self._served = {tenant_id: turn for tenant_id, turn in self._served.items() if tenant_id in known}
        return sorted(there, key=lambda webhook: (busy[webhook.tenant_id], self._served.get(webhook.tenant_id, 0)))

    def _of(self, webhook_id: str) -> list[str]:
        return [id for id, webhook in self._under_way.items() if webhook.id == webhook_id]

    def _room(self, webhook: Webhook) -> int:
        """How many more may be under way for a webhook. One that is slow leaves room for the others."""
        of_tenant = sum(other.tenant_id == webhook.tenant_id for other in self._under_way.values())
        of_webhook = len(self._of(webhook.id))
        return max(0, min(AT_ONCE - len(self._under_way), PER_TENANT - of_tenant, PER_WEBHOOK - of_webhook))

    async def _deliver(self, webhook: Webhook, row: Row[Any]) -> None:
        try:
            try:
                attempt = await self._post.attempt(webhook, row.id, row.body)
                await self._writer.commit(partial(self._attempted, webhook, row.id, attempt), recorded=False)
            except Exception:
                log.exception("the delivery %s failed, or its result was not written; it will be sent again", row.id)
                await asyncio.sleep(HOLD_SECONDS)
        finally:
            del self._under_way[row.id]
            self._wake.set()

    def _attempted(self, webhook: Webhook, id: str, attempt: Attempt, transaction: Transaction) -> None:
        connection, now = transaction.connection, self._clock.now()
        row = store.delivery(connection, webhook.tenant_id, webhook.id, id)
        there = store.find(connection, webhook.tenant_id, webhook.id)
        if row is None or there is None:
            return  # deleted in the meantime
        tries = row.tries + 1
        follows = following(attempt, tries, there.failing_since, self._schedule, self._chance())
        ended = follows.status != "pending" or not there.enabled
        store.attempted(
            connection,
            row,
            attempt,
            tries=tries,
            status="failed" if ended and follows.status == "pending" else follows.status,
            next_at=None if ended else follows.next_at,
            finished_at=now if ended else None,
        )
        if there.failing_since != follows.failing_since:
            store.change(connection, there.tenant_id, there.id, failing_since=follows.failing_since)
        if follows.disabled and there.enabled:
            self._disable(transaction, there, follows.disabled)

    def _disable(self, transaction: Transaction, there: Row[Any], reason: DisabledReason) -> None:
        connection, now = transaction.connection, self._clock.now()
        revision = transaction.change(there.tenant_id, "webhook", there.id)
        changed = {"enabled": False, "disabled_reason": reason, "updated_at": now, "revision": revision}
        store.change(connection, there.tenant_id, there.id, **changed)
        store.give_up(connection, there.id, now)
        told = {"webhookId": there.id, "reason": reason, "revision": revision}
        transaction.record(there.tenant_id, "webhook.disabled", told)
        log.warning("webhook %s is disabled: %s", there.id, reason)
