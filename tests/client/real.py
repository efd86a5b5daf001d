"""The real service in the process, with a way to it that can lose answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from act import Act, AsyncAct
from act.client.embedded import URL, AsyncEmbeddedTransport, EmbeddedTransport, Service, open_service
from act.models import IssuedToken

TASKS = "api://tasks/"
ROLE_RIGHTS: list[dict[str, Any]] = [
    {"name": "Hand down", "actions": ["execute"], "resources": [TASKS + "*"], "applies_to": {"roles": ["planner"]},
     "grants": ["delegate"], "delegation": {"to": {"roles": ["executor"]}, "max_depth": 2}},
    {"name": "Execute", "actions": ["execute"], "resources": [TASKS + "*"], "applies_to": {"roles": ["executor"]},
     "grants": ["use", "delegate"], "delegation": {"to": {"roles": ["executor"]}, "max_depth": 1},
     "constraints": {"requires_delegation": True}},
    {"name": "Plan", "actions": ["plan", "read"], "resources": [TASKS + "*"], "applies_to": {"roles": ["planner"]}},
    {"name": "Pay", "actions": ["pay"], "resources": [TASKS + "*"], "applies_to": {"roles": ["planner"]},
     "constraints": {"requires_approval": True}},
]  # fmt: skip


class Lossy(httpx2.BaseTransport):
    """Hands requests to the service; of those whose path ends as `losing` says, the next answers are lost.

    `lost` is how many, `seen` the paths of all requests.
    """

    def __init__(self, service: Service) -> None:
        self._inner = EmbeddedTransport(service)
        self.losing = ""
        self.lost = 0
        self.arrives = True
        self.seen: list[str] = []

    def lose(self, ending: str, count: int = 1, *, arrives: bool = True) -> None:
        """Lose the next answers, or with `arrives=False` the requests themselves."""
        self.losing, self.lost, self.arrives = ending, count, arrives

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request.url.path)
        loses = self.lost > 0 and request.url.path.endswith(self.losing)
        if loses and not self.arrives:
            self.lost -= 1
            raise httpx2.ConnectError("refused", request=request)
        response = self._inner.handle_request(request)
        if loses:
            self.lost -= 1
            raise httpx2.ReadTimeout("lost", request=request)
        return response

    def close(self) -> None:
        self._inner.close()


class Team:
    """A service with a planner, who hands down, and two executors, who do what they were handed."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.way = Lossy(self.service)
        self.act = Act(URL, self.service.api_key, timeout=20, retries=2, transport=self.way)
        self.planner = self.act.agents.create("Planner", roles=["planner"]).id
        self.executor = self.act.agents.create("Executor", roles=["executor"]).id
        self.helper = self.act.agents.create("Helper", roles=["executor"]).id
        for fields in ROLE_RIGHTS:
            self.act.policies.create(**fields)

    def key(self, *scopes: str, agent_id: str | None = None) -> Act:
        """The same connection with another API key."""
        return self.act.with_key(self.act.api_keys.create("other", scopes, agent_id=agent_id).key)

    def asyncly(self) -> AsyncAct:
        """An asynchronous client of the same service, which must not be closed."""
        return AsyncAct(URL, self.service.api_key, timeout=20, transport=AsyncEmbeddedTransport(self.service))

    def tokens_of(self, token: IssuedToken) -> list[str]:
        """The ids of all tokens that the node of a token has had."""
        return self.act.delegations.tree(token.token_id).token_ids


@contextmanager
def team_in(folder: Path, service: Service | None = None) -> Iterator[Team]:
    """A team at a service of its own, or at this one."""
    team = Team(service or open_service(folder / "act.db"))
    try:
        yield team
    finally:
        team.act.close()
