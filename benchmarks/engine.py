"""The decision procedure alone, against a naive loop over all policies with fnmatch."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from act.agents.agent import Agent
from act.enforcement.decide import decide
from act.policies.index import PolicyIndex
from act.policies.policy import Audience, CompiledPolicy, compile_policy

SIZES = (10, 100, 1_000, 10_000)
REQUESTS = 1_000
ACTIONS = ("read", "list", "write", "update", "delete", "execute", "plan", "send")
NOW = datetime(2026, 1, 1, tzinfo=UTC)

Question = tuple[Agent, str, str]


def policies(count: int, random_: random.Random) -> list[CompiledPolicy]:
    """Role-bound policies, ten to a role; 1 to 3 actions, 1 to 3 globs; one in ten denies."""
    return [
        compile_policy(
            id=f"pol_{number}",
            name=f"policy {number}",
            version=1,
            effect="deny" if random_.random() < 0.1 else "allow",
            audience=Audience(roles=frozenset((f"role-{number // 10}",))),
            actions=random_.sample(ACTIONS, random_.randint(1, 3)),
            resources=[f"api://service-{random_.randint(0, 20)}/*" for _ in range(random_.randint(1, 3))],
        )
        for number in range(count)
    ]


def questions(count: int, random_: random.Random) -> list[Question]:
    roles = max(1, count // 10)
    return [
        (
            Agent(f"agt_{number}", f"agent {number}", (f"role-{random_.randrange(roles)}",), "active", 0),
            random_.choice(ACTIONS),
            f"api://service-{random_.randint(0, 20)}/item/{number}",
        )
        for number in range(REQUESTS)
    ]


def naive(stored: list[CompiledPolicy], question: Question) -> bool:
    agent, action, resource = question
    allowed = False
    for policy in stored:
        if policy.audience.roles.isdisjoint(agent.roles):
            continue
        if not any(fnmatchcase(action, pattern) for pattern in policy.actions):
            continue
        if any(fnmatchcase(resource, pattern) for pattern in policy.resources):
            if policy.effect == "deny":
                return False
            allowed = True
    return allowed


def microseconds(ask: Callable[[Question], object], asked: list[Question]) -> list[float]:
    taken = []
    for question in asked:
        started = time.perf_counter_ns()
        ask(question)
        taken.append((time.perf_counter_ns() - started) / 1000)
    return sorted(taken)


def main() -> None:
    print("Decision, in process (microseconds; ratio of the naive loop's p50 to ACT's)")
    print(f"{'policies':>9} {'p50':>8} {'p99':>8} {'naive p50':>10} {'ratio':>8}")
    for size in SIZES:
        random_ = random.Random(size)
        stored = policies(size, random_)
        index, asked = PolicyIndex(stored), questions(size, random_)
        for question in asked:
            ruling = decide(index, *question, NOW)
            assert ruling.permitted == naive(stored, question)
        mine = microseconds(lambda q, index=index: decide(index, *q, NOW), asked)  # type: ignore[misc]
        theirs = microseconds(lambda q, stored=stored: naive(stored, q), asked)  # type: ignore[misc]
        p50, p99, other = statistics.median(mine), mine[int(len(mine) * 0.99)], statistics.median(theirs)
        print(f"{size:>9} {p50:>8.1f} {p99:>8.1f} {other:>10.1f} {other / p50:>7.0f}x")
    print()


if __name__ == "__main__":
    main()
