"""Lines of agents that hand a task down, the one to the next: what the attacks on delegation begin with."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from act.client.proof import ProofKey
from tests.attacks.forge import unb64
from tests.support import Api

TASKS = "api://tasks/*"
TASK = "api://tasks/1"
SCOPE = [{"actions": ["run"], "resources": [TASKS]}]


def delegated(api: Api, parent: str, to: str, /, *, status: int = 201, **more: Any) -> Any:
    """Hand down; the answer, or the problem. `more` are fields as they are on the wire."""
    return api.post("/v1/delegations", {"parentToken": parent, "toAgentId": to, "scope": SCOPE} | more, status=status)


def told(problem: Any) -> list[str]:
    """The pointers of a problem."""
    return [error["pointer"] for error in problem["errors"]]


def code(api: Api, token: str, action: str = "run", resource: str = TASK, **more: Any) -> str:
    """The reason code of a decision; `allowed` comes only with `allowed`."""
    decision = api.enforce(token, action, resource, **more)
    assert (decision["decision"] == "allowed") is (decision["reasonCode"] == "allowed")
    return str(decision["reasonCode"])


def claims_of(token: str) -> Any:
    return json.loads(unb64(token.split(".")[1]))


def outlive(*tokens: str) -> None:
    """Wait until every one of the tokens has expired."""
    time.sleep(max(0.0, max(claims_of(token)["exp"] for token in tokens) - time.time()) + 0.1)


@dataclass(frozen=True)
class Line:
    """Agents of one role, and a token for each, handed down from the one before; the first is the root.

    `uses` and `gives` are the policies of the role: to run any task, and to hand that down within the role.
    """

    api: Api
    role: str
    agents: tuple[str, ...]
    issued: tuple[Any, ...]
    uses: str
    gives: str

    @property
    def tokens(self) -> list[str]:
        return [issued["token"] for issued in self.issued]

    @property
    def leaf(self) -> str:
        return str(self.issued[-1]["token"])

    def codes(self) -> list[str]:
        return [code(self.api, token) for token in self.tokens]

    def agent(self, *roles: str) -> str:
        """One more agent of the role."""
        return self.api.agent(None, self.role, *roles)

    def longer(self, **more: Any) -> Line:
        """Handed down once more, to an agent that may hand it on."""
        agent = self.agent()
        left = 8 - len(self.agents)
        on = {"grants": ["use", "delegate"], "maxDepth": left} if left else {"grants": ["use"]}
        child = delegated(self.api, self.leaf, agent, **(on | more))
        return replace(self, agents=(*self.agents, agent), issued=(*self.issued, child))

    def policy(self, actions: list[str], resources: list[str], *agents: int, **more: Any) -> Any:
        """A policy for some of the agents, by their places."""
        ids = [self.agents[at] for at in agents]
        return self.api.policy(actions, resources, appliesTo={"agentIds": ids}, **more)


def line(api: Api, length: int, *, root: dict[str, Any] | None = None) -> Line:
    """A line in which everything was handed down rightly.

    Args:
        root: more fields of the root's token.
    """
    role = f"role-{uuid4().hex}"
    uses = api.policy(["run"], [TASKS], appliesTo={"roles": [role]})
    gives = api.policy(["run"], [TASKS], appliesTo={"roles": [role]}, grants=["delegate"], delegation=within(role, 8))
    first = api.agent(None, role)
    issued = api.post("/v1/tokens", {"agentId": first} | (root or {}))
    made = Line(api, role, (first,), (issued,), uses["id"], gives["id"])
    while len(made.agents) < length:
        made = made.longer()
    return made


def within(role: str, max_depth: int = 1) -> dict[str, Any]:
    return {"to": {"roles": [role]}, "maxDepth": max_depth}


@dataclass(frozen=True)
class Holder:
    """Holds a key; makes the proofs for a token that is bound to it."""

    key: ProofKey
    api: Api

    @property
    def cnf(self) -> dict[str, Any]:
        return {"jwk": self.key.public_jwk}

    def proof(
        self, token: str, action: str, resource: str, request_id: str, arguments: dict[str, Any] | None = None
    ) -> str:
        tenant = claims_of(token)["tid"]
        return self.key.sign(token, action, resource, arguments or {}, request_id, tenant, time.time())

    def enforce(self, token: str, action: str = "run", resource: str = TASK, **more: Any) -> Any:
        id = uuid4().hex
        proof = self.proof(token, action, resource, id, more.get("arguments"))
        return self.api.enforce(token, action, resource, requestId=id, proof=proof, **more)

    def code(self, token: str, **more: Any) -> str:
        return str(self.enforce(token, **more)["reasonCode"])

    def handing(self, parent: str, to: str, **more: Any) -> dict[str, Any]:
        """The fields of a delegation from a token that is bound to the key."""
        id, asked = uuid4().hex, {"toAgentId": to, "scope": SCOPE} | more
        return more | {"proof": self.proof(parent, "delegate", f"agent://{to}", id, asked), "requestId": id}


def holder(api: Api) -> Holder:
    return Holder(ProofKey.generate(), api)
