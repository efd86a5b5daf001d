"""What is told about a policy that did not match, or that matched in doubt."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from act.models import ReasonCode
from tests.properties.worlds import NOW, Document, Question, ruled

AGENT = {"id": "a1", "roles": [], "metadata": {}}
SCHEMA = {"type": "object", "properties": {"n": {"type": "number", "maximum": 5}}}


def policy(effect: str = "allow", **fields: Any) -> Document:
    who: Document = {"id": "p", "name": "Policy", "effect": effect, "mode": "enforce", "enabled": True}
    rest = dict.fromkeys(("appliesTo", "arguments", "when", "constraints", "validFrom", "validUntil"))
    return who | {"actions": ["*"], "resources": ["*"]} | rest | fields


def asked(**arguments: Any) -> Question:
    return Question(AGENT, "x", "p/1", arguments, {})


@pytest.mark.parametrize(
    ("written", "arguments", "pointer", "words"),
    [
        (policy(validUntil=NOW), {}, "", "outside its validity window"),
        (policy(validFrom=NOW + timedelta(seconds=1)), {}, "", "outside its validity window"),
        (policy(arguments=SCHEMA), {"n": 6}, "/arguments/n", "/n"),
        (policy(arguments=SCHEMA), {}, "/arguments/n", "missing"),
        (policy(when="args.n < 5"), {"n": 6}, "", "Its condition is false: args.n < 5"),
        (policy(when="args.n < 5"), {}, "", "Its condition cannot be held against the call: args.n is missing."),
    ],
)
def test_a_no_says_what_was_in_the_way(written: Document, arguments: Document, pointer: str, words: str) -> None:
    ruling = ruled([written], asked(**arguments))
    assert ruling.code is ReasonCode.NO_MATCHING_POLICY
    assert [(near.policy.id, near.pointer) for near in ruling.near] == [("p", pointer)]
    assert words in ruling.near[0].message


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (
            policy("deny", when="args.n < 5"),
            "because its condition cannot be held against the call (args.n is missing).",
        ),
        (policy("deny", arguments=SCHEMA | {"required": ["n"]}), "because /n is missing."),
        (policy("deny"), "Denied by policy 'Policy' v1."),
    ],
)
def test_a_deny_in_doubt_says_so(written: Document, words: str) -> None:
    ruling = ruled([written], asked())
    assert ruling.code is ReasonCode.POLICY_DENIED
    assert ruling.reason.endswith(words)
