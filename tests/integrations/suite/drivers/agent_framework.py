"""The Microsoft Agent Framework, which is asynchronous alone: "sync" is a run in one piece, "async" one as a stream.

An agent of this framework carries out what its own model calls, and nothing else, so there are no cases with two.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from agent_framework import (
    Agent,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
    tool,
)
from tests.integrations.suite.job import Job, Script

from act.integrations.agent_framework import ActGuard


class SuiteClient(FunctionInvocationLayer, ChatMiddlewareLayer, BaseChatClient):  # type: ignore[misc,type-arg]
    """A chat client whose model says what a `Script` says."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self._script = script
        self._numbers = count()

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **kwargs: Any
    ) -> Any:
        shown = [content for message in messages for content in message.contents]
        turn = self._script.answer([str(content.result) for content in shown if content.type == "function_result"])
        contents = [self._call(call.name, call.arguments) for call in turn.calls] or [Content.from_text(turn.text)]

        async def updates() -> Any:
            for content in contents:
                yield ChatResponseUpdate(contents=[content], role="assistant")

        async def response() -> ChatResponse[Any]:
            return ChatResponse(messages=Message(role="assistant", contents=contents))

        return ResponseStream(updates(), finalizer=ChatResponse.from_updates) if stream else response()

    def _call(self, name: str, arguments: Mapping[str, Any] | str) -> Content:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        return Content.from_function_call(f"call_{next(self._numbers)}", name, arguments=text)


class AgentFramework:
    guard_class = ActGuard
    supported = ("Agent", "RawAgent", "Workflow")

    def strangers(self) -> Sequence[object]:
        return (Agent, {"name": "Planner"}, tool(print, name="print"), SuiteClient(Script([])))

    def run(self, job: Job) -> None:
        planner = Agent(SuiteClient(job.script), name=job.asker, tools=list(job.tools))
        guard = job.guard(ActGuard)
        if guard is not None:
            guard.protect(planner)
        if job.asynchronous:
            job.wait(_streamed(planner))
        else:
            asyncio.run(_whole(planner))


async def _whole(agent: Any) -> None:
    await agent.run("go")


async def _streamed(agent: Any) -> None:
    await agent.run("go", stream=True).get_final_response()


driver = AgentFramework()
