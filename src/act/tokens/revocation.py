"""Ending a node of the delegation tree, inside one unit of work."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row

from act.agents.live import LiveAgents
from act.audit.transaction import Transaction
from act.tenants.tenant import ApiKey
from act.tokens import store


def agent_ended(agents: LiveAgents, row: Row[Any]) -> bool:
    """Whether the agent of a token or node is gone, or all that it had until then was revoked."""
    agent = agents.get(row.tenant_id, row.agent_id)
    return agent is None or agent.status == "deleted" or row.sequence <= agent.mark


def revoke_node(transaction: Transaction, tenant_id: str, id: str, now: datetime) -> tuple[list[str], int]:
    """Revoke a node. Answers the nodes of the live tokens that this ends, one for each token, and the revision."""
    row = store.node(transaction.connection, id)
    above = store.node_rows(transaction.connection, row.path) if row is not None else []
    dead = any(node.revoked_at is not None for node in above)
    live = [] if dead else store.live_in_subtree(transaction.connection, id, now)
    store.revoke_node(transaction.connection, id, now)
    return live, transaction.change(tenant_id, "node", id)


def end_reused(transaction: Transaction, caller: ApiKey, node: str, now: datetime) -> None:
    """Revoke a node of which a token was used that another had replaced: someone has both (RFC 9700, section 4.14)."""
    live, revision = revoke_node(transaction, caller.tenant_id, node, now)
    fields = {"keyId": caller.id, "node": node, "tokens": len(live), "revision": revision}
    transaction.record(caller.tenant_id, "token.reuse_detected", fields)
