"""What is counted, and at what: the agent, the token family or the task at the root of the chain."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from act.agents.agent import Agent
from act.enforcement.decide import decide
from act.models import ReasonCode
from act.policies.audience import Audience
from act.policies.budgets import BudgetTerms
from act.policies.constraints import NONE, ConcurrencyTerms, Constraints, DelegationTerms, QuotaTerms
from act.policies.index import PolicyIndex
from act.policies.match import Call
from act.policies.policy import HandDown, compile_policy
from act.policies.rates import RateTerms
from act.tokens.chain import Link

ROOT, LEAF = (Agent(id, id, ("r",), "active", 0) for id in ("root", "leaf"))
CALL = Call("pay", "x", datetime(2026, 1, 1, tzinfo=UTC), {"amount": 2.5})
EVERYBODY = Audience(everyone=True)


def seen(task: str | None) -> dict[str, Any]:
    return {"facts": {}, "task": task, "onBehalfOf": None, "depth": 0}


def counted(constraints: Constraints, task: str | None = None) -> list[tuple[str, str, int]]:
    """Name, holder and amount of each limit, for a token that was handed down."""
    policy = compile_policy(
        id="p",
        name="P",
        version=1,
        effect="allow",
        audience=EVERYBODY,
        actions=["*"],
        resources=["*"],
        constraints=constraints,
        hand_down=HandDown(EVERYBODY, 8),
    )
    chain = [Link(ROOT, None, seen(task), family="nod_root"), Link(LEAF, None, seen("another"), family="nod_root")]
    ruling = decide(PolicyIndex([policy]), chain, CALL)
    assert ruling.permitted, ruling.reason
    return [(limit.terms.name, limit.holder, limit.amount) for limit in ruling.limits]


@pytest.mark.parametrize(
    ("per", "task", "holder"),
    [
        ("day", None, "root"),
        ("day", "t1", "root"),
        ("token", None, "nod_root"),
        ("token", "t1", "nod_root"),
        ("task", None, "nod_root"),
        ("task", "t1", "task:t1"),
    ],
)
def test_a_budget(per: Any, task: str | None, holder: str) -> None:
    terms = BudgetTerms("/amount", 10_000_000, per)
    assert counted(Constraints(budget=terms), task) == [(f"budget:{per}::/amount", holder, 2_500_000)]


def test_the_others() -> None:
    every = Constraints(concurrency=ConcurrencyTerms(1, 300), quota=QuotaTerms(5), rates=(RateTerms(9, 60, "rate:60"),))
    assert counted(every, "t1") == [("leases", "root", 1), ("quota", "nod_root", 1), ("rate:60", "root", 1)]


def test_what_cannot_be_counted_is_denied() -> None:
    policy = compile_policy(
        id="p",
        name="P",
        version=1,
        effect="allow",
        audience=EVERYBODY,
        actions=["*"],
        resources=["*"],
        constraints=Constraints(budget=BudgetTerms("/nothing", 10, "day")),
    )
    ruling = decide(PolicyIndex([policy]), [Link(ROOT, None, seen(None))], CALL)
    assert (ruling.permitted, ruling.code) == (False, ReasonCode.BUDGET_EXCEEDED)
    assert ruling.policies == (policy,)
    assert "'P' v1" in ruling.reason


@pytest.mark.parametrize(
    ("chain", "said"),
    [
        ([Link(LEAF, None, seen(None))], "nobody handed it down"),
        ([Link(ROOT, None, seen(None)), Link(LEAF, None, seen(None))], "'root' may not hand it down"),
    ],
)
def test_the_words_about_a_delegation_that_is_wanted(chain: list[Link], said: str) -> None:
    """Who handed it down is told by name."""
    policies = [
        compile_policy(
            id=id,
            name=id,
            version=1,
            effect="allow",
            audience=Audience(agent_ids=frozenset([agent])),
            actions=["*"],
            resources=["*"],
            hand_down=HandDown(EVERYBODY, 8) if agent == "root" else None,
            constraints=Constraints(delegation=wanted) if wanted else NONE,
        )
        for id, agent, wanted in (("up", "root", None), ("down", "leaf", DelegationTerms(Audience())))
    ]
    ruling = decide(PolicyIndex(policies), chain, CALL)
    assert ruling.code is ReasonCode.DELEGATION_REQUIRED
    assert said in ruling.reason
