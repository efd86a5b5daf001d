"""The chain of a delegated token, as its tokens alone tell it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from act.agents.agent import Agent
from act.models import ReasonCode
from act.policies.audience import Audience
from act.tokens.chain import MAX_DEPTH, NO_TOKEN, Link, alone, check_chain


def link(name: str, *roles: str, **more: Any) -> Link:
    return Link(Agent(name, name.upper(), roles, "active", 0), None, NO_TOKEN, **more)


def chain(length: int) -> list[Link]:
    """One that holds: each lets as many follow as do."""
    return [link(f"a{at}", max_depth=length - 1 - at) for at in range(length)]


def judged(*links: Link) -> ReasonCode | None:
    outcome = check_chain(links)
    return None if outcome is None else outcome.code


@pytest.mark.parametrize("length", range(1, MAX_DEPTH + 2))
def test_a_chain_that_holds(length: int) -> None:
    assert judged(*chain(length)) is None
    assert judged(*alone(chain(1)[0].agent)) is None


def test_deeper_than_any_may_be_whatever_its_tokens_say() -> None:
    links = [link(f"a{at}", max_depth=100) for at in range(MAX_DEPTH + 2)]
    assert judged(*links[:-1]) is None
    assert judged(*links) is ReasonCode.CHAIN_DEPTH_EXCEEDED


@pytest.mark.parametrize("twice", [(0, 1), (0, 3), (1, 2), (2, 3)])
def test_an_agent_twice(twice: tuple[int, int]) -> None:
    links = chain(4)
    links[twice[1]] = links[twice[1]]._replace(agent=links[twice[0]].agent)
    assert judged(*links) is ReasonCode.CHAIN_CYCLE


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_token_that_may_not_be_handed_down(at: int) -> None:
    links = chain(4)
    links[at] = links[at]._replace(max_depth=0)
    assert judged(*links) is ReasonCode.CHAIN_NOT_DELEGABLE


@pytest.mark.parametrize("at", [0, 1])
def test_a_token_that_lets_one_less_follow(at: int) -> None:
    links = chain(4)
    links[at] = links[at]._replace(max_depth=2 - at)
    assert judged(*links) is ReasonCode.CHAIN_DEPTH_EXCEEDED


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_token_that_may_be_handed_to_others_only(at: int) -> None:
    links = chain(4)
    links[at] = links[at]._replace(hand_to=Audience(roles=frozenset({"chosen"}), agent_ids=frozenset({"x"})))
    assert judged(*links) is ReasonCode.CHAIN_NOT_DELEGABLE
    following = links[at + 1].agent
    links[at + 1] = links[at + 1]._replace(agent=replace(following, roles=("chosen",)))
    assert judged(*links) is None
    links[at + 1] = links[at + 1]._replace(agent=replace(following, id="x"))
    assert judged(*links) is None


def test_whom_a_token_of_one_link_names_is_no_question() -> None:
    assert judged(link("a", hand_to=Audience(roles=frozenset({"chosen"})), max_depth=0)) is None


def test_an_audience_of_nobody_is_nobody() -> None:
    links = chain(2)
    assert judged(links[0]._replace(hand_to=Audience()), links[1]) is ReasonCode.CHAIN_NOT_DELEGABLE
