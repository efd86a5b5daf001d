"""What the holder of a token adds to it, and whose key it takes (6-threats, "Delegation")."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import pytest

from tests.attacks.lines import SCOPE, TASK, TASKS, claims_of, code, delegated, holder, line, told
from tests.support import Api, Server


@pytest.fixture
def enforcer(server: Server, api: Api) -> Any:
    """The key of an agent's own process: for `enforce` and nothing else."""
    with server.api(api.key("enforce")["key"]) as enforcer:
        yield enforcer


# --- what the holder of a token adds ----------------------------------------------------------------------------------


def test_facts_smuggled_by_an_agent(api: Api, enforcer: Api) -> None:
    task = uuid4().hex
    made = line(api, 1, root={"task": {"id": task, "facts": {"limit": 5}}})
    smuggled = {"task": {"id": task, "facts": {"recipients": ["eve@evil.example"]}}}
    problem = delegated(enforcer, made.leaf, made.agent(), status=422, **smuggled)
    assert told(problem) == ["/task/facts"]
    other = {"task": {"id": uuid4().hex}}
    assert told(delegated(enforcer, made.leaf, made.agent(), status=422, **other)) == ["/task/id"]
    assert told(delegated(api, made.leaf, made.agent(), status=422, **other)) == ["/task/id"]
    # Not even an operator changes what was said; it may add to it.
    changed = {"task": {"id": task, "facts": {"limit": 500}}}
    assert told(delegated(api, made.leaf, made.agent(), status=422, **changed)) == ["/task/facts"]
    child = delegated(enforcer, made.leaf, made.agent(), task={"id": task})["token"]
    assert claims_of(child)["task"] == {"id": task, "facts": {"limit": 5}}


def test_a_task_begun_by_an_agent(api: Api, enforcer: Api) -> None:
    """The task is the key of the session: a fresh one would have forgotten what was read."""
    made = line(api, 1)
    problem = delegated(enforcer, made.leaf, made.agent(), task={"id": uuid4().hex}, status=422)
    assert told(problem) == ["/task/id"]


def test_what_was_read_before_it_was_handed_down_is_not_forgotten(api: Api, enforcer: Api) -> None:
    made = line(api, 2)
    api.policy(["run"], ["*"], appliesTo={"roles": [made.role]}, effect="deny", when="'untrusted' in session.labels")
    decision = enforcer.enforce(made.tokens[0], "run", TASK)
    assert decision["reasonCode"] == "allowed"
    report = {"status": "succeeded", "labels": ["untrusted"]}
    enforcer.post(f"/v1/decisions/{decision['decisionId']}/outcome", report, status=200)
    assert made.codes() == ["policy_denied"] * 2
    fresh = delegated(enforcer, made.tokens[0], made.agent())["token"]
    rotated = enforcer.post(f"/v1/tokens/{made.issued[0]['tokenId']}/rotate", {"token": made.tokens[0]})["token"]
    assert [code(api, token) for token in (fresh, rotated)] == ["policy_denied"] * 2


def test_the_user_on_whose_behalf_stays(api: Api) -> None:
    made = line(api, 1, root={"onBehalfOf": "mallory"}).longer().longer()
    api.policy(
        ["run"], ["*"], appliesTo={"agentIds": [made.agents[2]]}, effect="deny", when="token.onBehalfOf == 'mallory'"
    )
    assert made.codes() == ["allowed", "allowed", "policy_denied"]
    assert [claims_of(token)["sub"] for token in made.tokens] == ["mallory"] * 3


def test_whom_it_may_be_handed_on_to(api: Api) -> None:
    """`to` of a token narrows what the policies would let its holder do."""
    made = line(api, 1)
    chosen, other = made.agent("chosen"), made.agent()
    middle = made.longer(to={"roles": ["chosen"]})
    assert delegated(api, middle.leaf, other, status=422)["code"] == "chain_not_delegable"
    child = delegated(api, middle.leaf, chosen)["token"]
    assert code(api, child) == "allowed"
    api.patch(f"/v1/agents/{chosen}", {"roles": [made.role]})
    assert code(api, child) == "chain_not_delegable"
    for to in ({}, {"roles": [], "agentIds": []}):
        problem = delegated(api, made.leaf, other, grants=["use", "delegate"], to=to, status=422)
        assert problem["code"] == "document_invalid"


# --- bound to a key ---------------------------------------------------------------------------------------------------


def test_the_child_of_a_bound_parent_as_a_bearer(api: Api, enforcer: Api) -> None:
    own = holder(api)
    made = line(api, 1, root={"cnf": own.cnf})
    assert own.code(made.leaf) == "allowed"
    assert code(api, made.leaf) == "proof_required"
    to = made.agent()
    assert delegated(enforcer, made.leaf, to, status=403)["code"] == "proof_required"
    problem = delegated(enforcer, made.leaf, to, status=422, **own.handing(made.leaf, to))
    assert told(problem) == ["/cnf"]
    theirs = holder(api)
    child = delegated(enforcer, made.leaf, to, **own.handing(made.leaf, to, cnf=theirs.cnf))["token"]
    assert theirs.code(child) == "allowed"
    assert own.code(child) == "proof_invalid"
    assert code(api, child) == "proof_required"


def test_a_proof_of_handing_down_is_for_this_one(api: Api) -> None:
    own, theirs = holder(api), holder(api)
    made = line(api, 1, root={"cnf": own.cnf})
    to, other = made.agent(), made.agent()
    asked = own.handing(made.leaf, to, cnf=theirs.cnf)
    eve = holder(api)
    for changed in (
        {"cnf": eve.cnf},
        {"expiresIn": 60},
        {"grants": ["use", "delegate"]},
        {"scope": [{"actions": ["run"], "resources": [TASK]}]},
        {"requestId": "another"},
    ):
        assert delegated(api, made.leaf, to, status=403, **(asked | changed))["code"] == "proof_invalid"
    assert delegated(api, made.leaf, other, status=403, **asked)["code"] == "proof_invalid"
    another = api.token(made.agents[0], cnf=own.cnf)
    assert delegated(api, another, to, status=403, **asked)["code"] == "proof_invalid"
    delegated(api, made.leaf, to, **asked)
    assert delegated(api, made.leaf, to, status=403, **asked)["code"] == "proof_replayed"


def test_one_proof_shown_many_times_at_once_hands_down_once(server: Server, api: Api) -> None:
    own, theirs = holder(api), holder(api)
    made = line(api, 1, root={"cnf": own.cnf})
    to = made.agent()
    for _ in range(5):
        asked = own.handing(made.leaf, to, cnf=theirs.cnf)
        statuses: list[int] = []

        def hand(asked: dict[str, Any] = asked, statuses: list[int] = statuses) -> None:
            with server.api() as api:
                body = {"parentToken": made.leaf, "toAgentId": to, "scope": SCOPE} | asked
                statuses.append(api.send("POST", "/v1/delegations", body).status_code)

        threads = [threading.Thread(target=hand) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [201] + [403] * 7


# --- keys and approvals -----------------------------------------------------------------------------------------------


def test_the_key_of_another_agent_hands_nothing_down(server: Server, api: Api) -> None:
    made = line(api, 2)
    key = api.key("enforce", agentId=made.agents[1])["key"]
    with server.api(key) as bound:
        assert delegated(bound, made.tokens[0], made.agent(), status=422)["code"] == "token_agent_mismatch"
        assert code(bound, made.tokens[0]) == "token_agent_mismatch"
        assert code(bound, made.leaf) == "allowed"
        child = delegated(bound, made.leaf, made.agent())["token"]
        assert code(bound, child) == "token_agent_mismatch"
        path = f"/v1/tokens/{made.issued[0]['tokenId']}/rotate"
        assert bound.post(path, {"token": made.tokens[0]}, status=422)["code"] == "token_agent_mismatch"
        assert bound.post(path, {"token": made.leaf}, status=403)["code"] == "token_mismatch"
        assert bound.post(path, {}, status=403)["code"] == "scope_missing"


def test_an_approval_belongs_to_the_root_it_was_asked_under(api: Api, enforcer: Api) -> None:
    made = line(api, 2)
    made.policy(["run"], [TASKS], 1, constraints={"requiresApproval": True})
    asked = enforcer.enforce(made.leaf, "run", TASK)
    assert asked["reasonCode"] == "approval_required"
    api.post(f"/v1/approvals/{asked['approval']['id']}/approve", {}, status=200)
    other = delegated(api, api.token(made.agents[0]), made.agents[1])["token"]
    assert code(enforcer, other) == "approval_required"
    assert code(enforcer, api.token(made.agents[1])) == "approval_required"
    assert code(enforcer, made.leaf, "run", TASK + "0") == "approval_required"
    rotated = api.post(f"/v1/tokens/{made.issued[1]['tokenId']}/rotate", {})["token"]
    assert [code(enforcer, rotated), code(enforcer, made.leaf)] == ["allowed", "approval_required"]


def test_a_replay_ends_when_the_chain_does(api: Api) -> None:
    made = line(api, 3)
    once = {"requestId": uuid4().hex}
    first = api.enforce(made.leaf, "run", TASK, **once)
    assert api.enforce(made.leaf, "run", TASK, **once)["decisionId"] == first["decisionId"]
    api.delete(f"/v1/policies/{made.gives}")
    again = api.enforce(made.leaf, "run", TASK, **once)
    assert (again["reasonCode"], again["replayed"]) == ("chain_not_delegable", False)


@pytest.mark.parametrize("parent", ["", "x", "a.b.c", "{leaf}x", "{leaf} ", "x{leaf}"])
def test_a_parent_that_is_no_token(api: Api, parent: str) -> None:
    made = line(api, 1)
    problem = delegated(api, parent.format(leaf=made.leaf), made.agent(), status=422)
    assert problem["code"] in ("token_malformed", "token_signature_invalid")
    assert told(problem) == ["/parentToken"]
