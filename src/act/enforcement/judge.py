"""One request judged as of now: token, requester, policies, limits, people. Waits for nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from act.agents.agent import Agent
from act.agents.live import LiveAgents
from act.enforcement.decide import Ruling, decide
from act.enforcement.settle import Question, Settlement, Settler
from act.models import DecidingPolicy, Decision, EnforceRequest, ReasonCode, Verdict
from act.policies.live import LivePolicies
from act.policies.match import Call
from act.policies.policy import CompiledPolicy
from act.tenants.tenant import ApiKey
from act.tokens.refusal import Refusal
from act.tokens.verify import Accepted, Verifier


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came in: `digest` is the SHA-256 of its body."""

    caller: ApiKey
    request: EnforceRequest
    digest: bytes
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """Everything that an answer and its record are made of."""

    settlement: Settlement
    ruling: Ruling | None = None
    accepted: Accepted | None = None
    refused: Refusal | None = None
    requester: Agent | None = None

    @property
    def agent_id(self) -> str | None:
        """Whose token it was, also when it was refused."""
        return self.accepted.agent.id if self.accepted else self.refused.agent_id if self.refused else None

    @property
    def token_id(self) -> str | None:
        return self.accepted.claims.token_id if self.accepted else self.refused.token_id if self.refused else None

    def undo(self) -> None:
        """Give back what was reserved; nothing of it was written."""
        for effect in self.settlement.effects:
            effect.undo()


class Judge:
    def __init__(self, verifier: Verifier, agents: LiveAgents, policies: LivePolicies, settler: Settler) -> None:
        self._verifier = verifier
        self._agents = agents
        self._policies = policies
        self._settler = settler

    def judge(self, asked: Asked, decision_id: str, now: datetime) -> Judgement:
        """Judge a request, and reserve what it spends. Whoever cannot record it must `undo` it."""
        accepted = self._verify(asked, now)
        if isinstance(accepted, Refusal):
            return Judgement(Settlement(Verdict.DENIED, accepted.code, accepted.reason), refused=accepted)
        requester = self._requester(asked, now)
        if isinstance(requester, Refusal):
            return Judgement(Settlement(Verdict.DENIED, requester.code, requester.reason), accepted=accepted)
        ruling = self._rule(asked, accepted.agent, requester, now)
        if ruling.permitted:
            question = Question(
                asked.caller, asked.request, accepted.claims, accepted.agent, requester, decision_id, now
            )
            settlement = self._settler.settle(question, ruling)
        else:
            settlement = Settlement(Verdict.DENIED, ruling.code, ruling.reason)
        return Judgement(settlement, ruling, accepted, requester=requester)

    def still_stands(self, asked: Asked, decision: Decision, revision: int, now: datetime) -> bool:
        """Whether an earlier answer may be given again: nothing that it rested on has changed."""
        accepted = self._verify(asked, now)
        if isinstance(accepted, Refusal):
            return False
        if decision.decision is not Verdict.ALLOWED:
            return decision.revision == revision
        if decision.lease is not None and decision.lease.expires_at <= now:
            return False  # its place may be another's by now
        requester = self._requester(asked, now)
        if isinstance(requester, Refusal):
            return False
        ruling = self._rule(asked, accepted.agent, requester, now)
        return ruling.permitted and [deciding(policy) for policy in ruling.policies] == decision.policies

    def _verify(self, asked: Asked, now: datetime) -> Accepted | Refusal:
        request = asked.request
        return self._verifier.verify(request.capability_token, asked.caller, request.tenant_id, now.timestamp())

    def _rule(self, asked: Asked, agent: Agent, requester: Agent | None, now: datetime) -> Ruling:
        index = self._policies.of_tenant(asked.caller.tenant_id)
        request = asked.request
        call = Call(request.action, request.resource_id, now, request.arguments, request.context)
        return decide(index, agent, call, requester)

    def _requester(self, asked: Asked, now: datetime) -> Agent | Refusal | None:
        """Who asked for the call: proved by a token, or else told by the caller."""
        label, token = asked.request.requester, asked.request.requester_token
        if token is None:
            return None if label is None else self._named(asked, label)
        caller = replace(asked.caller, agent_id=None)  # a key is bound to the agent that acts, not to who asks it
        proved = self._verifier.verify(token, caller, asked.request.tenant_id, now.timestamp())
        if isinstance(proved, Refusal):
            reason = f"The token of the agent that asked is not accepted ({proved.code}). {proved.reason}"
            return Refusal(ReasonCode.REQUESTER_NOT_PERMITTED, reason)
        if label is not None and label not in (proved.agent.id, proved.agent.name):
            reason = f"The requester '{label[:128]}' is not the agent that requesterToken belongs to."
            return Refusal(ReasonCode.REQUESTER_NOT_PERMITTED, reason)
        return proved.agent

    def _named(self, asked: Asked, label: str) -> Agent | Refusal:
        requester = self._agents.find(asked.caller.tenant_id, label)
        if requester is None or requester.status == "deleted":
            return Refusal(ReasonCode.REQUESTER_UNKNOWN, f"The requester '{label[:128]}' is not a registered agent.")
        if requester.status != "active":
            reason = f"'{requester.name}', which asked for this, is suspended."
            return Refusal(ReasonCode.REQUESTER_NOT_PERMITTED, reason)
        return requester


def deciding(policy: CompiledPolicy) -> DecidingPolicy:
    """A policy as an answer names it."""
    return DecidingPolicy(id=policy.id, name=policy.name, version=policy.version, effect=policy.effect)
