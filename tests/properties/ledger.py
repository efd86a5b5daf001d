"""Tokens and their tree once more, as a book that is read from the beginning for every question. No import from `act`.

What policies say to a chain is asked of `tests.reference`; this is about what tokens, agents and time say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests import reference

Document = dict[str, Any]


@dataclass
class Agent:
    id: str
    name: str
    roles: list[str]
    status: str = "active"

    @property
    def document(self) -> Document:
        return {"id": self.id, "name": self.name, "roles": self.roles, "metadata": {}}


@dataclass
class Token:
    id: str
    text: str
    node: Node
    expires_at: datetime
    superseded_at: datetime | None = None
    gone: bool = False
    """Something that covers it was revoked, and that was answered."""


@dataclass
class Node:
    """`parent` is None for the first of a tree; `to` None says nothing of whom it may be handed to."""

    agent: Agent
    parent: Node | None = None
    scope: list[Document] | None = None
    grants: tuple[str, ...] = ("use", "delegate")
    to: Document | None = None
    max_depth: int = 8
    facts: Document = field(default_factory=dict)
    revoked: bool = False
    tokens: list[Token] = field(default_factory=list)

    @property
    def line(self) -> list[Node]:
        """From the first of the tree to this one."""
        return [*(self.parent.line if self.parent else []), self]

    @property
    def ends(self) -> datetime:
        return max(token.expires_at for token in self.tokens)


@dataclass
class Ledger:
    now: datetime
    agents: list[Agent] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    policies: dict[str, Document] = field(default_factory=dict)
    frozen: bool = False

    def add(self, node: Node, id: str, text: str, expires_at: datetime) -> Token:
        token = Token(id, text, node, expires_at)
        node.tokens.append(token)
        self.tokens.append(token)
        return token

    def revoke(self, node: Node) -> list[Token]:
        """What is over with a node: its own tokens, and those of every node below it."""
        node.revoked = True
        over = [token for token in self.tokens if node in token.node.line]
        for token in over:
            token.gone = True
        return over

    def revoke_agent(self, agent: Agent) -> None:
        """All that the agent was given so far, with what is below."""
        for token in list(self.tokens):
            if token.node.agent is agent:
                self.revoke(token.node)

    def reused(self, token: Token) -> bool:
        """Whether showing it says that two have it."""
        return (
            token.expires_at > self.now
            and token.node.agent.status == "active"
            and token.superseded_at is not None
            and token.superseded_at <= self.now
        )

    def good(self, token: Token) -> bool:
        """Whether the token itself may be shown, whatever the policies say."""
        line = token.node.line
        return (
            token.expires_at > self.now
            and (token.superseded_at is None or token.superseded_at > self.now)
            and all(node.agent.status == "active" and not node.revoked for node in line)
            and all(node.ends > self.now for node in line[:-1])
            and len({node.agent.id for node in line}) == len(line)
            and all(self._may_follow(line, at) for at in range(len(line) - 1))
        )

    @staticmethod
    def _may_follow(line: list[Node], at: int) -> bool:
        node, following = line[at], line[at + 1].agent
        return (
            "delegate" in node.grants
            and len(line) - 1 - at <= node.max_depth
            and (node.to is None or reference.applies({"appliesTo": node.to}, following.document))
        )

    def allowed(self, token: Token, action: str, resource: str) -> bool:
        if self.frozen or not self.good(token):
            return False
        chain = [
            {
                "agent": node.agent.document,
                "scope": node.scope,
                "policyIds": None,
                "grants": node.grants,
                "token": {"facts": node.facts, "task": None, "onBehalfOf": None, "depth": depth},
            }
            for depth, node in enumerate(token.node.line)
        ]
        asked = reference.Asked(action, resource, self.now)
        return reference.decide_chain(self.policies.values(), chain, asked).code == "allowed"
