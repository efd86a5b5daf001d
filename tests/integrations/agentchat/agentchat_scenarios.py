"""Agents and teams of every kind that AutoGen 0.7 has. Run as a program: plays all, and prints what became of each.

A team that hangs ends the program, and the cases that have not been played are missing from its answer.
"""

from __future__ import annotations

import asyncio
import copy
import faulthandler
import functools
import json
import os
import pickle
import sys
import tempfile
import traceback
import warnings
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from agentchat_support import CODE, TASK, Ran, Recorder, World, agent, model, to
from autogen_agentchat.agents import (
    AssistantAgent,
    BaseChatAgent,
    CodeExecutorAgent,
    MessageFilterAgent,
    MessageFilterConfig,
    SocietyOfMindAgent,
    UserProxyAgent,
)
from autogen_agentchat.base import Handoff, Response
from autogen_agentchat.conditions import MaxMessageTermination, TextMentionTermination
from autogen_agentchat.messages import HandoffMessage, TextMessage
from autogen_agentchat.teams import (
    DiGraphBuilder,
    GraphFlow,
    MagenticOneGroupChat,
    RoundRobinGroupChat,
    SelectorGroupChat,
    Swarm,
)
from autogen_agentchat.tools import AgentTool, TeamTool
from autogen_core import (
    AgentId,
    CancellationToken,
    FunctionCall,
    MessageContext,
    SingleThreadedAgentRuntime,
    TopicId,
    TypeSubscription,
    message_handler,
)
from autogen_core.code_executor import CodeResult
from autogen_core.models import FunctionExecutionResult
from autogen_core.tool_agent import ToolAgent, ToolException
from autogen_core.tools import (
    BaseTool,
    FunctionTool,
    StaticStreamWorkbench,
    StaticWorkbench,
    TextResultContent,
    ToolOverride,
    ToolResult,
    Workbench,
)
from autogen_ext.code_executors.local import LocalCommandLineCodeExecutor
from autogen_ext.tools.mcp import McpWorkbench, StdioServerParams
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from tests.integrations.suite.job import END, Call, Turn
from tests.integrations.suite.world import Station, Watched

from act.integrations.agentchat import ApprovalPending, UnprotectedAgent, act_tool

LIMIT = 60.0
"""Seconds for one case on a slow machine; each takes well under one."""

Case = Callable[[Station], Awaitable[None]]
CASES: dict[str, Case] = {}


def case(play: Case) -> Case:
    CASES[play.__name__] = play
    return play


async def end_of(team: Any, *, stream: bool = False, task: Any = "go", **options: Any) -> Any:
    """The result of one run."""
    if not stream:
        return await team.run(task=task, **options)
    return [event async for event in team.run_stream(task=task, **options)][-1]


async def until(happened: Callable[[], bool]) -> None:
    """Wait for what another thread or task does; the limit of the case is the limit."""
    while not happened():  # noqa: ASYNC110 - what happens there sets no event of ours
        await asyncio.sleep(0.01)


def both(ran: Ran, **options: Any) -> tuple[Any, Any]:
    """A planner and an executor with the same tool, whose models both call it once."""
    return tuple(agent(name, TASK, f"{name} is done", tools=[ran.tool], **options) for name in ("Planner", "Executor"))


# --- teams ------------------------------------------------------------------------------------------------------------

Build = Callable[[Any, Any], Any]


async def each_call_is_attributed_to_its_agent(station: Station, build: Build) -> None:
    """The executor may, the planner may not; and without a guard both did."""
    ran = Ran()
    await end_of(build(*both(ran)))
    assert len(ran) == 2, f"the control: {ran}"
    for stream in (False, True):
        for how in ("agents", "team", "afterwards"):
            world, ran = World(station).may("Executor", "execute", "api://tasks/execute/*"), Ran()
            planner, executor = both(ran, model_client_stream=stream)
            guard = world.guard()
            if how == "agents":
                guard.protect(planner, executor)
            team = build(planner, executor)
            if how == "team":
                guard.protect(team)
            elif how == "afterwards":
                guard.protect(planner, executor)
            await end_of(team, stream=stream)
            assert len(ran) == 1, (stream, how, ran)
            assert sorted(world.who) == [("execute", name, name) for name in ("Executor", "Planner")], world.who
            assert world.statuses == ["succeeded"], world.statuses


def round_robin(planner: Any, executor: Any) -> Any:
    return RoundRobinGroupChat([planner, executor], max_turns=2)


def selector(planner: Any, executor: Any) -> Any:
    return SelectorGroupChat([planner, executor], model("Planner", "Executor"), max_turns=2)


def selector_by_function(planner: Any, executor: Any) -> Any:
    names = iter(["Planner", "Executor"])
    return SelectorGroupChat(
        [planner, executor],
        model(),
        max_turns=2,
        selector_func=lambda messages: next(names),
        candidate_func=lambda messages: ["Planner", "Executor"],
    )


def graph(planner: Any, executor: Any) -> Any:
    builder = DiGraphBuilder().add_node(planner).add_node(executor).add_edge(planner, executor)
    return GraphFlow([planner, executor], builder.build())


def parallel(planner: Any, executor: Any) -> Any:
    start = agent("Start", "start")
    builder = DiGraphBuilder().add_node(start).add_node(planner).add_node(executor)
    builder.add_edge(start, planner).add_edge(start, executor)
    return GraphFlow([start, planner, executor], builder.build())


def magentic(planner: Any, executor: Any) -> Any:
    def ledger(name: str, done: bool) -> str:
        return json.dumps(
            {
                "is_request_satisfied": {"reason": "r", "answer": done},
                "is_in_loop": {"reason": "r", "answer": False},
                "is_progress_being_made": {"reason": "r", "answer": True},
                "next_speaker": {"reason": "r", "answer": name},
                "instruction_or_question": {"reason": "r", "answer": "go"},
            }
        )

    script = ["facts", "plan", ledger("Planner", False), ledger("Executor", False), ledger("Executor", True), "end"]
    return MagenticOneGroupChat([planner, executor], model(*script))


def nested(planner: Any, executor: Any) -> Any:
    return RoundRobinGroupChat([planner, RoundRobinGroupChat([executor], max_turns=1, name="Inner")], max_turns=2)


def society(planner: Any, executor: Any) -> Any:
    inner = RoundRobinGroupChat([executor], max_turns=1)
    return RoundRobinGroupChat([planner, SocietyOfMindAgent("Society", inner, model("all done"))], max_turns=2)


def filtered(planner: Any, executor: Any) -> Any:
    wrapped = MessageFilterAgent("Executor", executor, MessageFilterConfig(per_source=[]))
    return RoundRobinGroupChat([planner, wrapped], max_turns=2)


def swarm(planner: Any, executor: Any) -> Any:
    # Both are asked until somebody ends: the planner first, who speaks on without handing over.
    return RoundRobinGroupChat([Swarm([planner], max_turns=1, name="Swarm"), executor], max_turns=2)


for build in (
    round_robin,
    selector,
    selector_by_function,
    graph,
    parallel,
    magentic,
    nested,
    society,
    filtered,
    swarm,
):

    async def play(station: Station, build: Build = build) -> None:
        await each_call_is_attributed_to_its_agent(station, build)

    CASES[f"{build.__name__}_attributes_each_call_to_its_agent"] = play


# --- handoffs ---------------------------------------------------------------------------------------------------------


def handing(*first: Any, ran: Ran, **options: Any) -> tuple[Any, Any, Any]:
    planner = agent("Planner", *first, **{"handoffs": ["Executor"], **options})
    executor = agent("Executor", TASK, END, tools=[ran.tool])
    return planner, executor, Swarm([planner, executor], termination_condition=TextMentionTermination(END), max_turns=6)


@case
async def handoff_is_allowed_or_denied(station: Station) -> None:
    ran = Ran()
    *_, team = handing(to("Executor"), ran=ran)
    await end_of(team)
    assert len(ran) == 1, "the control: the executor took over"
    for stream in (False, True):
        world, ran = World(station).may("Executor", "execute"), Ran()
        planner, _, team = handing(to("Executor"), ran=ran, model_client_stream=stream)
        world.guard().protect(team)
        result = await end_of(team, stream=stream)
        assert ran == [], ran
        assert "ACT denied: no_matching_policy: " in planner.script.results[0], planner.script.results
        assert not [message for message in result.messages if isinstance(message, HandoffMessage)]
        assert result.messages[-1].source == "Planner", result.messages
        assert [(a.action, a.resource) for a in world.asked] == [("handoff", "agent://Executor")], world.asked
    world, ran = World(station).may("Executor", "execute").may("Planner", "handoff", "agent://Executor"), Ran()
    planner, _, team = handing(to("Executor"), ran=ran)
    world.guard().protect(team)
    await end_of(team)
    assert len(ran) == 1, ran
    assert world.who == [("handoff", "Planner", "Planner"), ("execute", "Executor", "Executor")], world.who
    assert world.act.outcomes[0] == ("succeeded", ()), world.act.outcomes


class Urgent(Handoff):  # type: ignore[misc]
    """A handoff whose tool takes an argument."""

    @property
    def handoff_tool(self) -> Any:
        def urgent(level: int) -> str:
            return self.message

        urgent.__annotations__ = {"level": int, "return": str}
        return FunctionTool(urgent, name=self.name, description=self.description)


@case
async def a_handoff_is_decided_about_as_its_tool_reads_it(station: Station) -> None:
    for written, asked in (({"level": "7", "junk": 1}, [{"level": 7}]), ({"level": "high"}, [])):
        world, ran = World(station).may("Planner", "handoff").may("Executor"), Ran()
        call = Call("transfer_to_executor", written)
        *_, team = handing(call, ran=ran, handoffs=[Urgent(target="Executor")])
        world.guard().protect(team)
        await end_of(team)
        assert [dict(one.arguments) for one in world.asked if one.action == "handoff"] == asked, world.asked
        assert bool(ran) is bool(asked)


@case
async def an_agent_without_a_token_hands_over_to_nobody(station: Station) -> None:
    world, ran = World(station, "Executor").may("Executor"), Ran()
    planner, _, team = handing(to("Executor"), ran=ran)
    world.guard().protect(team)
    await end_of(team)
    assert ran == []
    assert "ACT denied: no_token: " in planner.script.results[0], planner.script.results


@case
async def a_message_hands_over_once(station: Station) -> None:
    third = agent("Third", "third is done", END)
    for allowed, asked in (
        ("agent://*", ["agent://Executor"]),
        ("agent://Third", ["agent://Executor", "agent://Third"]),
    ):
        world = World(station).may("Planner", "handoff", allowed)
        planner = agent("Planner", [to("Executor"), to("Third")], handoffs=["Executor", "Third"])
        executor = agent("Executor", END)
        world.guard().protect(planner)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # AutoGen warns when it takes one of several handoffs
            result = await planner.run(task="go")
        assert [one.resource for one in world.asked] == asked, world.asked
        assert result.messages[-1].target == asked[-1].removeprefix("agent://")
        assert executor.name != third.name


@case
async def a_handoff_that_was_added_later_is_asked_about(station: Station) -> None:
    for guarded in (False, True):
        world = World(station)
        planner = agent("Planner", to("Executor"), handoffs=["Nobody"])
        if guarded:
            world.guard().protect(planner)
        added = Handoff(target="Executor")
        planner._handoffs[added.name] = added
        planner._handoff_tools.append(added.handoff_tool)
        result = await planner.run(task="go")
        assert isinstance(result.messages[-1], HandoffMessage) is not guarded, "the control"
        assert not guarded or "ACT denied: no_matching_policy" in result.messages[-1].content


class Deserter(AssistantAgent):  # type: ignore[misc]
    """Hands over without a call of its model."""

    async def on_messages_stream(self, messages: Any, cancellation_token: Any) -> Any:
        yield Response(chat_message=HandoffMessage(content="yours", target="Executor", source=self.name))


@case
async def a_handoff_that_is_no_call_is_asked_about(station: Station) -> None:
    for guarded in (False, True):
        world, ran = World(station).may("Executor"), Ran()
        planner = agent("Planner", kind=Deserter)
        executor = agent("Executor", TASK, END, tools=[ran.tool])
        team = Swarm([planner, executor], termination_condition=MaxMessageTermination(4))
        if guarded:
            world.guard().protect(team)
        await end_of(team)
        assert bool(ran) is not guarded, ran
        assert world.who[:1] == [("handoff", "Planner", "Planner")] * guarded


class Broken(Handoff):  # type: ignore[misc]
    """Its tool runs code of its own, and fails."""

    @property
    def handoff_tool(self) -> Any:
        def leave() -> str:
            LEFT.append(self.target)
            raise RuntimeError("the door is closed")

        return FunctionTool(leave, name=self.name, description="leave")


LEFT: list[str] = []


@case
async def a_denied_handoff_runs_nothing_and_one_that_fails_does_not_hang(station: Station) -> None:
    for allowed in (False, True):
        LEFT.clear()
        world = World(station)
        if allowed:
            world.may("Planner", "handoff", "agent://Executor")
        planner = agent("Planner", Call("leave"), handoffs=[Broken(target="Executor", name="leave")])
        world.guard().protect(planner)
        await planner.run(task="go")
        assert bool(LEFT) is allowed, LEFT


class Misnamed(Handoff):  # type: ignore[misc]
    """Its tool has another name, which the model calls."""

    @property
    def handoff_tool(self) -> Any:
        return Broken(target=self.target, name="leave").handoff_tool


@case
async def a_handoff_tool_that_hands_nothing_over_is_not_run(station: Station) -> None:
    for guarded in (False, True):
        LEFT.clear()
        world = World(station)
        planner = agent("Planner", Call("leave"), handoffs=[Misnamed(target="Executor")])
        if guarded:
            world.guard().protect(planner)
        run = asyncio.ensure_future(planner.run(task="go"))
        if not guarded:  # the control hangs, because the tool raises
            await until(lambda: bool(LEFT))
            run.cancel()
        with suppress(asyncio.CancelledError):
            await run
        assert bool(LEFT) is not guarded, LEFT


@case
async def a_handoff_behind_a_tool_hands_over_nothing_else(station: Station) -> None:
    """A swarm takes the latest handoff that it sees, also one that an agent behind a tool has made."""
    for guarded in (False, True):
        world, ran = World(station, "Planner", "Executor", "Inner").may("Planner", "call").may("Executor"), Ran()
        world.may("Inner", "handoff", "agent://Executor")
        inner = agent("Inner", to("Executor"), handoffs=["Executor"])
        planner = agent("Planner", Call("Inner", {"task": "go"}), "planned", tools=[AgentTool(inner)])
        team = Swarm(
            [planner, agent("Executor", TASK, tools=[ran.tool])], termination_condition=MaxMessageTermination(9)
        )
        if guarded:
            world.guard().protect(team, inner)
        await end_of(team)
        assert bool(ran) is not guarded
        if guarded:
            assert world.who == [("call", "Planner", "Planner"), ("handoff", "Inner", "Inner")], world.who


def _bringing(planner: list[Any]) -> Any:
    def bring() -> str:
        added = Handoff(target="Executor")
        planner[0]._handoffs[added.name] = added
        return "brought"

    return bring


@case
async def a_handoff_that_a_call_beside_it_brings_is_asked_about(station: Station) -> None:
    for guarded in (False, True):
        world, known = World(station).may("Planner", "call"), []
        planner = agent("Planner", [Call("bring"), to("Executor")], tools=[_bringing(known)])
        known.append(planner)
        if guarded:
            world.guard().protect(planner)
        result = await planner.run(task="go")
        assert isinstance(result.messages[-1], HandoffMessage) is not guarded, result.messages[-1]
        assert not guarded or "ACT denied: no_matching_policy" in result.messages[-1].content


# --- what ends a run --------------------------------------------------------------------------------------------------


def in_team(planner: Any) -> Any:
    return RoundRobinGroupChat([planner], termination_condition=TextMentionTermination(END), max_turns=6)


def in_nested_team(planner: Any) -> Any:
    return RoundRobinGroupChat([in_team(planner)], max_turns=1)


def alone(planner: Any) -> Any:
    return planner


SHAPES = (alone, in_team, in_nested_team)


@case
async def pending_ends_the_run_as_it_is(station: Station) -> None:
    for shape in SHAPES:
        for first in (TASK, to("Executor")):
            world, ran = World(station).payer("Planner"), Ran()
            planner = agent("Planner", first, first, tools=[ran.tool], handoffs=["Executor"], max_tool_iterations=5)
            team = shape(planner)
            world.guard(on_pending="raise").protect(team)
            with pytest.raises(ApprovalPending) as pending:
                await end_of(team)
            assert pending.value.decision.approval is not None
            assert ran == []
            assert len(world.asked) == 1, world.asked
            if first is TASK and shape is not alone:  # the team goes on when it is asked again
                world.agents["Planner"].settle(approve=True)
                again = await end_of(team, task="go on")
                assert len(ran) == 1, ran
                assert again.messages[-1].content == END, again


def _sleeping(begun: asyncio.Event) -> Any:
    async def sleep() -> str:
        begun.set()
        await asyncio.sleep(3600)
        return "slept"

    return sleep


@case
async def a_cancelled_run_ends_and_is_reported(station: Station) -> None:
    for shape in SHAPES:
        for by_token in (False, True):
            world = World(station).may("Planner")
            begun, statuses = asyncio.Event(), world.act.outcomes

            team = shape(agent("Planner", Call("sleep"), tools=[_sleeping(begun)]))
            world.guard().protect(team)
            token = CancellationToken()
            run = asyncio.ensure_future(end_of(team, cancellation_token=token))
            await begun.wait()
            token.cancel() if by_token else run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            await until(lambda statuses=statuses: bool(statuses))  # an agent alone leaves the call to the loop
            assert [status for status, _ in statuses] == ["cancelled"], (shape, by_token, statuses)
            again = await end_of(team, task="go on")  # and what was cancelled can run again
            assert again.messages[-1].content == END, again
            assert again.stop_reason is None or END in again.stop_reason or "turns" in again.stop_reason, again


@case
async def a_run_is_cancelled_while_a_person_thinks_or_a_model(station: Station) -> None:
    for shape in SHAPES:
        for by_token in (False, True):
            world, ran = World(station).payer("Planner"), Ran()
            planner = agent("Planner", TASK, tools=[ran.tool])
            team = shape(planner)
            world.guard(on_pending="wait", approval_timeout=3600).protect(team)
            token = CancellationToken()
            run = asyncio.ensure_future(end_of(team, cancellation_token=token))
            await until(lambda world=world: bool(world.agents["Planner"].waiting()))
            token.cancel() if by_token else run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            assert ran == []


@case
async def a_team_is_cancelled_while_a_person_does_not_answer(station: Station) -> None:
    for by_token in (False, True):
        asked = asyncio.Event()

        async def never(prompt: str, token: Any = None, asked: asyncio.Event = asked) -> str:
            asked.set()
            await asyncio.sleep(3600)
            return END

        team = RoundRobinGroupChat([UserProxyAgent("Person", input_func=never), agent("Planner")], max_turns=2)
        World(station).guard().protect(team)
        token = CancellationToken()
        run = asyncio.ensure_future(end_of(team, cancellation_token=token))
        await asked.wait()
        token.cancel() if by_token else run.cancel()
        with pytest.raises((asyncio.CancelledError, RuntimeError)):
            await run


@case
async def a_team_that_nobody_listens_to_any_more_ends(station: Station) -> None:
    world, ran = World(station).may("Planner"), Ran()
    team = in_team(agent("Planner", TASK, TASK, tools=[ran.tool]))
    world.guard().protect(team)
    async for _ in team.run_stream(task="go"):
        break
    await until(lambda: not team._is_running)
    await end_of(team, task="go on")
    assert world.statuses == ["succeeded"] * len(ran), (world.statuses, ran)


async def _raises_cancelled() -> str:
    raise asyncio.CancelledError


async def _raises() -> str:
    raise ValueError("broken")


@case
async def what_breaks_in_a_tool_does_not_hang(station: Station) -> None:
    bare = agent("Planner", Call("_raises_cancelled"), tools=[_raises_cancelled])
    with pytest.raises(TimeoutError):  # the control: without a guard the agent waits for ever
        await asyncio.wait_for(bare.run(task="go"), 0.5)
    for tool in (_raises, _raises_cancelled):
        for shape in SHAPES:
            world = World(station).may("Planner")
            planner = agent("Planner", Call(tool.__name__), tools=[tool], max_tool_iterations=2)
            team = shape(planner)
            world.guard().protect(team)
            await end_of(team)
            assert planner.script.finished
            assert world.statuses in (["failed"], ["cancelled"]), world.statuses


class Remote(Workbench):  # type: ignore[misc]
    """Knows its tools when it is asked, as a workbench of an MCP server does."""

    def __init__(self, ran: Ran, breaks: str = "") -> None:
        self.ran, self.breaks, self.listed, self.states = ran, breaks, 0, 0

    async def list_tools(self) -> Any:
        self.listed += 1
        if self.breaks == "list" and self.listed > 1:
            raise ConnectionError("the server is gone")
        return [FunctionTool(self.ran.tool, description="A tool").schema]

    async def call_tool(
        self, name: str, arguments: Any = None, cancellation_token: Any = None, call_id: Any = None
    ) -> Any:
        if self.breaks == "call":
            raise ConnectionError("the server is gone")
        text = await self.ran.tool(**arguments)
        return ToolResult(name=name, result=[TextResultContent(content=text)], is_error=self.breaks == "result")

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def reset(self) -> None: ...

    async def save_state(self) -> Mapping[str, Any]:
        return {"state": 1}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        self.states += 1


@case
async def a_workbench_of_any_kind_is_guarded(station: Station) -> None:
    kinds: list[Callable[[Ran], Any]] = [
        Remote,
        lambda ran: StaticWorkbench([FunctionTool(ran.tool, description="A tool")]),
        lambda ran: StaticStreamWorkbench([FunctionTool(ran.tool, description="A tool")]),
    ]
    for kind in kinds:
        for stage in ("control", "denied", "allowed"):
            world, ran = World(station), Ran()
            bench = kind(ran)
            planner = agent("Planner", TASK, workbench=[StaticWorkbench([]), bench], max_tool_iterations=2)
            resource = "tool://execute_task" if isinstance(bench, Remote) else "api://tasks/execute/t-1"
            if stage == "allowed":
                world.may("Planner", "*", resource)
            if stage != "control":
                world.guard().protect(planner)
            await planner.run(task="go")
            assert bool(ran) is (stage != "denied"), (stage, ran)
            assert [asked.resource for asked in world.asked] == [resource] * (stage != "control")
            assert world.statuses == ["succeeded"] * (stage == "allowed")


@case
async def a_workbench_that_breaks_does_not_hang(station: Station) -> None:
    for breaks, status in (("list", []), ("call", ["failed"]), ("result", ["failed"])):
        world, ran = World(station).may("Planner"), Ran()
        planner = agent("Planner", TASK, workbench=Remote(ran, breaks), max_tool_iterations=1)
        world.guard().protect(planner)
        result = await planner.run(task="go")
        assert world.statuses == status, (breaks, world.statuses)
        assert breaks == "result" or "the server is gone" in result.messages[-1].content, result.messages[-1]


SERVER = """
import sys
from mcp.server.fastmcp import FastMCP

server = FastMCP("tasks", log_level="ERROR")

@server.tool()
def execute_task(task_id: str, amount: int = 0) -> str:
    open(sys.argv[1], "a").write(task_id)
    return "done " + task_id

server.run()
"""


@case
async def tools_of_an_mcp_server_are_guarded(station: Station) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ran, program = Path(folder) / "ran", Path(folder) / "server.py"
        program.write_text(SERVER)
        params = StdioServerParams(
            command=sys.executable, args=[str(program), str(ran)], env=dict(os.environ), read_timeout_seconds=LIMIT
        )
        async with McpWorkbench(params) as bench:
            for stage in ("control", "denied", "allowed"):
                ran.write_text("")
                world = World(station)
                planner = agent("Planner", TASK, workbench=bench, max_tool_iterations=2)
                if stage == "allowed":
                    world.may("Planner", "call", "tool://execute_task")
                if stage != "control":
                    world.guard().protect(planner)
                await planner.run(task="go")
                assert bool(ran.read_text()) is (stage != "denied"), stage
                told = "ACT denied: no_matching_policy" if stage == "denied" else "done t-1"
                assert told in planner.script.results[0], planner.script.results
                assert world.statuses == ["succeeded"] * (stage == "allowed")


@case
async def a_guarded_workbench_keeps_its_state(station: Station) -> None:
    bench = Remote(Ran())
    planner = agent("Planner", workbench=bench)
    World(station).guard().protect(planner)
    (guarded,) = planner._workbench
    async with guarded:
        await guarded.load_state(await guarded.save_state())
        await guarded.reset()
    assert bench.states == 1
    assert guarded.ran is bench.ran


# --- what an agent is made of is changed ------------------------------------------------------------------------------


def _new_bench(planner: Any, ran: Ran) -> None:
    planner._workbench = [StaticWorkbench([FunctionTool(ran.tool, description="A tool")])]


def _more_tools(planner: Any, ran: Ran) -> None:
    planner.__dict__["_workbench"][0]._tools.append(FunctionTool(ran.tool, description="A tool"))


def _new_model(planner: Any, ran: Ran) -> None:
    _more_tools(planner, ran)
    planner._model_client = model(TASK)


def _bench_in_the_run(planner: Any, ran: Ran) -> None:
    def bring() -> str:
        _new_bench(planner, ran)
        return "brought"

    planner.__dict__["_workbench"][0]._tools.append(FunctionTool(bring, description="Brings a tool"))
    planner._model_client = model(Call("bring"), TASK)


def _tool_in_the_run(planner: Any, ran: Ran) -> None:
    def bring() -> str:
        _more_tools(planner, ran)
        return "brought"

    planner.__dict__["_workbench"][0]._tools.append(FunctionTool(bring, description="Brings a tool"))
    planner._model_client = model(Call("bring"), TASK)


@case
async def what_is_changed_later_does_not_remove_the_guard(station: Station) -> None:
    for change in (_new_bench, _more_tools, _new_model, _bench_in_the_run, _tool_in_the_run):
        for guarded in (False, True):
            world, ran = World(station).may("Planner", "call", "tool://bring"), Ran()
            planner = agent("Planner", TASK, tools=[lambda_tool()], max_tool_iterations=3)
            if guarded:
                world.guard().protect(planner)
            change(planner, ran)
            await planner.run(task="go")
            if not ran and not guarded:
                await planner.run(task="go on")  # a workbench counts from the next turn on
                planner._model_client = model(TASK)
                await planner.run(task="go on")
            assert bool(ran) is not guarded, (change, ran)


def lambda_tool() -> Any:
    def nothing() -> str:
        """Nothing."""
        return ""

    return nothing


@case
async def a_renamed_tool_is_known_by_its_mark(station: Station) -> None:
    world, ran = World(station).may("Planner", "execute", "api://tasks/execute/t-1"), Ran()
    tool = FunctionTool(ran.tool, description="A tool")
    bench = StaticWorkbench([tool], {"execute_task": ToolOverride(name="harmless")})
    planner = agent("Planner", Call("harmless", {"task_id": "t-1"}), workbench=bench)
    world.guard().protect(planner)
    await planner.run(task="go")
    assert [asked.resource for asked in world.asked] == ["api://tasks/execute/t-1"]
    assert len(ran) == 1


@case
async def a_guarded_agent_cannot_be_copied(station: Station) -> None:
    planner = agent("Planner", tools=[Ran().tool])
    team = in_team(planner)
    World(station).guard().protect(team)
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        for one in (planner, team, planner._workbench[0]):
            with pytest.raises(TypeError):
                copied(one)
    for one in (planner, team):
        with pytest.raises(TypeError, match="dumped"):
            one.dump_component()


class TaskArgs(BaseModel):
    task: str


class Own(AssistantAgent):  # type: ignore[misc]
    """Calls its workbench by itself."""

    async def on_messages_stream(self, messages: Any, cancellation_token: Any) -> Any:
        result = await self._workbench[0].call_tool(TASK.name, TASK.arguments, cancellation_token)
        yield Response(chat_message=TextMessage(content=result.to_text(), source=self.name))


@case
async def an_agent_that_calls_its_tools_by_itself_is_guarded(station: Station) -> None:
    for guarded in (False, True):
        world, ran = World(station), Ran()
        planner = agent("Planner", tools=[ran.tool], kind=Own)
        if guarded:
            world.guard().protect(planner)
        result = await planner.run(task="go")
        assert bool(ran) is not guarded
        assert ("ACT denied: no_matching_policy" in result.messages[-1].content) is guarded


class Generous(AssistantAgent):  # type: ignore[misc]
    """Gives its tool calls a workbench of its own."""

    @classmethod
    async def _process_model_result(cls, *args: Any, **kwargs: Any) -> Any:
        tools = [FunctionTool(GENEROUS[0].tool, description="A tool")]
        async for event in super()._process_model_result(*args, **{**kwargs, "workbench": [StaticWorkbench(tools)]}):
            yield event


GENEROUS: list[Ran] = []


@case
async def a_workbench_that_a_class_brings_is_guarded(station: Station) -> None:
    for guarded in (False, True):
        world, ran = World(station), Ran()
        GENEROUS[:] = [ran]
        planner = agent("Planner", TASK, kind=Generous)
        if guarded:
            world.guard().protect(planner)
        await planner.run(task="go")
        assert bool(ran) is not guarded


# --- what a tool makes of its arguments -------------------------------------------------------------------------------


class Numbered(Ran):
    """A tool that takes a number, and reads `"007"` as one."""

    def __init__(self) -> None:
        super().__init__()

        @act_tool(action="execute", resource="api://tasks/{task_id}")
        def execute_task(task_id: int, amount: float = 1.0) -> str:
            """Execute a task."""
            self.append((task_id, amount))
            return "done"

        self.tool = execute_task


@case
async def a_number_written_in_another_way_is_the_same_number(station: Station) -> None:
    for written in ("007", " 7", "7.0", 7.0):
        call = Call("execute_task", {"task_id": written, "amount": "1_0", "approved_by": "the boss"})
        world, ran = World(station).may("Planner"), Numbered()
        planner = agent("Planner", call, tools=[ran.tool])
        world.guard().protect(planner)
        await planner.run(task="go")
        assert world.asked[0].arguments == {"task_id": 7, "amount": 10.0}, world.asked
        assert ran == [(7, 10.0)]
        world, ran = World(station).may("Planner"), Numbered()
        world.may("Planner", "execute", "api://tasks/7", effect="deny")
        planner = agent("Planner", call, tools=[ran.tool])
        world.guard().protect(planner)
        result = await planner.run(task="go")
        assert ran == [], written
        assert "ACT denied: policy_denied" in result.messages[-1].content


@case
async def a_tool_agent_decides_about_what_its_tool_reads(station: Station) -> None:
    world, ran = World(station).may("Executor").may("Planner"), Numbered()
    world.may("Executor", "execute", "api://tasks/7", effect="deny")
    result = await send(await core(world, [ran.tool]), sent(arguments='{"task_id": "007"}'))
    assert "ACT denied: policy_denied" in result.content, result
    assert ran == []


class Amount(BaseModel):
    """Arguments with a name by which a model may give them, beside the one that the program has for them."""

    model_config = ConfigDict(populate_by_name=True)
    amount: int = Field(alias="amt")


class Pay(BaseTool[Amount, str]):  # type: ignore[misc]
    def __init__(self, ran: list[int]) -> None:
        super().__init__(Amount, str, "pay", "Pays")
        self._ran = ran

    async def run(self, args: Amount, cancellation_token: Any) -> str:
        self._ran.append(args.amount)
        return "paid"


@case
async def of_two_names_of_an_argument_the_one_that_counts_is_decided(station: Station) -> None:
    world, ran = World(station).may("Planner"), list[int]()
    planner = agent("Planner", Call("pay", {"amount": 1, "amt": 5000}), tools=[Pay(ran)])
    world.guard().protect(planner)
    await planner.run(task="go")
    assert world.asked[0].arguments == {"amt": 5000}
    assert ran == [5000]


class Later(BaseModel):
    """Takes an amount once it has been asked `patience` times, and then as cents."""

    amount: int
    patience: ClassVar[int] = 0

    @field_validator("amount", mode="before")
    @classmethod
    def _in_cents(cls, written: Any) -> int:
        Later.patience -= 1
        if Later.patience >= 0:
            raise ValueError("the rates are not there yet")
        return int(written) * 100


class PayLater(Pay):
    def __init__(self, ran: list[int]) -> None:
        BaseTool.__init__(self, Later, str, "pay", "Pays")
        self._ran = ran


@case
async def a_tool_that_changes_its_mind_about_its_arguments_does_not_run(station: Station) -> None:
    for patience in range(8):
        for kind in (StaticWorkbench, StaticStreamWorkbench):
            world, ran = World(station).may("Planner"), list[int]()
            Later.patience = patience
            planner = agent("Planner", Call("pay", {"amount": 5}), workbench=kind([PayLater(ran)]))
            world.guard().protect(planner)
            result = await planner.run(task="go")
            assert "ACT denied: action_malformed: " in result.messages[-1].content, result.messages[-1]
            assert ran == []
            assert world.asked == []
        world, ran = World(station).may("Executor").may("Planner"), list[int]()
        Later.patience = patience
        answer = await send(await core(world, [PayLater(ran)]), sent("pay", '{"amount": 5}'))
        assert "ACT denied: action_malformed: " in answer.content, answer
        assert (ran, world.asked) == ([], [])


class Loose(BaseModel):
    amt: Any = None


class PayStrictly(Pay):
    def args_type(self) -> type[BaseModel]:
        return Loose


@case
async def a_tool_that_names_another_type_than_it_reads_by(station: Station) -> None:
    world, ran = World(station).may("Planner"), list[int]()
    planner = agent("Planner", Call("pay", {"amt": "5_000"}), tools=[PayStrictly(ran)])
    world.guard().protect(planner)
    await planner.run(task="go")
    assert world.asked[0].arguments == {"amt": 5000}
    assert ran == [5000]


@case
async def observing_gives_a_tool_what_nobody_could_ask_about(station: Station) -> None:
    ran: list[str] = []

    async def keep(secret: SecretStr) -> str:
        ran.append(secret.get_secret_value())
        return "kept"

    keep.__annotations__ = {"secret": SecretStr, "return": str}
    for shape in (StaticWorkbench, StaticStreamWorkbench):
        world = World(station)
        tools = shape([FunctionTool(keep, description="Keeps")])
        planner = agent("Planner", Call("keep", {"secret": "x"}), workbench=tools)
        guard = world.guard(mode="observe").protect(planner)
        await planner.run(task="go")
        assert [seen.code.value for seen, _ in guard.report().denied] == ["action_malformed"]
    assert ran == ["x", "x"]


@case
async def a_tool_that_was_replaced_while_it_was_decided_about_does_not_run(station: Station) -> None:
    for kind in (StaticWorkbench, StaticStreamWorkbench):
        world, ran, other = World(station).may("Planner"), Ran(), Ran()
        bench = kind([FunctionTool(ran.tool, description="A tool")])

        class Slow(Watched):
            def enforce(self, *args: Any, bench: Any = bench, other: Ran = other, **more: Any) -> Any:
                answer = super().enforce(*args, **more)
                bench._tools[:] = [FunctionTool(other.tool, description="Another")]
                return answer

        world.act = Slow(station.act)
        planner = agent("Planner", TASK, workbench=bench)
        world.guard().protect(planner)
        result = await planner.run(task="go")
        assert ran == other == []
        assert "ACT denied: action_malformed: The tool was replaced" in result.messages[-1].content
        assert world.statuses == ["failed"]


# --- code -------------------------------------------------------------------------------------------------------------


def coder(executor: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CodeExecutorAgent("Executor", executor, **options)


def code_team(terminal: Any) -> Any:
    return RoundRobinGroupChat([agent("Planner", CODE), terminal], max_turns=2)


@case
async def code_is_asked_for_by_who_wrote_it(station: Station) -> None:
    for stage in ("control", "denied", "executor alone", "both"):
        world, recorder = World(station), Recorder()
        team = code_team(coder(recorder))
        if stage in ("executor alone", "both"):
            world.may("Executor", "execute_code", "agent://Executor/code")
        if stage == "both":
            world.may("Planner", "execute_code", "agent://Executor/code")
        if stage != "control":
            world.guard().protect(team)
        result = await end_of(team)
        assert bool(recorder.ran) is (stage in ("control", "both")), (stage, recorder.ran)
        if stage == "control":
            continue
        assert world.who == [("execute_code", "Executor", "Planner")], world.who
        assert world.asked[0].arguments["blocks"] == [{"language": "python", "code": "print(6 * 7)\n"}]
        codes = {"denied": "no_matching_policy", "executor alone": "requester_not_permitted", "both": "42"}
        assert codes[stage] in result.messages[-1].content, result.messages[-1]
        assert world.statuses == ["succeeded"] * (stage == "both")


@case
async def code_really_runs(station: Station) -> None:
    world = World(station).may("Executor").may("Planner")
    with tempfile.TemporaryDirectory() as folder:
        async with LocalCommandLineCodeExecutor(work_dir=folder) as local:
            team = code_team(coder(local))
            world.guard().protect(team)
            result = await end_of(team)
    assert "42" in result.messages[-1].content, result.messages[-1]


@case
async def a_person_has_no_code_executed(station: Station) -> None:
    for guarded in (False, True):
        world, recorder = World(station).may("Executor"), Recorder()
        terminal = coder(recorder)
        if guarded:
            world.guard().protect(terminal)
        result = await terminal.run(task=CODE)
        assert bool(recorder.ran) is not guarded
        assert not guarded or "ACT denied: no_token: user asked" in result.messages[-1].content


@case
async def code_of_two_authors_is_asked_about_for_both(station: Station) -> None:
    world, recorder = World(station, "Planner", "Second", "Executor").may("Executor").may("Planner"), Recorder()
    team = RoundRobinGroupChat([agent("Planner", CODE), agent("Second", CODE), coder(recorder)], max_turns=3)
    world.guard().protect(team)
    await end_of(team)
    assert recorder.ran == []
    assert [asker for _, _, asker in world.who] == ["Planner", "Second"]
    assert world.statuses == ["cancelled"]


@case
async def code_that_code_has_printed_is_asked_for_by_nobody(station: Station) -> None:
    class Printing(Recorder):
        async def execute_code_blocks(self, code_blocks: list[Any], cancellation_token: Any) -> Any:
            await super().execute_code_blocks(code_blocks, cancellation_token)
            return CodeResult(exit_code=0, output="```sh\nrm -rf /\n```")

    for guarded in (False, True):
        world, recorder = World(station, "Planner", "First", "Executor"), Recorder()
        for name in world.agents:
            world.may(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            first, last = CodeExecutorAgent("First", Printing()), coder(recorder, sources=["First"])
        team = RoundRobinGroupChat([agent("Planner", CODE), first, last], max_turns=3)
        if guarded:
            world.guard().protect(team)
        result = await end_of(team)
        assert bool(recorder.ran) is not guarded
        assert ("ACT denied: requester_unknown" in result.messages[-1].content) is guarded


@case
async def code_of_its_own_model_is_asked_for_by_the_agent(station: Station) -> None:
    for allowed in (False, True):
        world, recorder = World(station), Recorder()
        if allowed:
            world.may("Executor", "execute_code", "agent://Executor/code")
        terminal = coder(recorder, model_client=model(CODE, "reflected"))
        world.guard().protect(terminal)
        await terminal.run(task="go")
        assert bool(recorder.ran) is allowed
        assert world.who == [("execute_code", "Executor", "Executor")], world.who


@case
async def the_approval_function_is_asked_after_act_and_changes_nothing(station: Station) -> None:
    from autogen_agentchat.agents import ApprovalResponse

    for allowed in (False, True):
        seen: list[str] = []
        recorder = Recorder()

        def approve(request: Any, seen: list[str] = seen) -> Any:
            seen.append(request.code)
            return ApprovalResponse(approved=False, reason="not today")

        world = World(station).may("Executor")
        if allowed:
            world.may("Planner")
        team = code_team(coder(recorder, approval_func=approve))
        world.guard().protect(team)
        await end_of(team)
        assert recorder.ran == []
        assert bool(seen) is allowed
        assert world.statuses == ["failed"] * allowed


class Sneaky(CodeExecutorAgent):  # type: ignore[misc]
    """Executes other code than it was given, or code that nobody gave it."""

    other = False

    async def execute_code_block(self, code_blocks: Any, cancellation_token: Any) -> Any:
        blocks = [type(code_blocks[0])(code="print('other')", language="python")] if self.other else code_blocks
        return await self._code_executor.execute_code_blocks(blocks, cancellation_token)


@case
async def the_code_executor_takes_only_what_was_decided(station: Station) -> None:
    for guarded in (False, True):
        for other in (False, True):
            world, recorder = World(station).may("Executor").may("Planner"), Recorder()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                terminal = Sneaky("Executor", recorder)
            terminal.other = other
            team = code_team(terminal)
            if guarded:
                world.guard().protect(team)
            await end_of(team)
            assert bool(recorder.ran) is not (guarded and other), (guarded, other, recorder.ran)
    (block,) = await terminal.extract_code_blocks_from_messages([TextMessage(content=CODE, source="Planner")])
    result = await terminal._code_executor.execute_code_blocks([block], CancellationToken())
    assert "ACT denied: action_malformed" in result.output, result
    unwritten = await terminal.execute_code_block(
        [type(block).__mro__[1](code="1", language="python")], CancellationToken()
    )
    assert "ACT denied: requester_unknown" in unwritten.output, unwritten


# --- agents behind tools ----------------------------------------------------------------------------------------------


def behind_agent_tool(inner: Any) -> Any:
    return AgentTool(inner)


def behind_team_tool(inner: Any) -> Any:
    return TeamTool(RoundRobinGroupChat([inner], max_turns=1), "Executor", "a team")


def behind_function(inner: Any) -> Any:
    async def Executor(task: str) -> str:
        """Hands the task to an agent."""
        return str((await inner.run(task=task)).messages[-1].content)

    return Executor


def behind_partial(inner: Any) -> Any:
    async def run(who: Any, task: str) -> str:
        return str((await who.run(task=task)).messages[-1].content)

    run.__annotations__ = {"who": object, "task": str, "return": str}  # as AutoGen reads them of a partial
    return FunctionTool(functools.partial(run, inner), name="Executor", description="Hands the task to an agent.")


INNER: dict[str, Any] = {}


async def helper(task: str) -> str:
    return str((await INNER["agent"].run(task=task)).messages[-1].content)


def behind_helper(inner: Any) -> Any:
    INNER["agent"] = inner

    async def Executor(task: str) -> str:
        """Has a function hand the task to an agent."""

        async def asked() -> str:
            return await helper(task)

        return await asked()

    return Executor


class Crew:
    def __init__(self, inner: Any) -> None:
        self.members = [inner]


class Service:
    """Knows somebody who knows an agent."""

    def __init__(self, inner: Any) -> None:
        self.crew = Crew(inner)

    async def ask(self, task: str) -> str:
        return str((await self.crew.members[0].run(task=task)).messages[-1].content)


def behind_object(inner: Any) -> Any:
    return FunctionTool(Service(inner).ask, name="Executor", description="Hands the task to an agent.")


class Holding(BaseTool[TaskArgs, str]):  # type: ignore[misc]
    """A tool of the application's own class."""

    def __init__(self, inner: Any) -> None:
        super().__init__(TaskArgs, str, "Executor", "Hands the task to an agent.")
        self.inner = inner

    async def run(self, args: TaskArgs, cancellation_token: Any) -> str:
        return str((await self.inner.run(task=args.task)).messages[-1].content)


BEHIND = (behind_helper, behind_object, Holding, behind_agent_tool, behind_team_tool, behind_function, behind_partial)
DELEGATE = Call("Executor", {"task": "go"})


@case
async def an_inner_agent_has_to_be_under_the_guard(station: Station) -> None:
    for build in BEHIND:
        ran = Ran()
        await agent("Planner", DELEGATE, tools=[build(agent("Executor", TASK, tools=[ran.tool]))]).run(task="go")
        assert len(ran) == 1, "the control: what an inner agent does, no tool call of the outer shows"
        world, ran = World(station).may("Planner"), Ran()
        inner = agent("Executor", TASK, tools=[ran.tool])
        planner = agent("Planner", DELEGATE, tools=[build(inner)])
        with pytest.raises(UnprotectedAgent, match="Executor"):
            world.guard().protect(planner)
        with pytest.warns(UserWarning, match="Executor"):
            world.guard(allow_unprotected=True).protect(planner)
        planner = agent("Planner", DELEGATE, tools=[build(inner)])
        world.guard().protect(inner, planner)
        await planner.run(task="go")
        assert ran == []
        assert world.who == [("call", "Planner", "Planner"), ("execute", "Executor", "Executor")], world.who
        assert world.asked[1].context["callers"] == ["Planner"], world.asked[1]


@case
async def an_inner_agent_that_a_run_brings_ends_it(station: Station) -> None:
    for build in BEHIND:
        for shape in SHAPES:
            world, ran = World(station).may("Planner"), Ran()
            planner = agent("Planner", DELEGATE, tools=[lambda_tool()])
            team = shape(planner)
            world.guard().protect(team)
            tool = build(agent("Executor", TASK, tools=[ran.tool]))
            known = tool if isinstance(tool, BaseTool) else FunctionTool(tool, description="a tool")
            planner.__dict__["_workbench"][0]._tools.append(known)
            with pytest.raises(UnprotectedAgent):
                await end_of(team)
            assert ran == []


def making(tools: list[Any], in_a_team: bool) -> Any:
    async def ask(question: str) -> str:
        """Asks an agent that nobody has seen before."""
        inner = agent("Inner", TASK if tools else "spoken", tools=tools)
        asked = RoundRobinGroupChat([inner], max_turns=1) if in_a_team else inner
        return str((await asked.run(task=question)).messages[-1].content)

    return ask


@case
async def an_agent_that_a_tool_makes_is_refused_when_it_acts(station: Station) -> None:
    for stage in ("control", "guarded", "in a team", "only speaks"):
        world, ran = World(station).may("Planner"), Ran()
        tool = making([] if stage == "only speaks" else [ran.tool], stage == "in a team")
        planner = agent("Planner", Call("ask", {"question": "x"}), tools=[tool])
        if stage != "control":
            world.guard().protect(planner)
        said = (await planner.run(task="go")).messages[-1].content
        assert bool(ran) is (stage == "control"), stage
        if stage in ("guarded", "in a team"):
            assert "'Inner' inside of a tool call is not under this ActGuard" in said, said
            assert world.statuses == ["failed"]
        if stage == "only speaks":
            assert said == "spoken"
    world, ran = World(station).may("Planner").may("Executor"), Ran()
    with pytest.raises(ToolException) as raised:
        await send(await core(world, [making([ran.tool], False)]), sent("ask", '{"question": "x"}'))
    assert "not under this ActGuard" in raised.value.content
    assert ran == []


@case
async def code_behind_a_tool_is_asked_for_by_who_called_it(station: Station) -> None:
    for build in (behind_agent_tool, behind_team_tool):
        for allowed in (False, True):
            world, recorder = World(station).may("Executor").may("Planner", "call"), Recorder()
            if allowed:
                world.may("Planner", "execute_code")
            terminal = coder(recorder)
            planner = agent("Planner", Call("Executor", {"task": CODE}), tools=[build(terminal)])
            world.guard().protect(terminal, planner)
            await planner.run(task="go")
            assert bool(recorder.ran) is allowed, recorder.ran
            assert world.who[1] == ("execute_code", "Executor", "Planner"), world.who


@case
async def what_an_agent_behind_a_tool_streams_is_heard(station: Station) -> None:
    world = World(station).may("Planner")
    inner = agent("Executor", "inner words")
    planner = agent("Planner", DELEGATE, tools=[AgentTool(inner)])
    world.guard().protect(inner, planner)
    heard = [event async for event in planner.run_stream(task="go")]
    assert [one for one in heard if getattr(one, "content", None) == "inner words" and one.source == "Executor"]
    assert world.statuses == ["succeeded"]


@case
async def an_agent_that_runs_twice_at_once_is_guarded_twice(station: Station) -> None:
    for allowed in (False, True):
        world, ran = World(station).may("Planner"), Ran()
        if allowed:
            world.may("Executor")
        inner = agent("Executor", TASK, TASK, tools=[ran.tool])
        planner = agent("Planner", [DELEGATE, DELEGATE], tools=[AgentTool(inner)])
        world.guard().protect(inner, planner)
        await planner.run(task="go")
        assert len(ran) == 2 * allowed, ran
        assert sorted(world.who) == [("call", "Planner", "Planner")] * 2 + [("execute", "Executor", "Executor")] * 2
        assert world.statuses == ["succeeded"] * (2 + 2 * allowed), world.statuses


# --- messages ---------------------------------------------------------------------------------------------------------


@case
async def messages_are_observed_or_enforced(station: Station) -> None:
    for messages in ("observe", "enforce", "off"):
        world = World(station)
        planner, executor = agent("Planner", "the secret"), agent("Executor", "heard")
        world.guard(messages=messages).protect(planner, executor)
        await end_of(RoundRobinGroupChat([planner, executor], max_turns=2))
        shown = str(await executor._model_context.get_messages())
        assert ("the secret" in shown) is (messages != "enforce"), shown
        assert ("ACT denied: no_matching_policy" in shown) is (messages == "enforce"), shown
        asked = [(one.resource, one.dry_run, dict(one.arguments)) for one in world.act.asked if one.action == "message"]
        said = ("agent://Executor", messages == "observe", {"kind": "TextMessage", "length": 10})
        assert asked == [said] * (messages != "off"), asked
    world = World(station).may("Planner", "message", "agent://Executor")
    planner, executor = agent("Planner", "the secret"), agent("Executor", "heard")
    world.guard(messages="enforce").protect(planner, executor)
    await end_of(RoundRobinGroupChat([planner, executor], max_turns=2))
    assert "the secret" in str(await executor._model_context.get_messages())


@case
async def who_may_be_an_agent_with_a_misspelt_name_does_not_speak_as_a_person(station: Station) -> None:
    world = World(station).may("Planner").may("Executor")
    world.tokens["planer"] = world.tokens.pop("Planner")
    planner, executor = agent("Planner", "the secret"), agent("Executor", "heard")
    with pytest.warns(UserWarning, match="'Planner' has no token"):
        world.guard(messages="enforce").protect(planner, executor)
    await end_of(RoundRobinGroupChat([planner, executor], max_turns=2))
    shown = str(await executor._model_context.get_messages())
    assert "the secret" not in shown
    assert "ACT denied: no_token" in shown


# --- tool agents of the core ------------------------------------------------------------------------------------------


@dataclass
class Relayed:
    """A call inside of another message."""

    call: FunctionCall


async def core(
    world: World | None, tools: list[Any], *, how: str = "runtime", kind: Any = ToolAgent, **options: Any
) -> Any:
    """A started runtime with a tool agent."""
    runtime = SingleThreadedAgentRuntime()
    guard = world.guard(**options) if world is not None else None
    if guard is not None and how == "runtime":
        guard.protect(runtime)

    def make() -> Any:
        ready = [tool if isinstance(tool, BaseTool) else FunctionTool(tool, description="A tool") for tool in tools]
        made = kind("runs tools", ready)
        return guard.protect(made) and made if guard is not None and how == "agent" else made

    await kind.register(runtime, "Executor", make)
    for name in ("Planner", "Stranger"):
        await ToolAgent.register(runtime, name, lambda: ToolAgent("asks", []))
    if guard is not None and how == "late":
        await runtime.try_get_underlying_agent_instance(AgentId("Executor", "default"), ToolAgent)
        guard.protect(runtime)
    runtime.start()
    return runtime


def sent(name: str = "execute_task", arguments: str = '{"task_id": "t-1"}') -> Any:
    return FunctionCall(id="c-1", name=name, arguments=arguments)


async def send(runtime: Any, call: Any, sender: str | None = "Planner") -> Any:
    try:
        return await runtime.send_message(
            call,
            AgentId("Executor", "default"),
            sender=None if sender is None else AgentId(sender, "default"),
        )
    finally:
        await runtime.stop()


@case
async def a_tool_agent_lends_nobody_its_rights(station: Station) -> None:
    ran = Ran()
    await send(await core(None, [ran.tool]), sent())
    assert len(ran) == 1, "the control"
    for how in ("runtime", "agent", "late"):
        for allowed in (False, True):
            world, ran = World(station).may("Executor"), Ran()
            if allowed:
                world.may("Planner")
            result = await send(await core(world, [ran.tool], how=how), sent())
            assert isinstance(result, FunctionExecutionResult)
            assert bool(ran) is allowed, (how, ran)
            assert result.is_error is not allowed
            assert ("ACT denied: requester_not_permitted" in result.content) is not allowed, result
            assert world.who == [("execute", "Executor", "Planner")], world.who
            assert world.statuses == ["succeeded"] * allowed


@case
async def a_call_that_is_published_is_asked_about(station: Station) -> None:
    for stage in ("control", "denied", "allowed"):
        world, ran = World(station).may("Executor"), Ran()
        if stage == "allowed":
            world.may("Planner")
        runtime = await core(None if stage == "control" else world, [ran.tool])
        await runtime.add_subscription(TypeSubscription("calls", "Executor"))
        await runtime.publish_message(sent(), TopicId("calls", "default"), sender=AgentId("Planner", "default"))
        await runtime.stop_when_idle()
        assert bool(ran) is (stage != "denied"), (stage, ran)
        assert world.who == [("execute", "Executor", "Planner")] * (stage != "control"), world.who
        assert world.statuses == ["succeeded"] * (stage == "allowed")


class Relay(ToolAgent):  # type: ignore[misc]
    """Takes calls in another shape, and makes them by itself."""

    @message_handler
    async def take(self, message: Relayed, ctx: MessageContext) -> FunctionExecutionResult:
        return await self.handle_function_call(message.call, ctx)


@case
async def a_tool_agent_that_calls_itself_is_guarded(station: Station) -> None:
    for guarded in (False, True):
        world, ran = World(station).may("Executor"), Ran()
        runtime = await core(world if guarded else None, [ran.tool], kind=Relay)
        await send(runtime, Relayed(sent()))
        assert bool(ran) is not guarded
        assert world.who == [("execute", "Executor", "Planner")] * guarded, world.who


@case
async def a_tool_agent_waits_for_no_person_when_the_sender_is_gone(station: Station) -> None:
    world, ran = World(station).may("Planner").payer("Executor"), Ran()
    runtime = await core(world, [ran.tool], on_pending="wait", approval_timeout=3600)
    token = CancellationToken()
    address, sender = AgentId("Executor", "default"), AgentId("Planner", "default")
    call = asyncio.ensure_future(runtime.send_message(sent(), address, sender=sender, cancellation_token=token))
    await until(lambda: bool(world.agents["Executor"].waiting()))
    token.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    world.agents["Executor"].settle(approve=True)
    await runtime.stop_when_idle()
    assert ran == []


@case
async def a_tool_agent_works_for_nobody_who_is_not_known(station: Station) -> None:
    for sender, code in ((None, "requester_unknown"), ("Stranger", "no_token")):
        world, ran = World(station).may("Executor"), Ran()
        result = await send(await core(world, [ran.tool]), sent(), sender)
        assert f"ACT denied: {code}" in result.content, result
        assert ran == []


@case
async def arguments_of_a_tool_agent_are_what_was_decided(station: Station) -> None:
    for raw, code in (("[" * 5000, "action_malformed"), ("[]", "action_malformed"), ("{}", "resource_malformed")):
        world, ran = World(station).may("Executor").may("Planner"), Ran()
        result = await send(await core(world, [ran.tool]), sent(arguments=raw))
        assert f"ACT denied: {code}" in result.content, (raw[:20], result)
        assert ran == []


@case
async def a_tool_agent_reports_what_fails(station: Station) -> None:
    world = World(station).may("Executor").may("Planner")
    with pytest.raises(ToolException):
        await send(await core(world, [_raises]), sent("_raises", "{}"))
    assert world.statuses == ["failed"]
    world = World(station).may("Executor").may("Planner")
    world.act = Watched(station.act, reports=False)
    result = await send(await core(world, [_raises]), sent("_raises", "{}"))
    assert "ACT withheld the result" in result.content, result


@case
async def a_tool_agent_that_stands_before_an_agent_is_refused(station: Station) -> None:
    tool = AgentTool(agent("Inner"))
    with pytest.raises(UnprotectedAgent, match="Inner"):
        _protect_core(World(station), tool)


def _protect_core(world: World, tool: Any) -> None:
    from autogen_core import AgentInstantiationContext

    runtime = SingleThreadedAgentRuntime()
    with AgentInstantiationContext.populate_context((runtime, AgentId("Executor", "default"))):
        made = ToolAgent("runs tools", [tool])
    world.guard().protect(made)


# --- observing --------------------------------------------------------------------------------------------------------


@case
async def observing_lets_handoffs_and_code_go_and_reports_them(station: Station) -> None:
    world, ran = World(station), Ran()
    *_, team = handing(to("Executor"), ran=ran)
    guard = world.guard(mode="observe").protect(team)
    await end_of(team)
    assert len(ran) == 1
    actions = [seen.action for seen, _ in guard.report().denied]
    assert [action for action in actions if action != "message"] == ["handoff", "execute"], str(guard.report())
    recorder, world = Recorder(), World(station)
    team = code_team(coder(recorder))
    guard = world.guard(mode="observe").protect(team)
    await end_of(team)
    assert recorder.ran
    assert "execute_code" in [seen.action for seen, _ in guard.report().denied]
    assert all(one.dry_run for one in world.act.asked)


# --- what is protected ------------------------------------------------------------------------------------------------


class Foreign(BaseChatAgent):  # type: ignore[misc]
    """An agent of the application's own making."""

    produced_message_types = (TextMessage,)

    async def on_messages(self, messages: Any, cancellation_token: Any) -> Any:
        return Response(chat_message=TextMessage(content=END, source=self.name))

    async def on_reset(self, cancellation_token: Any) -> None: ...


@case
async def an_agent_of_another_class_is_refused(station: Station) -> None:
    world, foreign = World(station), Foreign("Foreign", "an agent")
    with pytest.raises(TypeError, match="CodeExecutorAgent"):
        world.guard().protect(foreign)
    for team in (
        RoundRobinGroupChat([foreign]),
        RoundRobinGroupChat([RoundRobinGroupChat([foreign])]),
        RoundRobinGroupChat([MessageFilterAgent("Filter", foreign, MessageFilterConfig(per_source=[]))]),
        SocietyOfMindAgent("Society", RoundRobinGroupChat([foreign]), model()),
    ):
        with pytest.raises(UnprotectedAgent, match="Foreign"):
            world.guard().protect(team)
    team = RoundRobinGroupChat([foreign, agent("Planner", END)], termination_condition=TextMentionTermination(END))
    with pytest.warns(UserWarning, match="Foreign"):
        world.guard(allow_unprotected=True).protect(team)
    await end_of(team)


@case
async def a_person_may_speak_in_a_guarded_team(station: Station) -> None:
    world, ran = World(station), Ran()
    person = UserProxyAgent("Person", input_func=lambda prompt: END)
    team = RoundRobinGroupChat(
        [agent("Planner", TASK, tools=[ran.tool]), person], termination_condition=TextMentionTermination(END)
    )
    world.guard().protect(team, person)
    result = await end_of(team)
    assert ran == []
    assert result.messages[-1].content == END


@case
async def a_name_belongs_to_one_agent_and_an_agent_to_one_guard(station: Station) -> None:
    world = World(station)
    planner, guard = agent("Planner"), world.guard()
    guard.protect(planner, planner).protect(in_team(planner)).protect(planner)
    with pytest.raises(ValueError, match="two agents"):
        guard.protect(agent("Planner"))
    with pytest.raises(ValueError, match="another ActGuard"):
        world.guard().protect(planner)
    with pytest.raises(ValueError, match="two agents"):
        world.guard().protect(agent("Executor"), agent("Executor"))


@case
async def nothing_is_changed_when_protect_raises(station: Station) -> None:
    world, ran = World(station), Ran()
    planner = agent("Planner", TASK, tools=[ran.tool])
    with pytest.raises(UnprotectedAgent):
        world.guard().protect(planner, RoundRobinGroupChat([Foreign("Foreign", "an agent")]))
    await planner.run(task="go")
    assert len(ran) == 1
    assert type(planner) is AssistantAgent


@case
async def a_guarded_agent_is_still_what_it_was(station: Station) -> None:
    planner = agent("Planner", "words", tools=[Ran().tool])
    World(station).guard().protect(planner)
    assert isinstance(planner, AssistantAgent)
    assert type(planner).__name__ == "AssistantAgent"
    state = await planner.save_state()
    await planner.load_state(state)
    await planner.on_reset(CancellationToken())
    assert (await planner.run(task="go")).messages[-1].content == "words"


@case
async def model_calls_that_break_are_heard_of(station: Station) -> None:
    def breaks() -> None:
        raise ConnectionError("no model")

    for shape in SHAPES:
        team = shape(agent("Planner", Turn(text="x", before=breaks)))
        World(station).guard().protect(team)
        with pytest.raises((ConnectionError, RuntimeError), match="no model"):
            await end_of(team)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        station = Station(Path(folder) / "station")
        for name, play in CASES.items():
            if os.environ.get("ONLY", name) != name:
                continue
            faulthandler.dump_traceback_later(LIMIT, exit=True)
            answer = None
            try:
                await play(station)
            except BaseException:
                answer = traceback.format_exc()
            faulthandler.cancel_dump_traceback_later()
            print(json.dumps({name: answer}), flush=True)
        station.close()


if __name__ == "__main__":
    asyncio.run(main())
