"""Cedar, asked the same: random policies and requests in the fragment that both languages can express.

In it are globs (`like`), effects, roles and agent ids, and simple conditions whose attributes are all there. Cedar gets
action and resource in its context, because `like` is for strings and not for entities.
"""

from __future__ import annotations

import json
import os
from random import Random
from typing import Any, NamedTuple

import cedarpy
import pytest

from act.agents.agent import Agent
from act.enforcement.decide import decide
from act.models import ReasonCode
from act.policies.audience import Audience
from act.policies.globs import action_fault, resource_fault
from act.policies.index import PolicyIndex
from act.policies.match import Call
from act.policies.policy import CompiledPolicy, compile_policy
from act.tokens.chain import alone
from tests.properties.worlds import NOW

DEEP = os.environ.get("ACT_DEEP") == "1"
WORLDS = 6_400 if DEEP else 320
REQUESTS = 50
PARTS = 4
"""Every part is a test of its own, so that they share the cores."""
COMPARED = 200_000 if DEEP else 10_000
"""At least so many answers of Cedar are held against ours; what ACT refuses as malformed is not among them."""

ROLES = ("r1", "r2", "r3", 'a"; permit', "ünder", "*", "\\", "r1 ")
AGENT_IDS = ("a1", "a2", "A1", "a1.x", "a:1")
PIECES = (
    *(
        "a",
        "b",
        "ab",
        "A",
        "/",
        "p/",
        "1",
        "é",
        "ñ",
        "日本",
        "🙂",
        '"',
        "'",
        "%20",
        "%C3%A9",
        "(",
        ")",
        "[a]",
        "?",
        "+",
    ),
    *("$", "^", "|", "{", "}", ".x", "//", ";", ":", "@", "api://", "#", "~", "--", "like", "\u0662", "ß", "ſ", "İ"),
)
HOSTILE = (
    "",
    " ",
    "a ",
    "..",
    "a/../b",
    "\\",
    "a\\*",
    "\x00",
    "\n",
    "%2e",
    "%2f",
    "e\u0301",
    "\u202e",
    "\u200b",
    "*",
    "**",
)
WORDS = ("", "a", "prod", "Prod", "a b", "\n", '"', "\\", "é", "e\u0301", "\x07", "日本", "🙂", "null", "0", "*", "a*")
NUMBERS = (-(2**53) + 1, -1, 0, 1, 4, 5, 6, 2**31, 2**53 - 1)


class Condition(NamedTuple):
    """One condition in two languages."""

    cel: str
    cedar: str


class Written(NamedTuple):
    id: str
    effect: Any
    roles: tuple[str, ...] | None
    agent_ids: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: Condition | None


def quoted(text: str) -> str:
    """A string literal that CEL and Cedar read alike, whatever is in it."""
    return '"' + "".join(c if c.isascii() and c.isalnum() else _escaped(c) for c in text) + '"'


def _escaped(character: str) -> str:
    return {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\x00": "\\0", "\x07": "\\u{7}"}.get(character, character)


def cel_quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def like(pattern: str) -> str:
    """In a pattern of Cedar every star is a wildcard, as here."""
    return quoted(pattern)


def conditions(random: Random, depth: int = 2) -> Condition:
    kind = random.randrange(9 if depth else 6)
    word, number = random.choice(WORDS), random.choice(NUMBERS)
    if kind == 0:
        sign = random.choice(("<", "<=", ">", ">=", "==", "!="))
        return Condition(f"args.n {sign} {number}", f"context.args.n {sign} {number}")
    if kind == 1:
        sign = random.choice(("==", "!="))
        return Condition(f"args.s {sign} {cel_quoted(word)}", f"context.args.s {sign} {quoted(word)}")
    if kind == 2:
        return Condition("context.flag", "context.context.flag")
    if kind == 3:
        listed = [random.choice(WORDS) for _ in range(random.randrange(1, 3))]
        return Condition(
            f"context.env in [{', '.join(map(cel_quoted, listed))}]",
            f"[{', '.join(map(quoted, listed))}].contains(context.context.env)",
        )
    if kind == 4:
        return Condition(f"args.s.startsWith({cel_quoted(word)})", f"context.args.s like {_prefix(word)}")
    if kind == 5:
        sign = random.choice(("==", "!="))
        return Condition(f"args.s {sign} context.env", f"context.args.s {sign} context.context.env")
    one, other = conditions(random, depth - 1), conditions(random, depth - 1)
    if kind == 6:
        return Condition(f"({one.cel}) && ({other.cel})", f"({one.cedar}) && ({other.cedar})")
    if kind == 7:
        return Condition(f"({one.cel}) || ({other.cel})", f"({one.cedar}) || ({other.cedar})")
    return Condition(f"!({one.cel})", f"!({one.cedar})")


def _prefix(word: str) -> str:
    return quoted(word).replace("*", "\\*")[:-1] + '*"'


def texts(random: Random) -> str:
    return "".join(random.choice(PIECES) for _ in range(random.randrange(1, 4)))


def globs_over(random: Random, texts_seen: list[str]) -> tuple[str, ...]:
    """Patterns near the texts that will be asked for, so that they match about as often as not."""
    found = []
    for _ in range(random.randrange(1, 3)):
        text = random.choice(texts_seen) or "*"
        begin, end = sorted((random.randrange(len(text) + 1), random.randrange(len(text) + 1)))
        shape = random.randrange(6)
        pattern = (
            text,
            text[:begin] + "*" + text[end:],
            text[:begin] + "*",
            "*" + text[end:],
            "*" + text[begin:end] + "*",
            "*".join(text[:6]),
        )[shape]
        found.append(pattern if pattern and "\\" not in pattern and pattern.count("*") <= 8 else "*")
    return tuple(found)


def written(random: Random, id: str, actions: list[str], resources: list[str]) -> Written:
    everybody = random.random() < 0.2
    return Written(
        id,
        random.choice(("allow", "allow", "deny")),
        None if everybody else tuple(random.choices(ROLES, k=random.randrange(1, 4))),
        () if everybody else tuple(random.choices(AGENT_IDS, k=random.randrange(2))),
        globs_over(random, actions),
        globs_over(random, resources),
        conditions(random) if random.random() < 0.5 else None,
    )


def for_act(policy: Written) -> CompiledPolicy:
    audience = Audience(everyone=True)
    if policy.roles is not None:
        audience = Audience(roles=frozenset(policy.roles), agent_ids=frozenset(policy.agent_ids))
    return compile_policy(
        id=policy.id,
        name=policy.id,
        version=1,
        effect=policy.effect,
        audience=audience,
        actions=policy.actions,
        resources=policy.resources,
        when=policy.condition.cel if policy.condition else None,
    )


def for_cedar(policy: Written) -> str:
    parts = [
        f"({' || '.join(f'context.action like {like(pattern)}' for pattern in policy.actions)})",
        f"({' || '.join(f'context.resource like {like(pattern)}' for pattern in policy.resources)})",
    ]
    if policy.roles is not None:
        who = [f"principal in Role::{quoted(role)}" for role in policy.roles]
        who += [f"principal == Agent::{quoted(id)}" for id in policy.agent_ids]
        parts.append(f"({' || '.join(who)})")
    if policy.condition:
        parts.append(f"({policy.condition.cedar})")
    effect = "permit" if policy.effect == "allow" else "forbid"
    return f'@id("{policy.id}")\n{effect} (principal, action, resource) when {{ {" && ".join(parts)} }};'


def agents(random: Random) -> list[Agent]:
    return [
        Agent(id, id, tuple(dict.fromkeys(random.choices(ROLES, k=random.randrange(3)))), "active", 0)
        for id in AGENT_IDS
    ]


def calls(random: Random, actions: list[str], resources: list[str]) -> list[Call]:
    return [
        Call(
            random.choice(actions),
            random.choice(resources),
            NOW,
            {"n": random.choice(NUMBERS), "s": random.choice(WORDS)},
            {"flag": random.random() < 0.5, "env": random.choice(WORDS)},
        )
        for _ in range(REQUESTS)
    ]


def compare(random: Random) -> tuple[int, int]:
    """One world; how many comparisons, and how many of them were allowed."""
    actions = [texts(random) for _ in range(4)] + [random.choice(HOSTILE)]
    resources = [texts(random) for _ in range(6)] + [random.choice(HOSTILE)]
    policies = [written(random, f"p{number}", actions, resources) for number in range(random.randrange(1, 8))]
    everybody, asked = agents(random), calls(random, actions, resources)
    asking = [random.choice(everybody) for _ in asked]
    cedar = cedarpy.PolicySet.from_str("\n".join(map(for_cedar, policies)))
    entities = [
        {
            "uid": {"type": "Agent", "id": agent.id},
            "attrs": {},
            "parents": [{"type": "Role", "id": role} for role in agent.roles],
        }
        for agent in everybody
    ]
    answers = cedarpy.is_authorized_batch(
        [
            {
                "principal": {"type": "Agent", "id": agent.id},
                "action": {"type": "Action", "id": "call"},
                "resource": {"type": "Thing", "id": "it"},
                "context": {
                    "action": call.action,
                    "resource": call.resource,
                    "args": dict(call.arguments),
                    "context": dict(call.context),
                },
            }
            for agent, call in zip(asking, asked, strict=True)
        ],
        cedar,
        cedarpy.Entities.from_json_str(json.dumps(entities)),
    )
    index = PolicyIndex(map(for_act, policies))
    compared, allowed = 0, 0
    for agent, call, answer in zip(asking, asked, answers, strict=True):
        assert not answer.diagnostics.errors, answer.diagnostics.errors
        ruling = decide(index, alone(agent), call)
        world = (policies, agent, call)
        if action_fault(call.action):
            assert ruling.code is ReasonCode.ACTION_MALFORMED, world
        elif resource_fault(call.resource):
            assert ruling.code is ReasonCode.RESOURCE_MALFORMED, world
        else:
            reasons = set(answer.diagnostics.reasons)
            permits = answer.decision is cedarpy.Decision.Allow
            expected = ReasonCode.ALLOWED if permits else ReasonCode.POLICY_DENIED if reasons else None
            assert ruling.code is (expected or ReasonCode.NO_MATCHING_POLICY), world
            assert {f"policy{policy.id.removeprefix('p')}" for policy in ruling.policies} == reasons, world
            compared, allowed = compared + 1, allowed + permits
            continue
        assert not ruling.permitted, world
    return compared, allowed


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("part", range(PARTS))
def test_cedar_says_the_same(part: int) -> None:
    random = Random(f"cedar {part}")
    compared, allowed = 0, 0
    for _ in range(WORLDS // PARTS):
        more, yes = compare(random)
        compared, allowed = compared + more, allowed + yes
    assert compared >= COMPARED // PARTS
    assert 0.05 < allowed / compared < 0.6, "neither a yes nor a no is rare"


def test_a_difference_would_be_seen() -> None:
    """Cedar takes a quoted star for itself, and so would not say what an ACT pattern says."""
    policies = cedarpy.PolicySet.from_str('permit (principal, action, resource) when { context.action like "a\\*" };')
    request = {"principal": 'Agent::"a"', "action": 'Action::"call"', "resource": 'Thing::"it"'}
    answer = cedarpy.is_authorized_batch([request | {"context": {"action": "ab"}}], policies, "[]")[0]
    policy = Written("p", "allow", None, (), ("a*",), ("*",), None)
    assert answer.decision is cedarpy.Decision.Deny
    assert decide(
        PolicyIndex([for_act(policy)]), alone(Agent("a", "a", (), "active", 0)), Call("ab", "x", NOW)
    ).permitted
