"""Runs every golden case of this folder against the pure engine, a real server, and the embedded client.

A case reads like this; README.md says what each field means:

    - case: a deny wins over an allow
      says: "one matching deny policy denies"
      policies: [documents as they are on the wire]
      requests: [{agent, action, resourceId, decision, reasonCode}]
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from act.models import ReasonCode
from tests.conformance.bearers import Bearer
from tests.conformance.targets import AGENT, Bound, Embedded, OverHttp, PureEngine, Refused, Target
from tests.support import Server

FOLDER = Path(__file__).parent
FIELDS = {"case", "says", "only", "agents", "policies", "laterAgents", "bound", "refused", "requests"}
BEARER = {"agent", "chain", "scope", "policyIds", "grants", "task", "onBehalfOf"}
LINK = {"agent", "scope", "policyIds", "grants", "to", "maxDepth"}
ASKED = BEARER | {"action", "resourceId", "requester", "requesterChain", "arguments", "context", "now"}
REQUEST_FIELDS = ASKED | {"decision", "reasonCode", "policies", "obligations"}
_numbers = itertools.count()


def cases() -> list[dict[str, Any]]:
    """Every case; a file's own agents are those of each of its cases that names none."""
    found = []
    for file in sorted(FOLDER.glob("*.yaml")):
        document = yaml.safe_load(file.read_text())
        assert set(document) <= {"about", "agents", "cases"}, file.name
        for case in document["cases"]:
            found.append({"agents": document.get("agents", [])} | case | {"name": f"{file.stem}: {case['case']}"})
    return found


CASES = cases()


@pytest.fixture(scope="session")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Target]]:
    """One of each for a worker; every case leaves them empty."""
    with Server(tmp_path_factory.mktemp("conformance")) as server:
        embedded = Embedded(tmp_path_factory.mktemp("embedded") / "act.db")
        yield {"pure": PureEngine(), "http": OverHttp(server), "embedded": embedded}
        embedded.close()


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
@pytest.mark.parametrize("way", ["pure", "http", "embedded"])
def test_case(way: str, case: dict[str, Any], targets: dict[str, Target]) -> None:
    if way not in case.get("only", ["pure", "http", "embedded"]):
        pytest.skip("not a matter of this part")
    target = targets[way]
    try:
        _run(target, _with_ids_of_its_own(case))
    finally:
        target.clean()


def _run(target: Target, case: dict[str, Any]) -> None:
    for agent in case["agents"]:
        target.register(agent)
    for request in case.get("requests", []):
        for bearer in (bearer_of(request), asking_of(request)):
            if bearer is not None and len(bearer.links) > 1:
                target.mint(bearer)
    bound = {}
    for policy in case.get("policies", []):
        outcome = target.write(policy)
        assert isinstance(outcome, Bound), f"{policy}: {outcome}"
        bound[policy["name"]] = outcome
    for name, expected in case.get("bound", {}).items():
        to = {"roles": bound[name].roles, "agentIds": bound[name].agent_ids}
        warnings = {"warnings": bound[name].warnings}
        told = {"binding": bound[name].binding} | {key: ids for key, ids in to.items() if ids is not None} | warnings
        assert told == {"warnings": []} | expected, name
    for refused in case.get("refused", []):
        outcome = target.write(refused["policy"])
        assert outcome == Refused(refused["pointers"]), refused["policy"]
    for agent in case.get("laterAgents", []):
        target.register(agent)
    _ask(target, case.get("requests", []))


def _ask(target: Target, requests: list[dict[str, Any]]) -> None:
    answers: list[str] = []
    for request in requests:
        if "outcomeOf" in request:
            told = request.get("labels", []), request.get("created", [])
            target.report(answers[request["outcomeOf"] - 1], request["status"], *told)
            continue
        more = {name: request[name] for name in ("arguments", "context", "now") if name in request}
        bearer = bearer_of(request)
        assert bearer is not None
        asked = bearer, request["action"], request["resourceId"], request.get("requester"), asking_of(request)
        answer = target.ask(*asked, **more)
        answers.append(answer.id)
        assert (answer.decision, answer.reason_code) == (request["decision"], request["reasonCode"]), request
        if "obligations" in request:
            assert answer.obligations == request["obligations"], request
        if "policies" in request:
            assert sorted(answer.policies) == sorted(request["policies"]), request


def bearer_of(request: dict[str, Any]) -> Bearer | None:
    """The token of a request; None where there is none, in the report of an outcome."""
    if "outcomeOf" in request:
        return None
    links = [link if isinstance(link, dict) else {"agent": link} for link in request.get("chain", [])]
    links = links or [{"agent": request["agent"]}]
    last = {name: request[name] for name in ("scope", "policyIds", "grants") if name in request}
    return Bearer((*links[:-1], links[-1] | last), request.get("task"), request.get("onBehalfOf"))


def asking_of(request: dict[str, Any]) -> Bearer | None:
    """The token of the agent that asked for the call."""
    return bearer_of({"chain": request["requesterChain"]}) if "requesterChain" in request else None


def _with_ids_of_its_own(case: dict[str, Any]) -> dict[str, Any]:
    """An id is never given twice, not even after a deletion, and tasks are remembered; so every run has its own."""
    named = [*case["agents"], *case.get("laterAgents", []), *case.get("policies", [])]
    named += [request["task"] for request in case.get("requests", []) if "task" in request]
    number = next(_numbers)
    own = {one["id"]: f"{one['id']}.{number}" for one in named if "id" in one}

    def renamed(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: renamed(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [renamed(item, key) for item in value]
        if key in ("id", "agentIds", "policyIds", "requester"):
            return own.get(value, value)
        if key in ("resources", "resourceId") and str(value).startswith(AGENT):
            return AGENT + own.get(value.removeprefix(AGENT), value.removeprefix(AGENT))
        return value

    renamed_case: dict[str, Any] = renamed(case)
    return renamed_case


def test_there_are_enough_cases_and_each_is_told_apart() -> None:
    names = [case["name"] for case in CASES]
    assert len(set(names)) == len(names) >= 270


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_case_is_well_formed(case: dict[str, Any]) -> None:
    """A field that the runner does not know would be a case that is not run."""
    assert case.keys() <= FIELDS | {"name"}
    assert case["says"].strip()
    assert case.get("requests") or case.get("refused") or case.get("bound"), "it claims nothing"
    codes = {str(code) for code in ReasonCode}
    for request in case.get("requests", []):
        if "outcomeOf" in request:
            assert {"outcomeOf", "status"} <= request.keys() <= {"outcomeOf", "status", "labels", "created"}
            continue
        assert request.keys() <= REQUEST_FIELDS
        assert ("agent" in request) is not ("chain" in request)
        assert all(isinstance(link, str) or link.keys() <= LINK for link in request.get("chain", []))
        assert "now" not in request or case["only"] == ["pure"], "only the pure engine is told the time"
        assert request["reasonCode"] in codes
        words = {"allowed": "allowed", "approval_required": "pending_approval"}
        assert request["decision"] == words.get(request["reasonCode"], "denied")
