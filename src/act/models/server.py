"""The server's own state."""

from __future__ import annotations

from typing import Literal

from act.models.base import Answer


class Health(Answer):
    status: Literal["ok", "unavailable"]
    version: str
    checks: dict[str, str] = {}
