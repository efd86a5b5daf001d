"""The index finds what looking at every policy finds, also after changes, and looks at little else."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.agents.agent import Agent
from act.policies.audience import Audience
from act.policies.index import PolicyIndex
from act.policies.policy import CompiledPolicy, Near, compile_policy
from act.policies.shelf import LOOKED_AT
from tests import reference
from tests.policies.strategies import agent_documents, agent_of, documents, policy_of, questions


def _ids(policies: Sequence[CompiledPolicy]) -> list[str]:
    return [policy.id for policy in policies]


def near_of(index: PolicyIndex, agent: Agent, action: str, resource: str) -> list[Near]:
    """What came close, in the order of ids, which each of the lists is in."""
    lists = index.near(agent, action, resource)
    for each in lists:
        assert [miss.id for miss in each] == sorted(miss.id for miss in each)
    return sorted((miss for each in lists for miss in each), key=lambda miss: miss.id)


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
    assert PolicyIndex([nobody]).matching(agent, "x", "p/1") == ()


def test_an_empty_index_finds_nothing() -> None:
    agent = Agent("a1", "a1", ("r1",), "active", 0)
    assert PolicyIndex().matching(agent, "x", "p/1") == ()
    assert PolicyIndex().policies == {}
    assert PolicyIndex().near(agent, "x", "p/1") == []


@pytest.mark.parametrize(("asked", "pointer"), [(("x", "q/1"), "/resourceId"), (("y", "p/1"), "/action")])
def test_of_many_that_came_close_the_first_are_told(asked: tuple[str, str], pointer: str) -> None:
    agent = Agent("a1", "a1", ("r1",), "active", 0)
    audiences = (Audience(everyone=True), Audience(roles=frozenset(("r1",))))
    index = PolicyIndex(
        compile_policy(
            id=f"p{number:02}",
            name="p",
            version=1,
            effect="deny" if number % 5 == 0 else "allow",
            audience=audiences[number % 2],
            actions=["x"],
            resources=["p/*"],
        )
        for number in reversed(range(80))
    )
    near = near_of(index, agent, *asked)
    assert [miss.id for miss in near][:LOOKED_AT] == [f"p{n:02}" for n in range(80) if n % 5][:LOOKED_AT]
    assert {miss.pointer for miss in near} == {pointer}


# Prefixes within prefixes, overlapping audiences, ids that change hands

ACTIONS = ("a", "b", "ab", "*")
RESOURCES = tuple("".join(text) for length in (1, 2, 3) for text in product("ab", repeat=length))
AUDIENCES = (
    Audience(everyone=True),
    Audience(roles=frozenset(("r1",))),
    Audience(roles=frozenset(("r1", "r2"))),
    Audience(roles=frozenset(("r2",)), agent_ids=frozenset(("a1",))),
    Audience(agent_ids=frozenset(("a1", "a2"))),
    Audience(),
)
AGENTS = (
    Agent("a1", "a1", ("r1", "r2"), "active", 0),
    Agent("a2", "a2", ("r2",), "active", 0),
    Agent("a3", "a3", (), "active", 0),
)
PATTERNS = st.text("ab*", min_size=1, max_size=4)


@st.composite
def compiled(draw: st.DrawFn, id: str) -> CompiledPolicy:
    return compile_policy(
        id=id,
        name=id,
        version=draw(st.integers(1, 2)),
        effect=draw(st.sampled_from(["allow", "allow", "deny"])),
        audience=draw(st.sampled_from(AUDIENCES)),
        actions=draw(st.lists(st.sampled_from(["a", "b", "a*", "*b", "*"]), min_size=1, max_size=3)),
        resources=draw(st.lists(PATTERNS, min_size=1, max_size=3)),
        usable=draw(st.sampled_from([True, True, False])),
        shadow=draw(st.sampled_from([False, False, True])),
    )


@st.composite
def tenants(draw: st.DrawFn) -> dict[str, CompiledPolicy]:
    ids = draw(st.lists(st.sampled_from("pqrstuvw"), unique=True))
    return {id: draw(compiled(id)) for id in ids}


def scan(policies: dict[str, CompiledPolicy], agent: Agent) -> list[CompiledPolicy]:
    def applies(audience: Audience) -> bool:
        named = agent.id in audience.agent_ids or not audience.roles.isdisjoint(agent.roles)
        return audience.everyone or named

    return [policies[id] for id in sorted(policies) if applies(policies[id].audience)]


def _could_allow(policy: CompiledPolicy) -> bool:
    return policy.effect == "allow" and policy.usable and not policy.shadow


def assert_finds_all(index: PolicyIndex, policies: dict[str, CompiledPolicy]) -> None:
    assert dict(index.policies) == policies
    for agent in AGENTS:
        applying = scan(policies, agent)
        assert index.applying(agent) == applying
        for action in ACTIONS:
            having = [policy for policy in applying if policy.matches_action(action)]
            for resource in RESOURCES:
                expected = [policy for policy in having if policy.matches_resource(resource)]
                assert list(index.matching(agent, action, resource)) == expected
                allowing = [policy for policy in applying if _could_allow(policy)]
                near = near_of(index, agent, action, resource)
                assert list({miss.id: miss.policy for miss in near}.values()) == [
                    policy for policy in allowing if policy in having or policy.matches_resource(resource)
                ]
                for _, pointer, message, policy, timeless in near:
                    assert timeless is policy.timeless
                    if policy not in having:
                        assert (pointer, message) == ("/action", policy.other_action.message)
                    elif policy not in expected:
                        assert (pointer, message) == ("/resourceId", policy.elsewhere.message)


@given(tenants())
def test_it_finds_what_a_scan_finds(policies: dict[str, CompiledPolicy]) -> None:
    assert_finds_all(PolicyIndex(policies.values()), policies)


@given(tenants(), st.data())
def test_replacing_is_building_anew(policies: dict[str, CompiledPolicy], data: st.DataObject) -> None:
    first = index = PolicyIndex(policies.values())
    now = dict(policies)
    for _ in range(2):
        changed = {
            id: data.draw(st.none() | compiled(id))
            for id in data.draw(st.lists(st.sampled_from("pqrsxy"), unique=True))
        }
        index = index.replace(changed)
        now = {id: policy for id, policy in (now | changed).items() if policy is not None}
        assert_finds_all(index, now)
    assert_finds_all(first, policies)


@pytest.mark.parametrize("order", list(permutations(("*", "a*", "ab*", "abb*", "b*"))))
def test_prefixes_within_prefixes_come_and_go_in_any_order(order: tuple[str, ...]) -> None:
    policies = {
        pattern: compile_policy(
            id=pattern,
            name="p",
            version=1,
            effect="allow",
            audience=Audience(everyone=True),
            actions=["x"],
            resources=[pattern],
        )
        for pattern in order
    }
    index, there = PolicyIndex(), set[str]()
    for pattern, comes in [*((each, True) for each in order), *((each, False) for each in order)]:
        index = index.replace({pattern: policies[pattern] if comes else None})
        there = there | {pattern} if comes else there - {pattern}
        for resource in ("a", "ab", "abb", "abbb", "ac", "b", "c"):
            expected = sorted(pattern for pattern in there if resource.startswith(pattern.rstrip("*")))
            assert _ids(index.matching(AGENTS[0], "x", resource)) == expected


@given(tenants(), st.sampled_from(AUDIENCES))
def test_what_applies_to_all_of_an_audience_is_reached(policies: dict[str, CompiledPolicy], audience: Audience) -> None:
    def applies_to_all(one: Audience) -> bool:
        if one.everyone or audience.everyone:
            return one.everyone
        return audience.roles <= one.roles and audience.agent_ids <= one.agent_ids

    reached = list(PolicyIndex(policies.values()).reaching(audience))
    assert {id for id, policy in policies.items() if applies_to_all(policy.audience)} <= {each.id for each in reached}
    assert len(reached) == len({policy.id for policy in reached})


def many(roles: int) -> list[CompiledPolicy]:
    """Ten policies a role, three actions and three globs each."""
    return [
        compile_policy(
            id=f"p{role:05}.{number}",
            name="p",
            version=1,
            effect="allow",
            audience=Audience(roles=frozenset((f"r{role}",))),
            actions=[f"action-{number}", f"action-{number + 1}", "read"],
            resources=[f"api://service-{number}-{part}/*" for part in range(3)],
        )
        for role in range(roles)
        for number in range(10)
    ]


def test_a_change_leaves_other_audiences_alone() -> None:
    policies = many(20)
    before = PolicyIndex(policies)
    after = before.replace({policies[0].id: None})
    shelves, shelves_after = before._shelves[1], after._shelves[1]
    assert {role for role in shelves if shelves[role] is not shelves_after[role]} == {"r0"}


def test_a_change_copies_only_what_holds_the_policy() -> None:
    """Of one audience with many policies too, which is why a change is quick."""
    everybody = [replace(policy, audience=Audience(roles=frozenset(("r",)))) for policy in many(20)]
    before = PolicyIndex(everybody)._shelves[1]["r"]
    after = before.replace([everybody[0]], [])
    changed = {action for action, near in before._elsewhere.items() if after._elsewhere[action] is not near}
    assert changed == set(everybody[0].actions)
    changed = {prefix for prefix, node in before._nodes.items() if after._nodes[prefix] is not node}
    assert changed == {pattern.rstrip("*") for pattern in everybody[0].resources}


def test_a_policy_cannot_be_put_in_an_index_from_outside() -> None:
    index = PolicyIndex(many(1))
    with pytest.raises(TypeError):
        index.policies["q"] = index.policies["p00000.0"]  # type: ignore[index]


def test_it_tries_only_globs_that_begin_like_the_resource() -> None:
    tried: list[str] = []

    def spied(policy: CompiledPolicy) -> CompiledPolicy:
        def spy(at: int) -> Any:
            return lambda text: tried.append(policy.resources[at]) or policy.resource_matchers[at](text)

        return replace(policy, resource_matchers=tuple(map(spy, range(len(policy.resources)))))

    policies = [
        compile_policy(
            id=f"p{number:04}",
            name="p",
            version=1,
            effect="allow",
            audience=Audience(everyone=True),
            actions=["read"],
            resources=[f"api://{number}/*/end", f"api://{number}/*", f"api://{number}/x"],
        )
        for number in range(1000)
    ]
    index = PolicyIndex(map(spied, policies))
    found = index.matching(AGENTS[0], "read", "api://7/x/end")
    assert [policy.id for policy in found] == ["p0007"]
    assert tried == ["api://7/*/end"]


def test_memory_is_bounded() -> None:
    policies = many(50)
    tracemalloc.start()
    try:
        index = PolicyIndex(policies)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(index.policies) == 500
    assert taken / len(policies) < 6_000  # bytes; with the policies themselves below 100 MB at ten thousand
