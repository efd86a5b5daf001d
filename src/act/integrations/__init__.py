"""Enforcement inside agent frameworks: one guard per framework over one shared core (5-agent-frameworks).

What stands here needs no framework: `act_tool` marks functions that agents of any of them call.
"""

from act.integrations.core import ApprovalPending, NotReported, Observation, Report, UnprotectedAgent
from act.integrations.mapping import ToolSpec, act_tool
from act.integrations.mapping_file import load_tools

__all__ = [
    "ApprovalPending",
    "NotReported",
    "Observation",
    "Report",
    "ToolSpec",
    "UnprotectedAgent",
    "act_tool",
    "load_tools",
]
