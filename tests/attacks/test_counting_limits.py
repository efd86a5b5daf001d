"""Getting more out of a rate, a quota or a budget than there is: floods, families, replays, outcomes, edits."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytest

from tests.attacks.conftest import OTHER_KEY
from tests.attacks.test_approvals import wait_until
from tests.attacks.test_counting import codes, flood, report, request, run
from tests.delegations.handing import EVERYTHING, below, line, root
from tests.limits.floods import ASKING, DEEP, FLOODS, ROUNDS, assert_all_that_fits, exact, limited, mixed, money
from tests.support import Api, Server, environment

ONE = {"arguments": {"amount": 1}}
COUNTED = [
    pytest.param({"rateLimit": "2 per hour"}, "rate_limited", id="rate"),
    pytest.param({"maxRequests": 2}, "quota_exceeded", id="quota"),
    pytest.param(money(2), "budget_exceeded", id="budget"),
    pytest.param(money(2, "day"), "budget_exceeded", id="budget of a day"),
]
"""Each has room for two requests of the amount 1."""


def ask(api: Api, token: str, **more: Any) -> Any:
    return run(api, token, **ONE | more)


def told(api: Api, token: str, times: int) -> list[str]:
    return [ask(api, token)["reasonCode"] for _ in range(times)]


# --- how many at once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("constraints", "fit", "code"), FLOODS)
def test_two_hundred_at_once(server: Server, api: Api, constraints: dict[str, Any], fit: int, code: str) -> None:
    for _ in ROUNDS:
        token = limited(api, constraints)
        decisions = flood(server, [request(token) for _ in range(ASKING)])
        assert codes(decisions) == {"allowed": fit, code: ASKING - fit}
        assert run(api, token)["reasonCode"] == code


def test_each_of_two_hundred_is_told_another_rest(server: Server, api: Api) -> None:
    token = limited(api, {"rateLimit": "100 per minute"})
    decisions = flood(server, [request(token) for _ in range(ASKING)])
    rests = [decision["limits"][0]["remaining"] for decision in decisions if decision["decision"] == "allowed"]
    assert sorted(rests) == list(range(100))
    assert {decision["limits"][0]["remaining"] for decision in decisions if decision["decision"] == "denied"} == {0}


@pytest.mark.parametrize(
    ("amount", "most", "fit"), [(0.1, 5, 50), (0.1, 0.3, 3), (2.5, 12, 4), (0.000001, 0.00005, 50)]
)
def test_two_hundred_of_one_amount(server: Server, api: Api, amount: float, most: float, fit: int) -> None:
    for _ in ROUNDS if DEEP else ROUNDS[:1]:
        token = limited(api, money(most))
        decisions = flood(server, [request(token, arguments={"amount": amount}) for _ in range(ASKING)])
        assert codes(decisions) == {"allowed": fit, "budget_exceeded": ASKING - fit}


@pytest.mark.parametrize("per", ["token", "task", "day"])
def test_two_hundred_of_many_amounts(server: Server, api: Api, per: str) -> None:
    asked = mixed(ASKING)
    for _ in ROUNDS:
        token = limited(api, money(20.4, per))
        decisions = flood(server, [request(token, arguments={"amount": amount}) for amount in asked])
        assert set(codes(decisions)) == {"allowed", "budget_exceeded"}
        assert_all_that_fits(asked, [decision["decision"] == "allowed" for decision in decisions], 20.4)


# --- one delegation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["the root's", "the children's"])
@pytest.mark.parametrize(("constraints", "code"), COUNTED)
def test_ten_children_share(server: Server, api: Api, constraints: dict[str, Any], code: str, whose: str) -> None:
    agents = line(api, 11)
    at = {"agentIds": list(agents.agents[:1] if whose == "the root's" else agents.agents[1:])}
    handing = {"grants": ["use", "delegate"], "delegation": {"to": {"agentIds": list(agents.agents)}, "maxDepth": 8}}
    api.policy(["run"], appliesTo=at, constraints=constraints, **handing)
    above = root(api, agents[0])
    children = [below(api, above, agent)["token"] for agent in agents.agents[1:]]
    decisions = flood(server, [request(token, **ONE) for token in children * 5])
    assert codes(decisions) == {"allowed": 2, code: 48}
    # A child that is made now begins with what is left, which is nothing; so does one of the renewed root.
    late = below(api, above, agents[1])["token"]
    assert ask(api, late)["reasonCode"] == code
    renewed = api.post(f"/v1/tokens/{above['tokenId']}/rotate", {})
    assert ask(api, below(api, renewed, agents[2])["token"])["reasonCode"] == code


def test_children_and_their_root_share(server: Server, api: Api) -> None:
    agents = line(api, 4)
    everyone = {"agentIds": list(agents.agents)}
    api.policy(["run"], appliesTo=everyone, constraints={"maxRequests": 9, **money(5)})
    above = root(api, agents[0])
    tokens = [above["token"], *(below(api, above, agent, scope=EVERYTHING)["token"] for agent in agents.agents[1:])]
    decisions = flood(server, [request(token, arguments={"amount": 0.5}) for token in tokens * 20])
    assert codes(decisions) == {"allowed": 9, "quota_exceeded": 71}


# --- replays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("constraints", "code"), COUNTED)
def test_a_replay_does_not_spend_again(server: Server, api: Api, constraints: dict[str, Any], code: str) -> None:
    token = limited(api, constraints)
    once = request(token, **ONE)
    decisions = flood(server, [once] * 50)
    assert codes(decisions) == {"allowed": 50}
    assert len({decision["decisionId"] for decision in decisions}) == 1
    assert told(api, token, 2) == ["allowed", code]
    again = api.post("/v1/enforce", once, status=200)
    assert (again["reasonCode"], again["replayed"]) == ("allowed", True), "what was given stays given"
    assert told(api, token, 1) == [code]


@pytest.mark.parametrize(("constraints", "code"), COUNTED)
def test_a_replayed_denial_spends_nothing(api: Api, constraints: dict[str, Any], code: str) -> None:
    agent = api.agent()
    api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints=constraints)
    api.policy(["fly"], appliesTo={"agentIds": [agent]}, effect="deny")
    token = api.token(agent)
    once = request(token, action="fly", **ONE)
    assert {api.post("/v1/enforce", once, status=200)["reasonCode"] for _ in range(5)} == {"policy_denied"}
    assert told(api, token, 3) == ["allowed", "allowed", code]


# --- what spends nothing, and what gives nothing back -----------------------------------------------------------------


@pytest.mark.parametrize(("constraints", "code"), COUNTED)
def test_what_was_denied_has_spent_nothing(api: Api, constraints: dict[str, Any], code: str) -> None:
    agent = api.agent()
    api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints=constraints)
    api.policy(["walk"], appliesTo={"agentIds": [agent]}, constraints={"maxRows": 1})
    api.policy(["swim"], appliesTo={"agentIds": [agent]}, constraints={"maxRequests": 0})
    api.policy(["fly"], appliesTo={"agentIds": [agent]}, effect="deny")
    token = api.token(agent)

    def refused(action: str, **arguments: Any) -> str:
        return str(api.enforce(token, action, "x", arguments={"amount": 1, **arguments})["reasonCode"])

    assert [refused("fly"), refused("walk", limit=2), refused("swim")] == [
        "policy_denied", "limit_exceeded", "quota_exceeded"
    ]  # fmt: skip
    for wrong in ({"capabilityToken": "x"}, {"resourceId": "../x"}):
        assert api.post("/v1/enforce", request(token, **ONE) | wrong, status=200)["decision"] == "denied"
    assert api.post("/v1/enforce", request(token, arguments={"amount": 2**53}), status=422)["decision"] == "denied"
    assert told(api, token, 3) == ["allowed", "allowed", code]


@pytest.mark.parametrize(("constraints", "code"), COUNTED)
def test_a_dry_run_spends_nothing_and_is_told_when_nothing_is_left(
    server: Server, api: Api, constraints: dict[str, Any], code: str
) -> None:
    token = limited(api, constraints)
    dry = [request(token, dryRun=True, **ONE) for _ in range(50)]
    assert codes(flood(server, dry)) == {"allowed": 50}
    assert told(api, token, 3) == ["allowed", "allowed", code]
    assert ask(api, token, dryRun=True)["reasonCode"] == code


@pytest.mark.parametrize("outcome", ["failed", "succeeded"])
@pytest.mark.parametrize(("constraints", "code"), COUNTED)
def test_an_outcome_gives_nothing_back(api: Api, constraints: dict[str, Any], code: str, outcome: str) -> None:
    token = limited(api, constraints)
    decisions = [ask(api, token) for _ in range(3)]
    assert [decision["reasonCode"] for decision in decisions] == ["allowed", "allowed", code]
    assert report(api, decisions[0], outcome)["repeated"] is False
    assert report(api, decisions[0], outcome)["repeated"] is True
    assert report(api, decisions[2], outcome, status=409)["code"] == "decision_not_allowed"
    assert report(api, decisions[1], outcome)["status"] == outcome
    assert told(api, token, 2) == [code, code]


def test_another_tenant_ends_nothing(api: Api, stranger: Api) -> None:
    token = limited(api, {"maxConcurrentTasks": 1, "maxRequests": 9})
    held = ask(api, token)
    assert report(stranger, held, "failed", status=404)["code"] == "not_found"
    assert ask(api, token)["reasonCode"] == "concurrency_exceeded"


def test_another_tenant_has_counts_of_its_own(server: Server, api: Api, stranger: Api) -> None:
    ours, theirs = (limited(tenant, {"maxRequests": 2}) for tenant in (api, stranger))
    assert told(api, ours, 3) == ["allowed", "allowed", "quota_exceeded"]
    assert told(stranger, theirs, 3) == ["allowed", "allowed", "quota_exceeded"]
    with server.api(OTHER_KEY) as other:
        assert ask(other, ours)["decision"] == "denied"
    assert ask(api, theirs)["reasonCode"] != "allowed"


# --- approvals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("constraints", "code"), COUNTED)
def test_an_approval_spends_when_it_is_redeemed_and_once(
    server: Server, api: Api, constraints: dict[str, Any], code: str
) -> None:
    token = limited(api, constraints | {"requiresApproval": True})
    for number in range(2):
        asked = {"arguments": {"amount": 1, "number": number}}
        pending = flood(server, [request(token, **asked) for _ in range(10)])
        assert codes(pending) == {"approval_required": 10}
        approval = pending[0]["approval"]["id"]
        with server.api(api.key("approve")["key"]) as person:
            person.post(f"/v1/approvals/{approval}/approve", {}, status=200)
        # Dry runs see the approval and the room, and use up neither.
        assert codes(flood(server, [request(token, dryRun=True, **asked) for _ in range(5)])) == {"allowed": 5}
        redeemed = codes(flood(server, [request(token, **asked) for _ in range(10)]))
        assert redeemed["allowed"] == 1
        assert set(redeemed) == {"allowed", "approval_required" if number == 0 else code}
    assert ask(api, token)["reasonCode"] == code, "nobody is asked for what has no room"


def test_what_was_approved_is_denied_without_room_and_the_approval_is_not_used(server: Server, api: Api) -> None:
    agent = api.agent()
    body = {"name": "Two", "actions": ["*"], "resources": ["*"], "appliesTo": {"agentIds": [agent]}}
    policy = api.post("/v1/policies", body | {"constraints": {"maxRequests": 1}})["id"]
    api.policy(["ask"], appliesTo={"agentIds": [agent]}, constraints={"requiresApproval": True})
    token = api.token(agent)
    pending = api.enforce(token, "ask", "x")
    with server.api(api.key("approve")["key"]) as person:
        person.post(f"/v1/approvals/{pending['approval']['id']}/approve", {}, status=200)
    assert run(api, token)["reasonCode"] == "allowed"
    assert api.enforce(token, "ask", "x")["reasonCode"] == "quota_exceeded"
    api.put(f"/v1/policies/{policy}", body | {"constraints": {"maxRequests": 2}})
    assert api.enforce(token, "ask", "x")["reasonCode"] == "allowed", "it was kept for when there is room"


# --- edits ------------------------------------------------------------------------------------------------------------

EDITS = [
    pytest.param({"rateLimit": "3 per hour"}, {"rateLimit": {"limit": 3, "per": "hour"}}, 3, "rate_limited", id="form"),
    pytest.param({"maxQueriesPerMinute": 3}, {"rateLimit": "3/minute"}, 3, "rate_limited", id="alias"),
    pytest.param({"rate_limit": "3 per hour"}, {"rateLimit": "5 per hour"}, 5, "rate_limited", id="more"),
    pytest.param({"rateLimit": "5 per hour"}, {"rateLimit": "3 per hour"}, 3, "rate_limited", id="less"),
    pytest.param(
        {"rateLimit": "3 per hour"}, {"rateLimit": ["9 per second", "3 per hour"]}, 3, "rate_limited", id="beside"
    ),
    pytest.param({"maxRequests": 3}, {"maxRequests": 5}, 5, "quota_exceeded", id="quota"),
    pytest.param(money(5), money(3), 3, "budget_exceeded", id="budget"),
    pytest.param(money(3, "day"), money(3.0, "day"), 3, "budget_exceeded", id="budget of a day"),
]


@pytest.mark.parametrize(("before", "after", "most", "code"), EDITS)
def test_an_edit_goes_on_with_the_count(
    api: Api, before: dict[str, Any], after: dict[str, Any], most: int, code: str
) -> None:
    agent = api.agent()
    body = {"name": "Edited", "actions": ["*"], "resources": ["*"], "appliesTo": {"agentIds": [agent]}}
    policy = api.post("/v1/policies", body | {"constraints": before})["id"]
    token = api.token(agent)
    assert told(api, token, 2) == ["allowed", "allowed"]
    for change in ({"constraints": after}, {"constraints": after, "name": "Renamed", "actions": ["run", "walk"]}):
        api.put(f"/v1/policies/{policy}", body | change)
    assert told(api, token, most) == ["allowed"] * (most - 2) + [code, code]


def test_a_hundred_per_minute_made_fifty(server: Server, api: Api) -> None:
    agent = api.agent()
    body = {"name": "Edited", "actions": ["*"], "resources": ["*"], "appliesTo": {"agentIds": [agent]}}
    policy = api.post("/v1/policies", body | {"constraints": {"rateLimit": "100 per minute"}})["id"]
    token = api.token(agent)
    assert codes(flood(server, [request(token) for _ in range(30)])) == {"allowed": 30}
    api.put(f"/v1/policies/{policy}", body | {"constraints": {"rateLimit": "50 per minute"}})
    assert codes(flood(server, [request(token) for _ in range(60)])) == {"allowed": 20, "rate_limited": 40}
    api.put(f"/v1/policies/{policy}", body | {"constraints": {"maxQueriesPerMinute": 100}})
    assert codes(flood(server, [request(token) for _ in range(90)])) == {"allowed": 50, "rate_limited": 40}


def test_a_limit_that_was_off_for_a_while_has_not_forgotten(api: Api) -> None:
    agent = api.agent()
    body = {"name": "Off", "actions": ["*"], "resources": ["*"], "appliesTo": {"agentIds": [agent]}}
    policy = api.post("/v1/policies", body | {"constraints": {"maxRequests": 2}})["id"]
    token = api.token(agent)
    assert told(api, token, 3) == ["allowed", "allowed", "quota_exceeded"]
    for other in (body, body | {"enabled": False}):
        api.put(f"/v1/policies/{policy}", other)
    api.put(f"/v1/policies/{policy}", body | {"constraints": {"maxRequests": 2}})
    assert told(api, token, 1) == ["quota_exceeded"]


# --- a client that dies -----------------------------------------------------------------------------------------------

CLIENT = """
import sys, time
from act import Act
with Act(sys.argv[1], sys.argv[2], timeout=20) as act:
    print(act.enforce(sys.argv[3], "run", "x").reason_code, flush=True)
    time.sleep(60)
"""


def test_a_client_that_is_killed_leaves_its_place_until_its_time_is_over(server: Server, api: Api) -> None:
    token = limited(api, {"maxConcurrentTasks": 1, "leaseSeconds": 4})
    command = [sys.executable, "-c", CLIENT, server.url, server.admin_key, token]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        before = time.monotonic()
        assert client.stdout.readline() == "allowed\n"
        client.send_signal(signal.SIGKILL)
    assert run(api, token)["reasonCode"] == "concurrency_exceeded"
    wait_until(lambda: run(api, token, dryRun=True)["reasonCode"] == "allowed")
    assert time.monotonic() - before >= 3.9
    assert [run(api, token)["reasonCode"] for _ in range(2)] == ["allowed", "concurrency_exceeded"]


# --- the log says the same --------------------------------------------------------------------------------------------


def test_the_log_has_no_more_than_the_limit(server: Server, api: Api) -> None:
    agent = api.agent()
    api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints=money(7.3, unit="EUR"))
    token, asked = api.token(agent), mixed(100)
    decisions = flood(server, [request(token, arguments={"amount": amount}) for amount in asked])
    passed = [decision["decision"] == "allowed" for decision in decisions]
    assert_all_that_fits(asked, passed, 7.3)
    params = {"agent": agent, "decision": "allowed", "limit": 200}
    logged = [item["record"] for item in api.get("/v1/audit", params=params)["items"]]
    assert len(logged) == passed.count(True)
    spent = [record["limits"][0] for record in logged]
    assert {one["unit"] for one in spent} == {"EUR"}
    assert sum(exact(one["amount"]) for one in spent) == _sum(asked, passed)


def _sum(asked: Sequence[float], passed: Sequence[bool]) -> Any:
    return sum(exact(amount) for amount, one in zip(asked, passed, strict=True) if one)
