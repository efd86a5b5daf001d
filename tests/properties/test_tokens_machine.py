"""Tokens handed out, handed down, rotated and revoked in any order, on a real node with a clock that is moved by hand.

Every decision is held against `tests.properties.ledger`; and what a revocation covered is never allowed again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.in_process import InProcess
from tests.properties.ledger import Agent, Ledger, Node, Token

DEEP = os.environ.get("ACT_DEEP") == "1"
TENANT = "/v1/tenants/default-tenant"
ROLES = ("planner", "executor", "helper")
CALLS = [("read", "file://a"), ("read", "file://b"), ("write", "file://a")]
SCOPES = [
    [{"actions": ["*"], "resources": ["*"]}],
    [{"actions": ["read"], "resources": ["file://*"]}],
    [{"actions": ["read", "write"], "resources": ["file://a"]}],
]
ALL = {"roles": list(ROLES), "agentIds": []}


def _policy(**fields: Any) -> dict[str, Any]:
    return {"effect": "allow", "actions": ["*"], "resources": ["*"], "appliesTo": ALL, "name": "Policy"} | fields


POLICIES = [
    _policy(),
    _policy(grants=["use", "delegate"], delegation={"to": ALL, "maxDepth": 8}),
    _policy(grants=["delegate"], delegation={"to": ALL, "maxDepth": 2}),
    _policy(
        appliesTo={"roles": ["planner"], "agentIds": []},
        grants=["delegate"],
        delegation={"to": {"roles": ["executor"], "agentIds": []}, "maxDepth": 1},
    ),
    _policy(effect="deny", actions=["write"], resources=["file://a"], appliesTo={"roles": ["helper"], "agentIds": []}),
    _policy(constraints={"requiresDelegation": True}, appliesTo={"roles": ["executor"], "agentIds": []}),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """One for all examples: each has agents of its own."""
    world = InProcess(tmp_path_factory.mktemp("machine"))
    yield world
    world.close()


which = st.integers(0, 1_000)


class TokensMachine(RuleBasedStateMachine):
    world: ClassVar[InProcess]

    def __init__(self) -> None:
        super().__init__()
        self.api = self.world.api
        self.ledger = Ledger(self.world.clock.now())

    # --- what there is ---

    @initialize()
    def begin(self) -> None:
        for role in ROLES:
            self.register(role)
        self.write(0)
        self.write(1)
        for agent in self.ledger.agents:
            self.issue(agent, None, 3600)
        # A first chain, so that there is something to take back from the start.
        for receiver in (1, 2):
            at = 0 if receiver == 1 else len(self.ledger.tokens) - 1
            self.handed_down(self.ledger.tokens[at], receiver, SCOPES[0], None, ("use", "delegate"), None, 3 - receiver)
        assert len(self.ledger.tokens[-1].node.line) == 3

    def register(self, role: str) -> None:
        name = f"{role}-{uuid4().hex}"
        self.ledger.agents.append(Agent(self.api.agent(name, role), name, [role]))

    def write(self, number: int) -> None:
        written = self.api.post("/v1/policies", POLICIES[number])
        self.ledger.policies[written["id"]] = POLICIES[number] | {"id": written["id"]}

    def issue(self, agent: Agent, scope: Any, seconds: int) -> None:
        body = {"agentId": agent.id, "expiresIn": seconds} | ({} if scope is None else {"scope": scope})
        response = self.api.send("POST", "/v1/tokens", body)
        assert (response.status_code == 201) is (agent.status == "active" and not self.ledger.frozen), response.text
        if response.status_code == 201:
            self.put(Node(agent, scope=scope), response.json())

    def put(self, node: Node, issued: Any) -> None:
        self.ledger.add(node, issued["tokenId"], issued["token"], datetime.fromisoformat(issued["expiresAt"]))

    def pick(self, number: int, kept: bool = True) -> Token:
        """A token; while `kept`, one that is good where there is one."""
        good = [token for token in self.ledger.tokens if self.ledger.good(token)] if kept else []
        found = good or self.ledger.tokens
        return found[number % len(found)]

    # --- what happens ---

    @rule(role=st.sampled_from(ROLES))
    def another_agent(self, role: str) -> None:
        if len(self.ledger.agents) < 6:
            self.register(role)

    @rule(number=which, scope=st.sampled_from([None, *SCOPES]), seconds=st.sampled_from([40, 600, 3600]))
    def another_token(self, number: int, scope: Any, seconds: int) -> None:
        self.issue(self.ledger.agents[number % len(self.ledger.agents)], scope, seconds)

    @rule(
        number=which,
        kept=st.sampled_from([True, True, True, False]),
        receiver=which,
        scope=st.sampled_from(SCOPES),
        seconds=st.sampled_from([None, 40, 600]),
        grants=st.sampled_from([("use",), ("use", "delegate"), ("delegate",)]),
        to=st.sampled_from([None, {"roles": ["helper"], "agentIds": []}]),
        depth=st.integers(1, 3),
    )
    def hand_down(
        self,
        number: int,
        kept: bool,
        receiver: int,
        scope: Any,
        seconds: int | None,
        grants: tuple[str, ...],
        to: Any,
        depth: int,
    ) -> None:
        self.handed_down(self.pick(number, kept), receiver, scope, seconds, grants, to, depth)

    def handed_down(
        self,
        parent: Token,
        receiver: int,
        scope: Any,
        seconds: int | None,
        grants: tuple[str, ...],
        to: Any,
        depth: int,
    ) -> None:
        ledger = self.ledger
        agent = ledger.agents[receiver % len(ledger.agents)]
        hands_on = "delegate" in grants
        body = {"parentToken": parent.text, "toAgentId": agent.id, "scope": scope, "grants": grants}
        body |= {} if seconds is None else {"expiresIn": seconds}
        body |= {"maxDepth": depth} | ({} if to is None else {"to": to}) if hands_on else {}
        reused = ledger.reused(parent)
        response = self.api.send("POST", "/v1/delegations", body)
        if reused:
            ledger.revoke(parent.node)
        if response.status_code != 201:
            assert response.status_code in (404, 409, 422), response.text
            return
        assert ledger.good(parent), "a child of a token that is not good"
        assert not ledger.frozen
        assert agent.status == "active"
        child = Node(agent, parent.node, scope, grants, to if hands_on else None, depth if hands_on else 0)
        self.put(child, response.json())
        assert child.ends <= parent.expires_at

    @rule(number=which, kept=st.sampled_from([True, True, False]), grace=st.sampled_from([0, 30]))
    def rotate(self, number: int, kept: bool, grace: int) -> None:
        ledger, token = self.ledger, self.pick(number, kept)
        line = token.node.line
        dead = any(node.revoked or node.agent.status != "active" for node in line) or token.expires_at <= ledger.now
        response = self.api.send("POST", f"/v1/tokens/{token.id}/rotate", {"grace": grace})
        if ledger.frozen or dead:
            assert response.status_code == 409, response.text
        elif token.superseded_at is not None and token.superseded_at <= ledger.now:
            # An operator names an old token by its id; nobody has shown it, so nobody has stolen it.
            assert response.json()["code"] == "token_superseded"
        elif response.status_code == 201:
            at = ledger.now + timedelta(seconds=grace)
            for older in token.node.tokens:
                older.superseded_at = at if older.superseded_at is None else min(older.superseded_at, at)
            self.put(token.node, response.json())
            assert all(token.node.ends <= above.ends for above in line[:-1])
        else:
            assert response.json()["code"] == "token_not_renewable"

    @rule(number=which)
    def revoke_a_token(self, number: int) -> None:
        token = self.pick(number, kept=number % 4 > 0)
        good = [one for one in self.ledger.tokens if token.node in one.node.line and self.ledger.good(one)]
        told = self.api.post(f"/v1/tokens/{token.id}/revoke", status=200)
        self.ledger.revoke(token.node)
        assert told["revoked"] >= len(good)

    @rule(number=which)
    def revoke_the_tokens_of_an_agent(self, number: int) -> None:
        agent = self.ledger.agents[number % len(self.ledger.agents)]
        self.api.post(f"/v1/agents/{agent.id}/revoke-tokens", status=404 if agent.status == "deleted" else 200)
        self.ledger.revoke_agent(agent)

    @rule(number=which)
    def suspend_or_resume(self, number: int) -> None:
        agent = self.ledger.agents[number % len(self.ledger.agents)]
        if agent.status != "deleted":
            verb, status = ("suspend", "suspended") if agent.status == "active" else ("resume", "active")
            self.api.post(f"/v1/agents/{agent.id}/{verb}", status=200)
            agent.status = status

    @precondition(lambda self: sum(agent.status != "deleted" for agent in self.ledger.agents) > 2)
    @rule(number=which)
    def delete_an_agent(self, number: int) -> None:
        agent = self.ledger.agents[number % len(self.ledger.agents)]
        if agent.status != "deleted":
            self.api.delete(f"/v1/agents/{agent.id}")
            agent.status = "deleted"
            self.ledger.revoke_agent(agent)

    @rule(number=which, role=st.sampled_from(ROLES))
    def change_a_role(self, number: int, role: str) -> None:
        agent = self.ledger.agents[number % len(self.ledger.agents)]
        if agent.status != "deleted":
            self.api.patch(f"/v1/agents/{agent.id}", {"roles": [role]})
            agent.roles = [role]

    @rule(number=st.integers(0, len(POLICIES) - 1))
    def another_policy(self, number: int) -> None:
        if len(self.ledger.policies) < 5:
            self.write(number)

    @rule(number=which)
    def drop_a_policy(self, number: int) -> None:
        if len(self.ledger.policies) > 1:
            id = list(self.ledger.policies)[number % len(self.ledger.policies)]
            self.api.delete(f"/v1/policies/{id}")
            del self.ledger.policies[id]

    @rule(frozen=st.sampled_from([True, False, False]))
    def freeze_or_not(self, frozen: bool) -> None:
        self.api.post(f"{TENANT}/{'freeze' if frozen else 'unfreeze'}", status=200)
        self.ledger.frozen = frozen

    @rule(seconds=st.sampled_from([1, 10, 29, 30, 31, 600]))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.move(seconds)
        self.ledger.now = self.world.clock.now()

    @rule(number=which, kept=st.sampled_from([True, True, True, False]), call=st.sampled_from(CALLS))
    def ask(self, number: int, kept: bool, call: tuple[str, str]) -> None:
        self.asked(self.pick(number, kept), *call)

    def asked(self, token: Token, action: str, resource: str) -> None:
        expected, reused = self.ledger.allowed(token, action, resource), self.ledger.reused(token)
        answer = self.api.enforce(token.text, action, resource)
        assert answer["decision"] == ("allowed" if expected else "denied"), answer
        if reused and not self.ledger.frozen:
            assert answer["reasonCode"] == "token_superseded"
            self.ledger.revoke(token.node)

    # --- what always holds ---

    @invariant()
    def what_was_revoked_is_over(self) -> None:
        """The last few of them now, and all of them at the end."""
        for token in [token for token in self.ledger.tokens if token.gone][-2:]:
            self.refused(token)

    def refused(self, token: Token) -> None:
        answer = self.api.enforce(token.text, "read", "file://a")
        assert answer["decision"] == "denied", answer
        assert answer["reasonCode"] in (
            "agent_deleted",
            "agent_suspended",
            "tenant_frozen",
            "token_expired",
            "token_revoked",
            "token_superseded",
        )

    def teardown(self) -> None:
        self.api.post(f"{TENANT}/unfreeze", status=200)
        self.ledger.frozen = False
        for token in self.ledger.tokens:
            if token.gone:
                self.refused(token)
            else:
                self.asked(token, "read", "file://a")
        for id in self.ledger.policies:
            self.api.delete(f"/v1/policies/{id}")
        for agent in self.ledger.agents:
            if agent.status != "deleted":
                self.api.delete(f"/v1/agents/{agent.id}")


@pytest.mark.timeout(3000)
def test_tokens_in_any_order(world: InProcess) -> None:
    TokensMachine.world = world
    run_state_machine_as_test(
        TokensMachine,
        settings=settings(
            max_examples=400 if DEEP else 12,
            stateful_step_count=60 if DEEP else 25,
            # To make a failure small takes hundreds of runs on the real thing; what happened is told anyway.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
