"""`kill -9` under 64 callers, and a process that stands still: nothing that was answered is lost, and nothing is told
twice. Deep (`make test-deep`): twenty lives instead of two.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.attacks.log import export, judge, keep
from tests.e2e.callers import ACTIONS
from tests.limits.floods import DEEP
from tests.support import ADMIN_KEY, Api, Server, environment

CALLERS = 64
LIVES = 20 if DEEP else 2
QUOTA = 100_000
WAITING = 60.0
REASONS = ("allowed", "no_matching_policy", "approval_required", "approvals_exhausted")
"""The last one when very many approvals wait."""


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAITING
    while not true():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.02)


def set_up(api: Api) -> str:
    """An agent that may run, has to ask, may count up to a quota, and may not fly; its token."""
    agent = api.agent()
    for action, constraints in (
        ("run", {}),
        ("ask", {"requiresApproval": True}),
        ("count", {"maxRequests": QUOTA}),
    ):
        api.policy([action], appliesTo={"agentIds": [agent]}, constraints=constraints)
    return api.token(agent)


@dataclass
class Notes:
    """What the callers of all lives have noted."""

    told: list[dict[str, Any]] = field(default_factory=list)
    """Answers, each with its `asked`."""
    unanswered: list[dict[str, Any]] = field(default_factory=list)
    """Bodies."""

    def add(self, file: Path) -> None:
        for line in map(json.loads, file.read_text().splitlines()):
            assert "strange" not in line, line
            if "told" in line:
                self.told.append({**line["told"], "asked": line["asked"]})
            else:
                self.unanswered.append(line["asked"])


class Callers:
    """64 of them, in a process of their own."""

    def __init__(self, server: Server, token: str, file: Path) -> None:
        self.file = file
        file.touch()
        command = [sys.executable, "-m", "tests.e2e.callers", server.url, ADMIN_KEY, token, str(file), str(CALLERS)]
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(command, cwd=root, env=environment({"PYTHONPATH": str(root)}))

    def answers(self) -> int:
        with self.file.open("rb") as notes:
            return notes.read().count(b"\n")

    def wait_for(self, more: int) -> None:
        there = self.answers()
        wait_until(lambda: self.answers() >= there + more, f"{more} answers")

    def end(self) -> None:
        assert self._process.wait(WAITING) == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(WAITING)


def leaves(api: Api) -> list[dict[str, Any]]:
    """The lines of an export, but for the checkpoint."""
    return [json.loads(line) for line in export(api).splitlines()[:-1]]


def assert_all_is_there(api: Api, notes: Notes) -> list[dict[str, Any]]:
    """Every answer is at the index that it named, with the hash that it named; the records of the log."""
    lines = leaves(api)
    for told in notes.told:
        line = lines[told["audit"]["index"]]
        assert line["leafHash"] == told["audit"]["leafHash"]
        assert line["record"]["decisionId"] == told["decisionId"]
        assert line["record"]["requestId"] == told["asked"]["requestId"]
        assert (line["record"]["decision"], line["record"]["reasonCode"]) == (told["decision"], told["reasonCode"])
    return [line["record"] for line in lines]


def assert_asking_again_is_safe(api: Api, unanswered: list[dict[str, Any]]) -> None:
    """Whether the decision was written or not before the kill: there is one, and it is counted once."""
    for body in unanswered:
        sent = {"content": json.dumps(body), "headers": {"content-type": "application/json"}}  # the same bytes
        assert api.post("/v1/enforce", status=200, **sent)["reasonCode"] in REASONS


def assert_counted(api: Api, token: str, notes: Notes, records: list[dict[str, Any]]) -> None:
    decisions = [record for record in records if record["kind"] == "decision"]
    allowed = Counter(one["requestId"] for one in decisions if one["decision"] == "allowed")
    assert set(allowed.values()) == {1}, "nothing was allowed twice under one id"
    counted = sum(one["action"] == "count" and one["decision"] == "allowed" for one in decisions)
    (left,) = api.enforce(token, "count", "x")["limits"]
    assert left["remaining"] == QUOTA - counted - 1
    there = {each["id"] for each in _approvals(api) if each["action"] == "ask" and each["status"] == "pending"}
    assert {told["approval"]["id"] for told in notes.told if told["approval"]} <= there
    asked = [one for one in decisions if one["action"] == "ask" and one["reasonCode"] == "approval_required"]
    assert there == {one["approvalId"] for one in asked}


def _approvals(api: Api) -> list[dict[str, Any]]:
    found, query = [], "?limit=200"
    while True:
        page = api.get(f"/v1/approvals{query}")
        found += page["items"]
        if not (cursor := page.get("nextCursor")):
            return found
        query = f"?limit=200&cursor={cursor}"


@pytest.mark.timeout(900 if DEEP else 240)
def test_killed_under_64_callers(tmp_path: Path) -> None:
    lives, notes, kept = random.Random(6), Notes(), []
    with Server(tmp_path) as server:
        with server.api() as api:
            token = set_up(api)
        for life in range(LIVES):
            callers = Callers(server, token, tmp_path / f"notes-{life}.jsonl")
            try:
                callers.wait_for(2 * CALLERS)
                time.sleep(lives.uniform(0, 0.5))  # where it hits is left to chance
                server.kill()
                callers.end()
            finally:
                callers.kill()
            before = len(notes.unanswered)
            notes.add(callers.file)
            assert len(notes.unanswered) - before == CALLERS, "every caller was waiting when it was killed"
            server.start()
            with server.api() as api:
                assert_asking_again_is_safe(api, notes.unanswered[before:])
                records = assert_all_is_there(api, notes)
                assert_counted(api, token, notes, records)
                found = judge(api, *kept)
                assert (found.ok, found.checkpoints) == (True, len(kept)), found.message
                kept.append(keep(api))
    assert {told["asked"]["action"] for told in notes.told} == set(ACTIONS)


LEASE = 4


def timed_out(api: Api) -> list[str]:
    page = api.get("/v1/audit?kind=lease.timed_out&order=asc")
    return [item["record"]["decisionId"] for item in page["items"]]


@pytest.mark.timeout(180)
def test_a_process_that_stands_still(tmp_path: Path) -> None:
    """SIGSTOP: callers wait or give up; afterwards all is as if the time had just been long."""
    with Server(tmp_path) as server:
        with server.api() as api:
            token = set_up(api)
            agent = api.agent()
            constraints = {"maxConcurrentTasks": 1, "leaseSeconds": LEASE}
            api.policy(["hold"], appliesTo={"agentIds": [agent]}, constraints=constraints)
            waits = {"requiresApproval": {"approvers": 1, "expiresIn": LEASE}}
            api.policy(["wish"], appliesTo={"agentIds": [agent]}, constraints=waits)
            holding = api.token(agent)
            with server.api(api.key("enforce")["key"]) as asking:
                wished = asking.enforce(holding, "wish", "x")["approval"]["id"]
            held = api.enforce(holding, "hold", "x")
            assert api.enforce(holding, "hold", "x")["reasonCode"] == "concurrency_exceeded"
        callers = Callers(server, token, tmp_path / "notes.jsonl")
        try:
            callers.wait_for(3 * CALLERS)
            os.kill(server.pid, signal.SIGSTOP)
            stopped = time.monotonic()
            asked = {"requestId": "patient", "capabilityToken": token, "action": "run", "resourceId": "x"}
            with Api(server.url) as api:
                api.client.timeout = httpx2.Timeout(1.0)
                with pytest.raises(httpx2.TimeoutException):
                    api.send("POST", "/v1/enforce", asked)
            there = callers.answers()
            while time.monotonic() - stopped < LEASE:
                time.sleep(0.05)
            assert callers.answers() == there, "it stood still"
            os.kill(server.pid, signal.SIGCONT)
            callers.wait_for(3 * CALLERS)  # those who waited got their answers, and go on
            with server.api() as api:
                # The request that was given up is decided when it is read, and known when it is asked again.
                again = api.post("/v1/enforce", asked, status=200)
                assert again["reasonCode"] == "allowed"
                # Nobody can say yes any more to what ran out meanwhile.
                refused = api.send("POST", f"/v1/approvals/{wished}/approve", {})
                assert (refused.status_code, refused.json()["code"]) == (409, "approval_expired")
                assert api.get(f"/v1/approvals/{wished}")["status"] == "expired"
                # The lease ended by the time that went by, not by the time that the process ran.
                wait_until(lambda: api.enforce(holding, "hold", "x")["decision"] == "allowed", "the place to come back")
                wait_until(lambda: timed_out(api)[:1] == [held["decisionId"]], "the lease to be told of")
            server.kill()
            callers.end()
        finally:
            if server._process is not None:
                os.kill(server.pid, signal.SIGCONT)
            callers.kill()
        notes = Notes()
        notes.add(callers.file)
        server.start()
        with server.api() as api:
            assert_asking_again_is_safe(api, notes.unanswered)
            records = assert_all_is_there(api, notes)
            assert_counted(api, token, notes, records)
            assert judge(api).ok
            mine = [record for record in records if record.get("requestId") == "patient"]
            assert [record["decision"] for record in mine] == ["allowed"], "asked twice, allowed once"
