"""What is told about an allow policy that came close (`act.policies.policy.Near`)."""

from __future__ import annotations

from collections.abc import Sequence

_PATTERNS_SHOWN = 5


def other_actions(actions: Sequence[str]) -> str:
    return f"It allows the actions {_listed(actions)}."


def other_resources(resources: Sequence[str]) -> str:
    return f"It covers the resources {_listed(resources)}."


def _listed(patterns: Sequence[str]) -> str:
    shown = ", ".join(patterns[:_PATTERNS_SHOWN])
    return shown if len(patterns) <= _PATTERNS_SHOWN else f"{shown} and {len(patterns) - _PATTERNS_SHOWN} more"
