"""What a chain is told: who allowed it, who handed it down, and what was in the way."""

from __future__ import annotations

from datetime import UTC, datetime

from act.agents.agent import Agent
from act.enforcement.decide import decide
from act.models import ReasonCode
from act.policies.audience import Audience
from act.policies.constraints import NONE, Constraints, DelegationTerms
from act.policies.index import PolicyIndex
from act.policies.match import Call
from act.policies.policy import HandDown, compile_policy
from act.tokens.chain import NO_TOKEN, Link
from act.tokens.scope import scope_of

CALL = Call("run", "x", datetime(2026, 1, 1, tzinfo=UTC))
EVERYBODY = Audience(roles=frozenset({"r"}))


def index(max_depth: int = 8, constraints: Constraints = NONE) -> PolicyIndex:
    """One policy, for everybody, to use and to hand down."""
    policy = compile_policy(
        id="p",
        name="All",
        version=1,
        effect="allow",
        audience=EVERYBODY,
        actions=["*"],
        resources=["*"],
        constraints=constraints,
        hand_down=HandDown(EVERYBODY, max_depth),
    )
    return PolicyIndex([policy])


def link(name: str) -> Link:
    return Link(Agent(name, name, ("r",), "active", 0), scope_of([(["run"], ["x"])]), NO_TOKEN)


def reason(*names: str) -> str:
    ruling = decide(index(), [link(name) for name in names], CALL)
    assert ruling.permitted
    return ruling.reason


def test_everybody_above_is_named_and_nobody_else() -> None:
    assert reason("a") == "Allowed by policy 'All' v1."
    assert reason("a", "b") == "Allowed by policy 'All' v1, handed down by 'a'."
    assert reason("a", "b", "c") == "Allowed by policy 'All' v1, handed down by 'a', 'b'."


def test_too_many_follow() -> None:
    ruling = decide(index(max_depth=1), [link("a"), link("b"), link("c")], CALL)
    assert ruling.code is ReasonCode.CHAIN_DEPTH_EXCEEDED
    assert ruling.reason == "Of 'a', policy 'All' v1 lets fewer than 2 agents follow."


def test_the_first_of_a_chain_was_handed_nothing() -> None:
    """Least of all by the last one, to which it hands down itself."""
    needed = Constraints(delegation=DelegationTerms(EVERYBODY))
    assert decide(index(constraints=needed), [link("a"), link("b")], CALL).code is ReasonCode.DELEGATION_REQUIRED
