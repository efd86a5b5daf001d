"""Approvals as the API shows them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from act import models
from act.agents.live import LiveAgents
from act.approvals import store
from act.approvals.approval import Vote, expired, given
from act.approvals.live import LiveApprovals


class Answers:
    def __init__(self, live: LiveApprovals, agents: LiveAgents) -> None:
        self._live = live
        self._agents = agents

    def answer(self, row: Row[Any]) -> models.Approval:
        """What is due is shown as expired, whether it was swept already or not."""
        approval = store.value(row)
        agent = self._agents.get(row.tenant_id, row.agent_id)
        overdue = approval.open and expired(approval, self._live.now(approval.id))
        return models.Approval(
            id=row.id,
            status="expired" if overdue else approval.status,
            agent_id=row.agent_id,
            agent_name=agent.name if agent else row.agent_id,
            requester_id=row.requester_id,
            action=row.action,
            resource_id=row.resource_id,
            arguments=row.arguments,
            context=row.context,
            policies=[models.DecidingPolicy.model_validate(policy) for policy in row.policies],
            approvers_needed=approval.approvers_needed,
            demands=[
                models.ApprovalDemand(
                    approvers=demand.approvers,
                    from_=None if demand.roles is None else demand.names,
                    given=given(demand, approval.votes),
                )
                for demand in approval.demands
            ],
            approved_by=[_shown(vote) for vote in approval.votes],
            rejected_by=_shown(approval.rejection) if approval.rejection else None,
            reason=approval.reason,
            decision_id=row.decision_id,
            created_at=row.created_at,
            expires_at=row.expires_at,
        )


def without_people(approval: models.Approval) -> models.Approval:
    """The same, and not who holds which key."""
    votes = [vote.model_copy(update={"person": None}) for vote in approval.approved_by]
    by = approval.rejected_by and approval.rejected_by.model_copy(update={"person": None})
    return approval.model_copy(update={"approved_by": votes, "rejected_by": by})


def _shown(vote: Vote) -> models.Vote:
    return models.Vote(
        key_id=vote.key_id, key_name=vote.key_name, person=vote.person, roles=sorted(vote.roles), at=vote.at
    )
