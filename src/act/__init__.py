"""ACT: the permission and enforcement layer for systems of AI agents. This is what users import.

Names are imported when they are first used: `actctl --help` needs none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from act.client.act import Act
    from act.client.async_act import AsyncAct
    from act.client.async_guard import AsyncGuard
    from act.client.binding import current_guard
    from act.client.errors import (
        ActError,
        ApprovalPending,
        BadRequest,
        Conflict,
        Forbidden,
        NotFound,
        NotReported,
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
    from act.client.guard import Guard
    from act.client.proof import ProofKey
    from act.client.tool import tool
    from act.models import Approval, Decision, ReasonCode, Verdict

    __version__: str

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
    "NotReported",
    "PayloadTooLarge",
    "PermissionDenied",
    "ProofKey",
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

_ELSEWHERE: Final = {
    "Act": "act.client.act",
    "AsyncAct": "act.client.async_act",
    "AsyncGuard": "act.client.async_guard",
    "Guard": "act.client.guard",
    "ProofKey": "act.client.proof",
    "current_guard": "act.client.binding",
    "tool": "act.client.tool",
    **dict.fromkeys(("Approval", "Decision", "ReasonCode", "Verdict"), "act.models"),
}
"""Where a name comes from; what is not here is an error class."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'act' has no attribute {name!r}")
    if name == "__version__":
        value: Any = _version()
    else:
        from importlib import import_module

        value = getattr(import_module(_ELSEWHERE.get(name, "act.client.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("agent-capability-tokens")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0.0.0"
