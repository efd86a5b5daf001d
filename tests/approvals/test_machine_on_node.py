"""Requests, words, clocks, policies and revocations in any order on a real node, against the plain model.

What is allowed is allowed only because the model says so, and no approval is ever used twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.approvals.model import Asked, Key, Model, Roles, Wanted, constraint
from tests.in_process import InProcess
from tests.support import Api

USER = "user@example.com"
FINANCE, LEGAL = frozenset(["finance"]), frozenset(["legal"])
DEMANDS: list[tuple[int, Roles, int]] = [
    (1, None, 900),
    (2, None, 900),
    (1, FINANCE, 900),
    (2, FINANCE, 600),
    (1, LEGAL, 900),
    (1, FINANCE | LEGAL, 60),
]
RULES = st.sampled_from([None, "free", *DEMANDS])
PEOPLE: list[dict[str, Any]] = [
    {"name": "ann", "roles": FINANCE, "person": "ann@example.com"},
    {"name": "ann again", "roles": LEGAL, "person": "Ann@Example.com"},
    {"name": "bob", "roles": FINANCE},
    {"name": "cid", "roles": FINANCE | LEGAL},
    {"name": "dan"},
    {"name": "eve", "roles": FINANCE | LEGAL, "person": "eve@example.com", "ends": 400},
    {"name": "asker again", "roles": FINANCE | LEGAL, "person": "Asker@example.com"},
    {"name": "user", "roles": FINANCE | LEGAL, "person": USER},
]
NAMES = st.sampled_from([str(person["name"]) for person in PEOPLE])
QUESTIONS = st.integers(0, 1)


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[InProcess]:
    with TemporaryDirectory() as folder:
        node = Machine.node = InProcess(Path(folder))
        yield node
        node.close()


class Machine(RuleBasedStateMachine):
    node: InProcess

    @initialize(first=RULES, second=RULES)
    def begin(self, first: Any, second: Any) -> None:
        self.admin, self.clock = self.node.api, self.node.clock
        self.used: set[str] = set()
        self.clients: dict[str, Api] = {}
        self.ids: dict[str, str] = {}
        asker = Key("asker", FINANCE | LEGAL, "asker@example.com")
        self.model = Model(USER, asker, *self.now())
        self.keys = {key.name: key for key in (self.make(person) for person in PEOPLE)}
        self.enforcer = self.client(asker, ["enforce", "approve"])
        self.agent = self.admin.agent()
        self.policies = [self.policy() for _ in range(2)]
        self.deny = self.policy(effect="deny", enabled=False)
        self.written: list[Any] = [None, None]
        self.write(0, first)
        self.write(1, second)
        self.issue()

    def now(self) -> tuple[float, float]:
        return self.clock.now().timestamp(), self.clock.monotonic()

    def make(self, person: dict[str, Any]) -> Key:
        ends = person.get("ends")
        key = Key(person["name"], person.get("roles", frozenset()), person.get("person"))
        key.ends = None if ends is None else self.model.wall + ends
        self.client(key, ["approve"], **({} if ends is None else {"expiresIn": ends}))
        return key

    def client(self, key: Key, scopes: list[str], **more: Any) -> Api:
        more |= {"roles": sorted(key.roles)} | ({} if key.person is None else {"person": key.person})
        made = self.admin.key(*scopes, name=key.name, **more)
        self.ids[key.name] = made["id"]
        self.clients[key.name] = client = self.node.client(made["key"])
        return client

    def policy(self, **more: Any) -> str:
        return str(self.admin.policy(["pay"], appliesTo={"agentIds": [self.agent]}, **more)["id"])

    def write(self, at: int, wanted: Any) -> None:
        self.written[at] = wanted
        body: dict[str, Any] = {"name": f"p{at}-{uuid4().hex}", "actions": ["pay"], "resources": ["*"]}
        body |= {"appliesTo": {"agentIds": [self.agent]}, "enabled": wanted is not None}
        if isinstance(wanted, tuple):
            body["constraints"] = {"requiresApproval": constraint(*terms(wanted))}
        self.admin.put(f"/v1/policies/{self.policies[at]}", body)
        self.model.policies = [terms(each) for each in self.written if each is not None]

    def issue(self) -> None:
        issued = self.admin.post("/v1/tokens", {"agentId": self.agent, "expiresIn": 86400, "onBehalfOf": USER})
        self.token, self.token_id = issued["token"], issued["tokenId"]
        self.model.token_from = float(int(self.model.wall))
        self.model.token_good = True
        self.model.last = {}

    def look(self) -> None:
        """The clocks went on: everything that is asked is looked at, as anybody might at any time."""
        self.model.wall, self.model.measured = self.now()
        self.model.tick()
        for asked in self.model.last.values():
            assert self.admin.get(f"/v1/approvals/{asked.id}")["status"] == asked.state

    @rule(question=QUESTIONS)
    def ask(self, question: int) -> None:
        code, about = self.model.ask(question)
        said = self.enforcer.enforce(self.token, "pay", "bank://x", arguments={"n": question})
        id = (said["approval"] or {}).get("id")
        if code == "refused":
            assert said["decision"] == "denied"
            assert said["reasonCode"] in ("token_revoked", "agent_suspended", "token_not_yet_valid")
            return
        assert said["reasonCode"] == code, (said["reason"], about)
        if said["decision"] == "allowed" and id is not None:
            assert id not in self.used, "an approval was used twice"
            self.used.add(id)
        if about is not None:
            assert id == about.id
        elif code == "approval_required":
            assert id not in {asked.id for asked in self.model.last.values()} | self.used
            self.model.begin(question, id)
        else:
            assert id is None

    @rule(name=NAMES, question=QUESTIONS)
    def approve(self, name: str, question: int) -> None:
        if (asked := self.model.last.get(question)) is not None:
            self.say(self.clients[name], asked, "approve", self.model.vote(self.keys[name], asked, yes=True))

    @rule(name=NAMES, question=QUESTIONS)
    def reject(self, name: str, question: int) -> None:
        if (asked := self.model.last.get(question)) is not None:
            self.say(self.clients[name], asked, "reject", self.model.vote(self.keys[name], asked, yes=False))

    @rule(question=QUESTIONS, word=st.sampled_from(["approve", "reject"]))
    def decide_oneself(self, question: int, word: str) -> None:
        if (asked := self.model.last.get(question)) is not None:
            expected = self.model.vote(self.model.asker, asked, yes=word == "approve")
            assert expected != "ok"
            self.say(self.enforcer, asked, word, expected)

    def say(self, client: Api, asked: Asked, word: str, expected: str) -> None:
        body = {} if word == "approve" else {"reason": "no"}
        answer = client.send("POST", f"/v1/approvals/{asked.id}/{word}", body)
        assert (answer.json()["code"] if answer.status_code != 200 else "ok") == expected, answer.text

    @rule(question=QUESTIONS)
    def everybody_approves(self, question: int) -> None:
        for key in ("eve", "cid", "ann", "bob", "dan"):
            self.approve(key, question)

    @rule(seconds=st.sampled_from([1, 30, 59, 60, 300, 600, 900]))
    def time_passes(self, seconds: int) -> None:
        self.clock.move(seconds)
        self.look()

    @rule(seconds=st.sampled_from([-1000, -300, -20, 20, 300, 901, 2000]))
    def the_wall_clock_jumps(self, seconds: int) -> None:
        self.clock.jump(seconds)
        self.look()

    @rule(at=st.integers(0, 1), wanted=RULES)
    def a_policy_changes(self, at: int, wanted: Any) -> None:
        self.write(at, wanted)

    @rule(question=QUESTIONS, at=st.integers(0, 1), wanted=RULES)
    def a_policy_changes_while_it_is_asked(self, question: int, at: int, wanted: Any) -> None:
        self.ask(question)
        self.write(at, wanted)
        self.ask(question)

    @rule(denying=st.booleans())
    def a_policy_denies_or_does_not(self, denying: bool) -> None:
        body = {"name": f"d-{uuid4().hex}", "actions": ["pay"], "resources": ["*"], "effect": "deny"}
        body |= {"appliesTo": {"agentIds": [self.agent]}, "enabled": denying}  # type: ignore[dict-item]
        self.admin.put(f"/v1/policies/{self.deny}", body)
        self.model.denying = denying

    @rule()
    def the_token_is_revoked(self) -> None:
        if self.model.token_good:
            self.admin.post(f"/v1/tokens/{self.token_id}/revoke", status=200)
            self.model.token_good = False

    @rule()
    def a_new_token_is_issued(self) -> None:
        if not self.model.suspended:
            self.issue()

    @rule(suspended=st.booleans())
    def the_agent_is_suspended_or_resumed(self, suspended: bool) -> None:
        if suspended is not self.model.suspended:
            self.admin.post(f"/v1/agents/{self.agent}/{'suspend' if suspended else 'resume'}", status=200)
            self.model.suspended = suspended

    @rule(name=NAMES)
    def an_api_key_is_revoked(self, name: str) -> None:
        self.admin.delete(f"/v1/api-keys/{self.ids[name]}", status=200)
        self.keys[name].revoked = True

    @invariant()
    def what_was_used_stays_used(self) -> None:
        for asked in self.model.last.values() if hasattr(self, "model") else ():
            assert (asked.id in self.used) is (asked.state == "redeemed")


def terms(written: Any) -> tuple[list[Wanted], float]:
    if written == "free":
        return [], 0.0
    people, roles, life = written
    return [Wanted(people, roles)], float(life)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
