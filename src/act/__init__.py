"""ACT: the permission and enforcement layer for systems of AI agents. This is what users import."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from act.client.act import Act
from act.client.async_act import AsyncAct
from act.client.binding import current_guard
from act.client.errors import (
    ActError,
    ApprovalPending,
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    ServerError,
    TooManyRequests,
    Unauthorized,
    UnexpectedAnswer,
    Unprocessable,
    Unreachable,
    UnsupportedMediaType,
)
from act.client.guard import AsyncGuard, Guard
from act.client.tool import tool
from act.models import Approval, Decision, ReasonCode, Verdict

try:
    __version__ = version("agent-capability-tokens")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0.0.0"

__all__ = [
    "Act",
    "ActError",
    "Approval",
    "ApprovalPending",
    "AsyncAct",
    "AsyncGuard",
    "BadRequest",
    "Conflict",
    "Decision",
    "Forbidden",
    "Guard",
    "NotFound",
    "PayloadTooLarge",
    "PermissionDenied",
    "ReasonCode",
    "ServerError",
    "TooManyRequests",
    "Unauthorized",
    "UnexpectedAnswer",
    "Unprocessable",
    "Unreachable",
    "UnsupportedMediaType",
    "Verdict",
    "__version__",
    "current_guard",
    "tool",
]
