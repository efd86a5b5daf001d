"""A real node inside the test's own process, with a clock that is moved by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from act.client.embedded import URL, EmbeddedTransport, Service
from act.server.app import Node
from act.server.settings import Settings
from tests.support import ADMIN_KEY, Api


class Hand:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 22, 18, tzinfo=UTC)
        self.jumped = timedelta(0)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - self.jumped).timestamp()

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock alone, forward or back."""
        self.at += timedelta(seconds=seconds)
        self.jumped += timedelta(seconds=seconds)


class InProcess:
    """Everything but the network is real. Close it at the end.

    Args:
        folder: where the database is made.
        at: what the clock says at first.
    """

    def __init__(self, folder: Path, at: datetime | None = None) -> None:
        self.clock = Hand()
        self.clock.at = at or self.clock.at
        self.node = node = Node(
            Settings(database=f"sqlite:///{folder / 'act.db'}", bootstrap_api_key=ADMIN_KEY), self.clock
        )
        self._service = Service(node.app, ADMIN_KEY, node.close)
        self.api = self.client(ADMIN_KEY)

    def client(self, key: str) -> Api:
        """A client with a key of its own; closing it closes the node."""
        return Api(URL, key, EmbeddedTransport(self._service))

    def close(self) -> None:
        self._service.close()
