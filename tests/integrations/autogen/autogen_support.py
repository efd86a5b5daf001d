"""Real AutoGen agents with scripted models, and a stand-in for ACT that keeps what it was asked."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import autogen
import pytest

from act.client.proof import ProofKey
from act.demo.model import ScriptedModel, Step, scripted_llm_config
from act.integrations.core import agent_id_of
from act.models import Approval, ApprovalReference, Decision, Lease, ReasonCode, Verdict

OLD = autogen.__version__.startswith("0.2.")
"""Whether this is `autogen-agentchat` 0.2.40, and not `autogen` 0.14."""
MODERN = pytest.mark.skipif(OLD, reason="AutoGen 0.2 has nothing like it")

NOW = datetime(2026, 11, 22, tzinfo=UTC)
PLANNER, EXECUTOR = "agt_planner", "agt_executor"


def token_for(agent_id: str) -> str:
    """Looks like a capability token to whoever does not verify it."""
    parts = [{"alg": "none"}, {"client_id": agent_id}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2ln"])


TOKENS = {"Planner": token_for(PLANNER), "Executor": token_for(EXECUTOR)}


@dataclass
class Ask:
    agent: str | None
    action: str
    resource: str
    arguments: dict[str, Any]
    context: dict[str, Any]
    requester: str | None


@dataclass
class FakeAct:
    """Allows what a rule `(agent, action, resource)` allows to both the executing and the asking agent."""

    rules: Sequence[tuple[str, str, str]] = ()
    pending: Sequence[str] = ()
    verdicts: list[str] = field(default_factory=list)
    broken: bool = False
    leases: bool = False
    asked: list[Ask] = field(default_factory=list)
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    labels: list[Sequence[str] | None] = field(default_factory=list)
    reports_fail: bool = False
    waits: list[int] = field(default_factory=list)
    approved: set[str] = field(default_factory=set)

    def enforce(
        self,
        token: str,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
        requester_token: str | None = None,
        dry_run: bool = False,
        key: ProofKey | None = None,
        requester_key: ProofKey | None = None,
    ) -> Decision:
        agent = agent_id_of(token)
        self.asked.append(Ask(agent, action, resource, dict(arguments or {}), dict(context or {}), requester))
        if self.broken:
            raise ConnectionError("no route")
        json.dumps(arguments, allow_nan=False)
        if not self._permits(agent, action, resource):
            return self._decision(ReasonCode.NO_MATCHING_POLICY, "No policy allows this.")
        if requester != agent and not self._permits(requester, action, resource):
            return self._decision(ReasonCode.REQUESTER_NOT_PERMITTED, "Who asked may not do this.")
        key = json.dumps([agent, action, resource, arguments])
        if any(fnmatchcase(resource, pattern) for pattern in self.pending):
            if key not in self.approved:
                return self._decision(ReasonCode.APPROVAL_REQUIRED, "A person must approve.", "apr_1")
            self.approved.discard(key)
        return self._decision(ReasonCode.ALLOWED, "Allowed.")

    def report_outcome(self, decision_id: str, status: str, labels: Sequence[str] | None = None) -> None:
        if self.reports_fail:
            raise ConnectionError("no route")
        self.labels.append(labels)
        self.outcomes.append((decision_id, status))

    @property
    def approvals(self) -> FakeAct:
        return self

    def get(self, id: str, *, wait: int = 0) -> Approval:
        self.waits.append(wait)
        status = self.verdicts.pop(0) if self.verdicts else "pending"
        ask = self.asked[-1]
        if status == "approved":
            self.approved.add(json.dumps([ask.agent, ask.action, ask.resource, ask.arguments]))
        return Approval(
            id=id,
            status=status,
            agent_id=ask.agent or "",
            agent_name="",
            requester_id=ask.requester,
            action=ask.action,
            resource_id=ask.resource,
            arguments=ask.arguments,
            context=ask.context,
            policies=[],
            approvers_needed=1,
            approved_by=[],
            reason="not on a Friday" if status == "rejected" else None,
            decision_id="dec_0",
            created_at=NOW,
            expires_at=NOW + timedelta(minutes=15),
        )

    def about(self, *actions: str) -> list[Ask]:
        """What was asked with these actions; without any, all but messages."""
        return [ask for ask in self.asked if (ask.action in actions if actions else ask.action != "message")]

    def _permits(self, agent: str | None, action: str, resource: str) -> bool:
        return any(
            rule[0] in (agent, "*") and fnmatchcase(action, rule[1]) and fnmatchcase(resource, rule[2])
            for rule in self.rules
        )

    def _decision(self, code: ReasonCode, reason: str, approval: str | None = None) -> Decision:
        allowed = code is ReasonCode.ALLOWED
        verdict = Verdict.ALLOWED if allowed else Verdict.PENDING_APPROVAL if approval else Verdict.DENIED
        return Decision(
            request_id="r",
            decision=verdict,
            reason_code=code,
            reason=reason,
            decision_id=f"dec_{len(self.asked)}",
            lease=Lease(expires_at=NOW) if allowed and self.leases else None,
            approval=ApprovalReference(id=approval, expires_at=NOW) if approval else None,
            evaluated_at=NOW,
        )


ALLOW_ALL = [("*", "*", "*")]


def assistant(name: str, **options: Any) -> autogen.AssistantAgent:
    options = {"llm_config": scripted_llm_config(), "max_consecutive_auto_reply": 8, **options}
    return autogen.AssistantAgent(name, **options)


def person(name: str = "user_proxy", **options: Any) -> autogen.UserProxyAgent:
    options = {"human_input_mode": "NEVER", "code_execution_config": False, "max_consecutive_auto_reply": 8, **options}
    return autogen.UserProxyAgent(name, **options)


def script(agent: Any, *steps: Step, **options: Any) -> list[list[dict[str, Any]]]:
    """Give the agent its answers; returns the list of what its model gets to see."""
    seen: list[list[dict[str, Any]]] = []
    agent.register_model_client(ScriptedModel, steps=list(steps), seen=seen, **options)
    return seen


def group(*agents: Any, rounds: int = 6, **options: Any) -> autogen.GroupChatManager:
    options = {"speaker_selection_method": "round_robin", "func_call_filter": True, **options}
    chat = autogen.GroupChat(agents=list(agents), messages=[], max_round=rounds, **options)
    return autogen.GroupChatManager(chat, llm_config=False, is_termination_msg=ends, silent=True)


def ends(message: Mapping[str, Any]) -> bool:
    return "TERMINATE" in str(message.get("content"))


def chat(mode: str, sender: Any, recipient: Any, message: Any = "go", max_turns: int | None = None) -> None:
    """A whole chat, in the way of the test's mode."""
    options: dict[str, Any] = {"message": message, "silent": True}
    if max_turns is not None:
        options["max_turns"] = max_turns
    if mode == "sync":
        sender.initiate_chat(recipient, **options)
    else:
        asyncio.run(sender.a_initiate_chat(recipient, **options))


def texts(seen: list[list[dict[str, Any]]]) -> str:
    """All that a model has seen, as one text."""
    return json.dumps(seen, default=str)
