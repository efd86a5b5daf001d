"""ACT for AutoGen 0.7 (`autogen-agentchat` and `autogen-core` 0.7.5).

guard = ActGuard(act, tokens={"Planner": planner_token, "Executor": executor_token})
guard.protect(team)    # or agents one by one, or the runtime of core tool agents
"""

from act.integrations.agentchat.guard import ActGuard
from act.integrations.core import ApprovalPending, UnprotectedAgent
from act.integrations.mapping import ToolSpec, act_tool

__all__ = ["ActGuard", "ApprovalPending", "ToolSpec", "UnprotectedAgent", "act_tool"]
