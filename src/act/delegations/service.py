"""Handing a part of a token down to another agent (2-semantics, "Delegation")."""

from __future__ import annotations

from datetime import datetime

from act import models
from act.agents.agent import Agent
from act.agents.live import LiveAgents
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.delegations.check import excesses
from act.enforcement.matching import find
from act.models import ReasonCode, Scope
from act.policies.index import PolicyIndex
from act.policies.live import LivePolicies
from act.policies.match import Call
from act.problems import ProblemError, conflict, not_found, unprocessable
from act.sessions.live import LiveSessions
from act.sessions.session import session_key
from act.strict_json import Fault
from act.tenants.frozen import refuse_frozen
from act.tenants.live import LiveTenants
from act.tenants.tenant import ApiKey
from act.tokens.chain import Link, check_chain
from act.tokens.mint import Grant, Mint, Minted, told
from act.tokens.possession import Possession, refused
from act.tokens.refusal import Refusal
from act.tokens.revocation import end_reused
from act.tokens.scope import scope_of
from act.tokens.service import confirmation, lifetime, renewal
from act.tokens.verify import Accepted


class DelegationService:
    def __init__(
        self,
        writer: Writer,
        clock: Clock,
        tenants: LiveTenants,
        agents: LiveAgents,
        policies: LivePolicies,
        sessions: LiveSessions,
        mint: Mint,
        possession: Possession,
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._tenants = tenants
        self._agents = agents
        self._policies = policies
        self._sessions = sessions
        self._mint = mint
        self._possession = possession

    def delegate(self, caller: ApiKey, body: models.DelegationRequest) -> models.IssuedToken:
        """Mint the token of a child. Whoever holds the parent token may ask, also with a key for `enforce` alone.

        Raises:
            ProblemError: 403 for a proof that is missing or wrong; 404 for an unknown agent; 409 when the receiver is
                suspended, or the parent was revoked meanwhile; 422 that names every part that is too much.
        """
        tenant = self._tenants.get(caller.tenant_id)
        seconds = lifetime(tenant, body.expires_in)
        renewable = renewal(tenant, body.expires_in, body.renew_for)
        parent = self._parent(caller, body)
        if isinstance(parent, Refusal):
            self._tell(caller, body, parent.agent_id, parent.token_id, str(parent.code), parent.reused_node)
            raise refused(parent, "/parentToken")
        receiver = self._receiver(caller, body)
        index = self._policies.of_tenant(caller.tenant_id)
        try:
            self._refuse_too_much(caller, body, parent, receiver, index)
            grant = _grant(parent, receiver, body)
        except ProblemError as problem:
            self._tell(caller, body, parent.agent.id, parent.claims.token_id, problem.code)
            raise

        def work(transaction: Transaction) -> Minted:
            refuse_frozen(transaction.connection, caller.tenant_id)
            minted = self._mint.child(transaction, parent.claims, grant, seconds, renewable)
            fields = told(minted.claims) | {"keyId": caller.id, "parentToken": parent.claims.token_id}
            transaction.record(caller.tenant_id, "delegation.created", fields | {"revision": minted.revision})
            return minted

        minted = self._writer.write(work)
        warnings = []
        if not index.applying(receiver):
            message = f"No policy applies to '{receiver.name}' now, and its own policies are its ceiling."
            warnings.append(models.Warned(code="no_policies", message=message))
        return self._mint.issued(minted, warnings)

    def _tell(
        self,
        caller: ApiKey,
        body: models.DelegationRequest,
        agent_id: str | None,
        token_id: str | None,
        code: str,
        reused_node: str | None = None,
    ) -> None:
        """Who asks for more than they have is told of in the log; a token that was replaced ends its node."""
        fields = {"keyId": caller.id, "agentId": agent_id, "tokenId": token_id, "toAgent": body.to_agent_id}

        def work(transaction: Transaction) -> None:
            transaction.record(caller.tenant_id, "delegation.refused", fields | {"reasonCode": code})
            if reused_node is not None:
                end_reused(transaction, caller, reused_node, self._clock.now())

        self._writer.write(work)

    def _parent(self, caller: ApiKey, body: models.DelegationRequest) -> Accepted | Refusal:
        beside = {"parent_token", "proof", "request_id"}
        asked = body.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=beside)
        resource = f"agent://{body.to_agent_id}"
        return self._possession.of(caller, body.parent_token, body.proof, "delegate", resource, asked, body.request_id)

    def _receiver(self, caller: ApiKey, body: models.DelegationRequest) -> Agent:
        agent = self._agents.find(caller.tenant_id, body.to_agent_id)
        if agent is None or agent.status == "deleted":
            raise not_found("agent", body.to_agent_id)
        if agent.status != "active":
            raise conflict("agent_suspended", f"The agent '{agent.name}' is suspended; resume it first.")
        return agent

    def _refuse_too_much(
        self, caller: ApiKey, body: models.DelegationRequest, parent: Accepted, receiver: Agent, index: PolicyIndex
    ) -> None:
        """Refuse what the chain, the policies or the parent token do not let be handed down; name every part."""
        if refusal := check_chain((*parent.links, Link(receiver, None, {}))):
            pointer = "/maxDepth" if refusal.code is ReasonCode.CHAIN_DEPTH_EXCEEDED else "/toAgentId"
            raise _refused(str(refusal.code), refusal.reason, [Fault(pointer, refusal.reason)])
        now = self._clock.now()
        faults = [
            *_policy_faults(body, parent, receiver, index, now),
            *_token_faults(body, parent, receiver, now),
            *_task_faults(caller, body, parent),
        ]
        if denying := self._denying(index, parent, receiver, now):
            faults.append(Fault("/toAgentId", f"{denying} denies handing anything down to '{receiver.name}'."))
        if faults:
            raise _refused("delegation_exceeds_parent", "It is more than the parent token may hand down.", faults)

    def _denying(self, index: PolicyIndex, parent: Accepted, receiver: Agent, now: datetime) -> str | None:
        """A deny policy of any agent of the chain on `delegate` also stops what is not asked at `/v1/enforce`."""
        claims, resource, alias = parent.claims, f"agent://{receiver.id}", f"agent://{receiver.name}"
        session = self._sessions.get(claims.tenant_id, session_key(claims.task_id, claims.root)).seen
        for link in parent.links:
            call = Call("delegate", resource, now, token=link.seen, session=session, alias=alias)
            for policy in find(index, link.agent, call).enforced:
                if policy.effect == "deny":
                    return policy.label
        return None


def _policy_faults(
    body: models.DelegationRequest, parent: Accepted, receiver: Agent, index: PolicyIndex, now: datetime
) -> list[Fault]:
    """What the policies of the agents of the chain do not let be handed down."""
    wanted = [item.model_dump() for item in body.scope]
    if exceeding := excesses(index, parent.links, receiver, wanted, now):
        return [Fault(f"/scope{fault.pointer}", fault.message) for fault in exceeding]
    if "delegate" in body.grants and excesses(index, parent.links, receiver, wanted, now, body.max_depth or 1):
        return [Fault("/maxDepth", f"The policies let fewer agents follow than come after '{receiver.name}'.")]
    return []


def _token_faults(body: models.DelegationRequest, parent: Accepted, receiver: Agent, now: datetime) -> list[Fault]:
    """What the parent token itself does not let be handed down."""
    claims, faults = parent.claims, list[Fault]()
    if body.expires_in is not None and now.timestamp() + body.expires_in > claims.expires_at + 1:
        left = max(0, claims.expires_at - int(now.timestamp()))
        faults.append(Fault("/expiresIn", f"The parent token lives for {left} s more; no child outlives it."))
    most = parent.links[-1].max_depth - 1
    if "delegate" in body.grants and (most < 1 or (body.max_depth or 1) > most):
        faults.append(Fault("/maxDepth", f"The parent token lets {most + 1} follow, so {most} below the receiver."))
    if claims.on_behalf_of == receiver.id:
        faults.append(Fault("/toAgentId", f"The token is on behalf of '{receiver.id}', which is not the agent."))
    if parent.confirmation is not None and body.cnf is None:
        faults.append(Fault("/cnf", "The parent token is bound to a key; bind the child to one as well."))
    return faults


def _task_faults(caller: ApiKey, body: models.DelegationRequest, parent: Accepted) -> list[Fault]:
    """A task goes down the chain as it is; only an operator can add to what is known of it."""
    if body.task is None:
        return []
    claims, task = parent.claims, body.task
    faults = []
    if claims.task_id is None:
        faults.append(Fault("/task/id", "A task begins with the first token of a chain, and this one has none."))
    elif task.id != claims.task_id:
        message = f"The parent token is for the task '{claims.task_id}', so the child is too."
        faults.append(Fault("/task/id", message))
    if task.facts and not caller.has(Scope.TOKENS):
        faults.append(Fault("/task/facts", "Facts come from an operator: use a key with the scope 'tokens'."))
    if clash := sorted(name for name in task.facts if name in claims.facts):
        faults.append(Fault("/task/facts", f"The parent token states these already: {', '.join(clash)}."))
    return faults


def _grant(parent: Accepted, receiver: Agent, body: models.DelegationRequest) -> Grant:
    claims = parent.claims
    return Grant(
        (*claims.actors, receiver.id),
        (*claims.path, claims.node),
        scope=scope_of((item.actions, item.resources) for item in body.scope),
        grants=tuple(sorted(set(body.grants), reverse=True)),
        hand_to=body.to.model_dump(by_alias=True) if body.to else None,
        max_depth=(body.max_depth or 1) if "delegate" in body.grants else 0,
        task_id=body.task.id if body.task else claims.task_id,
        facts={**claims.facts, **(body.task.facts if body.task else {})},
        on_behalf_of=claims.on_behalf_of,
        confirmation=confirmation(body.cnf),
    )


def _refused(code: str, detail: str, faults: list[Fault]) -> ProblemError:
    return ProblemError(422, code, "Delegation refused", detail, unprocessable(faults).faults)
