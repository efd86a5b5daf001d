"""Who asks: the token that was shown, its proof, and the agent that is said to have asked for the call."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from act.agents.live import LiveAgents
from act.enforcement.effects import Effect, RevokeReused, UseProof
from act.models import EnforceRequest, ReasonCode
from act.tenants.tenant import ApiKey
from act.tokens.chain import Link, alone
from act.tokens.possession import Possession
from act.tokens.proof import Expected
from act.tokens.refusal import Refusal
from act.tokens.verify import Accepted, Verifier

Requester = Accepted | tuple[Link, ...]
"""Who asked for the call: known by a token, or an agent that the caller named."""


class Asked(NamedTuple):
    """One request as it came in: `digest` is the SHA-256 of its body."""

    caller: ApiKey
    request: EnforceRequest
    digest: bytes
    traceparent: str | None = None


class Shown(NamedTuple):
    """What became of the tokens of a request, and what using them spends or ends."""

    accepted: Accepted | Refusal
    requester: Requester | Refusal | None = None
    effects: tuple[Effect, ...] = ()


class Bearers:
    def __init__(self, verifier: Verifier, agents: LiveAgents, possession: Possession) -> None:
        self._verifier = verifier
        self._agents = agents
        self._possession = possession

    def shown(self, asked: Asked, now: datetime) -> Shown:
        """The token and the requester of a request; their proofs are used up."""
        accepted, request = self.accepted(asked, now), asked.request
        if isinstance(accepted, Refusal):
            return Shown(accepted, effects=_ending(asked, accepted, now))
        effects: list[Effect] = []
        accepted = self._proved(asked, accepted, request.capability_token, request.proof, now, effects)
        if isinstance(accepted, Refusal):
            return Shown(accepted, effects=tuple(effects))
        if request.requester is None and request.requester_token is None and request.requester_proof is None:
            return Shown(accepted, None, tuple(effects))
        requester = self._proved_requester(asked, now, effects)
        if isinstance(requester, Refusal):
            effects += _ending(asked, requester, now)
        return Shown(accepted, requester, tuple(effects))

    def accepted(self, asked: Asked, now: datetime) -> Accepted | Refusal:
        """The token alone, whose proof is another question."""
        request = asked.request
        return self._verifier.verify(request.capability_token, asked.caller, request.tenant_id, now.timestamp())

    def _proved_requester(self, asked: Asked, now: datetime, effects: list[Effect]) -> Requester | Refusal | None:
        found, request = self.requester(asked, now), asked.request
        if isinstance(found, Accepted) and request.requester_token is not None:
            proved = self._proved(asked, found, request.requester_token, request.requester_proof, now, effects)
            return _not_permitted(proved) if isinstance(proved, Refusal) else proved
        if request.requester_token is None and request.requester_proof is not None:
            reason = "A requesterProof belongs to a requesterToken, and there is none."
            return Refusal(ReasonCode.PROOF_INVALID, reason)
        return found

    def _proved(
        self, asked: Asked, accepted: Accepted, token: str, proof: str | None, now: datetime, effects: list[Effect]
    ) -> Accepted | Refusal:
        """The same, if whoever shows the token holds the key that it is bound to."""
        if proof is None and accepted.confirmation is None:
            return accepted
        request, claims = asked.request, accepted.claims
        expected = Expected(
            token, request.action, request.resource_id, request.arguments, request.request_id, claims.tenant_id
        )
        refusal = self._possession.check(proof, accepted, expected, now.timestamp())
        if refusal is None and proof is not None:
            refusal = self._possession.use(claims.tenant_id, proof)
            if refusal is None:
                effects.append(UseProof(self._possession, claims.tenant_id, proof))
        if refusal is None:
            return accepted
        return replace(refusal, agent_id=claims.agent_id, token_id=claims.token_id)

    def requester(self, asked: Asked, now: datetime) -> Requester | Refusal | None:
        """Who asked for the call. Proofs are another question."""
        label, token = asked.request.requester, asked.request.requester_token
        if token is None:
            return None if label is None else self._named(asked, label)
        caller = replace(asked.caller, agent_id=None)  # a key is bound to the agent that acts, not to who asks it
        known = self._verifier.verify(token, caller, asked.request.tenant_id, now.timestamp())
        if isinstance(known, Refusal):
            return _not_permitted(known)
        if label is not None and label not in (known.agent.id, known.agent.name):
            reason = f"The requester '{label[:128]}' is not the agent that requesterToken belongs to."
            return Refusal(ReasonCode.REQUESTER_NOT_PERMITTED, reason)
        return known

    def _named(self, asked: Asked, label: str) -> tuple[Link, ...] | Refusal:
        requester = self._agents.find(asked.caller.tenant_id, label)
        if requester is None or requester.status == "deleted":
            return Refusal(ReasonCode.REQUESTER_UNKNOWN, f"The requester '{label[:128]}' is not a registered agent.")
        if requester.status != "active":
            reason = f"'{requester.name}', which asked for this, is suspended."
            return Refusal(ReasonCode.REQUESTER_NOT_PERMITTED, reason)
        return alone(requester)


def _not_permitted(refusal: Refusal) -> Refusal:
    reason = f"The token of the agent that asked is not accepted ({refusal.code}). {refusal.reason}"
    return Refusal(ReasonCode.REQUESTER_NOT_PERMITTED, reason, reused_node=refusal.reused_node)


def _ending(asked: Asked, refusal: Refusal, now: datetime) -> tuple[Effect, ...]:
    """A token was shown that another had replaced: someone has both, so the node ends."""
    return () if refusal.reused_node is None else (RevokeReused(asked.caller, refusal.reused_node, now),)
