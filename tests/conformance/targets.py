"""Three ways to ask ACT, which must all give the same answers: the pure engine, HTTP, and the embedded client."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from act import Act
from act.agents.agent import Agent, effective_roles
from act.client.embedded import URL, EmbeddedTransport, open_service
from act.client.errors import Unprocessable
from act.enforcement.decide import decide
from act.enforcement.demand import demand_of, refusal
from act.limits.book import Exceeded, LimitBook
from act.models import AgentCreate
from act.policies.bundle import compiled, read_bundle
from act.policies.draft import warnings
from act.policies.index import PolicyIndex
from act.policies.match import Call
from act.policies.policy import CompiledPolicy
from act.sessions.session import EMPTY, Session, merged
from act.tokens.chain import check_chain
from tests.conformance.bearers import Bearer, Minted, chain_of
from tests.support import Api, Server

Document = Mapping[str, Any]
AGENT = "agent://"


@dataclass(frozen=True)
class Bound:
    """How a policy was accepted; `roles` and `agent_ids` are None when it is for the whole tenant."""

    binding: str
    roles: list[str] | None
    agent_ids: list[str] | None
    warnings: list[str]


@dataclass(frozen=True)
class Refused:
    """The JSON pointers of a document's faults."""

    pointers: list[str]


@dataclass(frozen=True)
class Answer:
    """`policies` are the names of those that decided; `id` is what an outcome is reported on."""

    decision: str
    reason_code: str
    policies: list[str]
    id: str
    obligations: Mapping[str, int] = field(default_factory=dict)


class Target(Protocol):
    def register(self, agent: Document) -> None: ...

    def mint(self, bearer: Bearer) -> None:
        """Make a token, before there is any policy of the case."""

    def write(self, policy: Document) -> Bound | Refused: ...

    def ask(
        self, bearer: Bearer, action: str, resource: str, requester: str | None, asking: Bearer | None, **more: Any
    ) -> Answer:
        """One decision; `asking` is the token of the agent that asked for the call."""

    def report(self, id: str, status: str, labels: list[str], created: list[str]) -> None: ...

    def clean(self) -> None:
        """Leave nothing of the case behind."""


class PureEngine:
    """`decide` and a book of limits: no server, no database."""

    def __init__(self) -> None:
        self._agents: dict[str, Agent] = {}
        self._policies: list[CompiledPolicy] = []
        self._limits = LimitBook()
        self._sessions: dict[str, Session] = {}
        self._decided: dict[str, str] = {}

    def register(self, agent: Document) -> None:
        wire = AgentCreate.model_validate(agent)
        roles = effective_roles(wire.roles, wire.metadata)
        self._agents[wire.name] = Agent(wire.id or wire.name, wire.name, roles, "active", 0, wire.metadata)

    def mint(self, bearer: Bearer) -> None:
        refusal = check_chain(chain_of(bearer, self._agents))
        assert refusal is None, refusal

    def write(self, policy: Document) -> Bound | Refused:
        bundle = read_bundle(policy)
        if bundle.faults:
            return Refused([fault.pointer for fault in bundle.faults])
        written, agents = bundle.policies[0], list(self._agents.values())
        ready, bound = compiled(written, f"pol_{len(self._policies)}", agents)
        ready = ready if written.draft.id is None else replace(ready, id=written.draft.id)
        warned = warnings(written.draft, bound, agents, self._policies)
        if written.draft.enabled:
            self._policies.append(ready)
        return _bound(bound.binding, bound.applies_to, [warning.code for warning in warned])

    def ask(
        self, bearer: Bearer, action: str, resource: str, requester: str | None, asking: Bearer | None, **more: Any
    ) -> Answer:
        chain = chain_of(bearer, self._agents)
        theirs = None  # the session of a token that the chain has not grown from
        if asking is not None:
            if asking.key == bearer.key or (len(asking.links) == 1 and asking.root == bearer.root):
                asking = None
            else:
                theirs = self._sessions.get(asking.root, EMPTY).seen
        elif requester is not None:
            asking = Bearer(({"agent": self._find(requester).name},))
        now = datetime.fromisoformat(more["now"]) if "now" in more else datetime.now(UTC)
        key = bearer.task["id"] if bearer.task else bearer.root
        call = Call(
            action,
            resource,
            now,
            more.get("arguments", {}),
            more.get("context", {}),
            chain[-1].seen,
            self._sessions.get(key, EMPTY).seen,
            self._alias(resource),
        )
        requesting = chain_of(asking, self._agents) if asking else None
        ruling = decide(PolicyIndex(self._policies), chain, call, requesting, theirs)
        names = [policy.name for policy in ruling.policies]
        id = f"dec_{len(self._decided)}"
        self._decided[id] = key
        if not ruling.permitted:
            return Answer("denied", str(ruling.code), names, id)
        demand = demand_of("t", ruling.limits, math.inf)
        if exceeded := self._limits.look(demand, 0.0):
            return Answer("denied", str(refusal(ruling, exceeded)[0]), names, id)
        if ruling.approval:
            return Answer("pending_approval", "approval_required", names, id)
        assert not isinstance(self._limits.reserve(id, demand, 0.0), Exceeded)
        return Answer("allowed", "allowed", names, id, dict(ruling.obligations))

    def _find(self, label: str) -> Agent:
        return next(agent for agent in self._agents.values() if label in (agent.id, agent.name))

    def _alias(self, resource: str) -> str | None:
        """An agent is a resource by its name and by its id."""
        for agent in self._agents.values():
            for one, other in ((agent.id, agent.name), (agent.name, agent.id)):
                if resource == AGENT + one:
                    return AGENT + other
        return None

    def report(self, id: str, status: str, labels: list[str], created: list[str]) -> None:
        self._limits.release(id)
        key = self._decided[id]
        self._sessions[key] = merged(self._sessions.get(key, EMPTY), labels, created)

    def clean(self) -> None:
        self.__init__()  # type: ignore[misc]


class OverHttp:
    """A real server process, asked with documents as they are on the wire."""

    def __init__(self, server: Server) -> None:
        self._api: Api = server.api()
        self._minted = Minted(self._api)
        self._agents: dict[str, str] = {}
        self._policies: list[str] = []

    def register(self, agent: Document) -> None:
        self._agents[agent["name"]] = self._api.post("/v1/agents", agent)["id"]

    def mint(self, bearer: Bearer) -> None:
        self._minted.of(bearer, self._agents)

    def write(self, policy: Document) -> Bound | Refused:
        response = self._api.send("POST", "/v1/policies", policy)
        body = response.json()
        if response.status_code == 422:
            return Refused([fault["pointer"] for fault in body["errors"]])
        assert response.status_code == 201, body
        self._policies.append(body["id"])
        return _bound(body["binding"], body["appliesTo"], [warning["code"] for warning in body["warnings"]])

    def ask(
        self, bearer: Bearer, action: str, resource: str, requester: str | None, asking: Bearer | None, **more: Any
    ) -> Answer:
        known = {} if requester is None else {"requester": requester}
        if asking is not None:
            known["requesterToken"] = self._minted.of(asking, self._agents)
        answer = self._api.enforce(self._minted.of(bearer, self._agents), action, resource, **known, **more)
        names = [policy["name"] for policy in answer["policies"]]
        return Answer(answer["decision"], answer["reasonCode"], names, answer["decisionId"], answer["obligations"])

    def report(self, id: str, status: str, labels: list[str], created: list[str]) -> None:
        body = {"status": status, "labels": labels, "created": created}
        self._api.post(f"/v1/decisions/{id}/outcome", body, status=200)

    def clean(self) -> None:
        for policy_id in self._policies:
            self._api.delete(f"/v1/policies/{policy_id}")
        for agent_id in self._agents.values():
            self._api.delete(f"/v1/agents/{agent_id}")
        self._minted.forget()
        self._policies, self._agents = [], {}


class Embedded:
    """The service inside this process, asked through the SDK."""

    def __init__(self, path: Path) -> None:
        service = open_service(path)
        self._act = Act(URL, service.api_key, timeout=60.0, retries=0, transport=EmbeddedTransport(service))
        self._minted = Minted(Api(URL, service.api_key, EmbeddedTransport(service)))
        self._agents: dict[str, str] = {}
        self._policies: list[str] = []

    def register(self, agent: Document) -> None:
        fields = {name: value for name, value in agent.items() if name != "name"}
        self._agents[agent["name"]] = self._act.agents.create(agent["name"], **fields).id

    def mint(self, bearer: Bearer) -> None:
        self._minted.of(bearer, self._agents)

    def write(self, policy: Document) -> Bound | Refused:
        try:
            stored = self._act.policies.create(policy)
        except Unprocessable as error:
            return Refused([fault.pointer for fault in error.errors])
        self._policies.append(stored.id)
        return _bound(stored.binding, stored.applies_to, [warning.code for warning in stored.warnings])

    def ask(
        self, bearer: Bearer, action: str, resource: str, requester: str | None, asking: Bearer | None, **more: Any
    ) -> Answer:
        answer = self._act.enforce(
            self._minted.of(bearer, self._agents),
            action,
            resource,
            requester=requester,
            requester_token=self._minted.of(asking, self._agents) if asking else None,
            raise_on_error=True,
            **more,
        )
        assert answer.decision_id is not None
        names = [policy.name for policy in answer.policies]
        return Answer(str(answer.decision), str(answer.reason_code), names, answer.decision_id, answer.obligations)

    def report(self, id: str, status: Any, labels: list[str], created: list[str]) -> None:
        self._act.report_outcome(id, status, labels, created)

    def clean(self) -> None:
        for policy_id in self._policies:
            self._act.policies.delete(policy_id)
        for agent_id in self._agents.values():
            self._act.agents.delete(agent_id)
        self._minted.forget()
        self._policies, self._agents = [], {}

    def close(self) -> None:
        self._act.close()


def _bound(binding: str, to: Mapping[str, Sequence[str]] | None, warnings: list[str]) -> Bound:
    if to is None:
        return Bound(binding, None, None, warnings)
    return Bound(binding, list(to["roles"]), list(to["agentIds"]), warnings)
