"""Synthetic tenants as plain data, the same for every engine that is measured."""

from __future__ import annotations

import random
from typing import Any

ACTIONS = ("read", "list", "write", "update", "delete", "execute", "plan", "send")
SERVICES = 21
PER_ROLE = 10
REQUESTS = 1_000

Tenant = dict[str, Any]


def tenant(size: int) -> Tenant:
    """`size` policies, ten to a role, one in ten a deny; 1 to 3 actions and globs each; 1,000 requests.

    A third of the policies has a simple condition, a tenth one with two parts. Half of the requests are aimed at a
    policy of the agent's role, the others ask for anything. No two ask for the same resource.

    Shape: `{"policies": [{id, effect, role, actions, services, condition}], "requests": [{agent, role, action,
    service, resource, env, amount, to}]}`. A policy covers `<service>*` for each of its services, which end with `/`.
    A condition is None, or wants `{"env": ...}`, or `{"max": ..., "to": [...]}` (amount at most, receiver among).
    """
    random_ = random.Random(size)
    policies = [
        {
            "id": f"pol_{number}",
            "effect": "deny" if random_.random() < 0.1 else "allow",
            "role": f"role-{number // PER_ROLE}",
            "actions": random_.sample(ACTIONS, random_.randint(1, 3)),
            "services": [_service(random_) for _ in range(random_.randint(1, 3))],
            "condition": _condition(random_),
        }
        for number in range(size)
    ]
    return {"policies": policies, "requests": [_request(number, policies, random_) for number in range(REQUESTS)]}


def cel(condition: dict[str, Any] | None) -> str | None:
    """A condition as ACT's policies have it."""
    if condition is None:
        return None
    if "env" in condition:
        return f"context.env == '{condition['env']}'"
    return f"args.amount <= {condition['max']} && args.to in {condition['to']}"


def _service(random_: random.Random) -> str:
    return f"api://service-{random_.randrange(SERVICES)}/"


def _condition(random_: random.Random) -> dict[str, Any] | None:
    kind = random_.random()
    if kind >= 1 / 3 + 1 / 10:
        return None
    return {"env": "prod"} if kind < 1 / 3 else {"max": 500, "to": ["ops", "sales"]}


def _request(number: int, policies: list[dict[str, Any]], random_: random.Random) -> dict[str, Any]:
    policy = random_.choice(policies)
    aimed = random_.random() < 0.5
    service = random_.choice(policy["services"]) if aimed else _service(random_)
    return {
        "agent": f"agent-{number}",
        "role": policy["role"],
        "action": random_.choice(policy["actions"] if aimed else ACTIONS),
        "service": service,
        "resource": f"{service}item/{number}",
        "env": random_.choice(["prod", "prod", "prod", "test"]),
        "amount": random_.randrange(700),
        "to": random_.choice(["ops", "sales", "elsewhere"]),
    }
