"""A planner that may not execute hands over to an executor, which may execute one task and nothing else.

Run: python examples/agentchat/swarm.py
Needs: agent-capability-tokens[server,agentchat]; the models are scripted. With OPENAI_API_KEY set, the same runs with
real ones and needs autogen-ext[openai] as well.
"""

import asyncio
import json
import logging
import os
import tempfile

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination, TextMentionTermination
from autogen_agentchat.messages import HandoffMessage, ToolCallExecutionEvent
from autogen_agentchat.teams import Swarm
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, RequestUsage
from autogen_ext.models.replay import ReplayChatCompletionClient

from act import Act
from act.integrations.agentchat import ActGuard, act_tool


@act_tool(action="execute", resource="api://tasks/execute/{task_id}")
def execute_task(task_id: str) -> str:
    """Execute a task."""
    return f"task {task_id} is done"


def model(*calls):
    """A model that makes these calls, one after the other, and then ends."""
    if "OPENAI_API_KEY" in os.environ:
        from autogen_ext.models.openai import OpenAIChatCompletionClient

        return OpenAIChatCompletionClient(model="gpt-4.1-mini", parallel_tool_calls=False)
    script = [
        CreateResult(
            finish_reason="function_calls",
            content=[FunctionCall(id=f"call-{number}", name=name, arguments=json.dumps(arguments))],
            usage=RequestUsage(prompt_tokens=0, completion_tokens=0),
            cached=False,
        )
        for number, (name, arguments) in enumerate(calls)
    ]
    info = {"vision": False, "function_calling": True, "json_output": False, "family": "unknown"}
    return ReplayChatCompletionClient([*script, "TERMINATE"], model_info={**info, "structured_output": False})


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
    planner = AssistantAgent(
        "Planner",
        model(task, ("transfer_to_executor", {})),
        tools=[execute_task],
        handoffs=["Executor"],
        system_message="Try to execute task 42 yourself. If you may not, hand over to the executor.",
        max_tool_iterations=2,
    )
    executor = AssistantAgent(
        "Executor",
        model(task, forbidden),
        tools=[execute_task],
        system_message="Execute tasks 42 and 43, say which of them are done, and then TERMINATE.",
        max_tool_iterations=3,
    )
    team = Swarm(
        [planner, executor], termination_condition=TextMentionTermination("TERMINATE") | MaxMessageTermination(20)
    )
    ActGuard(act, tokens).protect(team)

    async for event in team.run_stream(task="Execute tasks 42 and 43."):
        if isinstance(event, ToolCallExecutionEvent):
            for result in event.content:
                print(f"  {event.source} reads: {result.content}")
        elif isinstance(event, HandoffMessage):
            print(f"  {event.source} hands over to {event.target}")


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # the replayed model counts tokens of texts only, and says so each time
    with tempfile.TemporaryDirectory() as folder, Act.embedded(f"{folder}/act.db") as act:
        asyncio.run(main(act))
