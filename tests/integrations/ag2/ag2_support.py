"""Real AG2 agents with scripted models, and what they did."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import ag2
from ag2.events import ToolCallEvent, ToolResultEvent
from ag2.testing import TestConfig
from tests.integrations.suite.world import Agent as Registered
from tests.integrations.suite.world import Station, Watched

from act.integrations.ag2 import ActGuard


def call(name: str, **arguments: Any) -> ToolCallEvent:
    """A model's call of a tool."""
    return ToolCallEvent(name, arguments=json.dumps(arguments))


TOUCH = call("touch", what="x")


def model(*turns: Any) -> TestConfig:
    """A model that says these turns each time that a conversation begins."""
    return TestConfig(*turns, raise_tool_errors=False)


def agent(name: str, *turns: Any, **options: Any) -> Any:
    return ag2.Agent(name, config=model(*turns), **options)


class Touched(list[str]):
    """The tool `touch`, and a list of what it touched."""

    @property
    def tool(self) -> Any:
        def touch(what: str) -> str:
            self.append(what)
            return f"touched {what}"

        return touch


def run(whole: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(whole)


async def results(reply: Any) -> str:
    """All tool results of a conversation, as one text."""
    events = await reply.history.get_events()
    found = [event for event in events if isinstance(event, ToolResultEvent)]
    return "\n".join(str(getattr(part, "content", part)) for event in found for part in event.result.parts)


class Team:
    """A guard with a planner and an executor who hold real tokens."""

    def __init__(self, station: Station, **options: Any) -> None:
        self.station = station
        self.planner, self.executor = Registered(station), Registered(station)
        self.act = Watched(station.act)
        self._options = {"messages": "off", **options}

    @property
    def tokens(self) -> dict[str, str]:
        return {"Planner": self.planner.token(), "Executor": self.executor.token()}

    def guard(self, **options: Any) -> ActGuard:
        return ActGuard(self.act, self.tokens, **{**self._options, **options})

    @property
    def asked(self) -> list[tuple[str, str, str]]:
        """Who ran it, the action and the resource of each question but those about messages."""
        names = {self.planner.id: "Planner", self.executor.id: "Executor"}
        return [(names.get(asked.agent or "", "?"), asked.action, asked.resource) for asked in self.act.calls]
