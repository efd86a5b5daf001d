"""Every field of a policy at once: the decision procedure says what the naive second implementation says."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings

from tests import reference
from tests.properties.worlds import NOW, Document, Documents, Question, questions, ruled, tenants, told

EXAMPLES = 10_000 if os.environ.get("ACT_DEEP") == "1" else 300


def expected(tenant: Documents, asked: Question) -> reference.Answer:
    call = reference.Asked(asked.action, asked.resource, NOW, asked.arguments, asked.context)
    return reference.decide_chain(tenant, asked.links, call, asked.requester)


@pytest.mark.timeout(1500)
@settings(max_examples=EXAMPLES)
@given(tenants, questions)
def test_it_says_what_the_reference_says(tenant: Documents, asked: Question) -> None:
    assert told(ruled(tenant, asked)) == expected(tenant, asked)


def shadowing(id: str, effect: str, mode: str, agent_id: str) -> Document:
    audience = {"roles": [], "agentIds": [agent_id]}
    rest = {"arguments": None, "when": None, "constraints": None, "validFrom": None, "validUntil": None}
    patterns = {"actions": ["*"], "resources": ["*"]}
    return (
        {"id": id, "name": id, "effect": effect, "mode": mode, "appliesTo": audience, "enabled": True} | patterns | rest
    )


PLANNER_ASKS = Question(
    {"id": "a1", "roles": [], "metadata": {}}, "x", "p/1", {}, {}, {"id": "a2", "roles": [], "metadata": {}}
)


@pytest.mark.parametrize(
    ("tenant", "code", "would"),
    [
        (
            [shadowing("own", "allow", "shadow", "a1"), shadowing("theirs", "allow", "enforce", "a2")],
            "no_matching_policy",
            ("allowed", {"own"}),
        ),
        (
            [shadowing("own", "allow", "shadow", "a1")],
            "no_matching_policy",
            ("requester_not_permitted", {"own"}),
        ),
        (
            [shadowing("own", "allow", "enforce", "a1"), shadowing("theirs", "allow", "shadow", "a2")],
            "requester_not_permitted",
            ("allowed", {"theirs"}),
        ),
        (
            [
                shadowing("own", "allow", "enforce", "a1"),
                shadowing("theirs", "allow", "enforce", "a2"),
                shadowing("never", "deny", "shadow", "a2"),
            ],
            "allowed",
            ("requester_not_permitted", {"never"}),
        ),
        (
            [
                shadowing("own", "allow", "enforce", "a1"),
                shadowing("more", "allow", "shadow", "a1"),
                shadowing("theirs", "allow", "enforce", "a2"),
                shadowing("never", "deny", "shadow", "a2"),
            ],
            "allowed",
            ("requester_not_permitted", {"more", "never"}),
        ),
    ],
)
def test_a_shadow_tells_the_code_that_would_be(tenant: Documents, code: str, would: tuple[str, set[str]]) -> None:
    said = told(ruled(tenant, PLANNER_ASKS))
    assert expected(tenant, PLANNER_ASKS).shadow == would
    assert (said.code, said.shadow) == (code, would)
