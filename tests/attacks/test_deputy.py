"""Confused deputies and agents that work together against the policies, through HTTP (6-threats)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from tests.attacks.lines import SCOPE, TASK, TASKS, code, delegated, holder, line, within
from tests.support import Api, Server


@dataclass(frozen=True)
class Crew:
    """A planner, an executor that may run tasks, a monitor that may read them; and an enforcement point's key."""

    api: Api
    point: Api
    role: str
    planner: str
    executor: str
    monitor: str

    def token(self, agent: str, **more: Any) -> str:
        return self.api.token(agent, **more)

    def may(self, agent: str, actions: list[str], resources: list[str], **more: Any) -> Any:
        return self.api.policy(actions, resources, appliesTo={"agentIds": [agent]}, **more)

    def name(self, agent: str) -> str:
        return str(self.api.get(f"/v1/agents/{agent}")["name"])


@pytest.fixture
def crew(server: Server, api: Api) -> Iterator[Crew]:
    role = f"crew-{uuid4().hex}"
    with server.api(api.key("enforce")["key"]) as point:
        made = Crew(api, point, role, *(api.agent(None, role) for _ in range(3)))
        made.may(made.executor, ["run"], [TASKS])
        made.may(made.monitor, ["read"], ["*"])
        yield made


# --- who asked --------------------------------------------------------------------------------------------------------


def test_the_monitor_does_not_write_through_the_executor(crew: Crew) -> None:
    executor, monitor = crew.token(crew.executor), crew.token(crew.monitor)
    assert code(crew.point, executor) == "allowed"
    for asked in (
        {"requester": crew.monitor},
        {"requester": crew.name(crew.monitor)},
        {"requesterToken": monitor},
        {"requester": crew.monitor, "requesterToken": monitor},
    ):
        assert code(crew.point, executor, **asked) == "requester_not_permitted"
    # Nor the other way round, by its own token and the executor as the one that asked.
    assert code(crew.point, monitor, requester=crew.executor) == "no_matching_policy"
    assert code(crew.point, monitor, requesterToken=executor) == "no_matching_policy"


def test_the_monitor_does_not_hand_to_the_executor_what_it_may_not(crew: Crew) -> None:
    monitor = crew.token(crew.monitor)
    delegated(crew.point, monitor, crew.executor, status=422)
    to = {"to": {"roles": [crew.role]}, "maxDepth": 1}
    crew.may(crew.monitor, ["read"], ["*"], grants=["delegate"], delegation=to)
    delegated(crew.point, monitor, crew.executor, status=422)
    reading = delegated(crew.point, monitor, crew.executor, scope=[{"actions": ["read"], "resources": ["*"]}])["token"]
    assert code(crew.point, reading) == "chain_scope_exceeded"
    # With what it was handed the executor has become no reader; and the monitor stays behind its own call.
    assert code(crew.point, reading, "read", TASK) == "no_matching_policy"
    assert code(crew.point, crew.token(crew.executor), requesterToken=reading) == "requester_not_permitted"


def test_a_requester_that_says_it_is_the_executor(crew: Crew) -> None:
    """The label is the caller's word; a token beside it is not outvoted by it."""
    executor, monitor = crew.token(crew.executor), crew.token(crew.monitor)
    for label in (crew.executor, crew.name(crew.executor)):
        assert code(crew.point, executor, requester=label, requesterToken=monitor) == "requester_not_permitted"
    assert code(crew.point, executor, requester=crew.monitor, requesterToken=executor) == "requester_not_permitted"
    assert code(crew.point, executor, requester=crew.executor, requesterToken=executor) == "allowed"


def test_a_requester_that_is_not_known(crew: Crew, stranger: Api) -> None:
    executor, foreign = crew.token(crew.executor), stranger.agent()
    stranger.policy(["run"], ["*"], appliesTo={"agentIds": [foreign]})
    for label in ("nobody", "", foreign, crew.executor.upper(), f" {crew.executor}", f"agent://{crew.executor}"):
        assert code(crew.point, executor, requester=label) == "requester_unknown"
    assert code(crew.point, executor, requesterToken=stranger.token(foreign)) == "requester_not_permitted"


def test_the_requesters_token_is_held_to_what_it_is_narrowed_to(crew: Crew) -> None:
    crew.may(crew.planner, ["run"], [TASKS])
    executor = crew.token(crew.executor)
    assert code(crew.point, executor, requesterToken=crew.token(crew.planner)) == "allowed"
    narrow = crew.token(crew.planner, scope=[{"actions": ["run"], "resources": [TASK + "0"]}])
    assert code(crew.point, executor, requesterToken=narrow) == "requester_not_permitted"
    assert code(crew.point, executor, resource=TASK + "0", requesterToken=narrow) == "allowed"
    other = crew.token(crew.planner, policyIds=["nobody"])
    assert code(crew.point, executor, requesterToken=other) == "requester_not_permitted"


def test_facts_of_the_executor_are_not_those_of_the_requester(crew: Crew) -> None:
    """A condition on the requester's policies reads the requester's token, and a name has no facts."""
    crew.may(crew.planner, ["run"], [TASKS], when="args.to in token.facts.recipients")
    facts = {"id": uuid4().hex, "facts": {"recipients": ["ann"]}}
    executor, arguments = crew.token(crew.executor, task=facts), {"to": "ann"}
    assert code(crew.point, executor, arguments=arguments) == "allowed"
    for asked in ({"requester": crew.planner}, {"requesterToken": crew.token(crew.planner)}):
        assert code(crew.point, executor, arguments=arguments, **asked) == "requester_not_permitted"
    proved = crew.token(crew.planner, task=facts)
    assert code(crew.point, executor, arguments=arguments, requesterToken=proved) == "allowed"


# --- a requester whose token was handed down --------------------------------------------------------------------------


def test_a_requester_whose_right_was_handed_down(crew: Crew, api: Api) -> None:
    made = line(api, 2)
    executor = crew.token(crew.executor)
    assert code(crew.point, executor, requesterToken=made.leaf) == "allowed"
    narrow = delegated(api, made.tokens[0], made.agent(), scope=[{"actions": ["run"], "resources": [TASK]}])["token"]
    assert code(crew.point, executor, requesterToken=narrow) == "allowed"
    assert code(crew.point, executor, resource=TASK + "0", requesterToken=narrow) == "requester_not_permitted"
    # Any deny policy, lost right or revocation above it ends it as it would for its own use.
    denied = made.policy(["run"], ["*"], 0, effect="deny")
    assert code(crew.point, executor, requesterToken=made.leaf) == "requester_not_permitted"
    api.delete(f"/v1/policies/{denied['id']}")
    assert code(crew.point, executor, requesterToken=made.leaf) == "allowed"
    api.delete(f"/v1/policies/{made.gives}")
    assert code(crew.point, executor, requesterToken=made.leaf) == "requester_not_permitted"


def test_a_requester_whose_delegator_was_revoked(crew: Crew, api: Api) -> None:
    made = line(api, 3)
    executor = crew.token(crew.executor)
    assert code(crew.point, executor, requesterToken=made.leaf) == "allowed"
    api.post(f"/v1/tokens/{made.issued[0]['tokenId']}/revoke", status=200)
    decision = crew.point.enforce(executor, "run", TASK, requesterToken=made.leaf)
    assert decision["reasonCode"] == "requester_not_permitted"
    assert "token_revoked" in decision["reason"]


def test_a_token_that_is_to_be_handed_on_only_asks_for_nothing(crew: Crew, api: Api) -> None:
    made = line(api, 1).longer(grants=["delegate"])
    assert code(crew.point, crew.token(crew.executor), requesterToken=made.leaf) == "requester_not_permitted"


def test_who_hands_down_is_covered_by_it_and_who_stands_beside_is_not(crew: Crew, api: Api) -> None:
    made = line(api, 3)
    for inside in made.agents:
        assert code(crew.point, made.leaf, requester=inside) == "allowed"
    for outside in (crew.planner, crew.monitor):
        assert code(crew.point, made.leaf, requester=outside) == "requester_not_permitted"
    # One of the chain is covered for this chain, not for what the last agent does by itself.
    api.delete(f"/v1/policies/{made.uses}")
    made.policy(["run"], [TASKS], 2)
    assert code(crew.point, made.leaf, requester=made.agents[0]) == "allowed"
    own = api.token(made.agents[2])
    assert code(crew.point, own) == "allowed"
    assert code(crew.point, own, requester=made.agents[0]) == "requester_not_permitted"


def test_the_requesters_own_limits_and_approvals_hold(crew: Crew) -> None:
    crew.may(crew.planner, ["run"], [TASKS], constraints={"maxConcurrentTasks": 1})
    executor, planner = crew.token(crew.executor), crew.token(crew.planner)
    assert code(crew.point, executor, requesterToken=planner) == "allowed"
    assert code(crew.point, executor, requesterToken=planner) == "concurrency_exceeded"
    assert code(crew.point, executor, requester=crew.planner) == "concurrency_exceeded"
    crew.may(crew.monitor, ["run"], [TASKS], constraints={"requiresApproval": True})
    asked = crew.point.enforce(executor, "run", TASK, requester=crew.monitor)
    assert asked["reasonCode"] == "approval_required"
    crew.api.post(f"/v1/approvals/{asked['approval']['id']}/approve", {}, status=200)
    crew.may(crew.executor, ["run"], [TASKS], constraints={"requiresApproval": True})
    # What was approved for one who asks is not approved for another, nor for the executor by itself.
    assert code(crew.point, executor) == "approval_required"
    assert code(crew.point, executor, requester=crew.monitor) == "allowed"


# --- bound to keys ----------------------------------------------------------------------------------------------------


def test_a_bound_requester_has_to_prove_it(crew: Crew, api: Api) -> None:
    own = holder(api)
    crew.may(crew.planner, ["run"], [TASKS])
    executor, planner = crew.token(crew.executor), crew.token(crew.planner, cnf=own.cnf)
    decision = crew.point.enforce(executor, "run", TASK, requesterToken=planner)
    assert (decision["reasonCode"], "proof_required" in decision["reason"]) == ("requester_not_permitted", True)
    id = uuid4().hex
    proof = own.proof(planner, "run", TASK, id)
    other = crew.point.enforce(executor, "run", TASK, requestId=id, requesterToken=planner, proof=proof)
    assert other["reasonCode"] == "proof_invalid"
    wrong = crew.point.enforce(executor, "run", TASK, requesterToken=planner, requesterProof=proof)
    assert (wrong["reasonCode"], "proof_invalid" in wrong["reason"]) == ("requester_not_permitted", True)
    for stray in ({"requesterProof": proof}, {"requesterProof": proof, "requester": crew.planner}):
        assert code(crew.point, executor, **stray) == "proof_invalid"
    id = uuid4().hex
    good = {"requesterToken": planner, "requesterProof": own.proof(planner, "run", TASK, id), "requestId": id}
    assert code(crew.point, executor, **good) == "allowed"
    # Another API key has its own request ids, so this is no replay of the answer.
    assert code(crew.api, executor, **good) == "requester_not_permitted"


def test_a_proof_is_good_once_whichever_token_it_comes_with(crew: Crew, api: Api, server: Server) -> None:
    own = holder(api)
    token, id = crew.token(crew.executor, cnf=own.cnf), uuid4().hex
    proof = own.proof(token, "run", TASK, id)
    assert code(crew.point, token, requestId=id, proof=proof) == "allowed"
    # Another API key has its own request ids: the same body there is no replay of the answer.
    assert code(api, token, requestId=id, proof=proof) == "proof_replayed"
    own_call = {"requestId": uuid4().hex}
    both = own.proof(token, "run", TASK, own_call["requestId"])
    asked = code(crew.point, token, **own_call, proof=both, requesterToken=token, requesterProof=both)
    assert asked == "requester_not_permitted"


def test_the_requester_is_not_looked_at_when_the_token_is_refused(crew: Crew, api: Api) -> None:
    """Its proof is not used up by a request that failed before."""
    own = holder(api)
    crew.may(crew.planner, ["run"], [TASKS])
    bound, planner = crew.token(crew.executor, cnf=own.cnf), crew.token(crew.planner, cnf=own.cnf)
    id = uuid4().hex
    asked = {"requestId": id, "requesterToken": planner, "requesterProof": own.proof(planner, "run", TASK, id)}
    assert code(crew.point, bound, **asked) == "proof_required"
    assert code(crew.api, bound, **asked, proof=own.proof(bound, "run", TASK, id)) == "allowed"


def test_the_key_of_another_agent(crew: Crew, server: Server) -> None:
    executor, monitor = crew.token(crew.executor), crew.token(crew.monitor)
    key = crew.api.key("enforce", agentId=crew.monitor)["key"]
    with server.api(key) as bound:
        for more in ({}, {"requester": crew.monitor}, {"requesterToken": monitor}, {"requesterToken": executor}):
            assert code(bound, executor, **more) == "token_agent_mismatch"
        assert code(bound, monitor, "read", TASK) == "allowed"
        assert code(bound, monitor, requesterToken=executor) == "no_matching_policy"


# --- agents that speak with agents ------------------------------------------------------------------------------------


def test_a_asks_b_to_message_c(crew: Crew) -> None:
    a, b, c = crew.planner, crew.executor, crew.monitor
    crew.may(a, ["message"], [f"agent://{b}"])
    crew.may(b, ["message"], [f"agent://{c}"])
    token = {agent: crew.token(agent) for agent in (a, b, c)}
    assert code(crew.point, token[a], "message", f"agent://{b}") == "allowed"
    for to in (c, crew.name(c)):
        assert code(crew.point, token[a], "message", f"agent://{to}") == "no_matching_policy"
        assert code(crew.point, token[b], "message", f"agent://{to}") == "allowed"
        for asked in ({"requester": a}, {"requesterToken": token[a]}):
            assert code(crew.point, token[b], "message", f"agent://{to}", **asked) == "requester_not_permitted"
    # Neither is B's right one that A could hand to B: A has none to hand.
    message = [{"actions": ["message"], "resources": [f"agent://{c}"]}]
    delegated(crew.point, token[a], b, scope=message, status=422)


NAMES = [
    "secret-{}",
    "Sec ret {}",
    "secret/{}",
    "secret/../{}",
    "secret\\{}",
    "secret%2f{}",
    "secret?{}",
    "se..{}",
    "sécret{}",
]


@pytest.mark.parametrize("spelling", NAMES)
def test_a_deny_policy_on_one_spelling_of_an_agent_holds_for_the_other(crew: Crew, spelling: str) -> None:
    name = spelling.format(uuid4().hex)
    target = crew.api.agent(name)
    crew.may(crew.planner, ["message"], ["agent://*"])
    token = crew.token(crew.planner)
    assert code(crew.point, token, "message", f"agent://{target}") == "allowed"
    # As far as the name can be written in a pattern.
    pattern = f"agent://{name}" if spelling == NAMES[0] else f"agent://{name[:2]}*"
    by_name = crew.may(crew.planner, ["message"], [pattern], effect="deny")
    assert code(crew.point, token, "message", f"agent://{target}") == "policy_denied"
    assert code(crew.point, token, "message", f"agent://{name}") in ("policy_denied", "resource_malformed")
    crew.api.delete(f"/v1/policies/{by_name['id']}")
    crew.may(crew.planner, ["message"], [f"agent://{target}"], effect="deny")
    assert code(crew.point, token, "message", f"agent://{target}") == "policy_denied"
    assert code(crew.point, token, "message", f"agent://{name}") in ("policy_denied", "resource_malformed")


def test_a_deny_policy_on_a_name_follows_the_agent_that_bears_it_now(crew: Crew) -> None:
    name = f"target-{uuid4().hex}"
    target = crew.api.agent(name)
    crew.may(crew.planner, ["message"], ["agent://*"])
    crew.may(crew.planner, ["message"], [f"agent://{name}"], effect="deny")
    token = crew.token(crew.planner)
    assert code(crew.point, token, "message", f"agent://{target}") == "policy_denied"
    crew.api.delete(f"/v1/agents/{target}")
    heir = crew.api.agent(name)
    assert code(crew.point, token, "message", f"agent://{heir}") == "policy_denied"
    assert code(crew.point, token, "message", f"agent://{name}") == "policy_denied"


def test_a_scope_on_one_spelling_of_an_agent_is_one_on_the_other(crew: Crew) -> None:
    target, other = crew.monitor, crew.executor
    crew.may(crew.planner, ["message"], ["agent://*"])
    token = crew.token(crew.planner, scope=[{"actions": ["message"], "resources": [f"agent://{crew.name(target)}"]}])
    assert code(crew.point, token, "message", f"agent://{target}") == "allowed"
    assert code(crew.point, token, "message", f"agent://{other}") == "chain_scope_exceeded"
    assert code(crew.point, token, "message", f"agent://{crew.name(other)}") == "chain_scope_exceeded"


# --- two agents, one task ---------------------------------------------------------------------------------------------


def report(point: Api, token: str, action: str, resource: str, **notes: Any) -> None:
    decision = point.enforce(token, action, resource)
    assert decision["reasonCode"] == "allowed"
    path = f"/v1/decisions/{decision['decisionId']}/outcome"
    point.post(path, {"status": "succeeded"} | notes, status=200)


@pytest.mark.parametrize("together", ["one task", "one delegation"])
def test_each_holds_half_of_what_nobody_may_hold_whole(crew: Crew, api: Api, together: str) -> None:
    """Who creates a payment does not release it, and neither does who works for the same task."""
    role = {"roles": [crew.role]}
    scope = [{"actions": ["create", "release"], "resources": ["api://payments/*"]}]
    to = {"to": role, "maxDepth": 2}
    crew.may(crew.planner, ["create", "release"], ["api://payments/*"], grants=["delegate"], delegation=to)
    crew.may(crew.executor, ["create"], ["api://payments/*"])
    crew.may(crew.monitor, ["release"], ["api://payments/*"])
    api.policy(["release"], ["*"], appliesTo=role, effect="deny", when="resource in session.created")
    if together == "one task":
        task = {"id": uuid4().hex}
        creator, releaser = crew.token(crew.executor, task=task), crew.token(crew.monitor, task=task)
    else:
        root = crew.token(crew.planner)
        creator = delegated(crew.point, root, crew.executor, scope=scope)["token"]
        releaser = delegated(crew.point, root, crew.monitor, scope=scope)["token"]
    assert code(crew.point, releaser, "release", "api://payments/7") == "allowed"
    report(crew.point, creator, "create", "api://payments/new", created=["api://payments/7"])
    assert code(crew.point, creator, "release", "api://payments/7") in ("policy_denied", "no_matching_policy")
    assert code(crew.point, releaser, "release", "api://payments/7") == "policy_denied"
    assert code(crew.point, releaser, "release", "api://payments/8") == "allowed"
    # Neither a rotation nor the other as requester makes the session another.
    key = {"token": releaser}
    id = api.post("/v1/tokens/introspect", {"token": releaser}, status=200)["jti"]
    rotated = crew.point.post(f"/v1/tokens/{id}/rotate", key)["token"]
    assert code(crew.point, rotated, "release", "api://payments/7") == "policy_denied"
    assert code(crew.point, rotated, "release", "api://payments/7", requesterToken=creator) != "allowed"


def test_the_session_of_an_executor_counts_also_when_another_asks(crew: Crew) -> None:
    crew.may(crew.planner, ["run"], [TASKS])
    crew.may(crew.executor, ["run"], [TASKS], effect="deny", when="'untrusted' in session.labels")
    executor, planner = crew.token(crew.executor), crew.token(crew.planner)
    report(crew.point, executor, "run", TASK, labels=["untrusted"])
    assert code(crew.point, executor, requesterToken=planner) == "policy_denied"
    assert code(crew.point, executor, requester=crew.planner) == "policy_denied"


def test_what_the_requester_has_read_is_not_washed_off_by_the_executor(crew: Crew) -> None:
    """The requester's own deny policy reads the session of its own token, which proves it."""
    crew.may(crew.planner, ["run"], [TASKS])
    crew.may(crew.planner, ["run"], [TASKS], effect="deny", when="'untrusted' in session.labels")
    executor, planner = crew.token(crew.executor), crew.token(crew.planner)
    assert code(crew.point, executor, requesterToken=planner) == "allowed"
    report(crew.point, planner, "run", TASK, labels=["untrusted"])
    assert code(crew.point, planner) == "policy_denied"
    assert code(crew.point, executor, requesterToken=planner) == "requester_not_permitted"


def test_an_agent_that_hands_to_its_accomplice_gives_nothing_of_its_own_away(crew: Crew, api: Api) -> None:
    """Two agents of which each may hand to the other: their rights do not add up."""
    to = {"to": {"roles": [crew.role]}, "maxDepth": 8}
    crew.may(crew.planner, ["read"], ["*"], grants=["use", "delegate"], delegation=to)
    crew.may(crew.executor, ["run"], [TASKS], grants=["use", "delegate"], delegation=to)
    planner, executor = crew.token(crew.planner), crew.token(crew.executor)
    read = [{"actions": ["read"], "resources": ["*"]}]
    from_planner = delegated(crew.point, planner, crew.executor, scope=read)["token"]
    from_executor = delegated(crew.point, executor, crew.planner, scope=SCOPE)["token"]
    assert code(crew.point, from_planner, "read", TASK) == "no_matching_policy"
    assert code(crew.point, from_executor, "run", TASK) == "no_matching_policy"
    assert code(crew.point, from_planner, "run", TASK) == "chain_scope_exceeded"
    delegated(crew.point, planner, crew.executor, scope=[*read, *SCOPE], status=422)


def test_a_depth_that_is_wide_in_one_policy_and_short_in_another(crew: Crew, api: Api) -> None:
    """The one policy that reaches the leaf is enough, and one that does not reach it takes nothing away."""
    made = line(api, 3)
    made.policy(["run"], [TASKS], 0, grants=["delegate"], delegation=within(made.role, 1))
    assert made.codes() == ["allowed"] * 3
    api.delete(f"/v1/policies/{made.gives}")
    made.policy(["run"], [TASKS], 1, grants=["delegate"], delegation=within(made.role, 8))
    assert made.codes() == ["allowed", "allowed", "chain_depth_exceeded"]
