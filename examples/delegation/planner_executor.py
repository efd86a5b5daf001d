"""A planner that may not execute hands one task to an executor, which may execute nothing else.

Run: python examples/delegation/planner_executor.py
"""

import tempfile

from act import Act, PermissionDenied, tool

TASKS = "api://tasks/"


@tool(action="execute", resource=TASKS + "{task_id}")
def execute_task(task_id: str) -> str:
    return f"task {task_id} is done"


def try_to_execute(task_id: str) -> None:
    try:
        print(f"  {execute_task(task_id)}")
    except PermissionDenied as denial:
        print(f"  task {task_id}: {denial.decision.reason_code}")


with tempfile.TemporaryDirectory() as folder, Act.embedded(f"{folder}/act.db") as act:
    planner = act.agents.create("Planner", roles=["planner"])
    executor = act.agents.create("Executor", roles=["executor"])
    act.policies.create(
        name="Hand tasks down",
        actions=["execute"],
        resources=[TASKS + "*"],
        applies_to={"roles": ["planner"]},
        grants=["delegate"],
        delegation={"to": {"roles": ["executor"]}, "max_depth": 1},
    )
    act.policies.create(
        name="Execute what was handed down",
        actions=["execute"],
        resources=[TASKS + "*"],
        applies_to={"roles": ["executor"]},
        constraints={"requires_delegation": {"from": {"roles": ["planner"]}}},
    )

    planner_guard = act.guard_for(planner.id, expires_in=3600)
    executor_guard = act.guard_for(executor.id, expires_in=3600)
    handed = planner_guard.delegate("Executor", actions=["execute"], resources=[TASKS + "42"], expires_in=300)

    print("the planner itself")
    with planner_guard.bind():
        try_to_execute("42")
    print("the executor, by itself")
    with executor_guard.bind():
        try_to_execute("42")
    print("the executor, with what it was handed")
    with handed.bind():
        try_to_execute("42")
        try_to_execute("43")
    print("after the planner's tokens were revoked")
    act.agents.revoke_tokens(planner.id)
    with handed.bind():
        try_to_execute("42")
