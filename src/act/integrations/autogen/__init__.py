"""ACT for AutoGen classic (`autogen` 0.14, the `ConversableAgent` API).

guard = ActGuard(act, tokens={"Planner": planner_token, "Executor": executor_token})
guard.protect(user_proxy, planner, executor)
"""

from act.integrations.autogen.guard import ActGuard
from act.integrations.core import ApprovalPending, UnprotectedAgent
from act.integrations.mapping import ToolSpec, act_tool

__all__ = ["ActGuard", "ApprovalPending", "ToolSpec", "UnprotectedAgent", "act_tool"]
