"""Agents whose tokens are bound to keys: real chats under a real server, with a proof for every question."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import autogen
import pytest
from autogen_support import ALLOW_ALL, TOKENS, FakeAct, assistant, chat, ends, script, texts
from tests.support import ADMIN_KEY, Api, Server

from act import Act, AsyncAct, Guard
from act.client.claims import claimed
from act.demo.model import Step
from act.integrations.autogen import ActGuard
from act.integrations.core import Call, Enforcer, Party
from act.models import ReasonCode

pytestmark = pytest.mark.timeout(120)

TOOLS = {
    "note": ("note", "api://notes/{id}"),
    "run": ("run", "api://tasks/{id}"),
    "pay": ("pay", "api://pay/{id}"),
}
Tokens = Mapping[str, str | Guard]


@dataclass
class Team:
    """A planner and an executor with bound tokens: both may note and pay, only the executor may run."""

    api: Api
    act: Act
    planner: Guard
    executor: Guard
    ran: list[str] = field(default_factory=list)

    @property
    def guards(self) -> dict[str, Guard]:
        return {"Planner": self.planner, "Executor": self.executor}

    @property
    def bare(self) -> dict[str, str]:
        """The tokens alone, as a thief would have them."""
        return {name: str(guard.held().token) for name, guard in self.guards.items()}

    def chat(self, mode: str, tokens: Tokens, *steps: Step, **options: Any) -> str:
        """The planner's model asks for these calls, which the executor carries out; what the model saw."""
        planner, executor = assistant("Planner"), assistant("Executor", llm_config=False, is_termination_msg=ends)
        for name in TOOLS:
            autogen.register_function(self._tool(name), caller=planner, executor=executor, name=name, description=name)
        seen = script(planner, *steps)
        guard = ActGuard(self.act, tokens, tools=TOOLS, **{"messages": "off", **options})
        guard.protect(planner, executor)
        chat(mode, executor, planner, max_turns=len(steps) + 1)
        return texts(seen)

    def decisions(self) -> list[tuple[str, str]]:
        """Agent and reason code of all decisions about the two, oldest first."""
        page = self.api.get("/v1/audit", params={"order": "asc", "limit": "200", "kind": "decision"})
        names = {self.planner.agent_id: "Planner", self.executor.agent_id: "Executor"}
        records = [item["record"] for item in page["items"]]
        return [(names[r["agentId"]], r["reasonCode"]) for r in records if r.get("agentId") in names]

    def _tool(self, name: str) -> Any:
        def tool(id: str) -> str:
            self.ran.append(f"{name} {id}")
            return f"done {name} {id}"

        return tool


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this module's own, whose audit log fits a page."""
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def team(server: Server, api: Api) -> Iterator[Team]:
    role = uuid4().hex
    both, own = {"appliesTo": {"roles": [role]}}, {"appliesTo": {"roles": [f"e{role}"]}}
    api.policy(["note"], ["api://notes/*"], **both)
    api.policy(["pay"], ["api://pay/*"], **both, constraints={"requiresApproval": True})
    api.policy(["run"], ["api://tasks/*"], **own)
    with Act(server.url, ADMIN_KEY, timeout=20) as act:
        planner = act.guard_for(api.agent(None, role))
        yield Team(api, act, planner, act.guard_for(api.agent(None, role, f"e{role}")))


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_both_prove_themselves(team: Team, mode: str) -> None:
    seen = team.chat(mode, team.guards, ("note", {"id": "1"}), ("run", {"id": "2"}), ("note", {"id": "3"}))
    assert team.ran == ["note 1", "note 3"]
    assert "done note 3" in seen
    assert "ACT denied: requester_not_permitted" in seen
    assert team.decisions() == [
        ("Executor", "allowed"),
        ("Executor", "requester_not_permitted"),
        ("Executor", "allowed"),
    ]


def test_an_agent_that_asks_itself_proves_itself_once(team: Team, mode: str) -> None:
    both = {"Planner": team.executor, "Executor": team.executor}
    team.chat(mode, both, ("run", {"id": "1"}))
    team.chat(mode, {"Planner": team.executor}, ("run", {"id": "2"}))
    assert team.ran == ["run 1", "run 2"]


def test_the_token_of_the_executor_alone_is_worth_nothing(team: Team, mode: str) -> None:
    seen = team.chat(mode, {**team.guards, "Executor": team.bare["Executor"]}, ("note", {"id": "1"}))
    assert team.ran == []
    assert "ACT denied: proof_required" in seen


def test_the_token_of_the_asker_alone_is_worth_nothing(team: Team, mode: str) -> None:
    seen = team.chat(mode, {**team.guards, "Planner": team.bare["Planner"]}, ("note", {"id": "1"}))
    assert team.ran == []
    assert "ACT denied: requester_not_permitted" in seen
    assert "proof_required" in seen


def test_the_key_of_another_agent_proves_nothing(team: Team) -> None:
    """Even in this process, where all keys are: each proof is by the key of its own token."""
    key = team.planner.held().key
    decision = team.act.enforce(team.bare["Executor"], "note", "api://notes/1", key=key)
    assert decision.reason_code is ReasonCode.PROOF_INVALID


def test_bearer_tokens_and_guards_work_together(team: Team, mode: str) -> None:
    bearer = team.act.tokens.issue(str(team.planner.agent_id)).token
    team.chat(mode, {"Planner": bearer, "Executor": team.executor}, ("note", {"id": "1"}))
    team.chat(mode, {"Planner": team.planner, "Executor": bearer}, ("note", {"id": "2"}))
    assert team.ran == ["note 1", "note 2"]


def test_asking_again_after_the_approval_takes_another_proof(server: Server, team: Team, mode: str) -> None:
    person = server.api(team.api.key("approve")["key"])
    stop = threading.Event()

    def approve() -> None:
        while not stop.is_set():
            for item in person.get("/v1/approvals", params={"status": "pending"})["items"]:
                person.post(f"/v1/approvals/{item['id']}/approve", {}, status=200)
            time.sleep(0.05)

    approving = threading.Thread(target=approve)
    approving.start()
    try:
        team.chat(mode, team.guards, ("pay", {"id": "1"}), on_pending="wait", approval_timeout=60)
    finally:
        stop.set()
        approving.join()
        person.close()
    assert team.ran == ["pay 1"]
    assert team.decisions() == [("Executor", "approval_required"), ("Executor", "allowed")]


def test_a_guard_renews_its_token_in_the_chat(team: Team, mode: str) -> None:
    before = team.bare
    for guard in team.guards.values():
        guard._credential._due = 0.0
    team.chat(mode, team.guards, ("note", {"id": "1"}))
    assert team.ran == ["note 1"]
    for name, guard in team.guards.items():
        held = guard.held()
        assert held.token != before[name]
        assert held.key is not None
        assert held.claimed.jwk == held.key.public_jwk
        assert claimed(before[name]).token_id != held.claimed.token_id


@pytest.mark.parametrize("messages", ["observe", "enforce"])
def test_messages_are_asked_for_with_proofs(team: Team, mode: str, messages: str) -> None:
    seen = team.chat(mode, team.guards, ("note", {"id": "1"}), messages=messages)
    assert ("done note 1" in seen) is (messages == "observe")
    codes = {code for _, code in team.decisions()}
    assert codes <= {"allowed", "no_matching_policy"}, "nothing is refused for its proof"
    assert "no_matching_policy" in codes, "no policy is about messages"


def test_a_revoked_asker_gets_nobody_to_work_for_it(team: Team) -> None:
    team.act.tokens.revoke(str(team.planner.held().claimed.token_id))
    seen = team.chat("sync", team.guards, ("note", {"id": "1"}))
    assert team.ran == []
    assert "token_revoked" in seen


def test_what_is_no_token(team: Team) -> None:
    act = AsyncAct("http://127.0.0.1:1", "act_x")
    for wrong in (act.guard("a.b.c"), team.act.tokens.issue(str(team.planner.agent_id)), b"a.b.c", 7):
        with pytest.raises(TypeError, match="The token of Planner is a text or"):
            ActGuard(team.act, {"Planner": wrong})  # type: ignore[dict-item]


def test_what_is_no_token_later_asks_nothing() -> None:
    act = FakeAct(ALLOW_ALL)
    enforcer = Enforcer(act, framework="test", conversation_id="c")
    right, wrong = Party("Planner", TOKENS["Planner"]), Party("Executor", 7)  # type: ignore[arg-type]
    for executor, asker in ((right, wrong), (wrong, right)):
        assert not enforcer.decide(Call("call", "tool://x", {}), executor=executor, asker=asker).allowed
    assert act.asked == []


@pytest.mark.parametrize("empty", ["", None])
def test_a_guard_that_holds_nothing_does_not_borrow(team: Team, empty: str | None) -> None:
    """An executor that was given an empty token may do nothing; it does not fall back on the asker's."""
    held = team.act.guard(empty)
    enforcer = Enforcer(team.act, framework="test", conversation_id="c")
    call = Call("note", "api://notes/1", {})
    planner, executor = Party("Planner", team.planner), Party("Executor", held)
    assert enforcer.decide(call, executor=executor, asker=planner).code is ReasonCode.NO_TOKEN
    assert enforcer.decide(call, executor=planner, asker=executor).code is ReasonCode.TOKEN_MALFORMED
    assert enforcer.decide(call, executor=Party("Executor"), asker=planner).allowed, "without one, the asker's decides"
