"""The reference scenario, verbatim: curl for the setting up, `validate_with_act` for the enforcing."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.forge import b64, dump
from tests.e2e.validate_with_act import validate_with_act
from tests.support import Api, Server, environment

SCRIPT = Path(__file__).with_name("scenario.sh")
EXECUTE = "api://tasks/execute/42"


@dataclass
class Scenario:
    server: Server
    api: Api
    printed: list[str] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)

    def validate(self, token: str, action: str, resource: str) -> tuple[bool, str]:
        """What the naive client says, and the reason code that the log has for it."""
        before = self.api.get("/v1/audit/checkpoint")["size"]
        allowed = validate_with_act(token, action, resource)
        record = self.api.get(f"/v1/audit/{before}")["record"]
        assert (record["action"], record["resourceId"]) == (action, resource)
        assert allowed is (record["decision"] == "allowed")
        return allowed, record["reasonCode"]

    def approve_all(self) -> None:
        """With the key of another person: the admin key is the one that asks."""
        with self.server.api(self.api.key("approve", name="bob")["key"]) as person:
            for approval in person.get("/v1/approvals", params={"status": "pending"})["items"]:
                person.post(f"/v1/approvals/{approval['id']}/approve", {}, status=200)


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenario]:
    with Server(tmp_path_factory.mktemp("scenario")) as server, server.api() as api:
        settings = environment({"ACT_BASE_URL": server.url, "ACT_API_KEY": server.admin_key})
        done = subprocess.run(["bash", str(SCRIPT)], env=settings, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        made = Scenario(server, api)
        for line in done.stdout.splitlines():
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                made.tokens[name] = value
            else:
                made.printed.append(line)
        yield made


@pytest.fixture(autouse=True)
def _settings(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACT_BASE_URL", scenario.server.url)
    monkeypatch.setenv("ACT_API_KEY", scenario.server.admin_key)
    for proxy in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)


def test_the_script_as_it_is_typed(scenario: Scenario) -> None:
    assert scenario.printed == [
        "inferred",
        "inferred",
        "planner plan allowed allowed",
        "planner execute denied no_matching_policy",
        "executor execute pending_approval approval_required",
        "approved",
        "executor execute allowed allowed",
        "executor execute pending_approval approval_required",
    ]


def test_the_policies_are_bound_by_their_names(scenario: Scenario) -> None:
    bound = {policy["name"]: policy["appliesTo"] for policy in scenario.api.get("/v1/policies")["items"]}
    assert bound == {
        "Planner Capabilities": {"roles": ["planner"], "agentIds": []},
        "Executor Capabilities": {"roles": ["executor"], "agentIds": []},
    }


def test_the_planner(scenario: Scenario) -> None:
    token = scenario.tokens["PLANNER_TOKEN"]
    assert scenario.validate(token, "plan", "api://workflows/plan") == (True, "allowed")
    assert scenario.validate(token, "execute", EXECUTE) == (False, "no_matching_policy")
    assert scenario.validate(token, "update", EXECUTE) == (False, "no_matching_policy")


@pytest.mark.parametrize("action", ["execute", "update"])
def test_the_executor_is_allowed_once_for_each_approval(scenario: Scenario, action: str) -> None:
    token = scenario.tokens["EXECUTOR_TOKEN"]
    assert scenario.validate(token, action, EXECUTE) == (False, "approval_required")
    scenario.approve_all()
    assert scenario.validate(token, action, EXECUTE) == (True, "allowed")
    assert scenario.validate(token, action, EXECUTE) == (False, "approval_required")
    assert scenario.validate(token, "plan", "api://workflows/plan") == (False, "no_matching_policy")


def test_tokens_that_are_no_good(scenario: Scenario) -> None:
    api, executor = scenario.api, scenario.api.get("/v1/agents")["items"][1]["id"]
    revoked = api.post("/v1/tokens", {"agentId": executor})
    api.post(f"/v1/tokens/{revoked['tokenId']}/revoke", status=200)
    short = api.token(executor, expiresIn=1)
    foreign = other_servers_token()
    time.sleep(2.1)
    codes = {
        "garbage": "token_malformed",
        "": "token_malformed",
        foreign: "token_key_unknown",
        short: "token_expired",
        revoked["token"]: "token_revoked",
        scenario.tokens["PLANNER_TOKEN"][:-8] + "AAAAAAAA": "token_signature_invalid",
    }
    for token, code in codes.items():
        assert scenario.validate(token, "execute", EXECUTE) == (False, code)


def other_servers_token() -> str:
    """A token of the right form that this server did not issue."""
    header = {"alg": "RS256", "typ": "at+jwt", "kid": "0123456789abcdef"}
    return ".".join([b64(dump(header)), b64(dump({"sub": "x"})), b64(bytes(256))])


def test_a_wrong_api_key_reads_as_denied(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    before = scenario.api.get("/v1/audit/checkpoint")["size"]
    monkeypatch.setenv("ACT_API_KEY", "act_00000000_wrong")
    assert validate_with_act(scenario.tokens["PLANNER_TOKEN"], "plan", "api://workflows/plan") is False
    with scenario.server.api("act_00000000_wrong") as wrong:
        problem: Any = wrong.post("/v1/enforce", {}, status=401)
    assert (problem["code"], problem["decision"]) == ("api_key_invalid", "denied")
    assert scenario.api.get("/v1/audit/checkpoint")["size"] == before
