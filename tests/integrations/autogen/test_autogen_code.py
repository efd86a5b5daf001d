"""Code execution by AutoGen classic agents, with both of its mechanisms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from autogen.coding import LocalCommandLineCodeExecutor
from autogen_support import (
    ALLOW_ALL,
    EXECUTOR,
    PLANNER,
    TOKENS,
    FakeAct,
    assistant,
    chat,
    group,
    person,
    script,
    texts,
)

from act.integrations.autogen import ActGuard

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["legacy", "executor"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    if request.param == "legacy":
        return {"use_docker": False, "work_dir": str(tmp_path / "work")}
    return {"executor": LocalCommandLineCodeExecutor(timeout=20, work_dir=tmp_path)}


def code(mark: Path, body: str = "") -> str:
    return f"Run this:\n```python\nopen({str(mark)!r}, 'w').close()\n{body}\n```"


@pytest.mark.parametrize("guarded", [False, True])
def test_code_of_an_agent_without_the_right_does_not_run(
    mode: str, config: dict[str, Any], tmp_path: Path, guarded: bool
) -> None:
    act, mark = FakeAct([(PLANNER, "message", "*")]), tmp_path / "mark"
    user, planner = person(code_execution_config=config), assistant("Planner")
    seen = script(planner, code(mark), "TERMINATE")
    if guarded:
        ActGuard(act, TOKENS).protect(user, planner)
    chat(mode, user, planner, max_turns=2)
    assert mark.exists() is not guarded
    if guarded:
        (ask,) = act.about()
        assert (ask.action, ask.resource) == ("execute_code", "agent://user_proxy/code")
        assert (ask.agent, ask.requester) == (PLANNER, PLANNER)
        assert ask.arguments["languages"] == ["python"]
        assert str(mark) in ask.arguments["blocks"][0]["code"]
        assert "exitcode: 1 (execution failed)" in texts(seen)
        assert "ACT denied: no_matching_policy" in texts(seen)


@pytest.mark.parametrize(("body", "status"), [("", "succeeded"), ("raise SystemExit(3)", "failed")])
def test_allowed_code_runs_and_its_outcome_is_reported(
    mode: str, config: dict[str, Any], tmp_path: Path, body: str, status: str
) -> None:
    act, mark = FakeAct(ALLOW_ALL), tmp_path / "mark"
    user, planner = person(code_execution_config=config), assistant("Planner")
    script(planner, code(mark, body), "TERMINATE")
    ActGuard(act, TOKENS).protect(user, planner)
    chat(mode, user, planner, max_turns=2)
    assert mark.exists()
    assert [said for _, said in act.outcomes] == [status]


def test_in_a_group_the_author_of_the_code_is_the_requester(mode: str, config: dict[str, Any], tmp_path: Path) -> None:
    act, mark = FakeAct([(EXECUTOR, "*", "*"), ("*", "message", "*")]), tmp_path / "mark"
    planner, executor, user = assistant("Planner"), assistant("Executor"), person()
    runner = person("Runner", code_execution_config=config)
    script(planner, code(mark))
    # It repeats the code without a fence: AutoGen still runs what the Planner wrote, and it stays the Planner's.
    script(executor, f"I would never run open({str(mark)!r}, 'w').close()\n\n")
    ActGuard(act, {**TOKENS, "Runner": TOKENS["Executor"]}).protect(planner, executor, user, runner)
    chat(mode, user, group(user, planner, executor, runner, rounds=4))
    assert not mark.exists()
    (ask,) = act.about()
    assert (ask.agent, ask.requester, ask.context["executor"]) == (EXECUTOR, PLANNER, "Runner")


def test_code_of_a_person_is_denied(mode: str, config: dict[str, Any], tmp_path: Path) -> None:
    act, mark = FakeAct(ALLOW_ALL), tmp_path / "mark"
    user = person()
    executor = assistant("Executor", code_execution_config=config)
    script(executor, "TERMINATE")
    ActGuard(act, TOKENS).protect(user, executor)
    chat(mode, user, executor, message=code(mark), max_turns=1)
    assert not mark.exists()
    assert "no_token" in str(executor.chat_messages[user])


def test_unreachable_code_is_denied(mode: str, config: dict[str, Any], tmp_path: Path) -> None:
    act, mark = FakeAct(ALLOW_ALL, broken=True), tmp_path / "mark"
    user, planner = person(code_execution_config=config), assistant("Planner")
    seen = script(planner, code(mark), "TERMINATE")
    ActGuard(act, TOKENS).protect(user, planner)
    chat(mode, user, planner, max_turns=2)
    assert not mark.exists()
    assert "unreachable" in texts(seen)


def test_code_that_no_message_contains_has_no_requester(config: dict[str, Any], tmp_path: Path) -> None:
    act, mark = FakeAct(ALLOW_ALL), tmp_path / "mark"
    user = person(code_execution_config={"use_docker": False, "work_dir": str(tmp_path)})
    ActGuard(act, TOKENS).protect(user)
    status, said = user.execute_code_blocks([("python", f"open({str(mark)!r}, 'w').close()")])
    assert status == 1
    assert "requester_unknown" in said
    assert not mark.exists()


def test_an_executor_put_in_place_later_is_guarded(mode: str, tmp_path: Path) -> None:
    act, mark = FakeAct(), tmp_path / "mark"
    executor = LocalCommandLineCodeExecutor(timeout=20, work_dir=tmp_path)
    user, planner = person(code_execution_config={"executor": executor}), assistant("Planner")
    script(planner, code(mark), "TERMINATE")
    ActGuard(act, TOKENS).protect(user, planner)
    user._code_executor = executor
    chat(mode, user, planner, max_turns=2)
    assert not mark.exists()
