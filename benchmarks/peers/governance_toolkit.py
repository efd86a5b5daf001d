"""`PolicyEngine` of agent-governance-toolkit-core (agentmesh.governance), with its `deny_overrides` strategy.

Its conditions know equality, membership and comparison, and neither globs nor prefixes. So it is handed the service
that the resource begins with, already cut out, and compares that. It knows no roles either; both ways round that are
measured: all rules in one policy for every agent, with the role in the condition; and a policy a role, evaluated as if
the role were the agent.
"""

from __future__ import annotations

import logging
from typing import Any

from agentmesh.governance.policy import Policy, PolicyEngine, PolicyRule
from measure import Ask, Request, peer


def _rule(policy: dict[str, Any], role: bool) -> PolicyRule:
    parts = [f"role == '{policy['role']}'"] if role else []
    parts += [f"action in {policy['actions']}", f"service in {policy['services']}"]
    condition = policy["condition"]
    if condition and "env" in condition:
        parts.append(f"env == '{condition['env']}'")
    elif condition:
        parts += [f"amount <= {condition['max']}", f"to in {condition['to']}"]
    return PolicyRule(name=policy["id"], condition=" and ".join(parts), action=policy["effect"])


def prepare(tenant: dict[str, Any]) -> dict[str, Ask]:
    logging.disable(logging.WARNING)
    flat, by_role = PolicyEngine("deny_overrides"), PolicyEngine("deny_overrides")
    flat.load_policy(Policy(name="all", agents=["*"], rules=[_rule(policy, True) for policy in tenant["policies"]]))
    rules: dict[str, list[PolicyRule]] = {}
    for policy in tenant["policies"]:
        rules.setdefault(policy["role"], []).append(_rule(policy, False))
    for role, having in rules.items():
        by_role.load_policy(Policy(name=role, agent=role, rules=having))

    def ask(request: Request) -> bool:
        return flat.evaluate(request["agent"], dict(request)).allowed

    def ask_by_role(request: Request) -> bool:
        return by_role.evaluate(request["role"], dict(request)).allowed

    return {"governance toolkit, one policy": ask, "governance toolkit, a policy a role": ask_by_role}


if __name__ == "__main__":
    peer(prepare)
