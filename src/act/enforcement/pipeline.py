"""The street of one request: token, ruling, settlement, durable record, answer.

Every error on the way ends in a denial or in a problem; there is no way past a step. What a decision spends is
written in one commit with its audit record, and no answer leaves before that commit.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from act import models
from act.agents.agent import Agent
from act.agents.live import LiveAgents
from act.approvals.service import StepLost
from act.audit.record import arguments_hash, clip
from act.audit.writer import Sealed, Transaction, WriteFailed, Writer
from act.database.changes import ChangeFeed
from act.database.clock import Clock
from act.database.ids import new_id
from act.enforcement.decide import Near, Ruling, decide
from act.enforcement.replays import Entry, Replays
from act.enforcement.settle import Question, Settlement, Settler
from act.models import Decision, EnforceRequest, ReasonCode, Verdict
from act.policies.live import LivePolicies
from act.policies.policy import CompiledPolicy
from act.problems import ProblemError, conflict, internal_error, overloaded
from act.tenants.tenant import ApiKey
from act.tokens.refusal import Refusal
from act.tokens.verify import Accepted, Verifier

ATTEMPTS = 3

log = logging.getLogger("act.enforcement")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came in: `digest` is the SHA-256 of its body."""

    caller: ApiKey
    request: EnforceRequest
    digest: bytes
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Everything an answer and its record are made of."""

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


class Pipeline:
    def __init__(
        self,
        *,
        clock: Clock,
        feed: ChangeFeed,
        verifier: Verifier,
        agents: LiveAgents,
        policies: LivePolicies,
        settler: Settler,
        replays: Replays,
        writer: Writer,
    ) -> None:
        self._clock = clock
        self._feed = feed
        self._verifier = verifier
        self._agents = agents
        self._policies = policies
        self._settler = settler
        self._replays = replays
        self._writer = writer

    async def enforce(self, asked: Asked) -> Decision:
        """Decide one request.

        Raises:
            ProblemError: 409 for a request id that was used for something else, 503 when no durable answer is
                possible now. A problem is a denial.
        """
        key = (asked.caller.id, asked.request.request_id)
        while earlier := self._replays.find(key, self._clock.monotonic()):
            if earlier.digest != asked.digest:
                raise conflict("request_id_reused", "This requestId was used for another request; make a new one.")
            if earlier.decision is None:
                await earlier.done.wait()
                continue
            if self._still_stands(asked, earlier.decision):
                return earlier.decision.model_copy(update={"replayed": True})
            break
        return await self._decide_once(asked, key)

    async def _decide_once(self, asked: Asked, key: tuple[str, str]) -> Decision:
        entry: Entry = self._replays.begin(key, asked.digest, self._clock.monotonic())
        decision = None
        try:
            decision = await self._decide(asked)
        finally:
            self._replays.finish(key, entry, decision)
        return decision

    async def _decide(self, asked: Asked) -> Decision:
        for _ in range(ATTEMPTS):
            if self._feed.broken:
                detail = "The server does not know how old its state is; it has to be restarted."
                raise ProblemError(503, "stale_state", "Stale state", detail)
            started = self._clock.monotonic()
            revision = self._feed.revision  # read first: the answer may rest on newer state, never on older
            decision_id = new_id("dec")
            now = self._clock.now()
            outcome = self._judge(asked, decision_id)
            try:
                sealed = await self._record(asked, outcome, decision_id, revision, started)
            except StepLost:
                _undo(outcome)
                continue
            except WriteFailed as error:
                _undo(outcome)
                raise overloaded(f"{error} Nothing was allowed; try again.") from error
            except Exception as error:
                _undo(outcome)
                log.exception("decision %s could not be recorded", decision_id)
                raise internal_error() from error
            return _answer(asked, outcome, decision_id, revision, now, sealed)
        raise overloaded("Others were faster several times. Nothing was allowed; try again.")

    async def _record(self, asked: Asked, outcome: _Outcome, decision_id: str, revision: int, started: float) -> Sealed:
        """Make the decision durable, with all it spends, in one commit."""
        salt = secrets.token_bytes(16)
        fields = _fields(asked, outcome, decision_id, revision, salt)

        def work(transaction: Transaction) -> Sealed:
            for effect in outcome.settlement.effects:
                effect.write(transaction)
            fields["latencyMicros"] = round((self._clock.monotonic() - started) * 1_000_000)
            return transaction.record(asked.caller.tenant_id, "decision", fields, salt)

        return await asyncio.wrap_future(self._writer.submit(work))

    def _judge(self, asked: Asked, decision_id: str) -> _Outcome:
        """Token, requester, policies, limits and people; without waiting for anything."""
        request, caller, now = asked.request, asked.caller, self._clock.now()
        accepted = self._verifier.verify(request.capability_token, caller, request.tenant_id, now.timestamp())
        if isinstance(accepted, Refusal):
            return _Outcome(Settlement(Verdict.DENIED, accepted.code, accepted.reason), refused=accepted)
        requester = self._requester(asked)
        if isinstance(requester, Refusal):
            return _Outcome(Settlement(Verdict.DENIED, requester.code, requester.reason), accepted=accepted)
        index = self._policies.of_tenant(caller.tenant_id)
        ruling = decide(index, accepted.agent, request.action, request.resource_id, now, requester)
        if not ruling.permitted:
            settlement = Settlement(Verdict.DENIED, ruling.code, ruling.reason)
        else:
            question = Question(caller, request, accepted.claims, accepted.agent, requester, decision_id, now)
            settlement = self._settler.settle(question, ruling)
        return _Outcome(settlement, ruling, accepted, requester=requester)

    def _requester(self, asked: Asked) -> Agent | Refusal | None:
        label = asked.request.requester
        if label is None:
            return None
        requester = self._agents.find(asked.caller.tenant_id, label)
        if requester is None or requester.status == "deleted":
            return Refusal(ReasonCode.REQUESTER_UNKNOWN, f"The requester '{label[:128]}' is not a registered agent.")
        if requester.status != "active":
            reason = f"'{requester.name}', which asked for this, is suspended."
            return Refusal(ReasonCode.REQUESTER_NOT_PERMITTED, reason)
        return requester

    def _still_stands(self, asked: Asked, decision: Decision) -> bool:
        """Whether an earlier answer may be given again: nothing that it rested on has changed."""
        now = self._clock.now()
        request = asked.request
        accepted = self._verifier.verify(request.capability_token, asked.caller, request.tenant_id, now.timestamp())
        if self._feed.broken or isinstance(accepted, Refusal):
            return False
        if decision.decision is not Verdict.ALLOWED:
            return decision.revision == self._feed.revision
        if decision.lease is not None and decision.lease.expires_at <= now:
            return False  # its place may be another's by now
        requester = self._requester(asked)
        if isinstance(requester, Refusal):
            return False
        index = self._policies.of_tenant(asked.caller.tenant_id)
        ruling = decide(index, accepted.agent, request.action, request.resource_id, now, requester)
        return ruling.permitted and [_deciding(policy) for policy in ruling.policies] == decision.policies


def _undo(outcome: _Outcome) -> None:
    for effect in outcome.settlement.effects:
        effect.undo()


def _answer(asked: Asked, outcome: _Outcome, decision_id: str, revision: int, now: Any, sealed: Sealed) -> Decision:
    settlement, ruling, request = outcome.settlement, outcome.ruling, asked.request
    lease = None
    if settlement.lease_seconds is not None:
        lease = models.Lease(expires_at=now + timedelta(seconds=settlement.lease_seconds))
    approval = settlement.approval
    return Decision(
        request_id=request.request_id,
        decision_id=decision_id,
        decision=settlement.verdict,
        reason_code=settlement.code,
        reason=settlement.reason,
        agent_id=outcome.agent_id,
        tenant_id=asked.caller.tenant_id,
        policies=[_deciding(policy) for policy in ruling.policies] if ruling else [],
        near_misses=[_near(near) for near in ruling.near] if ruling else [],
        lease=lease,
        approval=models.ApprovalReference(id=approval.id, expires_at=approval.expires_at) if approval else None,
        audit=models.AuditReference(index=sealed.index, leaf_hash=sealed.leaf_hash),
        revision=revision,
        evaluated_at=now,
        dry_run=request.dry_run,
    )


def _deciding(policy: CompiledPolicy) -> models.DecidingPolicy:
    return models.DecidingPolicy(id=policy.id, name=policy.name, version=policy.version, effect=policy.effect)


def _near(near: Near) -> models.NearMiss:
    return models.NearMiss(policy_id=near.policy.id, name=near.policy.name, pointer=near.pointer, message=near.message)


def _fields(asked: Asked, outcome: _Outcome, decision_id: str, revision: int, salt: bytes) -> dict[str, Any]:
    """The record of a decision (2-semantics, "Audit")."""
    request, settlement, accepted = asked.request, outcome.settlement, outcome.accepted
    conversation = request.context.get("conversationId")
    ruling = outcome.ruling
    return {
        "decisionId": decision_id,
        "requestId": request.request_id,
        "keyId": asked.caller.id,
        "agentId": outcome.agent_id,
        "agentName": accepted.agent.name if accepted else None,
        "tokenId": outcome.token_id,
        "chain": [outcome.agent_id] if outcome.agent_id else None,
        "requesterId": outcome.requester.id if outcome.requester else None,
        "requesterClaimed": clip(request.requester) if request.requester and not outcome.requester else None,
        "action": clip(request.action),
        "resourceId": clip(request.resource_id),
        "argumentsHash": arguments_hash(request.arguments, salt),
        "conversationId": clip(conversation) if isinstance(conversation, str) else None,
        "traceparent": asked.traceparent,
        "policies": [
            {"id": policy.id, "version": policy.version, "effect": policy.effect}
            for policy in (ruling.policies if ruling else ())
        ],
        "decision": str(settlement.verdict),
        "reasonCode": str(settlement.code),
        "reason": clip(settlement.reason),
        "approvalId": settlement.approval.id if settlement.approval else None,
        "leaseSeconds": None if settlement.lease_seconds is None else int(settlement.lease_seconds),
        "dryRun": True if request.dry_run else None,
        "revision": revision,
    }
