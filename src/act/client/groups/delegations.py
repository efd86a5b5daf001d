"""Delegations: what agents hand down to one another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from act.client.call import Call, get, path, post
from act.client.groups.group import AsyncGroup, Group
from act.client.narrowing import Scope, agents_of, listed, scope_of, task_of
from act.client.proof import ProofKey
from act.client.proving import proved
from act.models import DelegationNode, IssuedToken


def delegate(
    parent_token: str,
    to: str,
    scope: list[dict[str, list[str]]] | None,
    expires_in: int | None,
    renew_for: int | None,
    grants: Iterable[str] | None,
    hand_to: Mapping[str, list[str]] | None,
    max_depth: int | None,
    task: Mapping[str, Any] | None,
    cnf: Mapping[str, Any] | None,
    key: ProofKey | None,
) -> Call[IssuedToken]:
    """`scope`, `task` and `hand_to` as `narrowing` makes them; `key` is what the parent token is bound to."""
    body = {
        "toAgentId": to,
        "scope": scope,
        "expiresIn": expires_in,
        "renewFor": renew_for,
        "grants": None if grants is None else listed("grants", grants),
        "to": hand_to,
        "maxDepth": max_depth,
        "task": task,
        "cnf": None if cnf is None else {"jwk": dict(cnf)},
    }
    given = proved(body, key, parent_token, "parentToken", "delegate", f"agent://{to}")
    return post(path("delegations"), IssuedToken, given)


def delegation_tree(token_id: str) -> Call[DelegationNode]:
    return get(path("delegations", token_id, "tree"), DelegationNode)


class Delegations(Group):
    """What agents hand down to one another."""

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
        """A token for the agent `to` (id or name), by right of `parent_token`; `guard.delegate` is the short way.

        Args:
            actions, resources: what is handed down (globs); `scope` is a list of several such parts.
            grants: `use`, `delegate`, or both; `use` by default.
            hand_to: with `delegate`, to whom it may be handed on: `{"roles": [...]}`, `{"agent_ids": [...]}` or both.
            max_depth: with `delegate`, how many agents may follow; 1 by default.
            task, facts: the task of the parent token, which its children share; facts need a key for `tokens`.
            cnf: the public JWK that the new token is bound to.
            key: what the parent token is bound to, if it is.
        """
        narrowed, given = scope_of(scope, actions, resources), task_of(task, facts)
        call = delegate(
            parent_token, to, narrowed, expires_in, renew_for, grants, agents_of(hand_to), max_depth, given, cnf, key
        )
        return self._send(call)

    def tree(self, token_id: str) -> DelegationNode:
        """The place of a token, and everything that was handed down from it."""
        return self._send(delegation_tree(token_id))


class AsyncDelegations(AsyncGroup):
    """What agents hand down to one another."""

    async def create(
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
        narrowed, given = scope_of(scope, actions, resources), task_of(task, facts)
        call = delegate(
            parent_token, to, narrowed, expires_in, renew_for, grants, agents_of(hand_to), max_depth, given, cnf, key
        )
        return await self._send(call)

    async def tree(self, token_id: str) -> DelegationNode:
        return await self._send(delegation_tree(token_id))
