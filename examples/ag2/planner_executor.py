"""A planner that may plan and hand over, and an executor that may execute: AG2 agents under one guard.

Run: python examples/ag2/planner_executor.py

It needs the extras `ag2` and `server`. The models are scripted; with OPENAI_API_KEY set (and `pip install
"ag2[openai]"`) the same agents work with a real one.
"""

import asyncio
import json
import os
import tempfile

from ag2 import Agent
from ag2.events import ToolCallEvent

from act import Act
from act.integrations.ag2 import ActGuard, act_tool


@act_tool(action="plan", resource="api://workflows/plan", labels=[])
def plan_workflow(goal: str) -> str:
    """Plan how to reach a goal."""
    print(f"  planned: {goal}")
    return "1. execute task 42"


@act_tool(action="execute", resource="api://tasks/execute/{task_id}", labels=[])
def execute_task(task_id: str) -> str:
    """Execute one task by its number."""
    print(f"  executed: task {task_id}")
    return f"task {task_id} is done"


def call(name: str, **arguments: str) -> ToolCallEvent:
    return ToolCallEvent(name, arguments=json.dumps(arguments))


def model(*script: object) -> object:
    """A real model where there is a key for one, otherwise one that says what stands in the script."""
    if os.environ.get("OPENAI_API_KEY"):
        from ag2.config import OpenAIConfig

        return OpenAIConfig(os.environ.get("OPENAI_MODEL", "gpt-4o-mini"))
    from ag2.testing import TestConfig

    return TestConfig(*script)


executor = Agent(
    "Executor",
    "You execute the one task that you are given, with execute_task, and say what it returned.",
    config=model(call("execute_task", task_id="42"), "Task 42 is done."),
    tools=[execute_task],
)
planner = Agent(
    "Planner",
    "Plan with plan_workflow. Then try to execute task 42 yourself; when that is denied, give it to task_Executor.",
    config=model(
        call("plan_workflow", goal="ship it"),
        call("execute_task", task_id="42"),
        call("task_Executor", objective="Execute task 42."),
        "It is done: the executor carried out what I may not.",
    ),
    tools=[plan_workflow, execute_task, executor.as_tool(description="Executes one task.")],
)


async def main(act: Act) -> None:
    ids = {name: act.agents.create(name, roles=[name.lower()]).id for name in ("Planner", "Executor")}
    for role, action, resource in (
        ("planner", "plan", "api://workflows/plan"),
        ("planner", "handoff", "agent://Executor"),
        ("executor", "execute", "api://tasks/execute/*"),
    ):
        act.policies.create(
            name=f"The {role} may {action}", actions=[action], resources=[resource], applies_to={"roles": [role]}
        )
    guard = ActGuard(act, tokens={name: act.guard_for(id) for name, id in ids.items()})
    guard.protect(planner, executor)

    reply = await planner.ask("Ship it.")
    print(reply.body)
    print("what ACT decided:")
    for decided in (line.record for line in act.audit.list(kind="decision", order="asc")):
        print("  {agentName}: {action} {resourceId}: {reasonCode}".format(**decided))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, Act.embedded(f"{folder}/act.db") as act:
        asyncio.run(main(act))
