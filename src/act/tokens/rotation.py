"""A new token in the place of an old one, on the same node (RFC 9700, section 4.14: reuse is detected)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row

from act import models
from act.agents.live import LiveAgents
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.models import Scope
from act.problems import conflict, forbidden, not_found, unprocessable
from act.strict_json import Fault
from act.tenants.frozen import refuse_frozen
from act.tenants.live import LiveTenants
from act.tenants.tenant import ApiKey
from act.tokens import store
from act.tokens.mint import Mint, Minted, told
from act.tokens.possession import Possession, refused
from act.tokens.refusal import Refusal
from act.tokens.revocation import end_reused
from act.tokens.service import lifetime

HOLDERS_GRACE = 30
MAX_LIVE = 100
"""Tokens of one node that are good at once. Whoever holds one may rotate it, and each is held in memory."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A rotation that its caller may ask for.

    `grace` is how long the old tokens stay good, `seconds` how long the new one lives (None: as long as the old one),
    and `holder` says that it is asked for by right of the token alone.
    """

    id: str
    grace: timedelta
    seconds: int | None
    holder: bool


class RotationService:
    def __init__(
        self,
        writer: Writer,
        reader: Engine,
        clock: Clock,
        tenants: LiveTenants,
        agents: LiveAgents,
        mint: Mint,
        possession: Possession,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._tenants = tenants
        self._agents = agents
        self._mint = mint
        self._possession = possession

    def rotate(self, caller: ApiKey, id: str, body: models.TokenRotate) -> models.IssuedToken:
        """Issue the next token of a node; the ones before it are good for `grace` seconds more.

        Who holds the token needs no key for `tokens`, but can renew it only for as long as its issuer lets it be.

        Raises:
            ProblemError: 403 without the right; 404; 409 when the token cannot be continued; 422 for a time to live
                or a grace that is too long.
        """
        with self._reader.begin() as connection:
            if store.find(connection, caller.tenant_id, id) is None:
                raise not_found("token", id)
        holder = not caller.has(Scope.TOKENS)
        if holder and body.grace > HOLDERS_GRACE:
            message = f"The holder of a token gives the old one at most {HOLDERS_GRACE} seconds."
            raise unprocessable([Fault("/grace", message)])
        if holder or body.token is not None:
            self._held(caller, id, body)
        seconds = None if body.expires_in is None else lifetime(self._tenants.get(caller.tenant_id), body.expires_in)
        asked = _Asked(id, timedelta(seconds=body.grace), seconds, holder)
        return self._mint.issued(self._writer.write(lambda transaction: self._rotated(transaction, caller, asked)))

    def _rotated(self, transaction: Transaction, caller: ApiKey, asked: _Asked) -> Minted:
        """The next token; everything is looked at again, for it may have changed since it was asked."""
        refuse_frozen(transaction.connection, caller.tenant_id)
        row = store.find(transaction.connection, caller.tenant_id, asked.id)
        assert row is not None  # tokens are never deleted
        nodes, now = _chain(transaction.connection, row.node), self._clock.now()
        self._refuse_dead(row, nodes, now)
        issued_at = now.replace(microsecond=0)
        expires_at = self._end(row, nodes, issued_at, asked)
        node = _superseded(transaction, nodes[-1], now, now + asked.grace)
        actors = tuple(each.agent_id for each in nodes)
        minted = self._mint.further(transaction, node, actors, issued_at, expires_at)
        fields = told(minted.claims) | {"keyId": caller.id, "replaces": asked.id, "revision": minted.revision}
        transaction.record(caller.tenant_id, "token.rotated", fields)
        return minted

    def _end(self, row: Row[Any], nodes: Sequence[Row[Any]], issued_at: datetime, asked: _Asked) -> datetime:
        """When the next token of the last of `nodes`, the root first, is to end.

        Raises:
            ProblemError: 409 when that is over.
        """
        most = self._tenants.get(row.tenant_id).max_token_ttl
        lives = asked.seconds or min(int((row.expires_at - row.issued_at).total_seconds()), most)
        limits = [issued_at + timedelta(seconds=lives), *(above.expires_at for above in nodes[:-1])]
        if asked.holder:  # also when the tenant has lowered its maximum since
            limits += [nodes[-1].renew_until, nodes[0].created_at + timedelta(seconds=most)]
        end: datetime = min(limits)
        if end <= issued_at:
            raise conflict("token_not_renewable", "The token was renewed for as long as it may; issue a new one.")
        return end

    def _held(self, caller: ApiKey, id: str, body: models.TokenRotate) -> None:
        """Refuse who does not hold the token itself."""
        if body.token is None:
            detail = f"The API key '{caller.name}' lacks the scope 'tokens'; send the token itself to rotate it."
            raise forbidden("scope_missing", detail)
        asked = body.model_dump(
            mode="json", by_alias=True, exclude_unset=True, exclude={"token", "proof", "request_id"}
        )
        accepted = self._possession.of(
            caller, body.token, body.proof, "rotate", f"token://{id}", asked, body.request_id
        )
        if isinstance(accepted, Refusal):
            if (node := accepted.reused_node) is not None:
                self._writer.write(lambda transaction: end_reused(transaction, caller, node, self._clock.now()))
            raise refused(accepted, "/token")
        if accepted.claims.token_id != id:
            raise forbidden("token_mismatch", "The token that was sent is not the one that is to be rotated.")

    def _refuse_dead(self, row: Row[Any], nodes: Sequence[Row[Any]], now: datetime) -> None:
        for node in nodes:
            agent = self._agents.get(node.tenant_id, node.agent_id)
            if agent is None or agent.status == "deleted" or node.revoked_at is not None or node.sequence <= agent.mark:
                raise conflict("token_revoked", "The token was revoked, or one that it was handed down from.")
            if agent.status != "active":
                raise conflict("agent_suspended", f"The agent '{agent.name}' is suspended; resume it first.")
        if row.superseded_at is not None and row.superseded_at <= now:
            raise conflict("token_superseded", "Another token has taken the place of this one; rotate that one.")
        if row.expires_at <= now:
            raise conflict("token_expired", "The token has expired; issue a new one.")


def _chain(connection: Connection, id: str) -> list[Row[Any]]:
    """A node with all that it was handed down from, the root first."""
    node = store.node(connection, id)
    assert node is not None
    by_id = {each.id: each for each in store.node_rows(connection, node.path)}
    return [*(by_id[each] for each in node.path), node]


def _superseded(transaction: Transaction, node: Row[Any], now: datetime, end: datetime) -> Row[Any]:
    """End the tokens of a node at `end`; the node as it is then.

    Raises:
        ProblemError: 409 when too many of them are good at once.
    """
    if store.count_live(transaction.connection, node.id, now) >= MAX_LIVE:
        detail = f"The token was rotated {MAX_LIVE} times within the grace; wait until the old ones end."
        raise conflict("too_many_rotations", detail)
    for older in store.supersede(transaction.connection, node.id, end):
        transaction.change(node.tenant_id, "token", older)
    # What was handed down ends no later than the last token that it can have come from.
    store.end_node(transaction.connection, node.id, min(node.expires_at, end))
    after = store.node(transaction.connection, node.id)
    assert after is not None
    return after
