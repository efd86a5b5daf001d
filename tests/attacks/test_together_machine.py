"""Random crowds against a model: whole turns of requests, sent once or twice, whose commit succeeds or fails."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from act.audit.units import WriteFailed
from tests.enforcement.test_together import Crowd
from tests.in_process import InProcess
from tests.support import Api

DEEP = os.environ.get("ACT_DEEP") == "1"
PLACES = 2
QUOTA = 4
ACTIONS = ("look", "run", "spend", "ask a", "ask b")
TURNS = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(ACTIONS)), min_size=1, max_size=8, unique_by=lambda x: x[0]
)


class Known(NamedTuple):
    """What an id was answered with."""

    action: str
    code: str
    decision_id: str


def refuse(*_: Any) -> None:
    raise WriteFailed("The disk is full.")


class Place:
    """One node for all examples, which can be started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        self.node = InProcess(self.folder)

    def crowd(self) -> Crowd:
        return Crowd(self.node)


class TogetherMachine(RuleBasedStateMachine):
    """The model: places that are held, what is left of a quota, and who has been asked and has said yes."""

    place: ClassVar[Place]

    def __init__(self) -> None:
        super().__init__()
        self.crowd = self.place.crowd()
        self.api: Api = self.crowd.api
        self.name = agent = self.api.agent()
        to = {"appliesTo": {"agentIds": [agent]}}
        self.api.policy(["look"], **to)
        self.api.policy(["run"], **to, constraints={"maxConcurrentTasks": PLACES})
        self.api.policy(["spend"], **to, constraints={"maxRequests": QUOTA})
        self.api.policy(["ask *"], **to, constraints={"requiresApproval": True})
        self.crowd.token = self.api.token(agent)
        self.person = self.place.node.client(self.api.key("approve")["key"])
        self.known: dict[int, Known] = {}
        self.running: set[str] = set()
        self.spent = 0
        self.asked: dict[str, str] = {}
        self.agreed: set[str] = set()

    def ask_all(self, turn: list[tuple[int, str]]) -> list[dict[str, Any]]:
        async def work() -> list[dict[str, Any]]:
            return list(await asyncio.gather(*(self.crowd.ask(f"{self.name} {id}", action) for id, action in turn)))

        found: list[dict[str, Any]] = self.crowd.do(work)
        return found

    @rule(turn=TURNS, twice=st.booleans(), fails=st.sampled_from([False, False, True]))
    def a_turn(self, turn: list[tuple[int, str]], twice: bool, fails: bool) -> None:
        with patch("act.audit.writer._flush", refuse) if fails else patch("act.audit.writer.PROBED", 1 << 20):
            found = self.ask_all(turn * 2 if twice else turn)
        first, again = found[: len(turn)], found[len(turn) :]
        for (id, action), answer in zip(turn, first, strict=True):
            self.held_against_the_model(id, action, answer, fails=fails)
        for (id, action), one, other in zip(turn, first, again, strict=False):
            assert code_of(one) == code_of(other)
            if code_of(one) == "allowed":
                assert one["decisionId"] == other["decisionId"], "sent twice, decided once"
            elif id in self.known and other.get("replayed") is False:  # a refusal, after which something has changed
                self.known[id] = Known(action, code_of(other), other["decisionId"])

    def held_against_the_model(self, id: int, action: str, answer: dict[str, Any], *, fails: bool) -> None:
        code, known = code_of(answer), self.known.get(id)
        if known is not None and known.action != action:
            assert code == "request_id_reused"
            return
        if known is not None and (known.code == "allowed" or answer.get("replayed")):
            assert (code, answer["decisionId"], answer["replayed"]) == (known.code, known.decision_id, True)
            return
        self.known.pop(id, None)
        if fails:
            assert code == "overloaded"
            return
        assert (code, answer["replayed"]) == (self.expected(action), False)
        if code == "allowed":
            self.take(action, answer)
        elif code == "approval_required":
            self.asked[action] = answer["approval"]["id"]
            return
        self.known[id] = Known(action, code, answer["decisionId"])

    def expected(self, action: str) -> str:
        if action == "run":
            return "allowed" if len(self.running) < PLACES else "concurrency_exceeded"
        if action == "spend":
            return "allowed" if self.spent < QUOTA else "quota_exceeded"
        return "allowed" if action == "look" or action in self.agreed else "approval_required"

    def take(self, action: str, answer: dict[str, Any]) -> None:
        if action == "run":
            self.running.add(answer["decisionId"])
        elif action == "spend":
            self.spent += 1
        elif action != "look":
            assert answer["approval"]["id"] == self.asked.pop(action)
            self.agreed.remove(action)

    @rule(action=st.sampled_from(ACTIONS[3:]))
    def a_person_agrees(self, action: str) -> None:
        if action in self.asked and action not in self.agreed:
            self.person.post(f"/v1/approvals/{self.asked[action]}/approve", {}, status=200)
            self.agreed.add(action)

    @rule(which=st.integers(0, 9))
    def an_outcome(self, which: int) -> None:
        known = self.known.get(which)
        if known is not None and known.code == "allowed":
            self.api.post(f"/v1/decisions/{known.decision_id}/outcome", {"status": "succeeded"}, status=200)
            self.running.discard(known.decision_id)
            del self.known[which]

    def teardown(self) -> None:
        """What was allowed is allowed once, also after a restart; and nothing has become more or less."""
        self.place.node.close()
        self.place.start()
        token, self.crowd = self.crowd.token, self.place.crowd()
        self.crowd.token = token
        for id, known in self.known.items():
            if known.code == "allowed" and not known.action.startswith("ask"):
                (answer,) = self.ask_all([(id, known.action)])
                assert (answer["decisionId"], answer["replayed"]) == (known.decision_id, True)
        for action, limit, used in (("run", PLACES, len(self.running)), ("spend", QUOTA, self.spent)):
            found = self.ask_all([(100 + ACTIONS.index(action) * 10 + number, action) for number in range(6)])
            assert [code_of(answer) for answer in found].count("allowed") == limit - used


def code_of(answer: dict[str, Any]) -> str:
    return str(answer.get("reasonCode", answer.get("code")))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.node.close()


def test_the_node_agrees_with_the_model(place: Place) -> None:
    TogetherMachine.place = place
    run_state_machine_as_test(
        TogetherMachine,
        settings=settings(
            max_examples=200 if DEEP else 4,
            stateful_step_count=30 if DEEP else 12,
            deadline=None,
            derandomize=not DEEP,
            suppress_health_check=list(HealthCheck),
            database=None,
            phases=[Phase.generate],  # each example starts the node again; to shrink would take minutes
        ),
    )
