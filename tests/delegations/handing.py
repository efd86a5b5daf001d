"""Agents that hand down, and what they hand down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support import Api

EVERYTHING = [{"actions": ["*"], "resources": ["*"]}]


@dataclass(frozen=True)
class Line:
    """Agents by id, each of which may do everything and hand it down to the others."""

    agents: tuple[str, ...]

    def __getitem__(self, at: int) -> str:
        return self.agents[at]


def line(api: Api, count: int = 3) -> Line:
    agents = tuple(api.agent() for _ in range(count))
    to = {"to": {"agentIds": list(agents)}, "maxDepth": 8}
    api.policy(appliesTo={"agentIds": list(agents)}, grants=["use", "delegate"], delegation=to)
    return Line(agents)


def root(api: Api, agent: str, **more: Any) -> Any:
    """The answer to issuing a token."""
    return api.post("/v1/tokens", {"agentId": agent, **more})


def below(api: Api, parent: Any, to: str, status: int = 201, **more: Any) -> Any:
    """The answer to handing a token down; `parent` is the answer that issued the one above."""
    body = {"parentToken": parent["token"], "toAgentId": to, "scope": EVERYTHING} | more
    return api.post("/v1/delegations", body, status=status)


def further(api: Api, parent: Any, to: str, depth: int = 1, **more: Any) -> Any:
    """A child that may hand on."""
    return below(api, parent, to, grants=["use", "delegate"], maxDepth=depth, **more)


def may(api: Api, issued: Any) -> str:
    """The reason code of a decision under a token."""
    return str(api.enforce(issued["token"], "read", "file://a")["reasonCode"])
