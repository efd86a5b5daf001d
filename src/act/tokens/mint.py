"""Making tokens: a new node with its first token, or a further token for a node. Inside one unit of work."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row

from act import models
from act.audit.transaction import Transaction
from act.database.clock import Clock
from act.database.ids import new_id
from act.models import rfc3339
from act.problems import conflict, unprocessable
from act.strict_json import Fault
from act.tokens import store
from act.tokens.chain import MAX_DEPTH
from act.tokens.claims import Claims
from act.tokens.codec import sign
from act.tokens.live_keys import LiveKeys
from act.tokens.nodes import LiveNodes, stored_scope
from act.tokens.scope import Scope
from act.tokens.sequence import Sequences

MAX_CHILDREN = 1_000
MAX_TREE = 10_000
"""Nodes below one root. Each is held in memory, and whoever holds a token that may be handed down can make them."""
MAX_PATTERNS = 128
"""Of a scope, in all its parts together."""
MAX_PAYLOAD = 11 * 1024
"""Bytes of JSON: with the header and a signature this stays below what `codec.read` accepts, in base64url."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a node is to be. `path` are the nodes above it, the root first, and `actors` their agents and its own.

    `facts`, `hand_to` (`{"roles", "agentIds"}`) and `confirmation` (a JWK) are as on the wire.
    """

    actors: tuple[str, ...]
    path: tuple[str, ...] = ()
    scope: Scope | None = None
    grants: tuple[str, ...] = ("use", "delegate")
    hand_to: Mapping[str, Any] | None = None
    max_depth: int = MAX_DEPTH
    task_id: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    on_behalf_of: str | None = None
    confirmation: Mapping[str, Any] | None = None

    @property
    def agent_id(self) -> str:
        return self.actors[-1]


@dataclass(frozen=True, slots=True)
class Minted:
    """A token that is to be, and the revision that holds it."""

    claims: Claims
    expires_at: datetime
    revision: int


class Mint:
    def __init__(
        self, clock: Clock, sequences: Sequences, keys: LiveKeys, nodes: LiveNodes, *, issuer: str, audience: str
    ) -> None:
        self._clock = clock
        self._sequences = sequences
        self._keys = keys
        self._nodes = nodes
        self._issuer = issuer
        self._audience = audience

    def new_node(
        self,
        transaction: Transaction,
        tenant_id: str,
        grant: Grant,
        issued_at: datetime,
        expires_at: datetime,
        renew_until: datetime,
    ) -> Minted:
        """A node and its first token."""
        id, connection = new_id("nod"), transaction.connection
        scope = None
        if grant.scope is not None:
            policy_ids = None if grant.scope.policy_ids is None else sorted(grant.scope.policy_ids)
            scope = {"parts": grant.scope.to_wire(), "policyIds": policy_ids}
        store.add_node(
            connection,
            id=id,
            tenant_id=tenant_id,
            parent=grant.path[-1] if grant.path else None,
            path=list(grant.path),
            agent_id=grant.agent_id,
            sequence=self._sequences.next(connection, tenant_id),
            scope=scope,
            grants=list(grant.grants),
            hand_to=grant.hand_to,
            max_depth=grant.max_depth,
            task=None if grant.task_id is None else {"id": grant.task_id, "facts": grant.facts},
            on_behalf_of=grant.on_behalf_of,
            cnf=grant.confirmation,
            created_at=self._clock.now(),
            renew_until=renew_until,
            expires_at=expires_at,
        )
        row = store.node(connection, id)
        assert row is not None
        return self.further(transaction, row, grant.actors, issued_at, expires_at)

    def child(
        self, transaction: Transaction, parent: Claims, grant: Grant, seconds: int, renewable: int | None
    ) -> Minted:
        """A node below that of a token, which lives `seconds`, but no longer than that token.

        Its holder may renew it for `renewable` seconds (None: as long as that of the nodes above).

        What is above it is read in the same unit of work, so that nothing grows from what is being revoked.

        Raises:
            ProblemError: 409 when a node above is revoked by now, or as much has grown from it as may.
        """
        connection, now = transaction.connection, self._clock.now()
        above = store.node_rows(connection, grant.path)
        if len(above) != len(grant.path) or any(row.revoked_at is not None for row in above):
            raise conflict("token_revoked", "The parent token was revoked, or one that it was handed down from.")
        if store.count_children(connection, parent.node, now) >= MAX_CHILDREN:
            detail = f"The parent token has {MAX_CHILDREN} live delegations; revoke some, or let them expire."
            raise conflict("too_many_delegations", detail)
        if self._nodes.below(grant.path[0]) >= MAX_TREE:
            detail = f"{MAX_TREE} live delegations have grown from the first token of the chain; let them expire."
            raise conflict("too_many_delegations", detail)
        issued_at = now.replace(microsecond=0)
        ends = min(int(issued_at.timestamp()) + seconds, parent.expires_at)
        expires_at = datetime.fromtimestamp(ends, UTC)
        if expires_at <= issued_at:
            raise conflict("token_expired", "The parent token has expired.")
        renew_until = min(row.renew_until for row in above)
        if renewable is not None:
            renew_until = min(renew_until, issued_at + timedelta(seconds=renewable))
        return self.new_node(transaction, parent.tenant_id, grant, issued_at, expires_at, renew_until)

    def further(
        self,
        transaction: Transaction,
        node: Row[Any],
        actors: tuple[str, ...],
        issued_at: datetime,
        expires_at: datetime,
    ) -> Minted:
        """A further token of a node, which then lives at least as long."""
        connection, task = transaction.connection, node.task
        claims = Claims(
            issuer=self._issuer,
            audience=self._audience,
            token_id=new_id("tok"),
            issued_at=int(issued_at.timestamp()),
            not_before=int(issued_at.timestamp()),
            expires_at=int(expires_at.timestamp()),
            tenant_id=node.tenant_id,
            subject=node.on_behalf_of or node.agent_id,
            agent_id=node.agent_id,
            sequence=self._sequences.next(connection, node.tenant_id),
            node=node.id,
            path=tuple(node.path),
            actors=actors,
            grants=tuple(node.grants),
            hand_to=node.hand_to,
            max_depth=node.max_depth,
            scope=None if node.scope is None else stored_scope(node.scope),
            task_id=task["id"] if task else None,
            facts=task["facts"] if task else {},
            confirmation=node.cnf,
        )
        _refuse_too_large(claims)
        store.add(
            connection,
            id=claims.token_id,
            tenant_id=node.tenant_id,
            agent_id=node.agent_id,
            node=node.id,
            sequence=claims.sequence,
            issued_at=issued_at,
            expires_at=expires_at,
        )
        if node.expires_at < expires_at:
            store.end_node(connection, node.id, expires_at)
        transaction.change(node.tenant_id, "node", node.id)
        revision = transaction.change(node.tenant_id, "token", claims.token_id)
        return Minted(claims, expires_at, revision)

    def issued(self, minted: Minted, warnings: Sequence[models.Warned] = ()) -> models.IssuedToken:
        """The answer, with the token string, after the commit."""
        claims = minted.claims
        return models.IssuedToken(
            token=sign(claims, *self._keys.signing(claims.tenant_id)),
            token_id=claims.token_id,
            agent_id=claims.agent_id,
            node=claims.node,
            expires_at=minted.expires_at,
            warnings=list(warnings),
            revision=minted.revision,
        )


def _refuse_too_large(claims: Claims) -> None:
    """No token is made that nobody would accept, or that takes too much memory.

    Raises:
        ProblemError: 422.
    """
    parts = claims.scope.parts if claims.scope else ()
    if sum(len(part.actions) + len(part.resources) for part in parts) > MAX_PATTERNS:
        raise unprocessable([Fault("/scope", f"A scope has at most {MAX_PATTERNS} patterns in all.")])
    size = len(json.dumps(claims.to_payload(), separators=(",", ":")))
    if size > MAX_PAYLOAD:
        message = f"Scope, facts and key make a token of {size} bytes; the most is {MAX_PAYLOAD}. Use fewer patterns."
        raise unprocessable([Fault("/scope" if claims.scope else "/task/facts", message)])


def told(claims: Claims) -> dict[str, Any]:
    """What the audit log keeps of a token: no facts, no string."""
    return {
        "agentId": claims.agent_id,
        "tokenId": claims.token_id,
        "node": claims.node,
        "chain": list(claims.actors),
        "scope": None if claims.scope is None else claims.scope.to_details(),
        "grants": list(claims.grants),
        "taskId": claims.task_id,
        "onBehalfOf": claims.on_behalf_of,
        "boundToKey": True if claims.confirmation is not None else None,
        "expiresAt": rfc3339(datetime.fromtimestamp(claims.expires_at, UTC)),
    }
