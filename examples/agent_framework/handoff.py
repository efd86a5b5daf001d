"""A planner that may not execute hands over to an executor, which may execute one task and nothing else.

Run: python examples/agent_framework/handoff.py
Needs: agent-capability-tokens[server,agent-framework]; the models are scripted. With OPENAI_API_KEY set, the same runs
with real ones and needs agent-framework-openai as well.
"""

import asyncio
import json
import os
import tempfile

from agent_framework import (
    Agent,
    BaseChatClient,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
)
from agent_framework_orchestrations import HandoffBuilder

from act import Act
from act.integrations.agent_framework import ActGuard, act_tool


@act_tool(action="execute", resource="api://tasks/execute/{task_id}")
def execute_task(task_id: str) -> str:
    """Execute a task."""
    return f"task {task_id} is done"


class ScriptedClient(FunctionInvocationLayer, BaseChatClient):
    """A model that makes these calls, one after the other, and says what came of the last."""

    def __init__(self, *calls):
        super().__init__()
        self._calls = list(calls)

    def _inner_get_response(self, *, messages, stream, options, **kwargs):
        content = self._next(messages)

        async def updates():
            yield ChatResponseUpdate(contents=[content], role="assistant")

        async def response():
            return ChatResponse(messages=Message("assistant", [content]))

        return ResponseStream(updates(), finalizer=ChatResponse.from_updates) if stream else response()

    def _next(self, messages):
        for content in (content for message in messages[-1:] for content in message.contents):
            if content.type == "function_result":
                print(f"  the model reads: {content.result}")
        if not self._calls:
            return Content.from_text("That is all I can do.")
        name, arguments = self._calls.pop(0)
        return Content.from_function_call(f"call-{name}-{len(self._calls)}", name, arguments=json.dumps(arguments))


def model(*calls):
    if "OPENAI_API_KEY" in os.environ:
        from agent_framework.openai import OpenAIChatClient

        return OpenAIChatClient()
    return ScriptedClient(*calls)


async def main(act):
    planner_id = act.agents.create("Planner", roles=["planner"]).id
    executor_id = act.agents.create("Executor", roles=["executor"]).id
    act.policies.create(
        name="Planners hand over", actions=["handoff"], resources=["agent://*"], applies_to={"roles": ["planner"]}
    )
    act.policies.create(
        name="Task 42", actions=["execute"], resources=["api://tasks/execute/42"], applies_to={"roles": ["executor"]}
    )
    tokens = {
        "Planner": act.tokens.issue(planner_id, expires_in=3600).token,
        "Executor": act.tokens.issue(executor_id, expires_in=3600).token,
    }

    task, forbidden = ("execute_task", {"task_id": "42"}), ("execute_task", {"task_id": "43"})
    planner = Agent(
        model(task, ("handoff_to_Executor", {})),
        "Try to execute task 42 yourself. If you may not, hand over to the executor.",
        name="Planner",
        tools=[execute_task],
        require_per_service_call_history_persistence=True,
    )
    executor = Agent(
        model(task, forbidden),
        "Execute tasks 42 and 43, then say which of them are done.",
        name="Executor",
        tools=[execute_task],
        require_per_service_call_history_persistence=True,
    )
    builder = HandoffBuilder(participants=[planner, executor]).with_start_agent(planner)
    workflow = builder.with_autonomous_mode(turn_limits={"Planner": 1, "Executor": 1}).build()
    ActGuard(act, tokens).protect(workflow)

    async for event in workflow.run("Execute tasks 42 and 43.", stream=True):
        if event.type == "handoff_sent":
            print(f"  {event.data.source} hands over to {event.data.target}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, Act.embedded(f"{folder}/act.db") as act:
        asyncio.run(main(act))
