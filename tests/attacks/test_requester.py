"""The confused deputy: one agent has another do what it may not do itself (6-threats)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from tests.support import Api, Server

TASK = "api://tasks/execute/42"


@dataclass(frozen=True)
class Pair:
    """A planner that may plan, an executor that may execute; agents and policies as in the reference scenario."""

    api: Api
    planner: str
    planner_name: str
    executor: str
    executor_name: str
    token: str

    def execute(self, requester: str | None, action: str = "execute", resource: str = TASK, **more: Any) -> Any:
        if requester is not None:
            more["requester"] = requester
        return self.api.enforce(self.token, action, resource, **more)


@pytest.fixture
def pair(api: Api) -> Pair:
    planner_name, executor_name = f"planner-{uuid4().hex}", f"executor-{uuid4().hex}"
    planner, executor = api.agent(planner_name, planner_name), api.agent(executor_name, executor_name)
    api.policy(["plan"], ["api://workflows/plan"], appliesTo={"roles": [planner_name]})
    api.policy(["execute", "update"], ["api://tasks/execute/*"], appliesTo={"roles": [executor_name]})
    return Pair(api, planner, planner_name, executor, executor_name, api.token(executor))


def test_the_executor_for_itself(pair: Pair) -> None:
    for requester in (None, pair.executor, pair.executor_name):
        assert pair.execute(requester)["reasonCode"] == "allowed"


def test_the_planner_does_not_get_its_call_carried_out(pair: Pair) -> None:
    for requester in (pair.planner, pair.planner_name):
        decision = pair.execute(requester)
        assert (decision["decision"], decision["reasonCode"]) == ("denied", "requester_not_permitted")
        assert pair.planner_name in decision["reason"]
        assert decision["agentId"] == pair.executor
        record = pair.api.get(f"/v1/audit/{decision['audit']['index']}")["record"]
        assert (record["agentId"], record["requesterId"]) == (pair.executor, pair.planner)


def test_what_both_may_do_is_allowed(pair: Pair) -> None:
    pair.api.policy(["execute"], [TASK], appliesTo={"agentIds": [pair.planner]})
    assert pair.execute(pair.planner)["reasonCode"] == "allowed"
    assert pair.execute(pair.planner, resource=TASK + "0")["reasonCode"] == "requester_not_permitted"
    assert pair.execute(pair.planner, action="update")["reasonCode"] == "requester_not_permitted"


def test_the_requesters_right_does_not_replace_the_executors(pair: Pair) -> None:
    pair.api.policy(["erase"], ["*"], appliesTo={"agentIds": [pair.planner]})
    assert pair.execute(pair.planner, action="erase")["reasonCode"] == "no_matching_policy"


def test_a_deny_on_the_requester_binds_the_executor(pair: Pair) -> None:
    pair.api.policy(["*"], ["*"], appliesTo={"agentIds": [pair.planner]})
    assert pair.execute(pair.planner)["reasonCode"] == "allowed"
    pair.api.policy(["execute"], ["*"], effect="deny", appliesTo={"agentIds": [pair.planner]})
    assert pair.execute(pair.planner)["reasonCode"] == "requester_not_permitted"
    assert pair.execute(None)["reasonCode"] == "allowed"


def test_an_approval_that_the_requester_needs(pair: Pair) -> None:
    constraints = {"requiresApproval": {"approvers": 2}}
    pair.api.policy(["execute"], ["*"], appliesTo={"agentIds": [pair.planner]}, constraints=constraints)
    decision = pair.execute(pair.planner)
    assert decision["reasonCode"] == "approval_required"
    approval = pair.api.get(f"/v1/approvals/{decision['approval']['id']}")
    assert (approval["requesterId"], approval["agentId"]) == (pair.planner, pair.executor)
    assert approval["approversNeeded"] == 2
    assert pair.execute(None)["reasonCode"] == "allowed"


UNKNOWN = ["", " ", "nobody", "*", "agt_" + "0" * 32, "\u0000", "null", "x" * 5000, "planner\u200b", "' OR 1=1"]


@pytest.mark.parametrize("requester", UNKNOWN, ids=repr)
def test_a_requester_that_nobody_knows(pair: Pair, requester: str) -> None:
    assert pair.execute(requester)["reasonCode"] == "requester_unknown"


@pytest.mark.parametrize(
    "spell", [str.upper, lambda name: name + " ", lambda name: " " + name, lambda name: name + "\u0301"]
)
def test_a_name_in_another_spelling_is_another_agent(pair: Pair, spell: Any) -> None:
    assert pair.execute(spell(pair.executor_name))["reasonCode"] == "requester_unknown"


def test_a_requester_that_is_suspended_or_deleted(pair: Pair) -> None:
    pair.api.policy(["execute"], ["*"], appliesTo={"agentIds": [pair.planner]})
    assert pair.execute(pair.planner)["reasonCode"] == "allowed"
    pair.api.post(f"/v1/agents/{pair.planner}/suspend", status=200)
    assert pair.execute(pair.planner)["reasonCode"] == "requester_not_permitted"
    assert pair.execute(pair.planner_name)["reasonCode"] == "requester_not_permitted"
    pair.api.delete(f"/v1/agents/{pair.planner}")
    assert pair.execute(pair.planner)["reasonCode"] == "requester_unknown"
    assert pair.execute(pair.planner_name)["reasonCode"] == "requester_unknown"


def test_a_requester_of_another_tenant(pair: Pair, stranger: Api) -> None:
    foreign = stranger.agent()
    stranger.policy(["*"], ["*"], appliesTo={"agentIds": [foreign]})
    assert pair.execute(foreign)["reasonCode"] == "requester_unknown"


def test_a_name_that_was_given_again(pair: Pair) -> None:
    """The rights of a deleted agent do not pass to the next one of its name."""
    api = pair.api
    api.policy(["execute"], ["*"], appliesTo={"agentIds": [pair.planner]})
    assert pair.execute(pair.planner_name)["reasonCode"] == "allowed"
    api.delete(f"/v1/agents/{pair.planner}")
    heir = api.agent(pair.planner_name)
    assert pair.execute(pair.planner_name)["reasonCode"] == "requester_not_permitted"
    assert pair.execute(heir)["reasonCode"] == "requester_not_permitted"


def test_a_bad_token_is_told_before_the_requester_is_looked_at(pair: Pair, server: Server) -> None:
    with server.api() as api:
        decision = api.enforce("garbage", "execute", TASK, requester=pair.planner)
    assert decision["reasonCode"] == "token_malformed"


def test_a_replay_ends_when_the_requester_loses_the_right(pair: Pair) -> None:
    policy = pair.api.policy(["execute"], ["*"], appliesTo={"agentIds": [pair.planner]})
    once = {"requestId": uuid4().hex}
    first = pair.execute(pair.planner, **once)
    assert pair.execute(pair.planner, **once)["decisionId"] == first["decisionId"]
    pair.api.delete(f"/v1/policies/{policy['id']}")
    assert pair.execute(pair.planner, **once)["reasonCode"] == "requester_not_permitted"


def test_a_message_to_another_agent_is_an_ordinary_request(pair: Pair) -> None:
    """A may tell B, and B may tell C; that does not let A tell C."""
    api = pair.api
    c = api.agent()
    api.policy(["message"], [f"agent://{pair.executor_name}"], appliesTo={"agentIds": [pair.planner]})
    api.policy(["message"], [f"agent://{c}"], appliesTo={"agentIds": [pair.executor]})
    planner_token = api.token(pair.planner)
    assert api.enforce(planner_token, "message", f"agent://{pair.executor_name}")["reasonCode"] == "allowed"
    assert api.enforce(planner_token, "message", f"agent://{c}")["reasonCode"] == "no_matching_policy"
    decision = api.enforce(pair.token, "message", f"agent://{c}", requester=pair.planner)
    assert decision["reasonCode"] == "requester_not_permitted"
    assert api.enforce(pair.token, "message", f"agent://{c}")["reasonCode"] == "allowed"


# --- who asks is proved by its own token ------------------------------------------------------------------------------


def permitted_planner(pair: Pair) -> dict[str, Any]:
    """A planner that may have the task executed, with its token."""
    pair.api.policy(["execute"], [TASK], appliesTo={"agentIds": [pair.planner]})
    issued: dict[str, Any] = pair.api.post("/v1/tokens", {"agentId": pair.planner})
    return issued


def test_a_requester_that_proves_itself(pair: Pair) -> None:
    issued = permitted_planner(pair)
    for requester in (None, pair.planner, pair.planner_name):
        decision = pair.execute(requester, requesterToken=issued["token"])
        assert decision["reasonCode"] == "allowed"
        record = pair.api.get(f"/v1/audit/{decision['audit']['index']}")["record"]
        assert record["requesterId"] == pair.planner


@pytest.mark.parametrize("how", ["token", "mark"])
def test_nobody_works_for_an_agent_whose_token_was_revoked(pair: Pair, how: str) -> None:
    issued = permitted_planner(pair)
    assert pair.execute(pair.planner, requesterToken=issued["token"])["reasonCode"] == "allowed"
    if how == "token":
        pair.api.post(f"/v1/tokens/{issued['tokenId']}/revoke", status=200)
    else:
        pair.api.post(f"/v1/agents/{pair.planner}/revoke-tokens", status=200)
    decision = pair.execute(pair.planner, requesterToken=issued["token"])
    assert decision["reasonCode"] == "requester_not_permitted"
    assert "token_revoked" in decision["reason"]


def test_the_token_of_another_proves_nothing(pair: Pair) -> None:
    permitted_planner(pair)
    decision = pair.execute(pair.planner, requesterToken=pair.token)
    assert decision["reasonCode"] == "requester_not_permitted"
    assert pair.execute(pair.planner, requesterToken="garbage")["reasonCode"] == "requester_not_permitted"
    assert pair.execute(pair.planner, requesterToken="")["reasonCode"] == "requester_not_permitted"


def test_a_key_bound_to_the_executor_may_carry_the_planners_token(pair: Pair, server: Server) -> None:
    issued = permitted_planner(pair)
    key = pair.api.key("enforce", agentId=pair.executor)["key"]
    with server.api(key) as bound:
        decision = bound.enforce(pair.token, "execute", TASK, requesterToken=issued["token"])
        assert decision["reasonCode"] == "allowed"
        assert bound.enforce(issued["token"], "execute", TASK)["reasonCode"] == "token_agent_mismatch"
