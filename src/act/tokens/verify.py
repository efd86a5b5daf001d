"""Is this token good, here and now? (2-semantics, "Verification")

What a string and a key alone can tell is remembered by the SHA-256 of the token. Whatever can change is asked again
every time, in this order:
- dates: not before, issued at, time to live within the tenant's maximum;
- the tenant of the token is that of the API key and of the body;
- the token has not expired;
- the key is still in use;
- the agent exists, is not deleted, is not suspended;
- the token is on record, and no later one has taken its place;
- neither its node nor any node above it is revoked, alone or by the mark of its agent, and each agent above may act;
- the chain of agents is one that the tokens allow;
- the agent is the one that the API key is bound to.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from act.agents.agent import Agent
from act.agents.live import LiveAgents
from act.models import ReasonCode
from act.tenants.live import LiveTenants
from act.tenants.tenant import ApiKey
from act.tokens.chain import Link, check_chain
from act.tokens.claims import Claims, check_dates, check_expiry, check_issuer
from act.tokens.codec import Verified, read
from act.tokens.live import LiveTokens
from act.tokens.live_keys import LiveKeys
from act.tokens.nodes import LiveNodes, Node, seen
from act.tokens.proof import ConfirmationKey, read_key
from act.tokens.refusal import Refusal

MAX_CACHED = 50_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """A token that is good, the agent that holds it, and the chain that ends with that agent.

    `confirmation` is the key that the token is bound to: then a proof has to come with it. `since_start` says that the
    token was issued since this process started, so that no proof of it was used before. `root_ends` is when the token
    that the chain began with ends, in seconds since the epoch: unlike the end of the token itself, whoever hands down
    has no say in it.
    """

    claims: Claims
    agent: Agent
    links: tuple[Link, ...]
    root_ends: float
    confirmation: ConfirmationKey | None = None
    since_start: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """A chain that was found to be in force, and the very nodes and agents (the root's first) that say so.

    They are immutable, and every change puts others in their places: as long as these are in place, and before `ends`
    (seconds since the epoch), the same would be found again.
    """

    nodes: tuple[Node, ...]
    agents: tuple[Agent, ...]
    ends: float
    accepted: Accepted


@dataclass(slots=True)
class Known:
    """What never changes of a token whose signature holds, and what its chain was last found to be."""

    verified: Verified
    seen: Mapping[str, Any]
    confirmation: ConfirmationKey | None
    standing: Standing | None = None


class Verifier:
    def __init__(
        self,
        tenants: LiveTenants,
        agents: LiveAgents,
        tokens: LiveTokens,
        nodes: LiveNodes,
        keys: LiveKeys,
        *,
        issuer: str,
        audience: str,
    ) -> None:
        self._tenants = tenants
        self._agents = agents
        self._tokens = tokens
        self._nodes = nodes
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._cache: OrderedDict[bytes, Known] = OrderedDict()

    def verify(self, token: str, caller: ApiKey, tenant_id: str | None, now: float) -> Accepted | Refusal:
        """Accept or refuse a token.

        Args:
            tenant_id: the tenant that the body names, if it names one.
            now: seconds since the epoch.
        """
        known = self._read(token)
        if isinstance(known, Refusal):
            return known
        claims = known.verified.claims
        if refusal := check_dates(claims, now, self._tenants.get(claims.tenant_id).max_token_ttl):
            return refusal
        if claims.tenant_id != caller.tenant_id or tenant_id not in (None, claims.tenant_id):
            return Refusal(ReasonCode.TOKEN_TENANT_MISMATCH, "The token belongs to another tenant.")
        accepted = self._now(known, caller, now)
        if isinstance(accepted, Refusal):
            return replace(accepted, agent_id=claims.agent_id, token_id=claims.token_id)
        return accepted

    def forget_expired(self, now: float) -> None:
        """What is expired is refused by its date, and is read again for that if somebody should show it."""
        for digest in [one for one, known in list(self._cache.items()) if known.verified.claims.expires_at <= now]:
            self._cache.pop(digest, None)

    def _now(self, known: Known, caller: ApiKey, now: float) -> Accepted | Refusal:
        """Whatever can change from one request to the next."""
        claims = known.verified.claims
        if refusal := check_expiry(claims, now):
            return refusal
        key = self._keys.verifying.get(known.verified.kid)
        if key is None or not key.in_use_at(now):
            return Refusal(ReasonCode.TOKEN_KEY_UNKNOWN, "The key of the token is no longer in use.")
        agent = self._active(claims.tenant_id, claims.agent_id)
        if isinstance(agent, Refusal):
            return agent
        token = self._tokens.get(claims.token_id)
        if token is None or token.agent_id != claims.agent_id or token.node != claims.node:
            return Refusal(ReasonCode.TOKEN_REVOKED, "The token is not on record.")
        if token.superseded_at is not None and token.superseded_at <= now:
            reason = "Another token has taken the place of this one; it may have been stolen, so both are revoked."
            node = self._nodes.get(claims.node)
            ended = node is not None and node.revoked  # once is enough, however often it is shown
            return Refusal(ReasonCode.TOKEN_SUPERSEDED, reason, reused_node=None if ended else claims.node)
        standing = known.standing
        if standing is None or not self._stands(standing, claims.tenant_id, now):
            found = self._standing(known, agent, token.since_start, now)
            if isinstance(found, Refusal):
                return found
            known.standing = standing = found
        if caller.agent_id is not None and caller.agent_id != agent.id:
            reason = f"The API key '{caller.name}' is bound to another agent than '{agent.name}'."
            return Refusal(ReasonCode.TOKEN_AGENT_MISMATCH, reason)
        return standing.accepted

    def _read(self, token: str) -> Known | Refusal:
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        if cached := self._cache.get(digest):
            return cached
        verified = read(token, self._keys.verifying)
        if isinstance(verified, Refusal):
            return verified
        claims = verified.claims
        if refusal := check_issuer(claims, self._issuer, self._audience):
            return refusal
        try:
            confirmation = None if claims.confirmation is None else read_key(claims.confirmation)
        except ValueError:
            return Refusal(ReasonCode.TOKEN_MALFORMED, "This is not a capability token. The claim cnf is not a key.")
        token_seen = seen(claims.facts, claims.task_id, claims.on_behalf_of, len(claims.path))
        known = self._cache[digest] = Known(verified, token_seen, confirmation)
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return known

    def _active(self, tenant_id: str, agent_id: str) -> Agent | Refusal:
        agent = self._agents.get(tenant_id, agent_id)
        if agent is None or agent.status == "deleted":
            return Refusal(ReasonCode.AGENT_DELETED, f"The agent '{agent_id}' is deleted.")
        if agent.status != "active":
            return Refusal(ReasonCode.AGENT_SUSPENDED, f"The agent '{agent.name}' is suspended.")
        return agent

    def _stands(self, standing: Standing, tenant_id: str, now: float) -> bool:
        """Whether everything that the chain rests on is still in its place."""
        if standing.ends <= now:
            return False
        for node, agent in zip(standing.nodes, standing.agents, strict=True):
            if self._nodes.get(node.id) is not node or self._agents.get(tenant_id, agent.id) is not agent:
                return False
        return True

    def _standing(self, known: Known, agent: Agent, since_start: bool, now: float) -> Standing | Refusal:
        """The chain, every node of which is in force."""
        claims = known.verified.claims
        node = self._nodes.get(claims.node)
        if node is None or node.agent_id != agent.id or node.path != claims.path:
            return Refusal(ReasonCode.TOKEN_REVOKED, "The token is not on record.")
        # Whoever has stolen a signing key could write other claims for a node that there is.
        if node.scope != claims.scope or node.confirmation != claims.confirmation or node.seen != known.seen:
            return Refusal(ReasonCode.TOKEN_REVOKED, "The token says something else than what is on record.")
        if node.revoked or node.sequence <= agent.mark or claims.sequence <= agent.mark:
            return _revoked(node, agent)
        nodes, agents = list[Node](), list[Agent]()
        for id in claims.path:
            above = self._nodes.get(id)
            if above is None or above.expires_at <= now:
                return Refusal(ReasonCode.TOKEN_REVOKED, "A token that this one was handed down from is not on record.")
            holder = self._active(claims.tenant_id, above.agent_id)
            if isinstance(holder, Refusal):
                return replace(holder, reason=f"{holder.reason} This token was handed down from it.")
            if above.revoked or above.sequence <= holder.mark or claims.sequence <= holder.mark:
                return _revoked(above, holder)
            nodes.append(above)
            agents.append(holder)
        links = (
            *(
                Link(holder, above.scope, above.seen, above.hand_to, above.max_depth, above.usable, claims.root)
                for above, holder in zip(nodes, agents, strict=True)
            ),
            Link(agent, claims.scope, known.seen, node.hand_to, node.max_depth, node.usable, claims.root),
        )
        if refusal := check_chain(links):
            return refusal
        ends = min((above.expires_at for above in nodes), default=float(claims.expires_at))
        root_ends = nodes[0].expires_at if nodes else node.expires_at
        accepted = Accepted(claims, agent, links, root_ends, known.confirmation, since_start)
        return Standing((*nodes, node), (*agents, agent), ends, accepted)


def _revoked(node: Node, agent: Agent) -> Refusal:
    which = "The token was revoked, or one that it was handed down from." if node.revoked else ""
    reason = (
        which or f"All tokens of '{agent.name}' issued until then were revoked, and what was handed down from them."
    )
    return Refusal(ReasonCode.TOKEN_REVOKED, reason)
