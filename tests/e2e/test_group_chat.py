"""The main job: a real AutoGen group chat under a real server. Asserts on the audit log and on what really ran."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import Api, Server, environment

SECONDS = 120
PROGRAM = Path(__file__).with_name("group_chat.py")

pytestmark = pytest.mark.timeout(280)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as server:
        yield server


def start(how: str, guarded: str, log: Path, variables: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), how, guarded, str(log)],
        env=environment(variables),
        cwd=log.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until(seconds: float, ask: Any) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := ask():
            return found
        time.sleep(0.05)
    raise TimeoutError("it did not happen in time")


def records(api: Api, **filters: str) -> list[dict[str, Any]]:
    page = api.get("/v1/audit", params={"order": "asc", "limit": "200", **filters})
    assert not page["hasMore"]
    return [item["record"] for item in page["items"]]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_group_chat_is_governed(server: Server, tmp_path: Path, how: str) -> None:
    api = server.api()
    planner = api.post("/v1/agents", {"name": "Planner Agent", "metadata": {"role": "planner"}})["id"]
    executor = api.post("/v1/agents", {"name": "Executor Agent", "metadata": {"role": "executor"}})["id"]
    api.post(
        "/v1/policies",
        {
            "name": "Planner Capabilities",
            "actions": ["read", "list", "plan"],
            "resources": ["api://tasks/*", "api://workflows/*"],
        },
    )
    api.post(
        "/v1/policies",
        {
            "name": "Executor Capabilities",
            "actions": ["execute", "update"],
            "resources": ["api://tasks/execute/*"],
            "constraints": {"requiresApproval": True, "maxConcurrentTasks": 5},
        },
    )
    issued = {id: api.post("/v1/tokens", {"agentId": id, "expiresIn": 3600}) for id in (planner, executor)}
    enforcing, approving = api.key("enforce")["key"], api.key("approve")["key"]
    log = tmp_path / "ran.txt"
    program = start(
        how,
        "guarded",
        log,
        {
            "ACT_BASE_URL": server.url,
            "ACT_API_KEY": enforcing,
            "PLANNER_TOKEN": issued[planner]["token"],
            "EXECUTOR_TOKEN": issued[executor]["token"],
        },
    )
    try:
        person = server.api(approving)
        pending = until(SECONDS, lambda: person.get("/v1/approvals", params={"status": "pending"})["items"])[0]
        assert pending["resourceId"] == "api://tasks/execute/42"
        assert pending["arguments"] == {"task_id": "42"}
        person.post(f"/v1/approvals/{pending['id']}/approve", {}, status=200)
        # The token goes when the approved task is done; what the executor asks after that is denied.
        until(SECONDS, lambda: [r for r in records(api, kind="decision.outcome") if r["agentId"] == executor])
        api.post(f"/v1/tokens/{issued[executor]['tokenId']}/revoke", status=200)
        said, _ = program.communicate(timeout=SECONDS)
    finally:
        program.kill()
    assert program.returncode == 0, said

    decisions = [r for r in records(api, kind="decision") if r["action"] != "message"]
    story = [(r.get("agentId"), r.get("requesterId"), r["action"], r["resourceId"], r["reasonCode"]) for r in decisions]
    task = "api://tasks/execute/42"
    assert story[:4] == [
        (planner, planner, "plan", "api://workflows/plan", "allowed"),
        (executor, planner, "execute", task, "requester_not_permitted"),
        (executor, executor, "execute", task, "approval_required"),
        (executor, executor, "execute", task, "allowed"),
    ]
    # The second task needs an approval that nobody gives, and meanwhile the token is revoked.
    assert {entry[4] for entry in story[4:] if entry[2] == "execute"} <= {"approval_required", "token_revoked"}
    code = [entry for entry in story if entry[2] == "execute_code"]
    assert [entry[4] for entry in code] == ["no_matching_policy"]
    assert code[0][1] == planner
    assert log.read_text().splitlines() == ["plan release", "execute 42"]

    messages = [r for r in records(api, kind="decision") if r["action"] == "message"]
    assert messages, "messages are observed"
    assert all(r["dryRun"] for r in messages), "and observing spends nothing"
    assert {r["conversationId"] for r in decisions + messages} == {f"chat-{how}"}
    assert [r["status"] for r in records(api, kind="decision.outcome") if r["action"] != "message"] == ["succeeded"] * 2


@pytest.mark.parametrize("how", ["sync", "async"])
def test_without_the_guard_everything_runs(tmp_path: Path, how: str) -> None:
    """The control: what the guard stops above really happens without it."""
    log = tmp_path / "ran.txt"
    program = start(how, "bare", log, {})
    said, _ = program.communicate(timeout=SECONDS)
    assert program.returncode == 0, said
    ran = log.read_text().splitlines()
    assert ran == ["plan release", "execute 42", "execute 42", "execute 43", "code"]
