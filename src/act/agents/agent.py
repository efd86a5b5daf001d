"""An agent as decisions see it: a frozen value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

AgentStatus = Literal["active", "suspended", "deleted"]


@dataclass(frozen=True, slots=True)
class Agent:
    """`roles` are the listed ones plus `metadata.role`; tokens with a sequence number up to `mark` are revoked."""

    id: str
    name: str
    roles: tuple[str, ...]
    status: AgentStatus
    mark: int
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


def effective_roles(roles: Sequence[str], metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The roles an agent has: those listed plus `metadata.role` when it is a string (2-semantics)."""
    role = metadata.get("role")
    return tuple(dict.fromkeys([*roles, *([role] if isinstance(role, str) and role else [])]))
