"""The index finds what looking at every policy finds."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from act.agents.agent import Agent
from act.policies.index import PolicyIndex
from act.policies.policy import Audience, CompiledPolicy, compile_policy
from tests import reference
from tests.policies.strategies import agent_documents, agent_of, documents, policy_of, questions


def _ids(policies: list[CompiledPolicy]) -> list[str]:
    return [policy.id for policy in policies]


@given(documents, agent_documents(), questions)
def test_matching_is_a_naive_scan(
    policies: list[dict[str, Any]], agent: dict[str, Any], question: tuple[str, str]
) -> None:
    action, resource = question
    index = PolicyIndex(policy_of(policy) for policy in policies)
    expected = [
        policy["id"]
        for policy in policies
        if reference.applies(policy, agent)
        and any(reference.glob_matches(pattern, action) for pattern in policy["actions"])
        and any(reference.glob_matches(pattern, resource) for pattern in policy["resources"])
    ]
    assert _ids(index.matching(agent_of(agent), action, resource)) == sorted(expected)


@given(documents, agent_documents())
def test_applying_is_a_naive_scan(policies: list[dict[str, Any]], agent: dict[str, Any]) -> None:
    index = PolicyIndex(policy_of(policy) for policy in policies)
    expected = sorted(policy["id"] for policy in policies if reference.applies(policy, agent))
    assert _ids(index.applying(agent_of(agent))) == expected


def test_an_audience_that_names_nobody_is_nobody() -> None:
    nobody = compile_policy(
        id="p", name="p", version=1, effect="allow", audience=Audience(), actions=["*"], resources=["*"]
    )
    agent = Agent("a1", "a1", ("", "r1"), "active", 0)
    assert PolicyIndex([nobody]).applying(agent) == []
    assert PolicyIndex([nobody]).matching(agent, "x", "p/1") == []


def test_an_empty_index_finds_nothing() -> None:
    agent = Agent("a1", "a1", ("r1",), "active", 0)
    assert PolicyIndex().matching(agent, "x", "p/1") == []
    assert PolicyIndex().policies == {}
