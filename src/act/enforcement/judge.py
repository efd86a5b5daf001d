"""One request judged as of now: token, requester, policies, limits, people. Waits for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from act.agents.agent import Agent
from act.agents.live import LiveAgents
from act.audit.redaction import Keeping
from act.enforcement.bearers import Asked, Bearers, Requester
from act.enforcement.decide import decide
from act.enforcement.demand import uncounted
from act.enforcement.effects import Effect, TakeLimits
from act.enforcement.ruling import Ruling
from act.enforcement.settle import Question, Settlement, Settler
from act.models import DecidingPolicy, Decision, ReasonCode, Verdict
from act.policies.live import LivePolicies
from act.policies.match import Call
from act.policies.policy import CompiledPolicy
from act.sessions.live import LiveSessions
from act.sessions.session import session_key
from act.tenants.live import LiveTenants
from act.tokens.claims import Claims
from act.tokens.refusal import Refusal
from act.tokens.verify import Accepted

_FROZEN = "The tenant is frozen: everything is denied until an administrator unfreezes it."
AGENT = "agent://"


class Judgement(NamedTuple):
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

    def written(self) -> None:
        """All of it is durable. Only places have to know."""
        for effect in self.settlement.effects:
            if isinstance(effect, TakeLimits):
                effect.written()


class Judge:
    def __init__(
        self,
        bearers: Bearers,
        tenants: LiveTenants,
        agents: LiveAgents,
        policies: LivePolicies,
        sessions: LiveSessions,
        settler: Settler,
    ) -> None:
        self._bearers = bearers
        self._tenants = tenants
        self._agents = agents
        self._policies = policies
        self._sessions = sessions
        self._settler = settler

    def judge(self, asked: Asked, decision_id: str, now: datetime) -> Judgement:
        """Judge a request, and reserve what it spends. Whoever cannot record it must `undo` it."""
        if self._frozen(asked):
            return Judgement(Settlement(Verdict.DENIED, ReasonCode.TENANT_FROZEN, _FROZEN))
        shown = self._bearers.shown(asked, now)
        if isinstance(shown.accepted, Refusal):
            return Judgement(_refusal(shown.accepted, shown.effects), refused=shown.accepted)
        accepted = shown.accepted
        if isinstance(shown.requester, Refusal):
            return Judgement(_refusal(shown.requester, shown.effects), accepted=accepted)
        requester = _agent_of(shown.requester)
        try:
            ruling = self._rule(asked, accepted, shown.requester, now)
            if ruling.permitted:
                question = Question(
                    asked.caller,
                    asked.request,
                    accepted.claims,
                    accepted.root_ends,
                    accepted.agent,
                    requester,
                    decision_id,
                    now,
                    root_agent_id=accepted.links[0].agent.id,
                    users=_users(accepted, shown.requester) if ruling.approval else (),
                )
                settlement = self._settler.settle(question, ruling)
            else:
                settlement = Settlement(Verdict.DENIED, ruling.code, ruling.reason)
        except BaseException:  # there will be no judgement that could be undone
            for effect in shown.effects:
                effect.undo()
            raise
        if shown.effects:
            settlement = settlement._replace(effects=(*settlement.effects, *shown.effects))
        return Judgement(settlement, ruling, accepted, requester=requester)

    def still_stands(self, asked: Asked, decision: Decision, revision: int, now: datetime) -> bool:
        """Whether an earlier answer may be given again: nothing that it rested on has changed."""
        if self._frozen(asked):
            return False
        accepted = self._bearers.accepted(asked, now)
        if isinstance(accepted, Refusal):
            return False
        if decision.decision is not Verdict.ALLOWED:
            return decision.revision == revision
        if decision.lease is not None and (decision.lease.expires_at <= now or not self._settler.holds(decision)):
            return False  # its place may be another's by now, whatever the wall clock says
        requester = self._bearers.requester(asked, now)
        if isinstance(requester, Refusal):
            return False
        ruling = self._rule(asked, accepted, requester, now)
        if not ruling.permitted or [deciding(policy) for policy in ruling.policies] != decision.policies:
            return False
        # A guard need not be among those that allow: one that is in doubt, or of who hands down.
        unasked = ruling.approval is not None and decision.approval is None
        return (
            not unasked and not uncounted(ruling.limits, decision) and dict(ruling.obligations) == decision.obligations
        )

    def keeping(self, asked: Asked) -> Keeping:
        """What the tenant has its log keep of arguments."""
        return self._tenants.get(asked.caller.tenant_id).keeping

    def _frozen(self, asked: Asked) -> bool:
        return self._tenants.get(asked.caller.tenant_id).frozen

    def _rule(self, asked: Asked, accepted: Accepted, requester: Requester | None, now: datetime) -> Ruling:
        tenant_id, request, claims = asked.caller.tenant_id, asked.request, accepted.claims
        resource = request.resource_id
        call = Call(
            request.action,
            resource,
            now,
            request.arguments,
            request.context,
            accepted.links[-1].seen,
            self._session(tenant_id, claims),
            self._alias(tenant_id, resource) if resource.startswith(AGENT) else None,
        )
        index = self._policies.of_tenant(tenant_id)
        if not isinstance(requester, Accepted):
            return decide(index, accepted.links, call, requester)
        asking = requester.claims
        if asking.node == claims.node or asking.node in claims.path:
            return decide(index, accepted.links, call)  # it acts itself, or has handed this down
        return decide(index, accepted.links, call, requester.links, self._session(tenant_id, asking))

    def _session(self, tenant_id: str, claims: Claims) -> Mapping[str, Any]:
        return self._sessions.get(tenant_id, session_key(claims.task_id, claims.root)).seen

    def _alias(self, tenant_id: str, resource: str) -> str | None:
        """An agent has two spellings, its id and its name; a policy on one of them holds for both."""
        label = resource.removeprefix(AGENT)
        agent = self._agents.find(tenant_id, label)
        if agent is None:
            return None
        # Also a name that no request could be made for: a deny policy on a pattern of names holds for its bearer.
        return AGENT + (agent.name if label == agent.id else agent.id)


def _agent_of(requester: Requester | None) -> Agent | None:
    if isinstance(requester, Accepted):
        return requester.agent
    return requester[-1].agent if requester else None


def _users(accepted: Accepted, requester: Requester | None) -> tuple[str, ...]:
    """On whose behalf the agent acts, and the one that asked it: in any token of either chain."""
    asking = requester.links if isinstance(requester, Accepted) else requester or ()
    found = (link.seen["onBehalfOf"] for link in (*accepted.links, *asking))
    return tuple(dict.fromkeys(user for user in found if user is not None))


def _refusal(refusal: Refusal, effects: tuple[Effect, ...]) -> Settlement:
    return Settlement(Verdict.DENIED, refusal.code, refusal.reason, effects)


def deciding(policy: CompiledPolicy) -> DecidingPolicy:
    """A policy as an answer names it."""
    return DecidingPolicy(id=policy.id, name=policy.name, version=policy.version, effect=policy.effect)
