"""The tokens of golden cases: what is said of one, the chain that it makes, and really minting it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from act.agents.agent import Agent
from act.policies.audience import Audience
from act.tokens.chain import MAX_DEPTH, Link
from act.tokens.nodes import seen
from act.tokens.scope import Scope, scope_of
from tests.support import Api

Document = Mapping[str, Any]
EVERYTHING = [{"actions": ["*"], "resources": ["*"]}]


@dataclass(frozen=True)
class Bearer:
    """A token by what is said of it: the agents it was handed down by and to, the last of whom holds it.

    `links` has for each an `agent` by name, and the fields of `/v1/delegations` (of `/v1/tokens` for the first);
    `task` and `on_behalf_of` are those of the first token. Two with the same first token have one session.
    """

    links: tuple[Document, ...]
    task: Document | None = None
    on_behalf_of: str | None = None

    @property
    def agent(self) -> str:
        return str(self.links[-1]["agent"])

    @property
    def root(self) -> str:
        """Tells first tokens apart."""
        return json.dumps([self.links[0], self.task, self.on_behalf_of], sort_keys=True)

    @property
    def key(self) -> str:
        """Tells tokens apart."""
        return json.dumps([self.links, self.root], sort_keys=True)

    def grants(self, at: int) -> Document:
        """What a link may do with what it was handed: use it, and hand it on where another follows it."""
        follow = len(self.links) - 1 - at
        usual = {"grants": ["use", "delegate"], "maxDepth": follow} if follow else {"grants": ["use"]}
        return usual | {name: self.links[at][name] for name in ("grants", "to", "maxDepth") if name in self.links[at]}


def chain_of(bearer: Bearer, agents: Mapping[str, Agent]) -> list[Link]:
    """The chain as the pure engine takes it, of agents by name."""
    task = bearer.task or {}
    links = []
    for at, link in enumerate(bearer.links):
        token = seen(task.get("facts", {}), task.get("id"), bearer.on_behalf_of, at)
        own = Link(agents[link["agent"]], _scope(link, at), token)
        if at:
            grants = bearer.grants(at)
            own = own._replace(
                hand_to=_audience(grants.get("to")),
                max_depth=grants.get("maxDepth", 0),
                usable="use" in grants["grants"],
            )
        links.append(own)
    return links


class Minted:
    """The tokens of a case, really issued and handed down."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._tokens: dict[str, str] = {}

    def of(self, bearer: Bearer, agents: Mapping[str, str]) -> str:
        """The token string. While it is handed down everybody may hand everything down.

        Args:
            agents: ids by name.
        """
        if bearer.key not in self._tokens:
            ids = [agents[link["agent"]] for link in bearer.links]
            if len(ids) == 1:
                return self._root(bearer, ids[0])
            to = {"to": {"agentIds": ids}, "maxDepth": MAX_DEPTH}
            lent = self._api.policy(appliesTo={"agentIds": ids}, grants=["delegate"], delegation=to)
            token = self._root(bearer, ids[0])
            for at, id in enumerate(ids[1:], 1):
                scope = bearer.links[at].get("scope", EVERYTHING)
                body = {"parentToken": token, "toAgentId": id, "scope": scope, **bearer.grants(at)}
                token = self._api.post("/v1/delegations", body)["token"]
            self._tokens[bearer.key] = token
            self._api.delete(f"/v1/policies/{lent['id']}")
        return self._tokens[bearer.key]

    def _root(self, bearer: Bearer, agent_id: str) -> str:
        if bearer.root not in self._tokens:
            narrowed = {name: value for name, value in bearer.links[0].items() if name != "agent"}
            more = {"task": bearer.task, "onBehalfOf": bearer.on_behalf_of}
            given = narrowed | {name: value for name, value in more.items() if value is not None}
            self._tokens[bearer.root] = self._api.token(agent_id, **given)
        return self._tokens[bearer.root]

    def forget(self) -> None:
        self._tokens.clear()


def _scope(link: Document, at: int) -> Scope | None:
    """A first token without a scope reaches everywhere, and a delegation as far as the case says."""
    if not at and "scope" not in link and "policyIds" not in link:
        return None
    parts: Iterable[Document] = link.get("scope", EVERYTHING)
    return scope_of(((part["actions"], part["resources"]) for part in parts), link.get("policyIds"))


def _audience(to: Document | None) -> Audience | None:
    return None if to is None else Audience(False, frozenset(to.get("roles", ())), frozenset(to.get("agentIds", ())))
