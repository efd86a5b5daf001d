"""The two tools of the demonstration. They do next to nothing, but they really do it: `done` says what ran."""

from __future__ import annotations

from typing import Annotated

from act.integrations.autogen import act_tool

done: list[str] = []


@act_tool(action="plan", resource="api://workflows/plan")
def plan_workflow(goal: Annotated[str, "What to reach"]) -> str:
    """Plan a workflow."""
    done.append(f"plan_workflow({goal!r})")
    return f"Plan for {goal!r}: 1. execute task 42. 2. execute task 43."


@act_tool(action="execute", resource="api://tasks/execute/{task_id}")
def execute_task(task_id: Annotated[str, "The task's number"]) -> str:
    """Execute a task."""
    done.append(f"execute_task({task_id!r})")
    return f"Task {task_id} executed."
