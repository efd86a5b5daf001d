"""Every way in which a tool comes to an agent, and what stands between the gate and the tool."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import ag2
import pytest
from ag2 import Agent, Context, MemoryStream, Plugin, Toolkit
from ag2.events import ModelMessageChunk, ModelResponse, ToolCallEvent, ToolCallsEvent, ToolResultEvent
from ag2.knowledge import MemoryKnowledgeStore
from ag2.live import LiveAgent
from ag2.middleware import BaseMiddleware
from ag2.tools import LocalEnvironment, SandboxCodeTool, SandboxShellTool, WebSearchTool
from ag2.tools.builtin.tool_search import ToolSearchTool
from ag2.tools.final import ClientTool, FunctionTool
from ag2.tools.tool import Tool
from ag2_support import TOUCH, Team, Touched, agent, call, model, results, run
from tests.integrations.suite.world import Station

from act.integrations.ag2 import ActGuard, UnprotectedAgent

pytestmark = pytest.mark.timeout(180)

Protect = Callable[[Any], Any]
WAYS: dict[str, Any] = {}


def way(function: Any) -> Any:
    WAYS[function.__name__] = function
    return function


@way
async def in_the_constructor(touch: Any, protect: Protect) -> Any:
    planner = agent("Planner", TOUCH, "done", tools=[touch])
    protect(planner)
    return await planner.ask("go")


@way
async def by_the_decorator_after_protect(touch: Any, protect: Protect) -> Any:
    planner = agent("Planner", TOUCH, "done")
    protect(planner)
    planner.tool(touch)
    return await planner.ask("go")


@way
async def added_after_a_turn(touch: Any, protect: Protect) -> Any:
    planner = agent("Planner", "hello")
    protect(planner)
    first = await planner.ask("go")
    planner.add_tool(touch)
    return await first.ask("and now", config=model(TOUCH, "done"))


@way
async def given_to_ask(touch: Any, protect: Protect) -> Any:
    planner = agent("Planner", TOUCH, "done")
    protect(planner)
    return await planner.ask("go", tools=[ag2.tool(touch)])


@way
async def given_to_the_next_ask(touch: Any, protect: Protect) -> Any:
    planner = agent("Planner", "hello")
    protect(planner)
    first = await planner.ask("go")
    return await first.ask("and now", tools=[ag2.tool(touch)], config=model(TOUCH, "done"))


@way
async def given_to_run(touch: Any, protect: Protect) -> Any:
    planner = agent("Planner", TOUCH, "done")
    protect(planner)
    async with planner.run("go", tools=[ag2.tool(touch)]) as going:
        going.start()
        return await going.result()


@way
async def while_it_streams(touch: Any, protect: Protect) -> Any:
    planner = agent("Planner", ModelMessageChunk("I will "), TOUCH, ModelMessageChunk("do"), "done", tools=[touch])
    protect(planner)
    async with planner.run("go") as going:
        with going.stream.join() as heard:
            going.start()
            async for event in heard:
                if isinstance(event, ToolResultEvent):
                    break
        return await going.result()


@way
async def in_a_plugin(touch: Any, protect: Protect) -> Any:
    planner = agent("Planner", TOUCH, "done", plugins=[Plugin(tools=[touch])])
    protect(planner)
    return await planner.ask("go")


@way
async def in_a_plugin_of_one_turn(touch: Any, protect: Protect) -> Any:
    planner = agent("Planner", TOUCH, "done")
    protect(planner)
    return await planner.ask("go", plugins=[Plugin(tools=[touch])])


@way
async def in_a_toolkit_inside_a_toolkit(touch: Any, protect: Protect) -> Any:
    planner = agent("Planner", TOUCH, "done", tools=[Toolkit(Toolkit(touch, name="inner"))])
    protect(planner)
    return await planner.ask("go")


@way
async def in_a_toolkit_that_grows(touch: Any, protect: Protect) -> Any:
    planner = agent("Planner", TOUCH, "done", tools=[Toolkit()])
    protect(planner)
    planner.tools[0].tool(touch)
    return await planner.ask("go")


@way
async def behind_a_tool_search(touch: Any, protect: Protect) -> Any:
    planner = agent("Planner", TOUCH, "done", tools=[ToolSearchTool(touch)])
    protect(planner)
    return await planner.ask("go")


@way
async def in_a_trajectory_that_is_resumed(touch: Any, protect: Protect) -> Any:
    planner = agent("Planner", "done", tools=[touch])
    protect(planner)
    return await planner.resume(ModelResponse(tool_calls=ToolCallsEvent([TOUCH])), ToolCallsEvent([TOUCH]))


@way
async def by_a_stranger_on_the_stream(touch: Any, protect: Protect) -> Any:
    """Anybody who can write to the stream during a turn can ask for a call."""
    planner, stream = agent("Planner", "done", tools=[touch]), MemoryStream()
    protect(planner)
    async with planner.run("go", stream=stream) as going:
        await going.stream.send(TOUCH, ag2.Context(going.stream))
        return await going.result()


@way
async def on_a_copy_of_the_agent(touch: Any, protect: Protect) -> Any:
    planner = agent("Planner", TOUCH, "done", tools=[touch])
    protect(planner)
    return await copy.copy(planner).ask("go")


@way
async def on_an_agent_of_a_subclass(touch: Any, protect: Protect) -> Any:
    class Mine(Agent):
        async def ask(self, *message: Any, **options: Any) -> Any:
            return await super().ask(*message, **options)

    planner = Mine("Planner", config=model(TOUCH, "done"), tools=[touch])
    protect(planner)
    return await planner.ask("go")


@way
async def under_an_agent_that_was_renamed(touch: Any, protect: Protect) -> Any:
    planner = agent("Planner", TOUCH, "done", tools=[touch])
    protect(planner)
    planner.name = "Executor"
    return await planner.ask("go")


@way
async def with_a_second_registration_of_the_name(touch: Any, protect: Protect) -> Any:
    def harmless(what: str) -> str:
        return "harmless"

    planner = agent("Planner", TOUCH, "done", tools=[ag2.tool(harmless, name="touch")])
    protect(planner)
    return await planner.ask("go", tools=[ag2.tool(touch)])


@pytest.mark.parametrize("way", WAYS)
def test_without_a_guard_the_tool_runs(way: str) -> None:
    """The control: each of these is a way to a tool."""
    touched = Touched()
    run(WAYS[way](touched.tool, lambda _: None))
    assert touched == ["x"]


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_around_the_guard(station: Station, way: str) -> None:
    touched, team = Touched(), Team(station)
    team.executor.may("*", "*")

    async def whole() -> str:
        return await results(await WAYS[way](touched.tool, team.guard().protect))

    seen = run(whole())
    assert touched == []
    assert "ACT denied: no_matching_policy: " in seen
    assert team.asked == [("Planner", "call", "tool://touch")]


def test_a_protected_agent_cannot_be_copied_by_value() -> None:
    """A deep copy or a pickle would be an agent of its own; AG2's agents are neither."""
    planner = agent("Planner", "done")
    for make in (copy.deepcopy, pickle.dumps):
        with pytest.raises(Exception, match=r"pickle|copy"):
            make(planner)


# --- between the gate and the tool ------------------------------------------------------------------------------------


async def _other(call_next: Any, event: ToolCallEvent, context: Any) -> Any:
    event = copy.copy(event)
    event.arguments = json.dumps({"what": "secret"})
    event.serialized_arguments = {"what": "secret"}
    return await call_next(event, context)


async def _under_another_name(call_next: Any, event: ToolCallEvent, context: Any) -> Any:
    event = copy.copy(event)
    event.name = "harmless"
    return await call_next(event, context)


async def _cached_only(call_next: Any, event: ToolCallEvent, context: Any) -> Any:
    """What was decoded before says something else than the text that is shown."""
    event = copy.copy(event)
    event.serialized_arguments = {"what": "secret"}
    return await call_next(event, context)


def _in_middleware(hook: Any) -> Any:
    class Hooked(BaseMiddleware):
        async def on_tool_execution(self, call_next: Any, event: Any, context: Any) -> Any:
            return await hook(call_next, event, context)

    return Hooked


@pytest.mark.parametrize("hook", [_other, _under_another_name, _cached_only])
@pytest.mark.parametrize("place", ["agent", "later", "turn", "tool"])
def test_what_middleware_changes_is_decided_as_it_runs(station: Station, hook: Any, place: str) -> None:
    touched, team = Touched(), Team(station)
    team.planner.may("call", "*")
    on_tool = [hook] if place == "tool" else []
    planner = agent("Planner", TOUCH, "done", tools=[ag2.tool(touched.tool, middleware=on_tool)])
    if place == "agent":
        planner.add_middleware(_in_middleware(hook))
    team.guard().protect(planner)
    if place == "later":
        planner.insert_middleware(_in_middleware(hook))
    run(planner.ask("go", middleware=[_in_middleware(hook)] if place == "turn" else []))
    (asked,) = team.act.calls
    assert touched == [asked.arguments["what"]]
    assert asked.resource == "tool://touch"
    assert touched == (["x"] if hook is _under_another_name else ["secret"])


def test_what_is_changed_while_act_is_asked_does_not_run(station: Station) -> None:
    held: list[ToolCallEvent] = []

    async def holds(call_next: Any, event: ToolCallEvent, context: Any) -> Any:
        held.append(event)
        return await call_next(event, context)

    touched, team = Touched(), Team(station)
    team.planner.may("call", "*")
    ask = team.act.enforce

    def meanwhile(*args: Any, **more: Any) -> Any:
        held[0].serialized_arguments["what"] = "secret"
        held[0].arguments = '{"what": "secret"}'
        return ask(*args, **more)

    team.act.enforce = meanwhile  # type: ignore[method-assign]
    planner = agent("Planner", TOUCH, "done", tools=[ag2.tool(touched.tool, middleware=[holds])])
    team.guard().protect(planner)
    run(planner.ask("go"))
    assert touched == ["x"]
    assert team.act.calls[0].arguments == {"what": "x"}


def test_each_attempt_of_a_retry_is_decided(station: Station) -> None:
    async def twice(call_next: Any, event: Any, context: Any) -> Any:
        await call_next(event, context)
        return await call_next(event, context)

    touched, team = Touched(), Team(station)
    team.planner.may("call", "*")
    planner = agent("Planner", TOUCH, "done", tools=[ag2.tool(touched.tool, middleware=[twice])])
    team.guard().protect(planner)
    run(planner.ask("go"))
    assert touched == ["x", "x"]
    assert len(team.asked) == 2
    assert [status for status, _ in team.act.outcomes] == ["succeeded", "succeeded"]


# --- AG2's own tools --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("kind", ["code", "shell"])
def test_code_is_asked_about_as_code(station: Station, tmp_path: Path, kind: str, guarded: bool) -> None:
    made, where = tmp_path / "made", LocalEnvironment(str(tmp_path))
    code = f"open({str(made)!r}, 'w')"
    said = (
        call("run_code", code=code, language="python")
        if kind == "code"
        else call("run_shell_command", command=f"touch {made}")
    )
    tool = SandboxCodeTool(where) if kind == "code" else SandboxShellTool(where)
    team = Team(station)
    planner = agent("Planner", said, "done", tools=[tool])
    if guarded:
        team.guard().protect(planner)
    run(planner.ask("go"))
    assert made.exists() is not guarded
    if guarded:
        assert team.asked == [("Planner", "execute_code", "agent://Planner/code")]
        assert str(made) in str(team.act.calls[0].arguments)
        team.planner.may("execute_code", "agent://Planner/code")
        run(planner.ask("go"))
        assert made.exists()


def test_an_agent_whose_name_is_no_part_of_a_resource_executes_nothing(station: Station, tmp_path: Path) -> None:
    made, team = tmp_path / "made", Team(station)
    team.planner.may("*", "*")
    said = call("run_shell_command", command=f"touch {made}")
    odd = agent("Plan/ner", said, "done", tools=[SandboxShellTool(LocalEnvironment(str(tmp_path)))])
    ActGuard(team.act, {"Plan/ner": team.planner.token()}).protect(odd)

    async def whole() -> str:
        return await results(await odd.ask("go"))

    assert "ACT denied: resource_malformed: " in run(whole())
    assert not made.exists()


def test_the_knowledge_tool_is_a_tool(station: Station) -> None:
    store, team = MemoryKnowledgeStore(), Team(station)
    said = call("knowledge", action="write", path="/x", content="y")
    knowledge = ag2.KnowledgeConfig(store=store, expose_tool=True)
    planner = agent("Planner", said, "done", knowledge=knowledge)
    team.guard().protect(planner)

    async def whole() -> Any:
        await planner.ask("go")
        return await store.read("/x")

    assert run(whole()) is None
    assert team.asked == [("Planner", "call", "tool://knowledge")]


def test_a_tool_of_a_remote_client_is_not_called_when_denied(station: Station) -> None:
    async def whole(planner: Any) -> Any:
        return await planner.ask("go", tools=[client])

    client = ClientTool({"function": {"name": "touch", "parameters": {"type": "object", "properties": {}}}})
    team, planner = Team(station), agent("Planner", TOUCH, "done")
    assert run(whole(planner)).response.tool_calls.calls[0].name == "touch", "the control: it goes to the client"
    team.guard().protect(planner)
    reply = run(whole(planner))
    assert not reply.response.tool_calls
    assert reply.body == "done"
    assert team.asked == [("Planner", "call", "tool://touch")]


def test_a_remote_client_gets_the_call_that_was_decided(station: Station) -> None:
    client = ClientTool({"function": {"name": "touch", "parameters": {"type": "object", "properties": {}}}})
    team, planner = Team(station), agent("Planner", TOUCH, "done")
    team.planner.may("call", "tool://touch")
    planner.add_middleware(_in_middleware(_cached_only))
    team.guard().protect(planner)
    reply = run(planner.ask("go", tools=[client]))
    (sent,) = reply.response.tool_calls.calls
    assert json.loads(sent.arguments) == team.act.calls[0].arguments == {"what": "secret"}


class OfItsOwn(Tool):
    """Registers itself, and has never heard of middleware."""

    name = "touch"

    def __init__(self, touched: Touched) -> None:
        self._touched = touched

    def __deepcopy__(self, memo: Any) -> OfItsOwn:
        return self

    async def schemas(self, context: Any) -> Any:
        return await ag2.tool(self._touched.tool).schemas(context)

    def register(self, stack: Any, context: Any, *, middleware: Any = ()) -> None:
        async def execute(event: ToolCallEvent, context: Context) -> None:
            self._touched.append("x")
            await context.send(ToolResultEvent.from_call(event, "touched"))

        stack.enter_context(context.stream.where(ToolCallEvent.name == "touch").sub_scope(execute))


def test_a_tool_that_registers_itself_is_refused(station: Station) -> None:
    touched, team = Touched(), Team(station)
    run(agent("Planner", TOUCH, "done", tools=[OfItsOwn(touched)]).ask("go"))
    assert touched == ["x"], "the control: this is the hole"
    with pytest.raises(UnprotectedAgent, match="OfItsOwn"):
        team.guard().protect(agent("Planner", TOUCH, tools=[OfItsOwn(Touched())]))
    planner = agent("Planner", TOUCH, "done")
    team.guard().protect(planner)
    touched.clear()
    with pytest.raises(UnprotectedAgent, match="touch"):
        run(planner.ask("go", tools=[OfItsOwn(touched)]))
    assert touched == []


class Swapping(Toolkit):
    """A toolkit of the application, which has other tools than it was given."""

    other: Any = None

    @property
    def tools(self) -> Any:
        return (ag2.tool(self.other),)


def test_a_toolkit_that_brings_tools_of_its_own_is_refused(station: Station) -> None:
    touched, team = Touched(), Team(station)
    toolkit = Swapping(Touched().tool)
    toolkit.other = touched.tool
    run(agent("Planner", TOUCH, "done", tools=[toolkit]).ask("go"))
    assert touched == ["x"], "the control: this is the hole"
    with pytest.raises(UnprotectedAgent, match="Swapping"):
        team.guard().protect(agent("Planner", TOUCH, tools=[toolkit]))


def test_a_tool_that_the_provider_runs_is_refused(station: Station) -> None:
    team, planner = Team(station), agent("Planner", "done", tools=[WebSearchTool()])
    with pytest.raises(UnprotectedAgent, match="model's provider"):
        team.guard().protect(planner)
    assert not hasattr(planner._tool_executor, "guard")
    for options in ({"allow_unprotected": True}, {"mode": "observe"}):
        with pytest.warns(UserWarning, match="model's provider"):
            team.guard(**options).protect(agent("Planner", "done", tools=[WebSearchTool()]))


class Session:
    """A realtime session in which the model asks for `touch` at once."""

    @asynccontextmanager
    async def session(self, context: Any, **_: Any) -> AsyncIterator[None]:
        yield None


def test_an_agent_that_is_spoken_with_is_guarded_too(station: Station) -> None:
    async def whole(speaker: Any) -> str:
        heard: list[Any] = []
        async with speaker.run(tools=[ag2.tool(touched.tool)]) as context:
            context.stream.where(ToolResultEvent).subscribe(lambda event: heard.append(event))
            await context.send(ToolCallsEvent([TOUCH]))
        return str(heard)

    touched, team = Touched(), Team(station)
    speaker = LiveAgent("Planner", config=Session())
    run(whole(speaker))
    assert touched == ["x"], "the control"
    team.guard().protect(speaker)
    assert "ACT denied: no_matching_policy" in run(whole(speaker))
    assert touched == ["x"]
    assert team.asked == [("Planner", "call", "tool://touch")]


def test_a_tool_is_asked_about_by_the_name_that_the_model_calls(station: Station) -> None:
    touched, team = Touched(), Team(station)
    team.planner.may("call", "tool://harmless")
    tool = ag2.tool(touched.tool)
    tool.name = "harmless"
    planner = agent("Planner", TOUCH, "done", tools=[tool])
    team.guard().protect(planner)
    run(planner.ask("go"))
    assert touched == []
    assert team.asked == [("Planner", "call", "tool://touch")]


class OfAServer(Tool):
    """Shaped like the tools of `MCPToolkit`: middleware of its own, inside that of the agent."""

    name = "touch"

    def __init__(self, touched: Touched) -> None:
        self.schema = ag2.tool(touched.tool).schema
        self._touched, self._middleware = touched, (_other,)

    def __deepcopy__(self, memo: Any) -> OfAServer:
        return self

    async def schemas(self, context: Any) -> Any:
        return [self.schema]

    async def __call__(self, event: ToolCallEvent, context: Any) -> Any:
        self._touched.append(event.serialized_arguments["what"])
        return ToolResultEvent.from_call(event, "touched")

    def register(self, stack: Any, context: Any, *, middleware: Any = ()) -> None:
        FunctionTool.register(self, stack, context, middleware=middleware)  # type: ignore[arg-type]

    source = "mcp:stand-in:touch"


@pytest.mark.parametrize("allowed", [False, True])
def test_a_tool_of_an_mcp_server_is_guarded_inside_its_own_middleware(
    station: Station, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    """The package `mcp` in the version that AG2 wants is not installed here; the stand-in says it comes from AG2."""
    monkeypatch.setattr(OfAServer, "__module__", "ag2.tools.toolkits.mcp_server.toolkit")
    touched, team = Touched(), Team(station)
    if allowed:
        team.planner.may("call", "tool://touch")
    planner = agent("Planner", TOUCH, "done", tools=[Toolkit(OfAServer(touched))])
    team.guard().protect(planner)
    run(planner.ask("go"))
    assert touched == (["secret"] if allowed else [])
    assert [asked.arguments for asked in team.act.calls] == [{"what": "secret"}]


# --- how protect behaves ----------------------------------------------------------------------------------------------


def test_protect_can_be_said_again_and_by_one_guard_only(station: Station) -> None:
    touched, team = Touched(), Team(station)
    team.planner.may("call", "*")
    planner, guard = agent("Planner", TOUCH, "done", tools=[touched.tool]), team.guard()
    assert guard.protect(planner).protect(planner) is guard
    run(planner.ask("go"))
    assert len(team.asked) == 1
    with pytest.raises(ValueError, match="another ActGuard"):
        team.guard().protect(planner)
    with pytest.raises(ValueError, match="two agents"):
        guard.protect(agent("Planner", "done"))


def test_nothing_is_changed_when_protect_raises(station: Station) -> None:
    team, planner = Team(station), agent("Planner", "done")
    with pytest.raises(TypeError):
        team.guard().protect(planner, "Executor")
    team.guard().protect(planner)


def test_a_denial_ends_no_turn(station: Station) -> None:
    """A tool whose result would be the answer of the turn: its denial is read by the model all the same."""

    def touch(what: str) -> ag2.ToolResult:
        return ag2.ToolResult("the answer", final=True)

    team, planner = Team(station), agent("Planner", TOUCH, "the model's", tools=[touch])
    team.guard().protect(planner)
    assert run(planner.ask("go")).body == "the model's"
    team.planner.may("call", "tool://touch")
    assert run(planner.ask("go")).body == "the answer"


def test_the_guard_is_exported_where_it_is_looked_for() -> None:
    from act.integrations import ag2 as module

    assert module.ActGuard is ActGuard
