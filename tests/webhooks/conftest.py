"""A server that may send to this machine, and a node in the test's own process with a clock that is moved by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from act.client.embedded import URL, EmbeddedTransport, Service
from act.server.app import Node
from act.server.settings import Settings
from tests.in_process import Hand
from tests.support import ADMIN_KEY, Api, Server

from .receiver import WAITING, Receiver

PRIVATE = {"ACT_WEBHOOK_ALLOW_PRIVATE": "true"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("webhooks"), PRIVATE) as server:
        yield server


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    """The admin of the shared server; no test leaves a webhook behind."""
    with server.api() as api:
        yield api
        for webhook in api.get("/v1/webhooks")["items"]:
            api.delete(f"/v1/webhooks/{webhook['id']}")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


class Local:
    """A node in this process. Its clock begins now, so that signatures are of a time that receivers accept."""

    def __init__(self, folder: Path, *, private: bool = True, master_key: str | None = None) -> None:
        self.folder = folder
        self.clock = Hand()
        self.clock.at = datetime.now(UTC)
        self._settings = Settings(
            database=f"sqlite:///{folder / 'act.db'}",
            bootstrap_api_key=ADMIN_KEY,
            master_key=master_key,
            webhook_allow_private=private,
        )
        self.start()

    def start(self) -> None:
        self.node = Node(self._settings, self.clock)
        self.api = Api(URL, ADMIN_KEY, EmbeddedTransport(Service(self.node.app, ADMIN_KEY, self.node.close)))

    def stop(self) -> None:
        self.api.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    local = Local(tmp_path)
    yield local
    local.stop()


def webhook(api: Api, url: str, **more: Any) -> Any:
    return api.post("/v1/webhooks", {"url": url, **more})


def deliveries(api: Api, webhook_id: str) -> list[Any]:
    """The newest first."""
    return list(api.get(f"/v1/webhooks/{webhook_id}/deliveries")["items"])


def settled(api: Api, webhook_id: str, attempts: int = 1) -> Any:
    """The newest delivery, once it has had so many attempts and the last of them is written."""
    return until(
        lambda: next((d for d in deliveries(api, webhook_id)[:1] if len(d["attempts"]) >= attempts), None),
        f"{attempts} attempts",
    )


def until(found: Callable[[], Any], what: str, seconds: float = WAITING) -> Any:
    """What `found` gives, as soon as that is something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def ask(api: Api, *, approvers: int = 1, expires_in: int = 900, **more: Any) -> Any:
    """Have an agent ask for an action that needs a person; the decision. Asked with a key of its own."""
    agent = api.agent()
    rule = {"approvers": approvers, "expiresIn": expires_in}
    api.policy(["send"], ["mail://*"], appliesTo={"agentIds": [agent]}, constraints={"requiresApproval": rule})
    token = api.token(agent)
    caller = Api(str(api.client.base_url), api.key("enforce")["key"], api.client._transport)
    decision = caller.enforce(token, "send", "mail://ann", arguments={"text": "hello"}, **more)
    assert decision["decision"] == "pending_approval", decision
    return decision | {"token": token, "caller": caller}
