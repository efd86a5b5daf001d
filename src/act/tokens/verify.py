"""Is this token good, here and now? (2-semantics, "Verification")

What a string and a key alone can tell is remembered by the SHA-256 of the token. Whatever can change is asked again
every time, in this order:
- dates: not before, issued at, time to live within the tenant's maximum;
- the tenant of the token is that of the API key and of the body;
- the token has not expired;
- the key is still in use;
- the agent exists, is not deleted, is not suspended;
- the token is on record and not revoked, alone or by its agent's mark;
- the agent is the one that the API key is bound to.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace

from act.agents.agent import Agent
from act.agents.live import LiveAgents
from act.models import ReasonCode
from act.tenants.live import LiveTenants
from act.tenants.tenant import ApiKey
from act.tokens.claims import Claims, check_dates, check_expiry, check_issuer
from act.tokens.codec import Verified, read
from act.tokens.live import LiveKeys, LiveTokens
from act.tokens.refusal import Refusal

MAX_CACHED = 50_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """A token that is good, and the agent that holds it."""

    claims: Claims
    agent: Agent


class Verifier:
    def __init__(
        self,
        tenants: LiveTenants,
        agents: LiveAgents,
        tokens: LiveTokens,
        keys: LiveKeys,
        *,
        issuer: str,
        audience: str,
    ) -> None:
        self._tenants = tenants
        self._agents = agents
        self._tokens = tokens
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._cache: OrderedDict[bytes, Verified] = OrderedDict()

    def verify(self, token: str, caller: ApiKey, tenant_id: str | None, now: float) -> Accepted | Refusal:
        """Accept or refuse a token.

        Args:
            tenant_id: the tenant that the body names, if it names one.
            now: seconds since the epoch.
        """
        verified = self._read(token)
        if isinstance(verified, Refusal):
            return verified
        claims = verified.claims
        if refusal := check_dates(claims, now, self._tenants.get(claims.tenant_id).max_token_ttl):
            return refusal
        if claims.tenant_id != caller.tenant_id or tenant_id not in (None, claims.tenant_id):
            return Refusal(ReasonCode.TOKEN_TENANT_MISMATCH, "The token belongs to another tenant.")
        accepted = self._now(verified, caller, now)
        if isinstance(accepted, Refusal):
            return replace(accepted, agent_id=claims.agent_id, token_id=claims.token_id)
        return accepted

    def _now(self, verified: Verified, caller: ApiKey, now: float) -> Accepted | Refusal:
        """Whatever can change from one request to the next."""
        claims = verified.claims
        if refusal := check_expiry(claims, now):
            return refusal
        key = self._keys.verifying.get(verified.kid)
        if key is None or key.status == "gone":
            return Refusal(ReasonCode.TOKEN_KEY_UNKNOWN, "The key of the token is no longer in use.")
        agent = self._agents.get(claims.tenant_id, claims.agent_id)
        if agent is None or agent.status == "deleted":
            return Refusal(ReasonCode.AGENT_DELETED, f"The agent '{claims.agent_id}' is deleted.")
        if agent.status != "active":
            return Refusal(ReasonCode.AGENT_SUSPENDED, f"The agent '{agent.name}' is suspended.")
        if refusal := self._revoked(claims, agent):
            return refusal
        if caller.agent_id is not None and caller.agent_id != agent.id:
            reason = f"The API key '{caller.name}' is bound to another agent than '{agent.name}'."
            return Refusal(ReasonCode.TOKEN_AGENT_MISMATCH, reason)
        return Accepted(claims, agent)

    def _read(self, token: str) -> Verified | Refusal:
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        if cached := self._cache.get(digest):
            return cached
        verified = read(token, self._keys.verifying)
        if isinstance(verified, Refusal):
            return verified
        if refusal := check_issuer(verified.claims, self._issuer, self._audience):
            return refusal
        self._cache[digest] = verified
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return verified

    def _revoked(self, claims: Claims, agent: Agent) -> Refusal | None:
        token = self._tokens.get(claims.token_id)
        if token is None or token.agent_id != agent.id:
            return Refusal(ReasonCode.TOKEN_REVOKED, "The token is not on record.")
        if token.revoked:
            return Refusal(ReasonCode.TOKEN_REVOKED, "The token was revoked.")
        if claims.sequence <= agent.mark:
            return Refusal(ReasonCode.TOKEN_REVOKED, f"All tokens of '{agent.name}' issued until then were revoked.")
        return None
