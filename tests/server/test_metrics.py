"""`/metrics`: what was counted is what was answered, and nothing of a request stands in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from act.metrics import HTTP_CODES
from act.models import ReasonCode
from act.server import openapi
from tests.attacks.raw import head, said
from tests.support import Api, Server


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Api]:
    with Server(tmp_path) as server, server.api() as api:
        yield api


def read(api: Api) -> dict[tuple[str, ...], float]:
    """Every sample, by name and the values of its labels; without a key."""
    answer = api.send("GET", "/metrics", headers={"X-Api-Key": ""})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found[sample.name, *sample.labels.values()] = sample.value
    return found


def test_it_counts_what_was_answered(fresh: Api) -> None:
    agent = fresh.agent()
    fresh.policy(["run"], appliesTo={"agentIds": [agent]}, constraints={"maxRequests": 2})
    token = fresh.token(agent)
    for action in ("run", "run", "run", "fly"):
        fresh.enforce(token, action, "x")
    fresh.enforce("not a token", "run", "x")
    again = {"requestId": uuid4().hex, "capabilityToken": token, "action": "fly", "resourceId": "x"}
    for _ in range(2):
        fresh.post("/v1/enforce", again, status=200)
    fresh.post("/v1/enforce", {}, status=422)
    fresh.send("POST", "/v1/enforce", {}, headers={"X-Api-Key": "wrong"})
    fresh.post(
        "/v1/enforce/batch", {"requests": [again | {"requestId": uuid4().hex}, again | {"action": "no"}]}, status=200
    )
    found = read(fresh)
    decided = {key[1:]: value for key, value in found.items() if key[0] == "act_decisions_total" and value}
    assert decided == {
        ("allowed", "allowed"): 2,
        ("denied", "quota_exceeded"): 1,
        ("denied", "no_matching_policy"): 3,
        ("denied", "token_malformed"): 1,
    }
    assert found["act_replays_total",] == 1
    problems = {key[1]: value for key, value in found.items() if key[0] == "act_enforce_problems_total" and value}
    assert problems == {"422": 1, "401": 1, "409": 1}
    assert found["act_decision_seconds_count",] == 7
    assert found["act_commit_failures_total",] == 0
    assert found["act_commit_units_count",] > 7
    assert found["act_writer_waiting",] == 0
    assert found["act_revision",] >= 3
    assert found["process_resident_memory_bytes",] > 0


def test_every_series_begins_at_0(fresh: Api) -> None:
    """What appears with its first 1 has not increased for who asks how much it did."""
    found = read(fresh)
    codes = {key[2]: value for key, value in found.items() if key[0] == "act_decisions_total"}
    assert codes == {str(code): 0 for code in ReasonCode}
    statuses = {int(key[1]): value for key, value in found.items() if key[0] == "act_enforce_problems_total"}
    documented = {status for problems in openapi.DECISION_PROBLEMS.values() for status in problems}
    assert statuses == dict.fromkeys(documented, 0)
    fresh.enforce("not a token", "run", "x")
    counted = {key for key in read(fresh) if key[0] == "act_decisions_total"}
    assert counted == {key for key in found if key[0] == "act_decisions_total"}


def test_it_counts_what_was_no_request(fresh: Api) -> None:
    def refused() -> dict[str, float]:
        return {key[1]: value for key, value in read(fresh).items() if key[0] == "act_http_refusals_total"}

    assert refused() == dict.fromkeys(HTTP_CODES, 0)
    url = str(fresh.client.base_url)
    long = "a" * 40_000
    for count, (code, sent) in enumerate(
        {
            "http_malformed": b"secret",
            "headers_too_large": head("GET", "/", *["X: secret"] * 200),
            "method_not_allowed": head("CONNECT", "secret:443"),
            "target_too_long": head("GET", f"/secret{long}"),
            "overloaded": head("GET", "/secret") * 300,
        }.items(),
        1,
    ):
        for _ in range(count):
            assert said(url, sent)[-1].json()["code"] == code
        assert refused()[code] == count
    assert sum(refused().values()) == 1 + 2 + 3 + 4 + 5


def test_nothing_of_a_request_is_in_it(fresh: Api) -> None:
    secret, name = f"secret-{uuid4().hex}", f"agent-{uuid4().hex}"
    token = fresh.token(fresh.agent(name))
    fresh.enforce(token, secret, f"api://{secret}", arguments={"a": secret}, context={"conversationId": secret})
    text = fresh.send("GET", "/metrics").text
    for hidden in (secret, name, token, "default-tenant"):
        assert hidden not in text
    labels = set(re.findall(r"(\w+)=\"", text))
    assert labels <= {"decision", "reason_code", "status", "code", "le"}


def test_what_is_documented_is_there(api: Api) -> None:
    page = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()
    table, _, alerts = page.partition("```yaml")
    documented = set(re.findall(r"`(act_\w+)[`{]", table))
    families = {family.name for family in text_string_to_metric_families(api.send("GET", "/metrics").text)}
    own = {name for name in families if name.startswith("act_")}
    assert {name.removesuffix("_total") for name in documented} == own
    scrape, rules = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    assert scrape["scrape_configs"][0]["job_name"] == "act"
    assert all(rule["alert"] and rule["annotations"]["summary"] for rule in rules["groups"][0]["rules"])
    used = set(re.findall(r"\bact_\w+", alerts.partition("## Logs")[0]))
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in used} <= documented
    [codes] = re.findall(r'reason_code=~"([\w|]+)"', alerts)
    assert set(codes.split("|")) <= {code.value for code in ReasonCode}
