"""AutoGen 0.7, which is asynchronous alone: "sync" is one agent that goes on by itself, "async" a team of one.

With two, an agent of the core sends the calls of its model to a tool agent, which alone has the tools.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import TextMentionTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import AgentId, CancellationToken, FunctionCall, MessageContext, RoutedAgent, message_handler
from autogen_core import SingleThreadedAgentRuntime as Runtime
from autogen_core.models import (
    ChatCompletionClient,
    CreateResult,
    FunctionExecutionResultMessage,
    ModelInfo,
    RequestUsage,
    UserMessage,
)
from autogen_core.tool_agent import ToolAgent, tool_agent_caller_loop
from autogen_core.tools import FunctionTool
from tests.integrations.suite.job import END, Job, Script

from act.integrations.agentchat import ActGuard

_USAGE = RequestUsage(prompt_tokens=0, completion_tokens=0)


class SuiteModel(ChatCompletionClient):
    """Says what a `Script` says."""

    def __init__(self, script: Script) -> None:
        self._script, self._numbers = script, count()

    async def create(self, messages: Sequence[Any], **_: Any) -> CreateResult:
        told = [message.content for message in messages if isinstance(message, FunctionExecutionResultMessage)]
        turn = self._script.answer([result.content for results in told for result in results])
        calls = [
            FunctionCall(
                f"call_{next(self._numbers)}",
                name=call.name,
                arguments=call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments),
            )
            for call in turn.calls
        ]
        reason: Any = "function_calls" if calls else "stop"
        return CreateResult(finish_reason=reason, content=calls or turn.text, usage=_USAGE, cached=False)

    async def create_stream(self, messages: Sequence[Any], **more: Any) -> AsyncGenerator[Any, None]:
        yield await self.create(messages, **more)

    async def close(self) -> None:
        pass

    def actual_usage(self) -> RequestUsage:
        return _USAGE

    def total_usage(self) -> RequestUsage:
        return _USAGE

    def count_tokens(self, messages: Any, **_: Any) -> int:
        return 0

    def remaining_tokens(self, messages: Any, **_: Any) -> int:
        return 1000

    @property
    def capabilities(self) -> Any:
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        return ModelInfo(
            vision=False, function_calling=True, json_output=True, family="unknown", structured_output=True
        )


@dataclass
class Go:
    """What the planner of the core is told."""

    text: str = "go"


class Planner(RoutedAgent):
    """Has its model's calls carried out by a tool agent."""

    def __init__(self, model: SuiteModel, tools: list[Any], executor: AgentId) -> None:
        super().__init__("plans")
        self._model, self._tools, self._executor = model, tools, executor

    @message_handler
    async def go(self, message: Go, ctx: MessageContext) -> None:
        await tool_agent_caller_loop(
            self, self._executor, self._model, [UserMessage(content="go", source="user")], self._tools
        )


class Agentchat:
    guard_class = ActGuard
    supported = ("AssistantAgent", "CodeExecutorAgent", "RoundRobinGroupChat", "ToolAgent")

    def strangers(self) -> Sequence[object]:
        return (AssistantAgent, {"name": "Planner"}, SuiteModel(Script([])), CancellationToken())

    def run(self, job: Job) -> None:
        if job.two:
            run: Any = _core(job)
        elif job.asynchronous:
            run = _team(job)
        else:
            run = _alone(job)
        job.wait(run) if job.asynchronous else asyncio.run(run)


async def _alone(job: Job) -> None:
    planner = AssistantAgent(job.asker, SuiteModel(job.script), tools=list(job.tools), max_tool_iterations=40)
    guard = job.guard(ActGuard)
    if guard is not None:
        guard.protect(planner)
    await planner.run(task="go")


async def _team(job: Job) -> None:
    planner = AssistantAgent(job.asker, SuiteModel(job.script), tools=list(job.tools))
    team = RoundRobinGroupChat([planner], termination_condition=TextMentionTermination(END), max_turns=40)
    guard = job.guard(ActGuard)
    if guard is not None:
        guard.protect(team)
    await team.run(task="go")


async def _core(job: Job) -> None:
    tools: list[Any] = [FunctionTool(tool, description="A tool") for tool in job.tools]
    runtime = Runtime()
    guard = job.guard(ActGuard)
    if guard is not None:
        guard.protect(runtime)
    executor = AgentId(job.executor, "default")
    await ToolAgent.register(runtime, job.executor, lambda: ToolAgent("runs tools", tools))
    await Planner.register(runtime, job.asker, lambda: Planner(SuiteModel(job.script), tools, executor))
    runtime.start()
    try:
        await runtime.send_message(Go(), AgentId(job.asker, "default"))
    finally:
        await runtime.stop()


driver = Agentchat()
