"""Small worlds of agents and policies: small enough that policies often match, deny, guard and contradict."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from act.agents.agent import Agent, effective_roles
from act.models import Constraints
from act.policies.audience import Audience
from act.policies.constraints import from_wire
from act.policies.policy import CompiledPolicy, compile_policy

NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)

AGENT_IDS = ("a1", "a2", "a3")
ROLES = ("r1", "r2", "r3")
ACTIONS = ("x", "y", "xy")
RESOURCES = ("p/1", "p/2", "q/1", "p/1/2")

_moments = st.sampled_from([None, None, *(NOW + timedelta(seconds=s) for s in (-2, -1, 0, 1, 2))])
_audiences = st.none() | st.fixed_dictionaries(
    {
        "roles": st.lists(st.sampled_from(ROLES), max_size=2),
        "agentIds": st.lists(st.sampled_from(AGENT_IDS), max_size=2),
    }
)
_approvals = st.just(True) | st.fixed_dictionaries(
    {}, optional={"approvers": st.integers(1, 3), "expiresIn": st.integers(1, 1000)}
)
constraints = st.fixed_dictionaries({}, optional={"requiresApproval": _approvals, "maxConcurrentTasks": st.just(3)})


@st.composite
def policy_documents(draw: st.DrawFn, effect: str | None = None) -> dict[str, Any]:
    """A policy as on the wire; `appliesTo` None is the whole tenant."""
    effect = effect or draw(st.sampled_from(["allow", "allow", "allow", "deny"]))
    return {
        "id": f"p{draw(st.integers(0, 10**6))}",
        "effect": effect,
        "actions": draw(st.lists(st.sampled_from(["x", "y", "xy", "x*", "*y", "*"]), min_size=1, max_size=2)),
        "resources": draw(st.lists(st.sampled_from(["p/1", "p/*", "*/1", "q/*", "*"]), min_size=1, max_size=2)),
        "appliesTo": draw(_audiences),
        "constraints": draw(constraints) if effect == "allow" else {},
        "validFrom": draw(_moments),
        "validUntil": draw(_moments),
    }


documents = st.lists(policy_documents(), max_size=8, unique_by=lambda policy: policy["id"])


@st.composite
def agent_documents(draw: st.DrawFn, id: str | None = None) -> dict[str, Any]:
    return {
        "id": id or draw(st.sampled_from(AGENT_IDS)),
        "roles": draw(st.lists(st.sampled_from(ROLES), max_size=2)),
        "metadata": draw(st.sampled_from([{}, {}, {"role": "r3"}, {"role": ""}, {"role": 7}])),
    }


questions = st.tuples(st.sampled_from(ACTIONS), st.sampled_from(RESOURCES))


def agent_of(document: dict[str, Any]) -> Agent:
    roles = effective_roles(document["roles"], document["metadata"])
    return Agent(document["id"], f"agent {document['id']}", roles, "active", 0)


def policy_of(document: dict[str, Any]) -> CompiledPolicy:
    to = document["appliesTo"]
    audience = Audience(everyone=True)
    if to is not None:
        audience = Audience(roles=frozenset(to["roles"]), agent_ids=frozenset(to["agentIds"]))
    return compile_policy(
        id=document["id"],
        name=f"policy {document['id']}",
        version=1,
        effect=document["effect"],
        audience=audience,
        actions=document["actions"],
        resources=document["resources"],
        constraints=from_wire(Constraints.model_validate(document["constraints"])),
        valid_from=document["validFrom"],
        valid_until=document["validUntil"],
    )
