"""AG2 1.x: one agent, whose model calls tools that it runs itself. It has an async entry point only.

Nothing in it lets one agent's model call a tool that another agent carries out, so there is no team of two.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import ag2
from ag2.config import LLMClient, ModelConfig
from ag2.events import ModelMessage, ModelResponse, ToolCallEvent, ToolCallsEvent, ToolResultEvent
from tests.integrations.suite.job import Call, Job, Script

from act.integrations.ag2 import ActGuard


class SuiteModel(LLMClient, ModelConfig):
    """Says what a `Script` says. Its own client, because it has no state of its own."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def create(self) -> SuiteModel:
        return self

    def copy(self) -> SuiteModel:
        return self

    async def __call__(self, messages: Sequence[Any], context: Any, **_: Any) -> ModelResponse:
        results = [result for event in messages for result in getattr(event, "results", ())]
        turn = self._script.answer([_text(result) for result in results if isinstance(result, ToolResultEvent)])
        if turn.calls:
            return ModelResponse(tool_calls=ToolCallsEvent([_event(call) for call in turn.calls]))
        return ModelResponse(ModelMessage(turn.text))


def _event(call: Call) -> ToolCallEvent:
    written = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
    return ToolCallEvent(call.name, arguments=written)


def _text(result: ToolResultEvent) -> str:
    return "\n".join(str(getattr(part, "content", part)) for part in result.result.parts)


class Ag2:
    guard_class = ActGuard
    supported = ("ag2.Agent", "Hub")

    def strangers(self) -> Sequence[object]:
        return (ag2.Agent, ag2.Toolkit(), ag2.MemoryStream())

    def run(self, job: Job) -> None:
        planner = ag2.Agent(job.asker, config=SuiteModel(job.script), tools=job.tools)
        guard = job.guard(ActGuard)
        if guard is not None:
            guard.protect(planner)
        job.wait(planner.ask("go"))


driver = Ag2()
