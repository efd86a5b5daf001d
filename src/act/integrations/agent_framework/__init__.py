"""ACT for the Microsoft Agent Framework (`agent-framework-core` 1.23 and `agent-framework-orchestrations`).

guard = ActGuard(act, tokens={"Planner": planner_token, "Executor": executor_token})
guard.protect(planner, executor)    # or the workflow that they are in
"""

from act.integrations.agent_framework.failures import EnforcementFailed
from act.integrations.agent_framework.guard import ActGuard
from act.integrations.core import ApprovalPending, UnprotectedAgent
from act.integrations.mapping import ToolSpec, act_tool

__all__ = ["ActGuard", "ApprovalPending", "EnforcementFailed", "ToolSpec", "UnprotectedAgent", "act_tool"]
