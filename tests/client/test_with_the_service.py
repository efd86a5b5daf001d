"""The SDK against the real service: in the process, and over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from act import Act, AsyncAct, Conflict, Forbidden, NotFound, PermissionDenied, ReasonCode, Unprocessable, Verdict
from act.models import Scope
from tests.support import ADMIN_KEY, Server

pytest.importorskip("act.server.app")

TASKS = "api://tasks/execute/"


@pytest.fixture(params=["embedded", "served"])
def act(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Act]:
    if request.param == "served":
        with Server(tmp_path) as server, Act(server.url, ADMIN_KEY, timeout=20) as act:
            yield act
        return
    with Act.embedded(tmp_path / "act.db") as act:
        yield act


def executor(act: Any, **constraints: Any) -> tuple[str, str]:
    """An agent that may execute tasks, and its token."""
    agent = act.agents.create("executor", roles=["executor"], metadata={"team": "a"})
    act.policies.create(
        name="Executor", actions=["execute"], resources=[TASKS + "*"], applies_to={"roles": ["executor"]},
        constraints=constraints or None,
    )  # fmt: skip
    return agent.id, act.tokens.issue(agent.id).token


def test_the_whole_way(act: Act) -> None:
    agent, token = executor(act, max_concurrent_tasks=1)
    guard = act.guard(token)
    assert guard.agent_id == agent

    @guard.tool("execute", TASKS + "{task_id}")
    def run(task_id: str) -> str:
        with pytest.raises(PermissionDenied) as caught:
            run(task_id)
        assert caught.value.decision.reason_code is ReasonCode.CONCURRENCY_EXCEEDED
        return task_id

    assert [run("1"), run("2")] == ["1", "2"], "the reported outcome frees the lease"
    denied = guard.check("delete", TASKS + "1")
    assert denied.reason_code is ReasonCode.NO_MATCHING_POLICY
    assert denied.audit is not None
    assert act.audit.get(denied.audit.index).leaf_hash == denied.audit.leaf_hash
    assert guard.check("execute", TASKS + "a%2Fb").reason_code is ReasonCode.RESOURCE_MALFORMED
    assert act.enforce(token, "execute", TASKS + "1", dry_run=True).decision is Verdict.ALLOWED
    assert act.guard("nonsense").check("execute", TASKS + "1").reason_code is ReasonCode.TOKEN_MALFORMED


def test_request_ids(act: Act) -> None:
    _, token = executor(act)
    first = act.enforce(token, "execute", TASKS + "1", request_id="r1")
    again = act.enforce(token, "execute", TASKS + "1", request_id="r1")
    assert again
    assert again.replayed
    assert again.decision_id == first.decision_id
    other = act.enforce(token, "execute", TASKS + "2", request_id="r1")
    assert other.reason_code is ReasonCode.UNREACHABLE
    with pytest.raises(Conflict):
        act.enforce(token, "execute", TASKS + "2", request_id="r1", raise_on_error=True)


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_approvals(act: Act, verdict: str) -> None:
    _, token = executor(act, requires_approval=True)
    key = act.api_keys.create("alice", [Scope.APPROVE]).key
    guard = act.guard(token)
    pending = guard.check("execute", TASKS + "1", arguments={"amount": 5})
    assert pending.decision is Verdict.PENDING_APPROVAL
    assert pending.approval
    with pytest.raises(Forbidden):
        act.approvals.approve(pending.approval.id)
    with act.with_key(key) as alice:
        assert [approval.arguments for approval in alice.approvals.list("pending")] == [{"amount": 5}]
        if verdict == "approve":
            alice.approvals.approve(pending.approval.id)
        else:
            alice.approvals.reject(pending.approval.id, "Not today")
    found = guard.check_and_wait("execute", TASKS + "1", arguments={"amount": 5}, timeout=60)
    assert bool(found) is (verdict == "approve")
    if verdict == "reject":
        assert found.reason_code is ReasonCode.APPROVAL_REJECTED
        assert "Not today" in found.reason


def test_a_person_answers_while_the_agent_waits(act: Act) -> None:
    _, token = executor(act, requires_approval=True)
    key = act.api_keys.create("alice", [Scope.APPROVE]).key

    def person() -> None:
        with act.with_key(key) as alice:
            while not (waiting := list(alice.approvals.list("pending"))):
                time.sleep(0.05)
            alice.approvals.approve(waiting[0].id)

    async def work() -> bool:
        guard = act.guard(token)
        answering = asyncio.create_task(asyncio.to_thread(person))
        found = await guard.acheck_and_wait("execute", TASKS + "1", timeout=20)
        await answering
        return bool(found)

    assert asyncio.run(work())


def test_management(act: Act) -> None:
    agent, _ = executor(act)
    assert [found.id for found in act.agents.list()] == [agent]
    assert act.agents.update(agent, description="d").description == "d"
    assert act.agents.suspend(agent).status == "suspended"
    assert act.agents.resume(agent).status == "active"
    (policy,) = act.policies.list()
    assert act.policies.get(policy.id).version == 1
    assert act.policies.replace(policy.id, name="Executor", actions=["*"], resources=["*"]).version == 2
    assert [version.version for version in act.policies.versions(policy.id)] in ([1, 2], [2, 1])
    token = act.tokens.issue(agent, expires_in=60)
    assert act.tokens.get(token.token_id).status == "active"
    assert len(list(act.tokens.list(agent))) == 2
    assert act.tokens.revoke(token.token_id).revoked == 1
    assert act.enforce(token.token, "execute", TASKS + "1").reason_code is ReasonCode.TOKEN_REVOKED
    assert act.agents.revoke_tokens(agent).revoked == 1
    key = act.api_keys.create("k", ["enforce"], expires_in=60)
    assert key.id in [found.id for found in act.api_keys.list()]
    assert act.api_keys.revoke(key.id).id == key.id
    act.policies.delete(policy.id)
    act.agents.delete(agent)
    with pytest.raises(NotFound):
        act.policies.get(policy.id)
    with pytest.raises(Unprocessable) as caught:
        act.policies.create({"name": "p", "actions": [], "resources": ["a"], "surprise": 1})
    assert {fault.pointer for fault in caught.value.errors} == {"/actions", "/surprise"}
    records = list(act.audit.export())
    assert [record.index for record in records] == list(range(len(records)))
    assert act.audit.checkpoint().size == len(records)
    assert [record.index for record in act.audit.list(order="asc", limit=2)] == list(range(len(records)))
    assert all(record.record["reasonCode"] == "token_revoked" for record in act.audit.list(reason_code="token_revoked"))
    assert act.health().status == "ok"


def test_async_embedded(tmp_path: Path) -> None:
    async def work() -> None:
        async with AsyncAct.embedded(tmp_path / "act.db") as act:
            agent = await act.agents.create("a", roles=["r"])
            await act.policies.create(name="p", actions=["*"], resources=["*"], applies_to={"roles": ["r"]})
            token = (await act.tokens.issue(agent.id)).token
            found = await asyncio.gather(*(act.enforce(token, "a", f"b://{n}") for n in range(20)))
            assert all(found)
            assert [one.id async for one in act.agents.list()] == [agent.id]
            assert len([record async for record in act.audit.export()]) >= 20

    asyncio.run(work())


def test_the_same_file_again(tmp_path: Path) -> None:
    file = tmp_path / "act.db"
    with Act.embedded(file) as act:
        _, token = executor(act, requires_approval=True)
        pending = act.guard(token).check("execute", TASKS + "1")
        assert pending.approval
        key = act.api_keys.create("alice", ["approve"]).key
    kept = tmp_path / "act.db.keys" / "embedded-api-key"
    assert kept.stat().st_mode & 0o777 == 0o600
    with Act.embedded(file) as act:
        with act.with_key(key) as alice:
            alice.approvals.approve(pending.approval.id)
        assert act.guard(token).check("execute", TASKS + "1"), "approvals outlive the process"
        with pytest.raises(Exception, match=r"lock|open|process"):
            Act.embedded(file)
    kept.unlink()  # as it is for a file that `actctl serve` made
    with Act.embedded(file) as act:
        assert act.guard(token).check("execute", TASKS + "1").reason_code == "approval_required", "another key asks"
