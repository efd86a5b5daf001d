"""What many requests at once may take of a limit, and what is held against the answers. Knows no way of asking."""

from __future__ import annotations

import os
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from tests.support import Api

DEEP = os.environ.get("ACT_DEEP") == "1"
ROUNDS = range(20 if DEEP else 3)
ASKING = 200
AMOUNTS = (0.1, 2.5, 0.2, 0.000001, 1, 0.7)
"""Of which binary fractions cannot hold most."""


def money(most: float, per: str = "token", **more: Any) -> dict[str, Any]:
    """A budget over `/amount`."""
    return {"budget": {"argument": "/amount", "max": most, "per": per, **more}}


FLOODS = [
    pytest.param({"maxConcurrentTasks": 5}, 5, "concurrency_exceeded", id="places"),
    pytest.param({"rateLimit": "100 per minute"}, 100, "rate_limited", id="rate"),
    pytest.param({"maxRequests": 37}, 37, "quota_exceeded", id="quota"),
    pytest.param(
        {"rateLimit": "100 per minute", "maxRequests": 50, "maxConcurrentTasks": 7}, 7, "concurrency_exceeded", id="all"
    ),
]
"""Constraints, how many of a flood pass, and what the others are told."""


def limited(api: Api, constraints: dict[str, Any]) -> str:
    """The token of an agent that may run anything within the constraints."""
    agent = api.agent()
    api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints=constraints)
    return api.token(agent)


def exact(amount: float | int) -> Decimal:
    """The number as it was written."""
    return Decimal(str(amount))


def mixed(count: int) -> list[float]:
    """Amounts in turn, as many as asked for."""
    return [AMOUNTS[number % len(AMOUNTS)] for number in range(count)]


def assert_all_that_fits(asked: Sequence[float], allowed: Sequence[bool], most: float) -> None:
    """What passed is within the budget, and nothing was refused for which there was room when it was asked.

    What is left only becomes less; so what did not fit then does not fit into what is left at the end.
    """
    given = sum((exact(amount) for amount, passed in zip(asked, allowed, strict=True) if passed), Decimal())
    assert given <= exact(most)
    refused = [exact(amount) for amount, passed in zip(asked, allowed, strict=True) if not passed]
    assert refused, "the flood has to be more than the budget"
    assert exact(most) - given < min(refused)
