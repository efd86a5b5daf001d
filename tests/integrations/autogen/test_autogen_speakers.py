"""Who asked is found in every way in which AutoGen chooses the next speaker, and in chats inside of chats."""

from __future__ import annotations

import random
from typing import Any

import autogen
import pytest
from autogen_support import ALLOW_ALL, EXECUTOR, PLANNER, TOKENS, FakeAct, assistant, chat, ends, person, script, texts

from act.demo.model import ScriptedModel
from act.integrations.autogen import ActGuard

pytestmark = pytest.mark.timeout(120)

TASK = ("execute_task", {"task_id": "t-1"})
RULES = [(EXECUTOR, "*", "*"), (PLANNER, "message", "*")]


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Speakers(ScriptedModel):
    """Names the next speaker, for `speaker_selection_method="auto"`: the planner first, then who is asked."""

    def create(self, params: Any) -> Any:
        self._steps.append("Planner")
        return super().create(params)


def by_word(last: Any, chat: autogen.GroupChat) -> Any:
    """A callable of the user: whoever can run what was asked for, otherwise the planner."""
    agents = {agent.name: agent for agent in chat.agents}
    return agents["Executor" if chat.messages[-1].get("tool_calls") else "Planner"]


AUTO = {"config_list": [{"model": "scripted", "model_client_cls": "Speakers"}], "cache_seed": None}
METHODS: dict[str, dict[str, Any]] = {
    "auto": {
        "speaker_selection_method": "auto",
        "select_speaker_auto_llm_config": AUTO,
        "select_speaker_auto_model_client_cls": Speakers,
    },
    "round_robin": {"speaker_selection_method": "round_robin"},
    "random": {"speaker_selection_method": "random"},
    "manual": {"speaker_selection_method": "manual"},
    "callable": {"speaker_selection_method": by_word},
}


class Team:
    """The planner's model asks for a tool that the executor alone has registered."""

    def __init__(self, act: FakeAct | None, **selection: Any) -> None:
        self.ran: list[str] = []

        def execute_task(task_id: str) -> str:
            self.ran.append(task_id)
            return "done"

        self.user, self.planner, self.executor = person(), assistant("Planner"), assistant("Executor")
        autogen.register_function(execute_task, caller=self.executor, executor=self.executor, description="Run")
        self.seen = script(self.planner, TASK)
        script(self.executor, after="go on")
        members = [self.user, self.planner, self.executor]
        group = autogen.GroupChat(members, messages=[], max_round=24, **selection)
        self.manager = autogen.GroupChatManager(group, llm_config=False, is_termination_msg=ends, silent=True)
        if act is not None:
            ActGuard(act, TOKENS).protect(*members)


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who chooses the planner whenever there is a choice (`manual`)."""
    monkeypatch.setattr("builtins.input", lambda *_: "2")
    random.seed(7)


@pytest.mark.usefixtures("typing")
@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("guarded", [False, True])
def test_a_planner_cannot_use_the_executors_rights(mode: str, method: str, guarded: bool) -> None:
    act = FakeAct(RULES)
    team = Team(act if guarded else None, **METHODS[method])
    chat(mode, team.user, team.manager)
    if not guarded:
        assert team.ran, "the control: this is the attack that the guard stops"
        return
    assert team.ran == []
    (ask,) = act.about()
    assert (ask.agent, ask.requester) == (EXECUTOR, PLANNER)
    assert "requester_not_permitted" in texts(team.seen)


@pytest.mark.usefixtures("typing")
@pytest.mark.parametrize("method", list(METHODS))
def test_what_both_may_is_done(mode: str, method: str) -> None:
    act = FakeAct(ALLOW_ALL)
    team = Team(act, **METHODS[method])
    chat(mode, team.user, team.manager)
    assert team.ran == ["t-1"]
    assert [(ask.agent, ask.requester) for ask in act.about()] == [(EXECUTOR, PLANNER)]
    assert [status for _, status in act.outcomes] == ["succeeded"]


def test_a_callable_that_ends_the_chat_ends_it(mode: str) -> None:
    act = FakeAct(ALLOW_ALL)
    team = Team(act, speaker_selection_method=lambda last, chat: None)
    chat(mode, team.user, team.manager)
    assert team.ran == []


# --- chats inside of chats --------------------------------------------------------------------------------------------


class Nested:
    """The planner's nested chat asks an inner agent, whose model calls a tool that the planner runs.

    With `depth` 2 the inner agent is reached through the nested chat of another one.
    """

    def __init__(self, mode: str, act: FakeAct | None, depth: int = 1) -> None:
        self.ran: list[str] = []

        def execute_task(task_id: str) -> str:
            self.ran.append(task_id)
            return "done"

        self.user, self.planner, inner = person(), assistant("Planner"), assistant("Executor")
        autogen.register_function(execute_task, caller=inner, executor=self.planner, description="Run")
        self.seen = script(inner, TASK)
        script(self.planner, "nothing")
        asks, outer, agents = self.user, self.planner, [self.user, self.planner, inner]
        if depth == 2:
            between = assistant("Between", llm_config=False)
            self._nest(mode, outer, between, asks)
            asks, outer = outer, between
            agents.append(between)
        self._nest(mode, outer, inner, asks, sender=self.planner)
        if act is not None:
            ActGuard(act, TOKENS).protect(*agents)

    @staticmethod
    def _nest(mode: str, outer: Any, inner: Any, asks: Any, **more: Any) -> None:
        inside = {"recipient": inner, "message": "do it", "max_turns": 3, "summary_method": "last_msg", "chat_id": 1}
        outer.register_nested_chats([inside | more], trigger=asks, use_async=mode == "async")


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("guarded", [False, True])
def test_who_asks_in_a_nested_chat_is_the_inner_agent(mode: str, guarded: bool, depth: int) -> None:
    act = FakeAct([(PLANNER, "*", "*"), ("*", "message", "*")])
    team = Nested(mode, act if guarded else None, depth)
    chat(mode, team.user, team.planner, max_turns=1)
    assert bool(team.ran) is not guarded
    if guarded:
        assert [(ask.agent, ask.requester) for ask in act.about()] == [(PLANNER, EXECUTOR)]
        assert "requester_not_permitted" in texts(team.seen)


def test_what_both_may_is_done_in_a_nested_chat(mode: str) -> None:
    act = FakeAct(ALLOW_ALL)
    team = Nested(mode, act)
    chat(mode, team.user, team.planner, max_turns=1)
    assert team.ran == ["t-1"]
    assert [(ask.agent, ask.requester) for ask in act.about()] == [(PLANNER, EXECUTOR)]
