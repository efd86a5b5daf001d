"""pycasbin with deny-override, one rule a policy: a plain enforcer, and its fast one keyed by the role.

The functions of the matcher are ours and look their answers up in prepared sets, which is faster than any expression
that pycasbin would read for each rule.
"""

from __future__ import annotations

from typing import Any

import casbin
from casbin.model import FastModel, Model
from measure import Ask, Request, peer

MODEL = """
[request_definition]
r = sub, act, res, about
[policy_definition]
p = sub, act, res, cond, eft
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.sub == p.sub && among(r.act, p.act) && covers(r.res, p.res) && holds(r.about, p.cond)
"""


def _load(enforcer: Any, tenant: dict[str, Any]) -> Ask:
    policies = {policy["id"]: policy for policy in tenant["policies"]}
    actions = {id: frozenset(policy["actions"]) for id, policy in policies.items()}
    prefixes = {id: tuple(policy["services"]) for id, policy in policies.items()}

    def holds(about: Request, id: str) -> bool:
        condition = policies[id]["condition"]
        if condition is None:
            return True
        if "env" in condition:
            return bool(about["env"] == condition["env"])
        return bool(about["amount"] <= condition["max"] and about["to"] in condition["to"])

    enforcer.add_function("among", lambda action, id: action in actions[id])
    enforcer.add_function("covers", lambda resource, id: resource.startswith(prefixes[id]))
    enforcer.add_function("holds", holds)
    for id, policy in policies.items():
        enforcer.model.add_policy("p", "p", [policy["role"], id, id, id, policy["effect"]])
    return lambda request: bool(enforcer.enforce(request["role"], request["action"], request["resource"], request))


def prepare(tenant: dict[str, Any]) -> dict[str, Ask]:
    plain, by_role = Model(), FastModel([0])
    for model in (plain, by_role):
        model.load_model_from_text(MODEL)
    return {
        "pycasbin": _load(casbin.Enforcer(plain), tenant),
        "pycasbin, FastEnforcer by role": _load(casbin.FastEnforcer(by_role, cache_key_order=[0]), tenant),
    }


if __name__ == "__main__":
    peer(prepare)
