"""One real server with two tenants: `api` is the admin of the one under attack, `stranger` that of the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from act.server.app import Node
from act.server.settings import Settings
from tests.support import ADMIN_KEY, Api, Server

OTHER_TENANT = "other-tenant"
OTHER_KEY = "act_test_other_fedcba9876543210fedcba9876543210"


def make_second_tenant(folder: Path) -> None:
    """Prepare a database with a second tenant; there is no route that makes one."""
    with Node(Settings(database=f"sqlite:///{folder / 'act.db'}", bootstrap_api_key=ADMIN_KEY)) as node:
        node.tenant_service.create_tenant(OTHER_TENANT, "Other", OTHER_KEY)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("attacked")
    make_second_tenant(folder)
    with Server(folder, {"ACT_WEBHOOK_ALLOW_PRIVATE": "true"}) as server:  # its webhooks lead to this machine
        yield server


@pytest.fixture
def stranger(server: Server) -> Iterator[Api]:
    """The admin of the other tenant."""
    with server.api(OTHER_KEY) as api:
        yield api
