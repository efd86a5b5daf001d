"""Tokens and the nodes they stand for, as rows. The token string is never stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, literal, select, update

from act.database.tables import nodes, tokens

MAX_VARIABLES = 10_000

# What every read of a token also tells of its node.
_joined = tokens.join(nodes, tokens.c.node == nodes.c.id)
_of_node = (
    nodes.c.parent,
    nodes.c.path,
    nodes.c.scope,
    nodes.c.grants,
    nodes.c.task,
    nodes.c.on_behalf_of,
    nodes.c.cnf,
    nodes.c.revoked_at,
)


def add(connection: Connection, **values: Any) -> None:
    connection.execute(insert(tokens).values(**values))


def find(connection: Connection, tenant_id: str, id: str) -> Row[Any] | None:
    query = select(tokens, *_of_node).select_from(_joined)
    return connection.execute(query.where(tokens.c.tenant_id == tenant_id, tokens.c.id == id)).first()


def page(connection: Connection, tenant_id: str, agent_id: str | None, after: str, limit: int) -> Sequence[Row[Any]]:
    query = select(tokens, *_of_node).select_from(_joined).where(tokens.c.tenant_id == tenant_id, tokens.c.id > after)
    if agent_id is not None:
        query = query.where(tokens.c.agent_id == agent_id)
    return connection.execute(query.order_by(tokens.c.id).limit(limit)).all()


def last_sequence(connection: Connection, tenant_id: str) -> int:
    return connection.execute(select(func.max(tokens.c.sequence)).where(tokens.c.tenant_id == tenant_id)).scalar() or 0


def unexpired(connection: Connection, now: datetime) -> Sequence[Row[Any]]:
    return connection.execute(select(tokens).where(tokens.c.expires_at > now)).all()


def rows(connection: Connection, ids: Iterable[str]) -> Sequence[Row[Any]]:
    return [row for part in _parts(ids) for row in connection.execute(select(tokens).where(tokens.c.id.in_(part)))]


def tokens_of(connection: Connection, root: str, limit: int) -> Sequence[Row[Any]]:
    """The tokens of a node and of all below it."""
    tree = select(nodes.c.id).where(nodes.c.id == root).cte("tree", recursive=True)
    tree = tree.union_all(select(nodes.c.id).where(nodes.c.parent == tree.c.id))
    query = select(tokens).join(tree, tokens.c.node == tree.c.id)
    return connection.execute(query.order_by(tokens.c.id).limit(limit)).all()


def count_live(connection: Connection, node: str, now: datetime) -> int:
    """How many tokens of a node are neither expired nor replaced."""
    current = tokens.c.superseded_at.is_(None) | (tokens.c.superseded_at > now)
    here = (tokens.c.node == node, tokens.c.expires_at > now, current)
    return connection.execute(select(func.count()).where(*here)).scalar_one()


def supersede(connection: Connection, node: str, at: datetime) -> list[str]:
    """Let every token of the node end at `at`, unless it ends earlier. Answers the ids of those that changed."""
    later = (tokens.c.node == node) & (tokens.c.superseded_at.is_(None) | (tokens.c.superseded_at > at))
    ids = [row.id for row in connection.execute(select(tokens.c.id).where(later))]
    connection.execute(update(tokens).where(later).values(superseded_at=at))
    return ids


def add_node(connection: Connection, **values: Any) -> None:
    connection.execute(insert(nodes).values(**values))


def node(connection: Connection, id: str) -> Row[Any] | None:
    return connection.execute(select(nodes).where(nodes.c.id == id)).first()


def node_rows(connection: Connection, ids: Iterable[str]) -> Sequence[Row[Any]]:
    return [row for part in _parts(ids) for row in connection.execute(select(nodes).where(nodes.c.id.in_(part)))]


def _parts(ids: Iterable[str]) -> Iterator[list[str]]:
    """So few at a time that every SQLite takes them as the variables of one statement."""
    left = list(ids)
    for at in range(0, len(left), MAX_VARIABLES):
        yield left[at : at + MAX_VARIABLES]


def unexpired_nodes(connection: Connection, now: datetime) -> Sequence[Row[Any]]:
    return connection.execute(select(nodes).where(nodes.c.expires_at > now)).all()


def received(connection: Connection, tenant_id: str, agent_id: str, now: datetime) -> Sequence[Row[Any]]:
    """What is handed down to an agent: neither expired nor itself revoked."""
    query = select(nodes).where(
        nodes.c.tenant_id == tenant_id,
        nodes.c.agent_id == agent_id,
        nodes.c.parent.is_not(None),
        nodes.c.expires_at > now,
        nodes.c.revoked_at.is_(None),
    )
    return connection.execute(query.order_by(nodes.c.id)).all()


def end_node(connection: Connection, id: str, expires_at: datetime) -> None:
    connection.execute(update(nodes).where(nodes.c.id == id).values(expires_at=expires_at))


def revoke_node(connection: Connection, id: str, at: datetime) -> None:
    connection.execute(update(nodes).where(nodes.c.id == id, nodes.c.revoked_at.is_(None)).values(revoked_at=at))


def count_children(connection: Connection, id: str, now: datetime) -> int:
    """How many nodes directly below this one have not expired and are not revoked."""
    here = (nodes.c.parent == id, nodes.c.expires_at > now, nodes.c.revoked_at.is_(None))
    return connection.execute(select(func.count()).where(*here)).scalar_one()


def subtree(connection: Connection, id: str, limit: int) -> Sequence[Row[Any]]:
    """The node and all below it, each after its parent."""
    tree = select(nodes.c.id, literal(0).label("level")).where(nodes.c.id == id).cte("tree", recursive=True)
    tree = tree.union_all(select(nodes.c.id, tree.c.level + 1).where(nodes.c.parent == tree.c.id))
    query = select(nodes).join(tree, nodes.c.id == tree.c.id).order_by(tree.c.level, nodes.c.id)
    return connection.execute(query.limit(limit)).all()


def live_in_subtree(connection: Connection, node: str, now: datetime) -> list[str]:
    """The nodes of the live tokens in the subtree of a node, one for each token; none below what is revoked."""
    return _live_below(connection, nodes.c.id == node, now)


def live_of_agent(connection: Connection, tenant_id: str, agent_id: str, mark: int, now: datetime) -> list[str]:
    """As `live_in_subtree`, for everything issued to an agent after its mark, and all that was handed on from it."""
    own = (nodes.c.tenant_id == tenant_id) & (nodes.c.agent_id == agent_id) & (nodes.c.sequence > mark)
    return _live_below(connection, own, now)


def _live_below(connection: Connection, start: ColumnElement[bool], now: datetime) -> list[str]:
    tree = select(nodes.c.id).where(start, nodes.c.revoked_at.is_(None)).cte("tree", recursive=True)
    tree = tree.union(select(nodes.c.id).where(nodes.c.parent == tree.c.id, nodes.c.revoked_at.is_(None)))
    current = tokens.c.superseded_at.is_(None) | (tokens.c.superseded_at > now)
    query = select(tokens.c.node).join(tree, tokens.c.node == tree.c.id).where(tokens.c.expires_at > now, current)
    return [row.node for row in connection.execute(query)]
