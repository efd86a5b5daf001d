"""Fixtures for all tests, and how hypothesis runs here."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support import Api, Server

# Behind `nohup` and `&` Ctrl-C is ignored, and what is started from here would ignore it, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The machines that run this are slow and shared: time is no property of an example.
# In CI the examples are the same every time: a landing says something about the change, and not about luck. Everywhere
# else they are new ones.
settings.register_profile(
    "act", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("act")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of a worker that do not mind each other's agents and policies."""
    with Server(tmp_path_factory.mktemp("server"), {"ACT_WEBHOOK_ALLOW_PRIVATE": "true"}) as server:
        yield server


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    """The admin of the shared server."""
    with server.api() as api:
        yield api
