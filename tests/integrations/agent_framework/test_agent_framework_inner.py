"""Agents behind tools and in workflows, tools of the provider, and what cannot be protected."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest
from agent_framework import (
    Agent,
    BackgroundAgentsProvider,
    BaseAgent,
    BaseChatClient,
    ContextProvider,
    Executor,
    FunctionInvocationContext,
    FunctionTool,
    WorkflowBuilder,
    WorkflowContext,
    handler,
    tool,
)
from agent_framework_support import TASK, Ran, ScriptedClient, World, agent, speak
from test_agent_framework_tools import Toolbox

from act.integrations.agent_framework import ActGuard, UnprotectedAgent

HIRE = ("hire", {"task": "execute t-1"})
HOSTED = {"type": "code_interpreter", "container": {"type": "auto"}}


def _as_tool(inner: Any) -> Any:
    return inner.as_tool(name="hire")


def _closure(inner: Any) -> Any:
    async def hire(task: str) -> str:
        return str((await inner.run(task)).text)

    return hire


def _bound(inner: Any) -> Any:
    return Office(inner).hire


def _bound_tool(inner: Any) -> Any:
    return Agency(inner).hire


def _partial(inner: Any) -> Any:
    async def work(who: Any, task: str) -> str:
        return str((await who.run(task)).text)

    return tool(functools.partial(work, inner), name="hire", description="Hire", schema=SCHEMA)


def _in_a_list(inner: Any) -> Any:
    team = {"all": [inner]}

    async def hire(task: str) -> str:
        return str((await team["all"][0].run(task)).text)

    return hire


def _workflow(inner: Any) -> Any:
    return WorkflowBuilder(start_executor=inner).build().as_agent(name="hire").as_tool(name="hire")


async def _global(task: str) -> str:
    return str((await hired.run(task)).text)


hired: Any = None


def _by_global(inner: Any) -> Any:
    global hired
    hired = inner
    return tool(_global, name="hire")


SCHEMA = {"type": "object", "properties": {"task": {"type": "string"}}, "required": ["task"]}


class Office:
    def __init__(self, inner: Any) -> None:
        self._staff = [inner]

    async def hire(self, task: str) -> str:
        """Hire."""
        return str((await self._staff[0].run(task)).text)


class Agency:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    @tool
    async def hire(self, task: str) -> str:
        """Hire."""
        return str((await self.inner.run(task)).text)


INNER = pytest.mark.parametrize(
    "behind",
    [_as_tool, _closure, _bound, _bound_tool, _partial, _in_a_list, _workflow, _by_global],
    ids=lambda given: given.__name__,
)


@pytest.mark.anyio
@INNER
async def test_an_inner_agent_that_nobody_protects_is_refused(
    world: World, ran: Ran, behind: Callable[[Any], Any]
) -> None:
    inner = agent("Inner", TASK, tools=[ran.tool])
    planner = agent("Planner", HIRE, tools=[behind(inner)])
    await speak("run", planner)
    assert ran, "the control: the inner agent does what the outer one may not"
    ran.clear()
    guard = ActGuard(world, world.tokens)
    with pytest.raises(UnprotectedAgent, match="agent 'Inner'"):
        guard.protect(planner)
    assert type(planner.client) is ScriptedClient
    with pytest.warns(UserWarning, match="agent 'Inner'"):
        ActGuard(world, world.tokens, allow_unprotected=True).protect(planner)
    assert ran == []


@pytest.mark.anyio
@INNER
async def test_an_inner_agent_that_is_protected_has_its_own_rights(
    mode: str, world: World, ran: Ran, behind: Callable[[Any], Any]
) -> None:
    world.allow("Planner", resource="tool://hire")
    inner = agent("Executor", TASK, tools=[ran.tool])
    planner = agent("Planner", HIRE, tools=[behind(inner)])
    ActGuard(world, world.tokens).protect(planner, inner)
    await speak(mode, planner)
    assert ran == []
    assert [asked.who for asked in world.asked] == [("Planner", "Planner"), ("Executor", "Executor")]
    assert world.codes == ["allowed", "no_matching_policy"]
    assert world.asked[1].said["context"]["callers"] == ["Planner"]
    world.allow("Executor", resource="api://tasks/execute/t-1")
    planner.client.steps[:], inner.client.steps[:] = [HIRE], [TASK]
    await speak(mode, planner)
    assert ran


@pytest.mark.anyio
async def test_an_inner_agent_is_not_called_without_the_right_to(world: World, ran: Ran) -> None:
    world.allow("Executor")
    inner = agent("Executor", TASK, tools=[ran.tool])
    planner = agent("Planner", HIRE, tools=[_as_tool(inner)])
    ActGuard(world, world.tokens).protect(planner, inner)
    await speak("run", planner)
    assert ran == []
    assert "no_matching_policy" in planner.client.text


@pytest.mark.anyio
@INNER
async def test_an_inner_agent_that_comes_later_ends_the_run(
    mode: str, world: World, ran: Ran, behind: Callable[[Any], Any]
) -> None:
    inner = agent("Inner", TASK, tools=[ran.tool])
    planner = agent("Planner", HIRE)
    world.allow("Planner")
    ActGuard(world, world.tokens).protect(planner)
    with pytest.raises(UnprotectedAgent, match="agent 'Inner'"):
        await speak(mode, planner, tools=[behind(inner)])
    assert ran == []


@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore:.*experimental")
@pytest.mark.parametrize("brings", ["agent", "hosted"])
async def test_a_tool_that_brings_what_cannot_be_seen_ends_the_run(
    mode: str, world: World, ran: Ran, brings: str
) -> None:
    def load_tools(ctx: FunctionInvocationContext) -> str:
        inner = agent("Inner", TASK, tools=[ran.tool])
        ctx.add_tools([_as_tool(inner)] if brings == "agent" else [HOSTED])
        return "loaded"

    world.allow("Planner")
    planner = agent("Planner", ("load_tools", {}), HIRE, tools=[load_tools])
    ActGuard(world, world.tokens).protect(planner)
    with pytest.raises(UnprotectedAgent):
        await speak(mode, planner)
    assert ran == []
    assert world.statuses == ["succeeded"]


@pytest.mark.anyio
async def test_a_tool_that_fails_has_still_brought_what_it_brought(mode: str, world: World) -> None:
    def load_tools(ctx: FunctionInvocationContext) -> str:
        ctx.tools.append(HOSTED)
        raise RuntimeError("not today")

    world.allow("Planner")
    planner = agent("Planner", ("load_tools", {}), "end", tools=[load_tools])
    await speak(mode, planner)
    assert len(planner.client.seen) == 2, "the control: the model is asked again, with the hosted tool"
    planner.client.steps[:] = [("load_tools", {}), "end"]
    ActGuard(world, world.tokens).protect(planner)
    with pytest.raises(UnprotectedAgent, match="code_interpreter"):
        await speak(mode, planner)
    assert len(planner.client.seen) == 3
    assert world.statuses == ["failed"]


async def _hire_anew(ran: Ran) -> Any:
    return await agent("New", TASK, tools=[ran.tool]).run("go")


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["at once", "thread", "workflow"])
async def test_an_agent_that_is_made_when_a_tool_runs_does_not_act(mode: str, world: World, ran: Ran, how: str) -> None:
    async def made(task: str) -> str:
        if how == "workflow":
            new = WorkflowBuilder(start_executor=agent("New", TASK, tools=[ran.tool])).build()
            return str(await new.run(task))
        return str(await _hire_anew(ran))

    def made_in_a_thread(task: str) -> str:
        return str(asyncio.run(_hire_anew(ran)))

    world.allow("Planner")
    function = made_in_a_thread if how == "thread" else made
    planner = agent("Planner", HIRE, HIRE, tools=[tool(function, name="hire")])
    await speak(mode, planner)
    assert len(ran) == 2, "the control: the new agent does what nobody asked about"
    planner.client.steps[:] = [HIRE]
    guard = ActGuard(world, world.tokens).protect(planner)
    with pytest.raises(UnprotectedAgent, match="agent 'New' inside a tool of 'Planner'"):
        await speak(mode, planner)
    assert len(ran) == 2
    assert world.statuses == ["failed"]
    guard.allow_unprotected = True
    planner.client.steps[:] = [HIRE]
    with pytest.warns(UserWarning, match="agent 'New'"):
        await speak(mode, planner)
    assert len(ran) == 3


class Background(ContextProvider):  # type: ignore[misc]
    """Keeps agents for itself."""

    def __init__(self, agents: list[Any]) -> None:
        super().__init__("background")
        self.workers = {"inner": agents[0]}


@pytest.mark.filterwarnings("ignore:.*experimental")
@pytest.mark.parametrize("provider", [Background, BackgroundAgentsProvider])
def test_an_inner_agent_of_a_provider_is_refused(world: World, provider: Any) -> None:
    planner = agent("Planner", context_providers=[provider([agent("Inner")])])
    with pytest.raises(UnprotectedAgent, match="agent 'Inner'"):
        ActGuard(world, world.tokens).protect(planner)


# --- tools of the provider ------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("where", ["made", "run", "options", "provider"])
async def test_tools_that_the_provider_runs_are_refused(mode: str, world: World, where: str) -> None:
    guard = ActGuard(world, world.tokens)
    if where == "made":
        with pytest.raises(UnprotectedAgent, match="'code_interpreter', which the model's provider runs"):
            guard.protect(agent("Planner", tools=[HOSTED]))
        with pytest.warns(UserWarning, match="code_interpreter"):
            ActGuard(world, world.tokens, allow_unprotected=True).protect(agent("Planner", tools=[HOSTED]))
        return
    planner = agent("Planner", "hello", **({"context_providers": [Toolbox(HOSTED)]} if where == "provider" else {}))
    guard.protect(planner)
    given: dict[str, Any] = {"run": {"tools": [HOSTED]}, "options": {"options": {"tools": [HOSTED]}}}.get(where, {})
    with pytest.raises(UnprotectedAgent, match="code_interpreter"):
        await speak(mode, planner, **given)
    assert planner.client.seen == []


class CodeTool(FunctionTool):  # type: ignore[misc]
    """Runs what a model wrote, which calls other tools."""

    def __init__(self, *tools: Any) -> None:
        super().__init__(name="execute_code", func=self._execute)
        self._managed = list(tools)

    async def _execute(self, name: str) -> str:
        chosen = next(one for one in self._managed if one.name == name)
        return str(await chosen.invoke(arguments={"task_id": "t-1"}, skip_parsing=True))


@pytest.mark.anyio
@pytest.mark.parametrize("when", ["control", "made", "run"])
async def test_a_tool_in_which_code_calls_tools_is_refused(world: World, ran: Ran, when: str) -> None:
    world.allow("Planner", resource="tool://execute_code")
    code = CodeTool(tool(ran.tool))
    planner = agent("Planner", ("execute_code", {"name": "execute_task"}), tools=[code] if when != "run" else [])
    guard = ActGuard(world, world.tokens)
    if when == "control":
        await speak("run", planner)
        assert ran
        return
    with pytest.raises(UnprotectedAgent, match=r"'execute_code' of agent 'Planner' calls tools.*'execute_task'"):
        guard.protect(planner)
        await speak("run", planner, tools=[code])
    assert ran == []


# --- what cannot be protected ---------------------------------------------------------------------------------------


class Foreign(BaseAgent):  # type: ignore[misc]
    """An agent with a loop of its own."""

    def run(self, messages: Any = None, *, stream: bool = False, **options: Any) -> Any:
        raise NotImplementedError


class Bare(BaseChatClient):  # type: ignore[misc,type-arg]
    """A client that does not run tools in the framework's loop."""

    def _inner_get_response(self, **given: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (Foreign(name="f"), "Foreign"),
        (object(), "object"),
        (ScriptedClient(), "ScriptedClient"),
        ("Planner", "str"),
        ([agent("Executor")], "list; give them one by one"),
        (WorkflowBuilder(start_executor=agent("Executor")), "WorkflowBuilder; build it first"),
    ],
    ids=["agent", "object", "client", "name", "list", "builder"],
)
def test_what_is_not_supported_is_a_type_error_that_says_what_is(world: World, given: Any, named: str) -> None:
    with pytest.raises(TypeError, match=rf"RawAgent.*Workflow.*not {named}"):
        ActGuard(world, world.tokens).protect(agent("Planner"), given)


def test_a_client_that_runs_tools_by_itself_is_refused(world: World) -> None:
    with pytest.raises(TypeError, match=r"Bare.*FunctionInvocationLayer"):
        ActGuard(world, world.tokens).protect(Agent(Bare(), name="Planner"))


class Relay(ScriptedClient):
    """A client that leaves the answering to another one."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.clients = [inner]

    def _inner_get_response(self, *, messages: Any, stream: bool, options: Any, **more: Any) -> Any:
        return self.clients[0].get_response(messages, stream=stream, options=options)


@pytest.mark.anyio
async def test_a_client_in_a_client_does_not_run_the_tools(mode: str, world: World, ran: Ran) -> None:
    inner = ScriptedClient(TASK)
    planner = Agent(Relay(inner), name="Planner", tools=[ran.tool])
    await speak(mode, planner)
    assert ran, "the control: the inner client has a loop of its own"
    ran.clear()
    with pytest.raises(UnprotectedAgent, match="has a ScriptedClient inside"):
        ActGuard(world, world.tokens).protect(planner)
    inner.function_invocation_configuration["enabled"] = False
    inner.steps[:] = [TASK]
    ActGuard(world, world.tokens).protect(planner)
    await speak(mode, planner)
    assert ran == []
    assert world.codes == ["no_matching_policy"]


@pytest.mark.anyio
@pytest.mark.parametrize(("client", "said"), [(Relay(ScriptedClient(TASK)), "inside"), (Bare(), "Bare")])
async def test_a_client_that_comes_later_is_looked_at_too(
    mode: str, world: World, ran: Ran, client: Any, said: str
) -> None:
    planner = agent("Planner", tools=[ran.tool])
    ActGuard(world, world.tokens).protect(planner)
    planner.client = client
    with pytest.raises(UnprotectedAgent, match=said):
        await speak(mode, planner)
    assert ran == []


class Desk(Executor):  # type: ignore[misc]
    """An executor of the application that keeps an agent for itself."""

    def __init__(self, agent: Any) -> None:
        super().__init__(id="desk")
        self.agent = agent

    @handler
    async def work(self, text: str, ctx: WorkflowContext[Any, str]) -> None:
        await ctx.yield_output((await self.agent.run(text)).text)


@pytest.mark.anyio
@pytest.mark.parametrize("guarded", [False, True])
async def test_an_agent_inside_an_executor_of_the_application(world: World, ran: Ran, guarded: bool) -> None:
    planner = agent("Planner", TASK, tools=[ran.tool])
    workflow = WorkflowBuilder(start_executor=Desk(planner)).build()
    if guarded:
        ActGuard(world, world.tokens).protect(workflow)
    await workflow.run("go")
    assert bool(ran) is not guarded


def test_a_foreign_agent_in_a_workflow_is_refused(world: World) -> None:
    workflow = WorkflowBuilder(start_executor=Desk(Foreign(name="Foreign"))).build()
    with pytest.raises(UnprotectedAgent, match="agent 'Foreign' is a Foreign"):
        ActGuard(world, world.tokens).protect(workflow)


@pytest.mark.anyio
async def test_observing_only_warns_of_what_cannot_be_seen(mode: str, world: World, ran: Ran) -> None:
    inner = agent("Inner", TASK, tools=[ran.tool])
    planner = agent("Planner", HIRE, tools=[_as_tool(inner)])
    with pytest.warns(UserWarning, match="agent 'Inner'"):
        guard = ActGuard(world, world.tokens, mode="observe").protect(planner)
    with pytest.warns(UserWarning, match="agent 'Inner'"):
        await speak(mode, planner)
    assert ran
    assert [seen.resource for seen, _ in guard.report().denied] == ["tool://hire"]


def test_nothing_is_protected_when_something_is_refused(world: World) -> None:
    planner, other = agent("Planner"), agent("Executor", tools=[HOSTED])
    with pytest.raises(UnprotectedAgent):
        ActGuard(world, world.tokens).protect(planner, other)
    assert type(planner.client) is ScriptedClient
