"""What ends a run instead of becoming a tool's result.

The framework turns every exception of a tool call into a text for the model; only `MiddlewareFailure` comes out of the
run. So what must reach the application is one as well.
"""

from __future__ import annotations

from agent_framework import MiddlewareFailure

from act.integrations.core import ApprovalPending, UnprotectedAgent
from act.integrations.ruling import Ruling


class EnforcementFailed(MiddlewareFailure):  # type: ignore[misc]  # the framework is not analysed
    """ACT could not be asked, so nothing was done and the run has ended. `ruling` says why."""

    def __init__(self, ruling: Ruling) -> None:
        super().__init__(ruling.text)
        self.ruling = ruling


class RunPending(ApprovalPending, MiddlewareFailure):  # type: ignore[misc]
    """`act.ApprovalPending` in the form that leaves a run."""


class RunUnprotected(UnprotectedAgent, MiddlewareFailure):  # type: ignore[misc]
    """`UnprotectedAgent` in the form that leaves a run."""
