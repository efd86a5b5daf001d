"""What somebody who only holds a token can make of it: bounds that hold whatever is asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from act.tokens import mint
from tests.attacks.lines import TASK, claims_of, code, delegated, line, told
from tests.in_process import InProcess
from tests.support import Api, Server


@pytest.fixture
def enforcer(server: Server, api: Api) -> Iterator[Api]:
    """The key of an agent's own process."""
    with server.api(api.key("enforce")["key"]) as enforcer:
        yield enforcer


def rotate(api: Api, issued: Any, *, status: int = 201, **more: Any) -> Any:
    return api.post(f"/v1/tokens/{issued['tokenId']}/rotate", more, status=status)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[InProcess]:
    """A node in this process, to be changed from inside, whose clock is moved by hand."""
    node = InProcess(tmp_path)
    yield node
    node.close()


@pytest.fixture
def inside(node: InProcess) -> Api:
    """Its admin."""
    return node.api


# --- handing down -----------------------------------------------------------------------------------------------------


def test_a_deny_policy_on_handing_down_sees_what_was_read(api: Api, enforcer: Api) -> None:
    made = line(api, 1)
    api.policy(["delegate"], ["*"], appliesTo={"roles": [made.role]}, effect="deny", when="'secret' in session.labels")
    delegated(enforcer, made.leaf, made.agent())
    decision = enforcer.enforce(made.leaf, "run", TASK)
    report = {"status": "succeeded", "labels": ["secret"]}
    enforcer.post(f"/v1/decisions/{decision['decisionId']}/outcome", report, status=200)
    problem = delegated(enforcer, made.leaf, made.agent(), status=422)
    assert (problem["code"], told(problem)) == ("delegation_exceeds_parent", ["/toAgentId"])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_deny_policy_on_handing_down_of_any_agent_of_the_chain(api: Api, place: int) -> None:
    made = line(api, 3)
    to = made.agent()
    made.policy(["delegate"], [f"agent://{to}"], place, effect="deny")
    assert told(delegated(api, made.leaf, to, status=422)) == ["/toAgentId"]
    delegated(api, made.leaf, made.agent())


def test_a_scope_of_very_many_patterns_is_refused_soon(api: Api, enforcer: Api) -> None:
    """Every pattern is compared once with every other: not once for every pair of an action and a resource."""
    made = line(api, 1)
    for at in range(10):
        made.policy(
            ["r*"],
            [f"q{at}*{number}" for number in range(30)],
            0,
            grants=["delegate"],
            delegation={"to": {"roles": [made.role]}, "maxDepth": 1},
        )
    scope = [
        {"actions": [f"r{at}*{n}" for n in range(64)], "resources": [f"x{at}*{n}" for n in range(64)]}
        for at in range(16)
    ]
    began = time.monotonic()
    problem = delegated(enforcer, made.leaf, made.agent(), scope=scope, status=422)
    assert time.monotonic() - began < 20
    assert (problem["code"], len(problem["errors"])) == ("delegation_exceeds_parent", 100)


def test_a_tree_has_so_many_nodes(node: InProcess, inside: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mint, "MAX_TREE", 4)
    made = line(inside, 3)
    delegated(inside, made.tokens[0], made.agent(), expiresIn=60)
    delegated(inside, made.tokens[1], made.agent())
    for token in made.tokens:
        assert delegated(inside, token, made.agent(), status=409)["code"] == "too_many_delegations"
    assert code(inside, made.leaf) == "allowed"
    line(inside, 3)
    node.clock.move(60)
    deadline = time.monotonic() + 30
    while inside.send("POST", "/v1/delegations", _asking(made.leaf, made.agent())).status_code != 201:
        assert time.monotonic() < deadline, "what has expired still counts"
        time.sleep(0.2)


def _asking(parent: str, to: str) -> dict[str, Any]:
    return {"parentToken": parent, "toAgentId": to, "scope": [{"actions": ["run"], "resources": [TASK]}]}


@pytest.mark.parametrize(("actions", "status"), [(63, 201), (64, 422)])
def test_a_scope_has_so_many_patterns(api: Api, actions: int, status: int) -> None:
    first = {"actions": ["run"], "resources": [f"r{number}" for number in range(63)]}
    second = {"actions": [f"a{number}" for number in range(actions)], "resources": ["x"]}
    api.post("/v1/tokens", {"agentId": api.agent(), "scope": [first, second]}, status=status)


def test_a_token_that_nobody_would_accept_is_not_made(api: Api) -> None:
    agent = api.agent()
    scope = [{"actions": ["run"], "resources": [f"{'x' * 900}{number}/*" for number in range(16)]}]
    problem = api.post("/v1/tokens", {"agentId": agent, "scope": scope}, status=422)
    assert (problem["code"], told(problem)) == ("document_invalid", ["/scope"])
    longest = [{"actions": ["run"], "resources": [f"{'x' * 900}{number}/*" for number in range(11)]}]
    assert code(api, api.token(agent, scope=longest)) == "chain_scope_exceeded"


# --- rotating ---------------------------------------------------------------------------------------------------------


def test_a_replaced_token_is_told_of_once(api: Api) -> None:
    made = line(api, 1)
    rotate(api, made.issued[0], grace=0)
    assert [code(api, made.leaf) for _ in range(3)] == ["token_superseded"] * 3
    delegated(api, made.leaf, made.agent(), status=422)
    rotate(api, made.issued[0], token=made.leaf, status=422)
    log = api.send("GET", "/v1/audit/export").text.splitlines()
    records = [record for record in log if '"token.reuse_detected"' in record and made.issued[0]["node"] in record]
    assert len(records) == 1


def test_a_node_has_so_many_good_tokens_at_once(node: InProcess, inside: Api) -> None:
    api, enforcer = inside, node.client(inside.key("enforce")["key"])
    issued = line(api, 1).issued[0]
    for _ in range(99):
        issued = rotate(enforcer, issued, token=issued["token"], grace=30)
    assert rotate(enforcer, issued, token=issued["token"], status=409)["code"] == "too_many_rotations"
    assert code(api, issued["token"]) == "allowed"


def test_a_lower_maximum_ends_renewals_too(node: InProcess, inside: Api) -> None:
    api, enforcer = inside, node.client(inside.key("enforce")["key"])
    issued = api.post("/v1/tokens", {"agentId": line(api, 1).agents[0], "expiresIn": 60, "renewFor": 3600})
    began = claims_of(issued["token"])["iat"]
    api.patch("/v1/tenants/default-tenant", {"maxTokenTtl": 70, "defaultTokenTtl": 70})
    node.clock.move(20)
    renewed = rotate(enforcer, issued, token=issued["token"], expiresIn=70)
    assert claims_of(renewed["token"])["exp"] == began + 70
    operators = rotate(api, renewed, expiresIn=70)
    assert claims_of(operators["token"])["exp"] == began + 90


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_tree_tells_of_an_agent_whose_tokens_were_revoked(api: Api, place: int) -> None:
    made = line(api, 3)
    assert len(api.get(f"/v1/agents/{made.agents[2]}/permissions")["delegations"]) == 1
    api.post(f"/v1/agents/{made.agents[place]}/revoke-tokens", status=200)
    at, found = api.get(f"/v1/delegations/{made.issued[0]['tokenId']}/tree"), []
    while at:
        found.append(at["status"])
        at = next(iter(at["children"]), None)
    assert found == ["active"] * place + ["revoked"] * (3 - place)
    assert api.get(f"/v1/delegations/{made.issued[2]['tokenId']}/tree")["status"] == "revoked"
    assert api.get(f"/v1/agents/{made.agents[2]}/permissions")["delegations"] == []


def test_nothing_is_known_of_a_token_when_the_state_is_of_unknown_age(node: InProcess, inside: Api) -> None:
    token = inside.token(inside.agent())
    assert inside.post("/v1/tokens/introspect", {"token": token}, status=200)["active"] is True
    node.node._writer._feed.broken = True
    assert inside.post("/v1/tokens/introspect", {"token": token}, status=503)["code"] == "stale_state"


# --- asking again -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guard", ["of who hands down", "in doubt"])
@pytest.mark.parametrize(
    ("constraints", "reason"),
    [({"requiresApproval": True}, "approval_required"), ({"maxConcurrentTasks": 1}, "concurrency_exceeded")],
)
def test_an_earlier_answer_does_not_outlive_a_new_guard(
    api: Api, guard: str, constraints: dict[str, Any], reason: str
) -> None:
    """Such a guard is not among the policies that allowed, so these are the same as before."""
    made = line(api, 2)
    once = {"requestId": uuid4().hex}
    assert api.enforce(made.leaf, "run", TASK, **once)["decision"] == "allowed"
    assert api.enforce(made.leaf, "run", TASK, **once)["replayed"] is True
    place, when = (0, None) if guard == "of who hands down" else (1, "context.amount > 100")
    made.policy(["run"], ["*"], place, constraints=constraints, when=when)
    if "maxConcurrentTasks" in constraints:
        assert code(api, made.leaf) == "allowed"
    again = api.enforce(made.leaf, "run", TASK, **once)
    assert (again["reasonCode"], again["replayed"]) == (reason, False)
