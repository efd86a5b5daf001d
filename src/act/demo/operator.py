"""The people of the demonstration: they watch every decision, approve one, and take a token away in mid-chat."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from act import Act, ProofKey
from act.demo.stage import Stage
from act.models import Decision, Verdict

PAUSE_SECONDS = 0.5


class Operator:
    """Stands where `Act` stands for the guard: hands every question on, and acts on what it sees.

    `act` has a key that can do nothing but enforce, as the process of the agents should; `admin` and `approver` are
    the people.

    Messages between agents are observed, not enforced; they are counted and not shown.
    """

    def __init__(self, act: Act, admin: Act, approver: Act, stage: Stage, token_id: str) -> None:
        self._act = act
        self._admin = admin
        self._approver = approver
        self._stage = stage
        self._token_id = token_id
        self.approvals = act.approvals
        self.decisions: list[Decision] = []
        self.messages = 0

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
        decision = self._act.enforce(
            token,
            action,
            resource,
            arguments=arguments,
            context=context,
            requester=requester,
            requester_token=requester_token,
            dry_run=dry_run,
            key=key,
            requester_key=requester_key,
        )
        if action == "message":
            self.messages += 1
            return decision
        said = context or {}
        self.decisions.append(decision)
        self._stage.decision(decision, said.get("executor", "?"), said.get("requester", "?"), action, resource)
        if decision.decision is Verdict.PENDING_APPROVAL and decision.approval is not None:
            threading.Timer(PAUSE_SECONDS, self._approve, (decision.approval.id,)).start()
        return decision

    def report_outcome(
        self, decision_id: str, status: Literal["succeeded", "failed", "cancelled"], labels: Sequence[str] | None = None
    ) -> object:
        answer = self._act.report_outcome(decision_id, status, labels)
        decision = next((d for d in self.decisions if d.decision_id == decision_id), None)
        if decision is not None and decision.lease is not None:
            self._revoke()
        return answer

    def _approve(self, approval_id: str) -> None:
        approval = self._approver.approvals.get(approval_id)
        self._stage.aside(
            f"a person sees {approval.action} {approval.resource_id} {approval.arguments} and approves it, once"
        )
        self._approver.approvals.approve(approval_id)

    def _revoke(self) -> None:
        """The executor has done what it was approved for; nothing more is wanted of it."""
        self._admin.tokens.revoke(self._token_id)
        self._stage.aside("an operator revokes the executor's token, in mid-chat")
