"""The README does what it says: its Python and its commands are run as they stand, against a real server.

Only what the README itself leaves open is filled in: `agt_...` and the like, the tokens, and the reader's own agents.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import autogen
import pytest

from act import Act, Guard, PermissionDenied, ReasonCode
from act.demo.model import ScriptedModel, scripted_llm_config
from tests.support import ADMIN_KEY, Server, actctl, environment

README = (Path(__file__).parents[2] / "README.md").read_text()
TASK = "api://tasks/execute/42"

pytestmark = pytest.mark.timeout(180)


def blocks(kind: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    found: list[str] = re.findall(rf"^```{kind}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return found


def block(kind: str, holding: str) -> str:
    """The one block that holds this text."""
    (found,) = [each for each in blocks(kind) if holding in each]
    return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as server:
        yield server


@pytest.fixture
def act(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Act]:
    """What `Act()` reads is there, as for the reader."""
    monkeypatch.setenv("ACT_BASE_URL", server.url)
    monkeypatch.setenv("ACT_API_KEY", ADMIN_KEY)
    with Act(timeout=20) as act:
        yield act


def run(source: str, names: dict[str, Any]) -> dict[str, Any]:
    exec(compile(source, "README.md", "exec"), names)
    return names


def decisions(server: Server) -> list[tuple[str, str, str, str]]:
    """Agent id, action, resource and reason code of what was asked, without the messages of chats."""
    with server.api() as api:
        page = api.get("/v1/audit", params={"order": "asc", "limit": "200", "kind": "decision"})
    records = [item["record"] for item in page["items"]]
    return [(r["agentId"], r["action"], r["resourceId"], r["reasonCode"]) for r in records if r["action"] != "message"]


def test_every_python_block_is_run_by_a_test_here() -> None:
    assert len(blocks("python")) == 3
    assert len(blocks("bash")) == 1


@pytest.mark.parametrize("holds", ["a token", "a guard"])
def test_the_autogen_program(server: Server, act: Act, holds: str) -> None:
    ids = {name: act.agents.create(f"{name} Agent", roles=[name.lower()]).id for name in ("Planner", "Executor")}
    act.policies.create(name="Executor Capabilities", actions=["execute"], resources=["api://tasks/execute/*"])
    tokens: dict[str, Any] = {
        name: act.guard_for(id) if holds == "a guard" else act.tokens.issue(id, expires_in=3600).token
        for name, id in ids.items()
    }
    planner, executor = (autogen.AssistantAgent(name, llm_config=scripted_llm_config()) for name in tokens)
    user_proxy = autogen.UserProxyAgent("user_proxy", human_input_mode="NEVER", code_execution_config=False)
    names = {
        "user_proxy": user_proxy,
        "planner": planner,
        "executor": executor,
        "planner_token": tokens["Planner"],
        "executor_token": tokens["Executor"],
    }
    run(block("python", "ActGuard"), names)
    for caller, runs in ((planner, executor), (executor, user_proxy)):
        autogen.register_function(names["execute_task"], caller=caller, executor=runs, description="Execute a task")
        caller.register_model_client(ScriptedModel, steps=[("execute_task", {"task_id": "42"}), "TERMINATE"])
        runs.initiate_chat(caller, message="What now?", max_turns=2, silent=True)
    assert decisions(server) == [
        (ids["Executor"], "execute", TASK, "requester_not_permitted"),
        (ids["Executor"], "execute", TASK, "allowed"),
    ]


def test_any_other_program(server: Server, act: Act) -> None:
    """The second and the third block, one after the other, as they stand."""
    role = {"roles": ["executor"]}
    act.policies.create(name="Run", actions=["execute"], resources=["api://tasks/execute/*"], applies_to=role)
    act.policies.create(
        name="Hand down",
        actions=["execute"],
        resources=["api://tasks/execute/*"],
        applies_to={"roles": ["planner"]},
        grants=["delegate"],
        delegation={"to": role, "max_depth": 1},
    )
    executor = act.agents.create("Executor", roles=["executor"])
    planner = act.agents.create("Planner", roles=["planner"])
    names: dict[str, Any] = {"Act": Act, "executor_token": act.tokens.issue(executor.id, expires_in=3600).token}
    run(block("python", "@guard.tool"), names)
    names["execute_task"]("42")
    assert decisions(server) == [(executor.id, "execute", TASK, "allowed")]
    act.agents.suspend(executor.id)
    with pytest.raises(PermissionDenied) as denied:
        names["execute_task"]("42")
    assert denied.value.decision.reason_code is ReasonCode.AGENT_SUSPENDED
    act.agents.resume(executor.id)

    run(block("python", ".delegate(").replace("agt_...", planner.id), names)
    child = names["child"]
    assert isinstance(child, Guard)
    assert child.agent_id == executor.id
    assert child.check("execute", TASK)
    assert child.check("execute", "api://tasks/execute/43").reason_code is ReasonCode.CHAIN_SCOPE_EXCEEDED
    alone = act.enforce(child.held().token, "execute", TASK)
    assert alone.reason_code is ReasonCode.PROOF_REQUIRED, "the token alone is worth nothing"


def test_the_service_inside_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (call,) = re.findall(r'`(Act\.embedded\("act\.db"\))`', README)
    monkeypatch.chdir(tmp_path)
    with eval(call, {"Act": Act}) as act:
        assert act.health().status == "ok"


def test_the_curl_session_and_the_commands(server: Server, tmp_path: Path) -> None:
    """From the first agent to the checkpoint; what an answer gives is written into the next command."""
    session = block("bash", "post()").replace("http://127.0.0.1:8377", server.url).replace("act_...", ADMIN_KEY)
    first = session.index("post /v1/agents")
    functions, posts = session[:first], [f"post {text}" for text in session[first:].split("post /")[1:]]
    posts = [text.replace("post ", "post /", 1) for text in posts]
    assert [text.split()[1] for text in posts] == ["/v1/agents", "/v1/policies", "/v1/tokens", "/v1/enforce"]

    def curl(command: str) -> Any:
        ran = subprocess.run(
            ["bash", "-euc", functions + command], capture_output=True, text=True, env=environment(), check=True
        )
        return json.loads(ran.stdout)

    agent = curl(posts[0])
    policy = curl(posts[1])
    assert policy["appliesTo"] == {"roles": ["executor"], "agentIds": []}
    token = curl(posts[2].replace("agt_...", agent["id"]))["token"]
    asked = curl(posts[3].replace("eyJ...", token))
    shown = json.loads(block("json", "pending_approval"))
    assert asked["approval"]["id"].startswith(shown.pop("approval")["id"].removesuffix("..."))
    assert {name: asked[name] for name in shown} == shown

    def ctl(command: str, **variables: str) -> str:
        """A command as the README has it, with the variables it sets in front."""
        assert f"$ {command}" in README
        words = shlex.split(command.partition("#")[0].replace("<alice's key>", "KEY"))
        while "=" in words[0]:
            words.pop(0)
        assert words.pop(0) == "actctl"
        words = [asked["approval"]["id"] if word == "apr_..." else word for word in words]
        env = environment({"ACT_BASE_URL": server.url, "ACT_API_KEY": ADMIN_KEY} | variables)
        ran = subprocess.run([actctl(), *words], capture_output=True, text=True, env=env, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    alice = ctl("actctl api-keys create alice --scope approve")
    ctl("ACT_API_KEY=<alice's key> actctl approvals approve apr_...", ACT_API_KEY=alice)
    again = posts[3].replace("eyJ...", token).replace('"requestId": "1"', f'"requestId": "{uuid4().hex}"')
    assert curl(again)["decision"] == "allowed", "the same request is then allowed"
    assert curl(again.replace('"requestId": "', '"requestId": "x'))["decision"] == "pending_approval", "once"

    ctl("actctl audit checkpoint --save before.note   # keep it on another machine")
    ctl("actctl audit verify --checkpoint before.note")
