"""Rates, quotas and budgets on a real node, by hand-moved time: what counts, for whom, and what is given back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.in_process import InProcess
from tests.support import Api


@pytest.fixture
def node(tmp_path: Path) -> Iterator[InProcess]:
    running = InProcess(tmp_path)
    yield running
    running.close()


@pytest.fixture
def api(node: InProcess) -> Api:
    return node.api


def limited(api: Api, **constraints: Any) -> str:
    """A token of an agent that may run anything within the constraints."""
    agent = api.agent()
    api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints=constraints)
    return api.token(agent)


def run(api: Api, token: str, **more: Any) -> Any:
    return api.enforce(token, "run", "api://tasks/1", **more)


def codes(api: Api, token: str, times: int, **more: Any) -> list[str]:
    return [run(api, token, **more)["reasonCode"] for _ in range(times)]


# --- rates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rate", [{"rateLimit": "2 per minute"}, {"rateLimit": {"limit": 2, "per": "minute"}}, {"maxQueriesPerMinute": 2}]
)
def test_a_rate_in_every_spelling(node: InProcess, rate: dict[str, Any]) -> None:
    token = limited(node.api, **rate)
    assert codes(node.api, token, 3) == ["allowed", "allowed", "rate_limited"]
    node.clock.move(59)
    assert codes(node.api, token, 1) == ["rate_limited"]
    node.clock.move(2)
    assert codes(node.api, token, 3) == ["allowed", "allowed", "rate_limited"]


def test_several_rates_hold_together(node: InProcess) -> None:
    token = limited(node.api, rateLimit="2 per minute", max_actions_per_day=3)
    assert codes(node.api, token, 3) == ["allowed", "allowed", "rate_limited"]
    node.clock.move(61)
    assert codes(node.api, token, 2) == ["allowed", "rate_limited"], "the day is used up"
    node.clock.move(61)
    found = run(node.api, token)
    assert found["reasonCode"] == "rate_limited"
    assert found["retryAfter"] == pytest.approx(86400 - 122, abs=86400 / 128 + 1)


def test_it_says_when_and_what_is_left(node: InProcess) -> None:
    token = limited(node.api, rateLimit="2 per minute")
    first, second, third = (run(node.api, token) for _ in range(3))
    assert [left["remaining"] for left in first["limits"] + second["limits"]] == [1, 0]
    assert first["retryAfter"] is None
    assert 60 <= third["retryAfter"] <= 61
    assert third["limits"][0] | {"policyId": ""} == {
        "policyId": "", "constraint": "rateLimit", "limit": 2, "remaining": 0,
        "window": 60, "reset": third["retryAfter"], "unit": None,
    }  # fmt: skip
    node.clock.move(third["retryAfter"])
    assert run(node.api, token)["reasonCode"] == "allowed"


def test_the_headers_say_it_again(api: Api) -> None:
    agent = api.agent()
    policy = api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints={"rateLimit": "1 per hour"})["id"]
    body = {"capabilityToken": api.token(agent), "action": "run", "resourceId": "x"}
    first, second = (api.send("POST", "/v1/enforce", body | {"requestId": f"r{at}"}) for at in range(2))
    assert first.headers["RateLimit-Policy"] == f'"{policy}";q=1;w=3600'
    assert first.headers["RateLimit"].startswith(f'"{policy}";r=0;t=36')
    assert "Retry-After" not in first.headers
    assert int(second.headers["Retry-After"]) == second.json()["retryAfter"] >= 3600


# --- quotas -----------------------------------------------------------------------------------------------------------


def test_a_quota_is_the_tokens_own_and_survives_its_rotation(api: Api) -> None:
    agent = api.agent()
    api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints={"maxRequests": 2})
    issued = api.post("/v1/tokens", {"agentId": agent})
    assert codes(api, issued["token"], 1) == ["allowed"]
    rotated = api.post(f"/v1/tokens/{issued['tokenId']}/rotate", {})["token"]
    found = [run(api, rotated) for _ in range(2)]
    assert [decision["reasonCode"] for decision in found] == ["allowed", "quota_exceeded"]
    assert found[1]["retryAfter"] is None
    assert codes(api, api.token(agent), 3) == ["allowed", "allowed", "quota_exceeded"], "another family, another quota"


# --- budgets ----------------------------------------------------------------------------------------------------------


def budget(per: str = "token", most: float = 1, **more: Any) -> dict[str, Any]:
    return {"argument": "/amount", "max": most, "per": per, **more}


def test_a_budget_is_kept_exactly(api: Api) -> None:
    token = limited(api, budget=budget(unit="USD"))
    assert codes(api, token, 10, arguments={"amount": 0.1}) == ["allowed"] * 10
    found = run(api, token, arguments={"amount": 0.000001})
    assert found["reasonCode"] == "budget_exceeded"
    assert "0 USD left of 1 per token; this takes 1e-06" in found["reason"] or "this takes" in found["reason"]
    assert codes(api, token, 1, arguments={"amount": 0}) == ["allowed"], "nothing fits into nothing"


@pytest.mark.parametrize(
    "arguments",
    [{}, {"amount": -1}, {"amount": "5"}, {"amount": None}, {"amount": True}, {"amount": 0.0000001}, {"amount": 1e13},
     {"amount": [1]}, {"order": {"amount": 1}}],
)  # fmt: skip
def test_what_cannot_be_counted_is_refused(api: Api, arguments: dict[str, Any]) -> None:
    token = limited(api, budget=budget(most=100))
    assert run(api, token, arguments=arguments)["reasonCode"] == "budget_exceeded"
    assert run(api, token, arguments={"amount": 100})["reasonCode"] == "allowed", "and it took nothing"


def test_an_amount_deep_in_the_arguments(api: Api) -> None:
    token = limited(api, budget=budget() | {"argument": "/orders/0/to~1tal"})
    assert run(api, token, arguments={"orders": [{"to/tal": 1}]})["reasonCode"] == "allowed"
    assert run(api, token, arguments={"orders": [{"to/tal": 0.5}]})["reasonCode"] == "budget_exceeded"
    assert run(api, token, arguments={"orders": {"0": {"to/tal": 0}}})["reasonCode"] == "allowed"


def test_a_budget_of_a_task_is_shared_by_all_its_tokens(api: Api) -> None:
    agent = api.agent()
    api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints={"budget": budget("task")})
    one, two = (api.token(agent, task={"id": "t1"}) for _ in range(2))
    other = api.token(agent, task={"id": "t2"})
    assert run(api, one, arguments={"amount": 0.7})["reasonCode"] == "allowed"
    assert run(api, two, arguments={"amount": 0.7})["reasonCode"] == "budget_exceeded"
    assert run(api, other, arguments={"amount": 0.7})["reasonCode"] == "allowed"


def test_a_budget_of_a_day_is_of_any_24_hours(node: InProcess) -> None:
    agent = node.api.agent()
    node.api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints={"budget": budget("day")})
    assert run(node.api, node.api.token(agent), arguments={"amount": 1})["reasonCode"] == "allowed"
    node.clock.move(7 * 3600)  # past midnight
    token = node.api.token(agent, expiresIn=86400)
    found = run(node.api, token, arguments={"amount": 1})
    assert found["reasonCode"] == "budget_exceeded"
    node.clock.move(found["retryAfter"])
    assert run(node.api, token, arguments={"amount": 1})["reasonCode"] == "allowed"


# --- when it is not spent ---------------------------------------------------------------------------------------------

ONE = {"maxRequests": 1, "rateLimit": "1 per day", "budget": budget("day")}


def test_a_denial_a_dry_run_and_a_pending_approval_spend_nothing(node: InProcess, api: Api) -> None:
    agent = api.agent()
    api.policy(["run"], appliesTo={"agentIds": [agent]}, constraints=ONE)
    api.policy(["run"], appliesTo={"agentIds": [agent]}, when="args.amount < 2", constraints={"requiresApproval": True})
    api.policy(["run"], ["api://no/*"], appliesTo={"agentIds": [agent]}, effect="deny")
    token, amount = api.token(agent), {"amount": 1}
    assert api.enforce(token, "run", "api://no/1", arguments=amount)["reasonCode"] == "policy_denied"
    assert run(api, token, arguments=amount, dryRun=True)["decision"] == "pending_approval"
    pending = [run(api, token, arguments=amount) for _ in range(3)]
    assert {decision["decision"] for decision in pending} == {"pending_approval"}
    person = node.client(api.key("approve")["key"])
    person.post(f"/v1/approvals/{pending[0]['approval']['id']}/approve", {}, status=200)
    assert run(api, token, arguments=amount)["reasonCode"] == "allowed"
    assert run(api, token, arguments=amount)["reasonCode"] == "quota_exceeded"


def test_one_limit_that_is_full_leaves_the_others_alone(api: Api) -> None:
    agent = api.agent()
    api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints={"maxRequests": 2})
    api.policy(["big"], appliesTo={"agentIds": [agent]}, constraints={"budget": budget(most=5)})
    token = api.token(agent)
    refused = [api.enforce(token, "big", "x", arguments={"amount": 6})["reasonCode"] for _ in range(5)]
    assert refused == ["budget_exceeded"] * 5
    assert codes(api, token, 3) == ["allowed", "allowed", "quota_exceeded"]


def test_a_new_version_of_the_policy_goes_on_counting(api: Api) -> None:
    agent = api.agent()
    policy = api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints={"rateLimit": "2 per hour"})
    token = api.token(agent)
    assert codes(api, token, 2) == ["allowed", "allowed"]
    body = {"name": "P", "actions": ["*"], "resources": ["*"], "appliesTo": {"agentIds": [agent]}}
    api.put(f"/v1/policies/{policy['id']}", body | {"constraints": {"rateLimit": "3 per hour"}})
    assert codes(api, token, 2) == ["allowed", "rate_limited"]


def test_what_was_spent_is_in_the_record(api: Api) -> None:
    token = limited(api, budget=budget(most=20, unit="EUR"), maxRequests=3)
    decision = run(api, token, arguments={"amount": 12.5})
    record = api.get(f"/v1/audit/{decision['audit']['index']}")["record"]
    spent = {one["constraint"]: (one["amount"], one.get("unit")) for one in record["limits"]}
    assert spent == {"budget": ("12.5", "EUR"), "maxRequests": ("1", None)}


# --- afterwards -------------------------------------------------------------------------------------------------------


def test_a_restart_gives_nothing_back(tmp_path: Path) -> None:
    node = InProcess(tmp_path)
    agent = node.api.agent()
    node.api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints={**ONE, "budget": budget("day", 5)})
    node.api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints={"rateLimit": "1 per minute"})
    token = node.api.token(agent)
    assert run(node.api, token, arguments={"amount": 3})["reasonCode"] == "allowed"
    at = node.clock.at
    node.close()
    again = InProcess(tmp_path)
    again.clock.at = at
    assert run(again.api, token, arguments={"amount": 1})["reasonCode"] == "quota_exceeded"
    fresh = again.api.token(agent)
    assert run(again.api, fresh, arguments={"amount": 1})["reasonCode"] == "rate_limited"
    again.clock.move(61)
    assert run(again.api, fresh, arguments={"amount": 1})["reasonCode"] == "rate_limited", "of the day"
    again.close()


def test_what_ended_is_forgotten_by_the_sweep(tmp_path: Path) -> None:
    node = InProcess(tmp_path)
    token = limited(node.api, **ONE)
    assert run(node.api, token, arguments={"amount": 1})["reasonCode"] == "allowed"

    def rows() -> int:
        import sqlite3

        with sqlite3.connect(tmp_path / "act.db") as connection:
            return int(connection.execute("select count(*) from counters").fetchone()[0])

    assert rows() == 3
    node.clock.move(3 * 86400)
    import time

    until = time.monotonic() + 30
    while rows() and time.monotonic() < until:
        node.clock.move(61)
        time.sleep(0.2)
    assert rows() == 0
    node.close()
