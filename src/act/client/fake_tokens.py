"""The tokens of one `FakeAct`: strings that a guard can read like real ones, narrowed and revoked like real ones."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from act.client.claims import claimed
from act.client.deciding import Question, new_id
from act.client.errors import NotFound
from act.client.narrowing import Scope, agents_of, scope_of, task_of
from act.client.proof import ProofKey
from act.models import IssuedToken, ReasonCode, TokenRevoked
from act.policies.globs import compile_pattern
from act.proof_claims import base64url

LIFETIME: Final = 3600
TENANT: Final = "fake-tenant"

Parts = list[dict[str, list[str]]]


@dataclass(slots=True, eq=False)
class _Node:
    """A place in the tree. Its parent's narrowing and end are its own, too."""

    agent_id: str
    parent: _Node | None = None
    scope: Parts | None = None
    more: dict[str, Any] = field(default_factory=dict)
    revoked: bool = False

    def chain(self) -> list[_Node]:
        return [self] if self.parent is None else [*self.parent.chain(), self]


class FakeTokens:
    """As `Act.tokens`; `list`, `get` and `introspect` are not there."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}

    def issue(
        self,
        agent_id: str,
        *,
        expires_in: int | None = None,
        renew_for: int | None = None,
        policy_ids: Iterable[str] | None = None,
        scope: Scope | None = None,
        actions: Iterable[str] | None = None,
        resources: Iterable[str] | None = None,
        task: str | None = None,
        facts: Mapping[str, Any] | None = None,
        on_behalf_of: str | None = None,
        cnf: Mapping[str, Any] | None = None,
    ) -> IssuedToken:
        """A token for any agent; `policy_ids` and `renew_for` narrow nothing here."""
        more = _more(task_of(task, facts), cnf) | ({"sub": on_behalf_of} if on_behalf_of else {})
        return self._token(_Node(agent_id, None, scope_of(scope, actions, resources), more), expires_in)

    def rotate(
        self,
        id: str,
        *,
        expires_in: int | None = None,
        grace: int | None = None,
        token: str | None = None,
        key: ProofKey | None = None,
    ) -> IssuedToken:
        """A further token; the old one stays good."""
        return self._token(self._node(id), expires_in)

    def revoke(self, id: str) -> TokenRevoked:
        """From the next question on, for all that was handed down, too."""
        node = self._node(id)
        below = sum(node in other.chain()[:-1] for other in self._nodes.values())
        node.revoked = True
        return TokenRevoked(token_id=id, revoked=below + 1, delegated=below, revision=0)

    def hand_down(
        self, parent: str, agent_id: str, scope: Parts, more: dict[str, Any], seconds: int | None
    ) -> IssuedToken:
        """A token below another; below one that this fake did not make, it is narrowed by its own scope only."""
        above = self._nodes.get(claimed(parent).token_id or "") or _Node(claimed(parent).agent_id or "")
        return self._token(_Node(agent_id, above, scope, more), seconds)

    def refusal(self, question: Question) -> ReasonCode | None:
        """Why a token cannot be used for this; None for what this fake did not make."""
        node = self._nodes.get(claimed(question.token).token_id or "")
        if node is None:
            return None
        if any(link.revoked for link in node.chain()):
            return ReasonCode.TOKEN_REVOKED
        if "cnf" in node.more and question.proof is None:
            return ReasonCode.PROOF_REQUIRED
        covered = all(link.scope is None or _covers(link.scope, question) for link in node.chain())
        return None if covered else ReasonCode.CHAIN_SCOPE_EXCEEDED

    def _token(self, node: _Node, seconds: int | None) -> IssuedToken:
        id, now = f"tok_fake_{new_id()}", int(time.time())
        self._nodes[id] = node
        ends = now + (LIFETIME if seconds is None else seconds)
        more = node.more | {"iat": now, "exp": ends, "dlg": {"path": ["above"] * (len(node.chain()) - 1)}}
        if node.scope is not None:
            more["authorization_details"] = node.scope
        return IssuedToken(
            token=fake_token(node.agent_id, id, more),
            token_id=id,
            agent_id=node.agent_id,
            expires_at=datetime.fromtimestamp(ends, UTC),
            revision=0,
        )

    def _node(self, id: str) -> _Node:
        if id not in self._nodes:
            raise NotFound(f"There is no token {id}.", status=404)
        return self._nodes[id]


class FakeDelegations:
    """As `Act.delegations`; `tree` is not there. Everybody may hand anything down to anybody."""

    def __init__(self, tokens: FakeTokens) -> None:
        self._tokens = tokens

    def create(
        self,
        parent_token: str,
        to: str,
        *,
        scope: Scope | None = None,
        actions: Iterable[str] | None = None,
        resources: Iterable[str] | None = None,
        expires_in: int | None = None,
        renew_for: int | None = None,
        grants: Iterable[str] | None = None,
        hand_to: Mapping[str, Iterable[str]] | None = None,
        max_depth: int | None = None,
        task: str | None = None,
        facts: Mapping[str, Any] | None = None,
        cnf: Mapping[str, Any] | None = None,
        key: ProofKey | None = None,
    ) -> IssuedToken:
        """A token below `parent_token`; `renew_for`, `grants`, `hand_to` and `max_depth` change nothing here."""
        agents_of(hand_to)
        narrowed = scope_of(scope, actions, resources) or []
        return self._tokens.hand_down(parent_token, to, narrowed, _more(task_of(task, facts), cnf), expires_in)


def fake_token(agent_id: str, id: str, more: Mapping[str, Any]) -> str:
    """A string that reads as a token and is signed by nobody."""
    claims = {"client_id": agent_id, "sub": agent_id, "jti": id, "tid": TENANT, **more}
    return f"fake.{base64url(json.dumps(claims).encode())}.fake"


def _more(task: Mapping[str, Any] | None, cnf: Mapping[str, Any] | None) -> dict[str, Any]:
    return ({} if task is None else {"task": task}) | ({} if cnf is None else {"cnf": {"jwk": dict(cnf)}})


def _covers(scope: Parts, question: Question) -> bool:
    def fits(patterns: list[str], text: str) -> bool:
        return any(compile_pattern(pattern)(text) for pattern in patterns)

    return any(fits(part["actions"], question.action) and fits(part["resources"], question.resource) for part in scope)
