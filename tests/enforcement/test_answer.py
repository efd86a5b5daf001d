"""The bytes of an answer: written by hand for speed, and member by member what the model writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from act.models import Decision
from tests.in_process import InProcess


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    node = InProcess(tmp_path_factory.mktemp("answer"))
    yield node
    node.close()


@pytest.fixture(scope="module")
def token(node: InProcess) -> str:
    """An agent that may do what each case asks for."""
    api = node.api
    agent = api.agent("Größe \"&<>'\\ 😀")
    to = {"appliesTo": {"agentIds": [agent]}}
    for action, constraints in {
        "walk": {},
        "rows": {"maxRows": 7, "maxDataPoints": 9},
        "run": {"maxConcurrentTasks": 5},
        "count": {"rateLimit": "1 per hour", "maxRequests": 50},
        "pay": {"budget": {"argument": "/amount", "max": 10.25, "per": "day", "unit": "USD"}},
        "ask": {"requiresApproval": True},
    }.items():
        api.policy([action], ["api://x/*"], name=f"wörter „{action}“", **to, constraints=constraints)
    api.policy(["walk"], ["api://x/no"], name="no", effect="deny", **to)
    return api.token(agent)


CASES: dict[str, dict[str, Any]] = {
    "allowed": {"action": "walk"},
    "obligations": {"action": "rows"},
    "a lease": {"action": "run"},
    "counted": {"action": "count"},
    "no room": {"action": "count"},
    "money": {"action": "pay", "arguments": {"amount": 0.1}},
    "too much money": {"action": "pay", "arguments": {"amount": 11}},
    "pending": {"action": "ask"},
    "a dry run": {"action": "run", "dryRun": True},
    "denied by a policy": {"action": "walk", "resourceId": "api://x/no"},
    "near misses": {"action": "walk", "resourceId": "api://y/é\u2028"},
    "odd words": {"action": 'a "quoted" \\ 😀 <b>', "resourceId": "api://x/€"},
    "a bad token": {"capabilityToken": "x\u0001y\ud7ff", "action": "walk"},
    "an unknown requester": {"action": "walk", "requester": "näm“e"},
}


@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_what_the_model_writes(node: InProcess, token: str, name: str) -> None:
    asked = {"requestId": f"r é {name}", "capabilityToken": token, "resourceId": "api://x/1"} | CASES[name]
    for _ in range(2):  # the second one may be a replay
        response = node.api.send("POST", "/v1/enforce", asked)
        assert response.status_code == 200, response.text
        assert Decision.model_validate_json(response.content).model_dump_json() == response.text


def test_the_cases_are_answered_in_different_ways(node: InProcess, token: str) -> None:
    codes, replayed = set(), set()
    for name, case in CASES.items():
        asked = {"requestId": f"other {name}", "capabilityToken": token, "resourceId": "api://x/1"} | case
        for _ in range(2):
            decision = node.api.post("/v1/enforce", asked, status=200)
            codes.add(decision["reasonCode"])
            replayed.add(decision["replayed"])
    assert len(codes) >= 6, codes
    assert replayed == {True, False}
