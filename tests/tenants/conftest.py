"""A server of each module's own with two tenants, because a frozen one is of no use to other tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.conftest import OTHER_KEY, make_second_tenant
from tests.support import Api, Server

TENANT = "/v1/tenants/default-tenant"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tenants")
    make_second_tenant(folder)
    with Server(folder) as server:
        yield server


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    """The admin of the first tenant, which is neither frozen nor of other lifetimes after the test."""
    with server.api() as api:
        yield api
        api.post(f"{TENANT}/unfreeze", status=200)
        api.patch(TENANT, {"maxTokenTtl": 86400, "defaultTokenTtl": 3600})


@pytest.fixture
def stranger(server: Server) -> Iterator[Api]:
    """The admin of the other tenant."""
    with server.api(OTHER_KEY) as api:
        yield api


def able_agent(api: Api) -> str:
    """A new agent that may `run`."""
    agent = api.agent()
    api.policy(["run"], appliesTo={"agentIds": [agent]})
    return agent


def able(api: Api) -> str:
    """The token of such an agent."""
    return api.token(able_agent(api))


def code(api: Api, token: str, **more: object) -> str:
    return str(api.enforce(token, "run", "x", **more)["reasonCode"])
