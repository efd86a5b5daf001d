"""pycasbin with deny-override: a plain enforcer, and its fast one, keyed by role and action.

The functions of the matcher are ours and look their answers up in what was prepared, which is faster than any
expression that pycasbin would read for each rule. The plain enforcer has one rule a policy; the fast one needs one for
each action of a policy, because the action is a key.
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


def _asking(enforcer: Any, tenant: dict[str, Any], rule_per_action: bool) -> Ask:
    policies = {policy["id"]: policy for policy in tenant["policies"]}
    prefixes = {id: tuple(policy["services"]) for id, policy in policies.items()}
    among = {" ".join(policy["actions"]): frozenset(policy["actions"]) for policy in policies.values()}

    def holds(about: Request, id: str) -> bool:
        condition = policies[id]["condition"]
        if condition is None:
            return True
        if "env" in condition:
            return bool(about["env"] == condition["env"])
        return bool(about["amount"] <= condition["max"] and about["to"] in condition["to"])

    enforcer.add_function("among", lambda action, actions: action == actions or action in among[actions])
    enforcer.add_function("covers", lambda resource, id: resource.startswith(prefixes[id]))
    enforcer.add_function("holds", holds)
    rules = enforcer.model["p"]["p"].policy
    for id, policy in policies.items():
        for actions in policy["actions"] if rule_per_action else [" ".join(policy["actions"])]:
            among.setdefault(actions, frozenset((actions,)))
            # Straight into the list: `add_policy` counts the rules of a fast model anew for each of them.
            rules.append([policy["role"], actions, id, id, policy["effect"]])
    return lambda request: bool(enforcer.enforce(request["role"], request["action"], request["resource"], request))


def prepare(tenant: dict[str, Any]) -> dict[str, Ask]:
    plain, keyed = Model(), FastModel([0, 1])
    for model in (plain, keyed):
        model.load_model_from_text(MODEL)
    return {
        "pycasbin": _asking(casbin.Enforcer(plain), tenant, rule_per_action=False),
        "pycasbin, FastEnforcer": _asking(casbin.FastEnforcer(keyed, cache_key_order=[0, 1]), tenant, True),
    }


if __name__ == "__main__":
    peer(prepare)
