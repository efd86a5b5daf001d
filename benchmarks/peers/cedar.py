"""cedarpy with prepared handles: policies and entities are parsed once.

Roles are Cedar's own (`principal in Role::"..."`), actions too. The resource id goes in the context, so that no entity
has to be parsed for a request.
"""

from __future__ import annotations

import json
from typing import Any

import cedarpy
from measure import Ask, Request, peer


def _policy(policy: dict[str, Any]) -> str:
    actions = ", ".join(f'Action::"{action}"' for action in policy["actions"])
    when = " || ".join(f'context.resource like "{service}*"' for service in policy["services"])
    condition = policy["condition"]
    if condition and "env" in condition:
        when = f'({when}) && context.env == "{condition["env"]}"'
    elif condition:
        when = f"({when}) && context.amount <= {condition['max']} && {json.dumps(condition['to'])}.contains(context.to)"
    effect = "permit" if policy["effect"] == "allow" else "forbid"
    return (
        f'@id("{policy["id"]}") {effect} (principal in Role::"{policy["role"]}", action in [{actions}], resource)'
        f" when {{ {when} }};"
    )


def prepare(tenant: dict[str, Any]) -> dict[str, Ask]:
    policies = cedarpy.PolicySet.from_str("\n".join(map(_policy, tenant["policies"])))
    agents = [
        {
            "uid": {"type": "Agent", "id": request["agent"]},
            "attrs": {},
            "parents": [{"type": "Role", "id": request["role"]}],
        }
        for request in tenant["requests"]
    ]
    entities = cedarpy.Entities.from_json_str(json.dumps(agents))

    def ask(request: Request) -> bool:
        question = {
            "principal": {"type": "Agent", "id": request["agent"]},
            "action": {"type": "Action", "id": request["action"]},
            "resource": {"type": "Resource", "id": "any"},
            "context": {name: request[name] for name in ("resource", "env", "amount", "to")},
        }
        return cedarpy.is_authorized(question, policies, entities).allowed

    return {"cedarpy": ask}


if __name__ == "__main__":
    peer(prepare)
