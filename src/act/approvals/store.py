"""Approvals as rows."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update

from act.approvals.approval import Approval, Vote
from act.database.tables import approvals, from_microseconds, microseconds
from act.policies.demands import Demand


def add(connection: Connection, approval: Approval, **shown: Any) -> None:
    """Store a new approval; `shown` is what the person who decides will see."""
    connection.execute(
        insert(approvals).values(
            id=approval.id,
            tenant_id=approval.tenant_id,
            binding=approval.binding,
            demands=[_demanded(demand) for demand in approval.demands],
            asked_by=approval.asked_by,
            asker=approval.asker,
            users=list(approval.users),
            root_agent_id=approval.root_agent_id,
            created_at=approval.created_at,
            expires_at=approval.expires_at,
            **_state(approval),
            **shown,
        )
    )


def step(connection: Connection, before: Approval, after: Approval, **rest: Any) -> bool:
    """Store a step, unless another was faster; `rest` is what stays of what the person saw."""
    here = (approvals.c.id == before.id) & (approvals.c.status == before.status)
    return connection.execute(update(approvals).where(here).values(**_state(after), **rest)).rowcount == 1


def erase(connection: Connection, id: str, context: Mapping[str, Any], *, open: bool) -> None:
    """Erase the arguments, and of the context all but `context`; of an open approval, once it is settled.

    The binding is a hash of the arguments without a salt: it goes, too, and after a restart nothing is known of them.
    """
    gone: dict[str, Any] = {"arguments": None, "context": context, "binding": no_binding()}
    values = {"erase": True} | ({} if open else gone)
    connection.execute(update(approvals).where(approvals.c.id == id).values(**values))


def no_binding() -> bytes:
    """In the place of a binding that was erased: nothing that is asked has it."""
    return secrets.token_bytes(32)


def find(connection: Connection, tenant_id: str, id: str) -> Row[Any] | None:
    return connection.execute(select(approvals).where(approvals.c.tenant_id == tenant_id, approvals.c.id == id)).first()


def page(connection: Connection, tenant_id: str, status: str | None, after: str, limit: int) -> Sequence[Row[Any]]:
    query = select(approvals).where(approvals.c.tenant_id == tenant_id, approvals.c.id > after)
    if status is not None:
        query = query.where(approvals.c.status == status)
    return connection.execute(query.order_by(approvals.c.id).limit(limit)).all()


def unsettled(connection: Connection, since: datetime) -> Sequence[Row[Any]]:
    """Approvals that can still matter: open ones, and those whose time ended after `since`."""
    matters = or_(approvals.c.status.in_(("pending", "approved")), approvals.c.expires_at > since)
    return connection.execute(select(approvals).where(matters).order_by(approvals.c.id)).all()


def rows(connection: Connection, ids: Iterable[str]) -> Sequence[Row[Any]]:
    return connection.execute(select(approvals).where(approvals.c.id.in_(list(ids)))).all()


def value(row: Row[Any]) -> Approval:
    """A row as the machine sees it."""
    rejection = row.rejection
    return Approval(
        id=row.id,
        tenant_id=row.tenant_id,
        binding=row.binding,
        status=row.status,
        demands=tuple(_demand(demand) for demand in row.demands),
        votes=tuple(_vote(vote) for vote in row.votes),
        rejection=_vote(rejection["vote"]) if rejection else None,
        reason=rejection["reason"] if rejection else None,
        asked_by=row.asked_by,
        asker=row.asker,
        users=tuple(row.users),
        root_agent_id=row.root_agent_id,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def _state(approval: Approval) -> dict[str, Any]:
    rejection = None
    if approval.rejection is not None:
        rejection = {"vote": _written(approval.rejection), "reason": approval.reason}
    return {
        "status": approval.status,
        "votes": [_written(vote) for vote in approval.votes],
        "rejection": rejection,
    }


def _demanded(demand: Demand) -> dict[str, Any]:
    return {"approvers": demand.approvers, "roles": None if demand.roles is None else demand.names}


def _demand(written: dict[str, Any]) -> Demand:
    roles = written["roles"]
    return Demand(written["approvers"], None if roles is None else frozenset(roles))


def _written(vote: Vote) -> dict[str, Any]:
    told: dict[str, Any] = {"keyId": vote.key_id, "keyName": vote.key_name, "at": microseconds(vote.at)}
    return told | {"roles": sorted(vote.roles), "person": vote.person}


def _vote(written: dict[str, Any]) -> Vote:
    return Vote(
        written["keyId"],
        written["keyName"],
        from_microseconds(written["at"]),
        frozenset(written["roles"]),
        written["person"],
    )
