"""A real ACT for the cases: a whole node in this process, agents with rights of their own, a person who approves."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support import ADMIN_KEY

from act import Act
from act.client.embedded import URL, EmbeddedTransport, Service
from act.server.app import Node
from act.server.settings import Settings

WAITING = float(os.environ.get("SUITE_WAITING", "30"))
"""Seconds in which what another thread does must have happened."""


class MovedClock:
    """The time of day, and what it was moved by."""

    def __init__(self) -> None:
        self._moved = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._moved)

    def monotonic(self) -> float:
        return time.monotonic() + self._moved

    def move(self, seconds: float) -> None:
        self._moved += seconds


class Station:
    """One node of ACT. `act` asks, `person` approves what it asked."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.clock = MovedClock()
        settings = Settings(database=f"sqlite:///{folder / 'act.db'}", bootstrap_api_key=ADMIN_KEY)
        node = Node(settings, self.clock)
        service = Service(node.app, ADMIN_KEY, node.close)
        self.act = Act(URL, ADMIN_KEY, timeout=30, retries=0, transport=EmbeddedTransport(service))
        self.person = self.act.with_key(self.act.api_keys.create("person", ["approve"]).key)

    def close(self) -> None:
        self.act.close()


@dataclass(frozen=True)
class Asked:
    """One question as the guard put it."""

    agent: str | None
    action: str
    resource: str
    arguments: Mapping[str, Any]
    context: Mapping[str, Any]
    requester: str | None
    dry_run: bool


class Watched:
    """The client that the guard is given: the real one, and a list of what was asked and reported through it."""

    def __init__(self, act: Act, *, reports: bool = True) -> None:
        self._act, self._reports = act, reports
        self.asked: list[Asked] = []
        self.outcomes: list[tuple[str, Sequence[str] | None]] = []

    @property
    def approvals(self) -> Any:
        return self._act.approvals

    def enforce(self, token: str, action: str, resource: str, **more: Any) -> Any:
        from act.integrations.core import agent_id_of

        said = (
            more.get("arguments") or {},
            more.get("context") or {},
            more.get("requester"),
            more.get("dry_run", False),
        )
        self.asked.append(Asked(agent_id_of(token), action, resource, *said))
        return self._act.enforce(token, action, resource, **more)

    def report_outcome(self, decision_id: str, status: Any, labels: Sequence[str] | None = None) -> object:
        if not self._reports:
            raise ConnectionError("no route")
        answer = self._act.report_outcome(decision_id, status, labels)
        self.outcomes.append((status, labels))
        return answer

    @property
    def calls(self) -> list[Asked]:
        """What was asked about anything but messages."""
        return [asked for asked in self.asked if asked.action != "message"]


class Agent:
    """An agent with policies of its own."""

    def __init__(self, station: Station) -> None:
        self.station, self.role = station, f"role-{uuid4().hex}"
        self.id: str = station.act.agents.create(f"agent-{uuid4().hex}", roles=[self.role]).id

    def may(self, action: str, resource: str, **more: Any) -> Agent:
        """Give it a policy; `more` are fields as `act.policies.create` takes them."""
        self.station.act.policies.create(
            name=f"policy-{uuid4().hex}",
            actions=[action],
            resources=[resource],
            applies_to={"roles": [self.role]},
            **more,
        )
        return self

    def token(self, **more: Any) -> str:
        return str(self.station.act.tokens.issue(self.id, **more).token)

    def waiting(self) -> list[str]:
        """The ids of the approvals that its calls wait for."""
        return [item.id for item in self.station.person.approvals.list("pending") if item.agent_id == self.id]

    def settle(self, *, approve: bool, reason: str = "not on a Friday") -> None:
        """Approve or reject the one call that waits, or will wait soon."""
        deadline = time.monotonic() + WAITING
        while not (found := self.waiting()):
            assert time.monotonic() < deadline, "no call waits for a person"
            time.sleep(0.02)
        approvals = self.station.person.approvals
        approvals.approve(found[0]) if approve else approvals.reject(found[0], reason)

    def settle_soon(self, *, approve: bool) -> threading.Thread:
        """`settle` from a thread of its own, while the call waits."""
        thread = threading.Thread(target=self.settle, kwargs={"approve": approve}, daemon=True)
        thread.start()
        return thread
