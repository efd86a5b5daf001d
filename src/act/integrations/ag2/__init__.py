"""ACT for AG2 1.x (`ag2`, the `Agent` API with hubs).

guard = ActGuard(act, tokens={"Planner": planner_token, "Executor": executor_token})
guard.protect(planner, executor)
"""

from act.integrations.ag2.guard import ActGuard
from act.integrations.core import ApprovalPending, UnprotectedAgent
from act.integrations.mapping import ToolSpec, act_tool

__all__ = ["ActGuard", "ApprovalPending", "ToolSpec", "UnprotectedAgent", "act_tool"]
