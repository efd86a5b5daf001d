"""What a permitted chain is told: who allowed it, and who handed it down."""

from __future__ import annotations

from datetime import UTC, datetime

from act.agents.agent import Agent
from act.enforcement.decide import decide
from act.policies.audience import Audience
from act.policies.index import PolicyIndex
from act.policies.match import Call
from act.policies.policy import HandDown, compile_policy
from act.tokens.chain import NO_TOKEN, Link
from act.tokens.scope import scope_of

CALL = Call("run", "x", datetime(2026, 1, 1, tzinfo=UTC))
EVERYBODY = Audience(roles=frozenset({"r"}))
POLICY = compile_policy(
    id="p",
    name="All",
    version=1,
    effect="allow",
    audience=EVERYBODY,
    actions=["*"],
    resources=["*"],
    hand_down=HandDown(EVERYBODY, 8),
)
INDEX = PolicyIndex([POLICY])


def link(name: str) -> Link:
    return Link(Agent(name, name, ("r",), "active", 0), scope_of([(["run"], ["x"])]), NO_TOKEN)


def reason(*names: str) -> str:
    ruling = decide(INDEX, [link(name) for name in names], CALL)
    assert ruling.permitted
    return ruling.reason


def test_everybody_above_is_named_and_nobody_else() -> None:
    assert reason("a") == "Allowed by policy 'All' v1."
    assert reason("a", "b") == "Allowed by policy 'All' v1, handed down by 'a'."
    assert reason("a", "b", "c") == "Allowed by policy 'All' v1, handed down by 'a', 'b'."
