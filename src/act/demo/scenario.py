"""The reference scenario from beginning to end (1-product), against a real server."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

import httpx2
from rich.console import Console

from act import Act
from act.audit import notes
from act.audit.verify import Finding, Line, verify
from act.demo import team, tools
from act.demo.operator import Operator
from act.demo.server import DemoServer
from act.demo.stage import Stage
from act.integrations.autogen import ActGuard
from act.models import ReasonCode

EXPECTED = [
    ReasonCode.ALLOWED,
    ReasonCode.REQUESTER_NOT_PERMITTED,
    ReasonCode.APPROVAL_REQUIRED,
    ReasonCode.ALLOWED,
    ReasonCode.TOKEN_REVOKED,
]
DONE = ["plan_workflow('release')", "execute_task('42')"]

AGENTS = (
    {"name": "Planner Agent", "metadata": {"role": "planner"}},
    {"name": "Executor Agent", "metadata": {"role": "executor"}},
)
POLICIES = (
    {
        "name": "Planner Capabilities",
        "actions": ["read", "list", "plan"],
        "resources": ["api://tasks/*", "api://workflows/*"],
    },
    {
        "name": "Executor Capabilities",
        "actions": ["execute", "update"],
        "resources": ["api://tasks/execute/*"],
        "constraints": {"requiresApproval": True, "maxConcurrentTasks": 5},
    },
)


def run(keep: bool) -> bool:
    """Run it and tell it. True when everything came out as it must."""
    started = time.monotonic()
    stage = Stage(Console(file=sys.stdout))  # this one, wherever the chat is sent to
    tools.done.clear()
    logging.getLogger("autogen").setLevel(logging.WARNING)
    with DemoServer() as server:
        stage.heading(f"1. A server: {server.url}, {server.database}")
        tokens = _set_up(server, stage)
        approver_key = _post(server, stage, "/v1/api-keys", {"name": "approver", "scopes": ["approve"]})["key"]
        agents_key = _post(server, stage, "/v1/api-keys", {"name": "agents", "scopes": ["enforce"]})["key"]
        stage.heading("2. An AutoGen group chat: user_proxy, Planner, Executor. Every tool call is asked for:")
        stage.columns()
        admin, approver, agents = (Act(server.url, key) for key in (server.admin_key, approver_key, agents_key))
        with admin, approver, agents:
            operator = Operator(agents, admin, approver, stage, tokens["Executor"]["tokenId"])
            guard = ActGuard(
                operator,
                tokens={name: issued["token"] for name, issued in tokens.items()},
                on_pending="wait",
                approval_timeout=20,
            )
            with (server.folder / "transcript.txt").open("w") as transcript:
                team.run(guard, transcript)
            finding = _check_audit(admin)
        came_out = [decision.reason_code for decision in operator.decisions] == EXPECTED and tools.done == DONE
        _conclude(stage, operator, finding, came_out)
        stage.say(f"\nDone in {time.monotonic() - started:.1f} s.")
        if keep:
            _keep(stage, server)
    return came_out and finding.ok


def _set_up(server: DemoServer, stage: Stage) -> dict[str, Any]:
    """Agents, policies and tokens, as a person would type them; the tokens by the name of the AutoGen agent."""
    planner, executor = (_post(server, stage, "/v1/agents", agent) for agent in AGENTS)
    for policy in POLICIES:
        made = _post(server, stage, "/v1/policies", policy)
        roles = ", ".join(made["appliesTo"]["roles"])
        stage.say(f"    bound to the role '{roles}', with which the policy's name begins", "dim")
    return {
        name: _post(server, stage, "/v1/tokens", {"agentId": agent["id"], "expiresIn": 3600})
        for name, agent in (("Planner", planner), ("Executor", executor))
    }


def _post(server: DemoServer, stage: Stage, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    stage.call("POST", path, body)
    answer = httpx2.post(server.url + path, headers={"X-Api-Key": server.admin_key}, json=body, trust_env=False)
    answer.raise_for_status()
    made: dict[str, Any] = answer.json()
    return made


def _check_audit(act: Act) -> Finding:
    """Export the log and verify it here, trusting the server for nothing but its key."""
    checkpoint = act.audit.checkpoint()
    signed = notes.verify(checkpoint.note, checkpoint.verifier_key)
    lines = (
        Line(record.index, record.leaf_hash, record.record, record.arguments, record.salt)
        for record in act.audit.export()
    )
    return verify(lines, [signed])


def _conclude(stage: Stage, operator: Operator, finding: Finding, came_out: bool) -> None:
    stage.heading("3. What came of it")
    for call in tools.done:
        stage.say(f"  ran: {call}")
    stage.say(f"  {operator.messages} messages between agents were observed and recorded; observing never blocks.")
    stage.say(f"  audit: {finding.message} Root {finding.root.hex()[:16]}…", "green" if finding.ok else "bold red")
    if not came_out:
        stage.say("  This is not what must come out. Please report it.", "bold red")
    stage.heading("Where to look next")
    stage.say("  README.md                      put ActGuard into your own group chat")
    stage.say("  src/act/demo/team.py           the code of this chat: plain AutoGen, one line for ACT")
    stage.say("  docs/reason-codes.md           what each reason code means, and what to do about it")
    stage.say("  actctl demo --keep             the same, and leaves the server running to look around in")


def _keep(stage: Stage, server: DemoServer) -> None:
    stage.heading("The server goes on until you press Ctrl-C:")
    stage.say(f"  export ACT_BASE_URL={server.url}\n  export ACT_API_KEY={server.admin_key}")
    stage.say("  actctl audit list     actctl agents list     actctl audit verify")
    stage.say(f"  API: {server.url}/docs   transcript and server log: {server.folder}")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        stage.say("Stopped; the temporary database is removed.")
