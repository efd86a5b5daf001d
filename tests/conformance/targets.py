"""Three ways to ask ACT, which must all give the same answers: the pure engine, HTTP, and the embedded client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from act import Act
from act.agents.agent import Agent, effective_roles
from act.client.errors import Unprocessable
from act.enforcement.decide import decide
from act.limits.leases import LeaseBook, LeaseKey, Wanted
from act.models import AgentCreate, PolicyDraft
from act.policies import constraints
from act.policies.draft import bind, hand_down, warnings
from act.policies.index import PolicyIndex
from act.policies.match import Call
from act.policies.policy import compile_policy
from act.problems import faults_of_validation
from act.sessions.session import EMPTY, Session, merged
from act.tokens.chain import alone
from tests.support import Api, Server

Document = Mapping[str, Any]


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

    def write(self, policy: Document) -> Bound | Refused: ...

    def ask(self, agent: str, action: str, resource: str, requester: str | None, **more: Any) -> Answer: ...

    def report(self, id: str, status: str, labels: list[str], created: list[str]) -> None: ...

    def clean(self) -> None:
        """Leave nothing of the case behind."""


class PureEngine:
    """`decide` and a lease book: no server, no database."""

    def __init__(self) -> None:
        self._agents: dict[str, Agent] = {}
        self._policies: list[Any] = []
        self._leases = LeaseBook()
        # Each agent has one token in a case, and so one session.
        self._sessions: dict[str, Session] = {}
        self._decided: dict[str, str] = {}
        self._count = 0

    def register(self, agent: Document) -> None:
        wire = AgentCreate.model_validate(agent)
        roles = effective_roles(wire.roles, wire.metadata)
        self._agents[wire.name] = Agent(wire.id or wire.name, wire.name, roles, "active", 0, wire.metadata)

    def write(self, policy: Document) -> Bound | Refused:
        try:
            draft = PolicyDraft.model_validate(policy)
        except ValidationError as error:
            return Refused([fault.pointer for fault in faults_of_validation(error, policy)])
        agents = list(self._agents.values())
        bound = bind(draft, agents, require_binding=False)
        if draft.enabled:
            self._policies.append(
                compile_policy(
                    id=f"pol_{len(self._policies)}",
                    name=draft.name,
                    version=1,
                    effect=draft.effect,
                    audience=bound.audience,
                    actions=draft.actions,
                    resources=draft.resources,
                    constraints=constraints.from_wire(draft.constraints),
                    arguments=draft.arguments,
                    when=draft.when,
                    usable="use" in draft.grants,
                    hand_down=hand_down(draft.delegation),
                    shadow=draft.mode == "shadow",
                    valid_from=draft.valid_from,
                    valid_until=draft.valid_until,
                )
            )
        warned = warnings(draft, bound, agents, self._policies[:-1])
        return _bound(bound.binding, bound.applies_to, [warning.code for warning in warned])

    def ask(self, agent: str, action: str, resource: str, requester: str | None, **more: Any) -> Answer:
        acting = self._agents[agent]
        asking = self._find(requester) if requester else None
        now = datetime.fromisoformat(more["now"]) if "now" in more else datetime.now(UTC)
        session = self._sessions.get(agent, EMPTY).seen
        call = Call(action, resource, now, more.get("arguments", {}), more.get("context", {}), session=session)
        ruling = decide(PolicyIndex(self._policies), alone(acting), call, alone(asking) if asking else None)
        names = [policy.name for policy in ruling.policies]
        self._count += 1
        id = f"dec_{self._count}"
        self._decided[id] = agent
        if not ruling.permitted:
            return Answer("denied", str(ruling.code), names, id)
        wanted = [
            Wanted(LeaseKey("t", limit.policy.id, limit.agent_id), limit.terms.limit, limit.terms.lease_seconds)
            for limit in ruling.limits
        ]
        if self._leases.full(wanted, 0.0):
            return Answer("denied", "concurrency_exceeded", names, id)
        if ruling.approval:
            return Answer("pending_approval", "approval_required", names, id)
        self._leases.reserve(id, wanted, 0.0)
        return Answer("allowed", "allowed", names, id, dict(ruling.obligations))

    def _find(self, label: str) -> Agent:
        return next(agent for agent in self._agents.values() if label in (agent.id, agent.name))

    def report(self, id: str, status: str, labels: list[str], created: list[str]) -> None:
        self._leases.release(id)
        agent = self._decided[id]
        self._sessions[agent] = merged(self._sessions.get(agent, EMPTY), labels, created)

    def clean(self) -> None:
        self.__init__()  # type: ignore[misc]


class OverHttp:
    """A real server process, asked with documents as they are on the wire."""

    def __init__(self, server: Server) -> None:
        self._api: Api = server.api()
        self._agents: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        self._policies: list[str] = []

    def register(self, agent: Document) -> None:
        self._agents[agent["name"]] = self._api.post("/v1/agents", agent)["id"]

    def write(self, policy: Document) -> Bound | Refused:
        response = self._api.send("POST", "/v1/policies", policy)
        body = response.json()
        if response.status_code == 422:
            return Refused([fault["pointer"] for fault in body["errors"]])
        assert response.status_code == 201, body
        self._policies.append(body["id"])
        return _bound(body["binding"], body["appliesTo"], [warning["code"] for warning in body["warnings"]])

    def ask(self, agent: str, action: str, resource: str, requester: str | None, **more: Any) -> Answer:
        if agent not in self._tokens:
            self._tokens[agent] = self._api.token(self._agents[agent])
        asking = {} if requester is None else {"requester": requester}
        answer = self._api.enforce(self._tokens[agent], action, resource, **asking, **more)
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
        self._policies, self._agents, self._tokens = [], {}, {}


class Embedded:
    """The service inside this process, asked through the SDK."""

    def __init__(self, path: Path) -> None:
        self._act = Act.embedded(path)
        self._agents: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        self._policies: list[str] = []

    def register(self, agent: Document) -> None:
        fields = {name: value for name, value in agent.items() if name != "name"}
        self._agents[agent["name"]] = self._act.agents.create(agent["name"], **fields).id

    def write(self, policy: Document) -> Bound | Refused:
        try:
            stored = self._act.policies.create(policy)
        except Unprocessable as error:
            return Refused([fault.pointer for fault in error.errors])
        self._policies.append(stored.id)
        return _bound(stored.binding, stored.applies_to, [warning.code for warning in stored.warnings])

    def ask(self, agent: str, action: str, resource: str, requester: str | None, **more: Any) -> Answer:
        if agent not in self._tokens:
            self._tokens[agent] = self._act.tokens.issue(self._agents[agent]).token
        answer = self._act.enforce(
            self._tokens[agent], action, resource, requester=requester, raise_on_error=True, **more
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
        self._policies, self._agents, self._tokens = [], {}, {}

    def close(self) -> None:
        self._act.close()


def _bound(binding: str, to: Mapping[str, Sequence[str]] | None, warnings: list[str]) -> Bound:
    if to is None:
        return Bound(binding, None, None, warnings)
    return Bound(binding, list(to["roles"]), list(to["agentIds"]), warnings)
