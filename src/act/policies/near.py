"""An allow policy that came close: what is told about it after a denial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from act.policies.policy import CompiledPolicy

_PATTERNS_SHOWN = 5


class Near(NamedTuple):
    """A policy that would have matched but for what `pointer` (into the enforce request) names.

    `id`, the policy's, comes first: so they sort by it.
    """

    id: str
    pointer: str
    message: str
    policy: CompiledPolicy


def other_actions(actions: Sequence[str]) -> str:
    return f"It allows the actions {_listed(actions)}."


def other_resources(resources: Sequence[str]) -> str:
    return f"It covers the resources {_listed(resources)}."


def _listed(patterns: Sequence[str]) -> str:
    shown = ", ".join(patterns[:_PATTERNS_SHOWN])
    return shown if len(patterns) <= _PATTERNS_SHOWN else f"{shown} and {len(patterns) - _PATTERNS_SHOWN} more"
