"""The same floods without a network: many threads of one process on one embedded service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from act import Act, Decision
from tests.limits.floods import ASKING, FLOODS, ROUNDS, assert_all_that_fits, exact, mixed, money

THREADS = 50


@pytest.fixture(scope="module")
def act(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Act]:
    path: Path = tmp_path_factory.mktemp("embedded") / "act.db"
    with Act.embedded(path, timeout=60) as act:
        yield act


def limited(act: Act, constraints: dict[str, Any]) -> str:
    """The token of an agent that may run anything within the constraints."""
    agent = act.agents.create(f"agent-{uuid4().hex}").id
    applies_to = {"agentIds": [agent]}
    act.policies.create(name="Limited", actions=["*"], resources=["*"], applies_to=applies_to, constraints=constraints)
    return act.tokens.issue(agent).token


def flood(act: Act, token: str, asked: Sequence[dict[str, Any]]) -> list[Decision]:
    """All at once; the answers in order."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda more: act.enforce(token, "run", "x", **more), asked))


def codes(decisions: Sequence[Decision]) -> dict[str, int]:
    found = [str(decision.reason_code) for decision in decisions]
    return {code: found.count(code) for code in set(found)}


@pytest.mark.parametrize(("constraints", "fit", "code"), FLOODS)
def test_two_hundred_at_once(act: Act, constraints: dict[str, Any], fit: int, code: str) -> None:
    for _ in ROUNDS:
        decisions = flood(act, limited(act, constraints), [{}] * ASKING)
        assert codes(decisions) == {"allowed": fit, code: ASKING - fit}


@pytest.mark.parametrize("per", ["token", "task", "day"])
def test_two_hundred_of_many_amounts(act: Act, per: str) -> None:
    asked = mixed(ASKING)
    for _ in ROUNDS:
        token = limited(act, money(20.4, per))
        decisions = flood(act, token, [{"arguments": {"amount": amount}} for amount in asked])
        assert set(codes(decisions)) == {"allowed", "budget_exceeded"}
        assert_all_that_fits(asked, [bool(decision) for decision in decisions], 20.4)


def test_a_replay_does_not_spend_again(act: Act) -> None:
    token = limited(act, {"maxRequests": 2, "rateLimit": "2 per day", **money(0.3)})
    again = {"request_id": "once", "arguments": {"amount": 0.1}}
    decisions = flood(act, token, [again] * 100)
    assert codes(decisions) == {"allowed": 100}
    assert len({decision.decision_id for decision in decisions}) == 1
    others = flood(act, token, [{"arguments": {"amount": 0.2}}] * 50)
    assert codes(others) == {"allowed": 1, "budget_exceeded": 49}
    left = [limit for decision in others if decision for limit in decision.limits]
    assert {limit.constraint: exact(limit.remaining) for limit in left} == {
        "maxRequests": 0, "rateLimit": 0, "budget": 0
    }  # fmt: skip
