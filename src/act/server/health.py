"""`/healthz`: the process answers. `/readyz`: it can decide, durably. `/metrics`: what it counted."""

from __future__ import annotations

import importlib.metadata
import threading

from fastapi import APIRouter, Response

from act.audit.units import WriteFailed
from act.audit.writer import Writer
from act.database.changes import ChangeFeed
from act.database.clock import Clock
from act.metrics import CONTENT_TYPE, Metrics
from act.models import Health
from act.tenants.live import LiveTenants
from act.tokens.live_keys import LiveKeys

PROBE_SECONDS = 1.0


class Readiness:
    """Probes the database at most once a second, however often it is asked."""

    def __init__(self, writer: Writer, feed: ChangeFeed, tenants: LiveTenants, keys: LiveKeys, clock: Clock) -> None:
        self._writer = writer
        self._feed = feed
        self._tenants = tenants
        self._keys = keys
        self._clock = clock
        self._lock = threading.Lock()
        self._probed_at = float("-inf")
        self._database = "not probed"

    def check(self) -> dict[str, str]:
        """What is needed for a decision, each `ok` or why not."""
        return {
            "database": self._probe(),
            "keys": self._check_keys(),
            "state": "the change feed is broken; restart the server" if self._feed.broken else "ok",
        }

    def _probe(self) -> str:
        with self._lock:
            if self._clock.monotonic() - self._probed_at >= PROBE_SECONDS:
                try:
                    self._writer.probe()
                    self._database = "ok"
                except WriteFailed as error:
                    self._database = str(error)
                self._probed_at = self._clock.monotonic()
            if self._writer.failing and self._database == "ok":
                return "The last write failed."
            return self._database

    def _check_keys(self) -> str:
        for tenant in self._tenants:
            try:
                self._keys.signing(tenant.id)
                self._keys.audit(tenant.id)
            except KeyError:
                return f"tenant '{tenant.id}' has no signing key"
        return "ok"


def routes(readiness: Readiness, metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["health"])
    version = importlib.metadata.version("agent-capability-tokens")

    @router.get("/healthz")
    async def healthz() -> Health:
        return Health(status="ok", version=version)

    @router.get("/readyz", responses={503: {"model": Health}})
    def readyz(response: Response) -> Health:
        checks = readiness.check()
        ready = all(result == "ok" for result in checks.values())
        response.status_code = 200 if ready else 503
        return Health(status="ok" if ready else "unavailable", version=version, checks=checks)

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def read_metrics() -> Response:
        """Counters, gauges and histograms for Prometheus."""
        return Response(metrics.render(), headers={"content-type": CONTENT_TYPE})

    return router
