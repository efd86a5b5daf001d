"""Agents that work inside of agents: subtasks, dynamic agents, agents as tools, and agents that nobody announced."""

from __future__ import annotations

import asyncio
from typing import Any

import ag2
import pytest
from ag2 import TaskConfig
from ag2.events import ToolResultEvent
from ag2.exceptions import HumanInputError
from ag2.middleware import BaseMiddleware
from ag2.testing import TestConfig
from ag2.tools.dynamic import dynamic_agent
from ag2.tools.subagents.background import background_agent_tool
from ag2_support import TOUCH, Team, Touched, agent, call, model, results, run
from tests.integrations.suite.world import Station

from act import ApprovalPending
from act.integrations.ag2 import UnprotectedAgent

pytestmark = pytest.mark.timeout(180)

TASK = call("run_subtask", task="touch it")
TASKS = call("run_subtasks", tasks=["touch it", "touch it too"])
EXECUTOR = {"name": "Executor", "prompt": ["you are the executor"], "tool_names": ["touch"]}


class Denies(BaseMiddleware):
    """What one would write first: a middleware of the agent that denies `touch`."""

    async def on_tool_execution(self, call_next: Any, event: Any, context: Any) -> Any:
        if event.name == "touch":
            return ToolResultEvent.from_call(event, "denied")
        return await call_next(event, context)


def parent(*turns: Any, touched: Touched, extra: bool = False, **options: Any) -> Any:
    """A planner whose subtasks touch."""
    child = TaskConfig(config=model(TOUCH, "sub done"), extra_tools=[touched.tool] if extra else [])
    return agent("Planner", *turns, "done", tools=[] if extra else [touched.tool], tasks=child, **options)


@pytest.mark.parametrize("said", [TASK, TASKS])
def test_middleware_of_the_agent_does_not_reach_its_subtasks(said: Any) -> None:
    """The control: the hole that a guard made of agent middleware alone would have."""
    touched = Touched()
    run(parent(said, touched=touched, middleware=[Denies]).ask("go"))
    assert set(touched) == {"x"}


@pytest.mark.parametrize("extra", [False, True])
@pytest.mark.parametrize("said", [TASK, TASKS])
def test_a_subtask_has_the_rights_of_its_agent(station: Station, said: Any, extra: bool) -> None:
    touched, team = Touched(), Team(station)
    team.planner.may("call", "tool://run_*")
    planner = parent(said, touched=touched, extra=extra)
    team.guard().protect(planner)
    run(planner.ask("go"))
    assert touched == []
    assert team.asked[1:] == [("Planner", "call", "tool://touch")] * (len(team.asked) - 1)
    assert len(team.asked) > 1
    team.planner.may("call", "tool://touch")
    run(planner.ask("go"))
    assert set(touched) == {"x"}


def test_a_subtask_itself_can_be_denied(station: Station) -> None:
    touched, team = Touched(), Team(station)
    team.planner.may("call", "tool://touch")
    planner = parent(TASK, touched=touched)
    team.guard().protect(planner)
    run(planner.ask("go"))
    assert touched == []


def test_a_pending_approval_comes_out_of_a_subtask(station: Station) -> None:
    team = Team(station)
    team.planner.may("call", "tool://run_subtask")
    team.planner.may("call", "tool://touch", constraints={"requires_approval": True})
    touched = Touched()
    planner = parent(TASK, touched=touched)
    team.guard(on_pending="raise").protect(planner)
    with pytest.raises(ApprovalPending) as raised:
        run(planner.ask("go"))
    assert isinstance(raised.value, HumanInputError)
    assert touched == []


@pytest.mark.parametrize("guarded", [False, True])
def test_a_dynamic_agent_has_the_rights_of_who_made_it_whatever_its_name(station: Station, guarded: bool) -> None:
    """The model chooses its name; it is no other agent for that."""
    touched, team = Touched(), Team(station)
    team.planner.may("call", "tool://create_and_run_agent")
    team.executor.may("*", "*")
    maker = dynamic_agent(available_tools=[touched.tool], config=model(TOUCH, "sub done"))
    said = call("create_and_run_agent", spec=EXECUTOR, objective="touch it")
    planner, executor = agent("Planner", said, "done", tools=[maker]), agent("Executor", "hello")
    if guarded:
        team.guard().protect(planner, executor)
    seen = run(_seen(planner))
    assert touched == ([] if guarded else ["x"]), seen
    if guarded:
        assert team.asked[-1] == ("Planner", "call", "tool://touch")


async def _seen(planner: Any) -> str:
    return await results(await planner.ask("go"))


# --- agents as tools --------------------------------------------------------------------------------------------------


def inner(touched: Touched, name: str = "Executor") -> Any:
    return agent(name, TOUCH, "inner done", tools=[touched.tool])


HAND = call("task_Executor", objective="touch it")


@pytest.mark.parametrize("make", ["as_tool", "background", "toolkit"])
def test_an_unprotected_agent_behind_a_tool_is_refused(station: Station, make: str) -> None:
    def tool(executor: Any) -> Any:
        if make == "background":
            return background_agent_tool(executor, description="the executor")
        behind = executor.as_tool(description="the executor")
        return ag2.Toolkit(behind) if make == "toolkit" else behind

    team, touched = Team(station), Touched()
    executor = inner(touched)
    planner = agent("Planner", "done", tools=[tool(executor)])
    with pytest.raises(UnprotectedAgent, match="Executor"):
        team.guard().protect(planner)
    team.guard().protect(planner, executor)
    late = agent("Planner", "done")
    guard = team.guard().protect(late)
    late.add_tool(tool(inner(touched)))
    with pytest.raises(UnprotectedAgent, match="Executor"):
        run(late.ask("go"))
    with pytest.warns(UserWarning, match="Executor"):
        team.guard(allow_unprotected=True).protect(agent("Planner", "done", tools=[tool(inner(touched))]))
    assert touched == []
    assert guard.report().calls == 0


def test_an_agent_that_can_only_speak_needs_no_guard(station: Station) -> None:
    team = Team(station)
    team.planner.may("handoff", "agent://*")
    planner = agent("Planner", HAND, "done", tools=[agent("Executor", "hello").as_tool(description="x")])
    team.guard().protect(planner)
    assert run(_seen(planner)) == "hello"


@pytest.mark.parametrize("guarded", [False, True])
def test_an_agent_as_a_tool_is_a_handoff_and_has_its_own_rights(station: Station, guarded: bool) -> None:
    touched, team = Touched(), Team(station)
    team.executor.may("call", "tool://touch")
    executor = inner(touched)
    planner = agent("Planner", HAND, "done", tools=[executor.as_tool(description="the executor")])
    if not guarded:
        run(planner.ask("go"))
        assert touched == ["x"], "the control"
        return
    team.guard().protect(planner, executor)
    run(planner.ask("go"))
    assert touched == []
    assert team.asked == [("Planner", "handoff", "agent://Executor")]
    team.planner.may("handoff", "agent://Executor")
    run(planner.ask("go"))
    assert touched == ["x"]
    assert team.asked[1:] == [("Planner", "handoff", "agent://Executor"), ("Executor", "call", "tool://touch")]


class Remote(TestConfig):
    """Shaped like `A2AConfig`: a model that is an agent somewhere else."""


class Tuned(Remote):
    """A class of the application below one of AG2's."""


class Several(TestConfig):
    """A model of models, as `CascadeConfig` is."""

    def __init__(self, *inner: Any) -> None:
        super().__init__("hello")
        self._model = inner[0]


@pytest.mark.parametrize("config", [Tuned("hello"), Several(Remote("hello")), Several(Tuned("hello"))])
def test_an_agent_in_another_process_is_found_in_what_the_application_made_of_it(
    station: Station, monkeypatch: pytest.MonkeyPatch, config: Any
) -> None:
    monkeypatch.setattr(Remote, "__module__", "ag2.a2a.config")
    with pytest.raises(UnprotectedAgent, match="another process"):
        Team(station).guard().protect(ag2.Agent("Planner", config=config))


def test_an_agent_in_another_process_is_no_model(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages for A2A and ACP are not installed here; the stand-in says it comes from AG2."""
    monkeypatch.setattr(Remote, "__module__", "ag2.a2a.config")
    team = Team(station)
    team.planner.may("*", "*")
    remote = ag2.Agent("Executor", config=Remote("hello"))
    with pytest.raises(UnprotectedAgent, match="another process"):
        team.guard().protect(remote)
    with pytest.raises(UnprotectedAgent, match="Executor"):
        team.guard().protect(agent("Planner", "done", tools=[remote.as_tool(description="x")]))
    planner = agent("Planner", "done")
    team.guard().protect(planner)
    with pytest.raises(UnprotectedAgent, match="another process"):
        run(planner.ask("go", config=Remote("hello")))
    hidden["agent"] = remote
    said = call("directly", objective="x"), TASK
    for turn, seen in zip(said, ("UnprotectedAgent: agent 'Executor'", "another process"), strict=True):
        planner = agent("Planner", turn, "done", tools=[directly], tasks=TaskConfig(config=Remote("hello")))
        team.guard().protect(planner)
        assert seen in run(_seen(planner))
    with pytest.warns(UserWarning, match="another process"):
        team.guard(allow_unprotected=True).protect(remote)


# --- agents that nobody announced -------------------------------------------------------------------------------------

hidden: dict[str, Any] = {}


async def directly(objective: str) -> str:
    return str((await hidden["agent"].ask(objective)).body)


def in_a_thread(objective: str) -> str:
    return str(asyncio.run(hidden["agent"].ask(objective)).body)


async def in_a_task(objective: str) -> str:
    reply = await asyncio.create_task(hidden["agent"].ask(objective))
    return str(reply.body)


async def made_on_the_spot(objective: str) -> str:
    made = ag2.Agent("Executor", config=model(TOUCH, "inner done"), tools=[hidden["touched"].tool])
    return str((await made.ask(objective)).body)


@pytest.mark.parametrize("tool", [directly, in_a_thread, in_a_task, made_on_the_spot])
def test_an_agent_that_a_tool_uses_unseen_is_met_when_it_runs(station: Station, tool: Any) -> None:
    touched, team = Touched(), Team(station)
    hidden.update(agent=inner(touched), touched=touched)
    team.planner.may("*", "*")
    team.executor.may("*", "*")
    planner = agent("Planner", call(tool.__name__, objective="touch it"), "done", tools=[tool])
    run(planner.ask("go"))
    assert touched == ["x"], "the control: this is the hole"
    touched.clear()
    team.guard().protect(planner)
    seen = run(_seen(planner))
    assert touched == []
    assert "UnprotectedAgent: agent 'Executor' inside a tool of 'Planner'" in seen


def test_an_agent_that_a_tool_uses_is_itself_when_it_is_protected(station: Station) -> None:
    touched, team = Touched(), Team(station)
    hidden["agent"] = inner(touched)
    team.planner.may("call", "tool://directly")
    planner = agent("Planner", call("directly", objective="touch it"), "done", tools=[directly])
    team.guard().protect(planner, hidden["agent"])
    run(planner.ask("go"))
    assert touched == []
    assert team.asked == [("Planner", "call", "tool://directly"), ("Executor", "call", "tool://touch")]


def test_agents_that_work_elsewhere_are_left_alone(station: Station) -> None:
    """The patch is for what happens inside of a tool call of a protected agent, and for nothing else."""
    touched, team = Touched(), Team(station)
    team.planner.may("*", "*")
    planner = agent("Planner", call("touch", what="y"), "done", tools=[touched.tool])
    team.guard().protect(planner)

    async def whole() -> None:
        await planner.ask("go")
        await inner(touched).ask("go")

    run(whole())
    assert touched == ["y", "x"]
