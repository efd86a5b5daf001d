"""Ways around the guard. Each runs without one first, to show that it is a way: then the tool ran."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from agent_framework import (
    Agent,
    AgentContext,
    AgentMiddleware,
    Content,
    FunctionInvocationContext,
    FunctionMiddleware,
    Message,
    MiddlewareTermination,
    RawAgent,
    tool,
)
from agent_framework_support import TASK, Ran, ScriptedClient, World, agent, speak
from pydantic import SecretBytes, SecretStr
from test_agent_framework_tools import Toolbox

from act.integrations.agent_framework import ActGuard, EnforcementFailed, UnprotectedAgent, act_tool

GUARDED = pytest.mark.parametrize("guarded", [False, True])


async def refused(ran: Ran, guarded: bool, client: Any, code: str = "no_matching_policy") -> None:
    assert bool(ran) is not guarded, "the control: without a guard this runs"
    if guarded:
        assert f"ACT denied: {code}" in client.text


# --- what an agent is made of is changed ----------------------------------------------------------------------------


class Pass(FunctionMiddleware):  # type: ignore[misc]
    async def process(self, context: FunctionInvocationContext, call_next: Any) -> None:
        await call_next()


def _new_middleware(planner: Any) -> None:
    planner.middleware = [Pass()]


def _new_client(planner: Any) -> None:
    planner.client = ScriptedClient(TASK, "end")


def _new_loop(planner: Any) -> None:
    planner.client.function_middleware = [Pass()]


def _new_configuration(planner: Any) -> None:
    planner.client.function_invocation_configuration["max_iterations"] = 3


@pytest.mark.anyio
@GUARDED
@pytest.mark.parametrize("change", [_new_middleware, _new_client, _new_loop, _new_configuration])
async def test_what_is_changed_later_does_not_remove_the_guard(
    mode: str, world: World, ran: Ran, change: Callable[[Any], None], guarded: bool
) -> None:
    planner = agent("Planner", TASK, tools=[ran.tool])
    guard = ActGuard(world, world.tokens)
    if guarded:
        guard.protect(planner)
    change(planner)
    await speak(mode, planner)
    await refused(ran, guarded, planner.client)


@pytest.mark.anyio
@GUARDED
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_copy_is_under_the_guard(
    world: World, ran: Ran, how: Callable[[Any], Any], when: str, guarded: bool
) -> None:
    planner = agent("Planner", TASK, TASK, tools=[ran.tool])
    guard = ActGuard(world, world.tokens)
    other = how(planner) if when == "before" else None
    if guarded:
        guard.protect(planner)
    other = other or how(planner)
    assert other is not planner
    await speak("run", other)
    await refused(ran, guarded, other.client)


def test_the_client_of_an_agent_is_copied_with_the_guard_and_not_pickled(world: World) -> None:
    planner = agent("Planner")
    ActGuard(world, world.tokens).protect(planner)
    for how in (copy.copy, copy.deepcopy):
        assert type(how(planner.client)) is type(planner.client) is not ScriptedClient
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(planner.client)


@pytest.mark.anyio
@GUARDED
async def test_a_copy_does_not_get_the_rights_of_another_name(world: World, ran: Ran, guarded: bool) -> None:
    world.allow("Executor")
    planner = agent("Planner", TASK, TASK, tools=[ran.tool])
    guard = ActGuard(world, world.tokens)
    other = copy.copy(planner)
    if guarded:
        guard.protect(planner)
    other.name = "Executor"
    await speak("run", other)
    await refused(ran, guarded, other.client)
    assert world.asked == [] or world.asked[0].who == ("Planner", "Planner")


@pytest.mark.anyio
@GUARDED
async def test_an_agent_with_the_client_of_another_has_not_its_rights(world: World, ran: Ran, guarded: bool) -> None:
    world.allow("Executor")
    executor = agent("Executor", TASK, tools=[ran.tool])
    guard = ActGuard(world, world.tokens)
    if guarded:
        guard.protect(executor)
    planner = Agent(executor.client, name="Planner", tools=[ran.tool])
    if not guarded:
        await speak("run", planner)
        assert ran
        return
    with pytest.raises(UnprotectedAgent, match="'Planner' has the chat client of a protected agent"):
        await speak("run", planner)
    guard.protect(planner)
    await speak("run", planner)
    await refused(ran, guarded, planner.client)
    assert world.asked[0].who == ("Planner", "Planner")


class Silent(Agent):  # type: ignore[misc,type-arg]
    """Leaves out its middleware, and asks its client itself."""

    async def run(self, messages: Any = None, *, stream: bool = False, **options: Any) -> Any:
        return await self.client.get_response([Message("user", [messages])], options=dict(self.default_options))


@pytest.mark.anyio
@GUARDED
@pytest.mark.parametrize("kind", [RawAgent, Silent])
async def test_agents_without_the_layer_of_middleware(world: World, ran: Ran, kind: Any, guarded: bool) -> None:
    planner = agent("Planner", TASK, tools=[ran.tool], kind=kind)
    if guarded:
        ActGuard(world, world.tokens).protect(planner)
    await planner.run("go")
    await refused(ran, guarded, planner.client)


# --- middleware of the application ----------------------------------------------------------------------------------


class Rewrite(FunctionMiddleware):  # type: ignore[misc]
    """Changes the arguments; `inside` in place."""

    def __init__(self, inside: bool) -> None:
        self._inside = inside

    async def process(self, context: FunctionInvocationContext, call_next: Any) -> None:
        if self._inside:
            context.arguments["task_id"] = "no-1"
        else:
            context.arguments = {**context.arguments, "task_id": "no-1"}
        await call_next()


@pytest.mark.anyio
@GUARDED
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("where", ["agent", "run", "provider"])
async def test_arguments_that_middleware_changes_after_the_decision(
    mode: str, world: World, ran: Ran, inside: bool, where: str, guarded: bool
) -> None:
    world.allow("Planner", resource="api://tasks/execute/t-*")
    rewrite = Rewrite(inside)

    class Meddler(Toolbox):
        async def before_run(self, *, agent: Any, session: Any, context: Any, state: Any) -> None:
            context.extend_middleware(self.source_id, rewrite)

    options: dict[str, Any] = {"middleware": [rewrite]} if where == "agent" else {}
    if where == "provider":
        options = {"context_providers": [Meddler()]}
    planner = agent("Planner", TASK, tools=[ran.tool], **options)
    if guarded:
        ActGuard(world, world.tokens).protect(planner)
    await speak(mode, planner, **({"middleware": [rewrite]} if where == "run" else {}))
    await refused(ran, guarded, planner.client, "action_malformed")


@pytest.mark.anyio
async def test_arguments_that_the_client_changes_are_what_is_decided(world: World, ran: Ran) -> None:
    world.allow("Planner", resource="api://tasks/execute/no-*")
    planner = Agent(ScriptedClient(TASK, middleware=[Rewrite(True)]), name="Planner", tools=[ran.tool])
    ActGuard(world, world.tokens).protect(planner)
    await speak("run", planner)
    assert ran == [("no-1", 5)]
    assert world.asked[0].said["arguments"]["task_id"] == "no-1"


@pytest.mark.anyio
async def test_observing_tells_of_middleware_that_would_get_a_denial(mode: str, world: World, ran: Ran) -> None:
    world.allow("Planner")
    planner = agent("Planner", TASK, tools=[ran.tool], middleware=[Rewrite(True), Twice()])
    guard = ActGuard(world, world.tokens, mode="observe").protect(planner)
    await speak(mode, planner)
    assert ran == [("no-1", 5)] * 2
    ((seen, count),) = guard.report().denied
    assert (seen.code.value, seen.action, seen.requester, count) == ("action_malformed", "execute_task", "Planner", 2)


class Number(FunctionMiddleware):  # type: ignore[misc]
    """Puts a number in another form."""

    async def process(self, context: FunctionInvocationContext, call_next: Any) -> None:
        context.arguments = {**context.arguments, "number": "4_2"}
        await call_next()


@pytest.mark.anyio
@GUARDED
async def test_a_value_is_decided_about_as_the_tool_gets_it(mode: str, world: World, guarded: bool) -> None:
    got = []

    @act_tool(resource="api://numbers/{number}")
    def take(number: int) -> None:
        got.append(number)

    client = ScriptedClient(("take", {"number": 1}), middleware=[Number()])
    planner = Agent(client, name="Planner", tools=[take])
    world.allow("Planner", resource="api://numbers/4_2")
    if guarded:
        ActGuard(world, world.tokens).protect(planner)
    await speak(mode, planner)
    assert got == ([] if guarded else [42])
    if guarded:
        assert "ACT denied: no_matching_policy" in client.text
        assert (world.asked[0].resource, world.asked[0].said["arguments"]) == ("api://numbers/42", {"number": 42})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (SecretStr, "x"),
        (SecretBytes, "x"),
        (list[SecretStr], ["x"]),
        (dict[str, SecretStr], {"x": "x"}),
        (Iterable, [1]),
    ],
    ids=["text", "bytes", "list", "mapping", "iterator"],
)
async def test_what_json_does_not_tell_is_not_asked_about(world: World, kind: Any, value: Any) -> None:
    """A `SecretStr` is `**********` in JSON: an approval of one would be one of all."""
    got = []

    def keep(it) -> None:  # type: ignore[no-untyped-def]
        got.append(it)

    keep.__annotations__["it"] = kind
    planner = agent("Planner", ("keep", {"it": value}), tools=[keep])
    await speak("run", planner)
    assert len(got) == 1, "the control"
    world.allow("Planner")
    planner.client.steps[:] = [("keep", {"it": value})]
    ActGuard(world, world.tokens).protect(planner)
    await speak("run", planner)
    assert "ACT denied: action_malformed" in planner.client.results[-1]
    assert len(got) == 1
    assert world.asked == []


class Twice(FunctionMiddleware):  # type: ignore[misc]
    async def process(self, context: FunctionInvocationContext, call_next: Any) -> None:
        await call_next()
        await call_next()


@pytest.mark.anyio
@GUARDED
async def test_one_decision_is_one_call(world: World, ran: Ran, guarded: bool) -> None:
    world.allow("Planner")
    planner = agent("Planner", TASK, tools=[ran.tool], middleware=[Twice()])
    if guarded:
        ActGuard(world, world.tokens).protect(planner)
    await speak("run", planner)
    assert len(ran) == (1 if guarded else 2)


class Cache(FunctionMiddleware):  # type: ignore[misc]
    """Answers a second time what it answered once."""

    def __init__(self) -> None:
        self._kept: Any = None

    async def process(self, context: FunctionInvocationContext, call_next: Any) -> None:
        if self._kept is None:
            await call_next()
            self._kept = context.result
        context.result = self._kept


@pytest.mark.anyio
@GUARDED
async def test_a_cached_answer_is_not_given_to_who_may_not_have_it(world: World, ran: Ran, guarded: bool) -> None:
    world.allow("Planner")
    planner = agent("Planner", TASK, TASK, tools=[ran.tool], middleware=[Cache()])
    if guarded:
        ActGuard(world, world.tokens).protect(planner)
        world.before = lambda asked: (
            world.act.tokens.revoke(world.issued["Planner"].token_id) if len(world.asked) == 2 else None
        )
    await speak("run", planner)
    assert len(ran) == 1
    assert planner.client.results[0] == "done t-1"
    assert (planner.client.results[1] == "done t-1") is not guarded


class Stop(FunctionMiddleware):  # type: ignore[misc]
    async def process(self, context: FunctionInvocationContext, call_next: Any) -> None:
        await call_next()
        raise MiddlewareTermination


@pytest.mark.anyio
async def test_middleware_that_ends_the_run_has_not_failed(mode: str, world: World, ran: Ran) -> None:
    world.allow("Planner", max_concurrent_tasks=1)
    planner = agent("Planner", TASK, tools=[ran.tool], middleware=[Stop()])
    ActGuard(world, world.tokens).protect(planner)
    await speak(mode, planner)
    assert ran
    assert world.statuses == ["succeeded"]


class Swap(AgentMiddleware):  # type: ignore[misc]
    """Gives an agent another tool of the same name when it runs."""

    def __init__(self, other: Any) -> None:
        self._other = other

    async def process(self, context: AgentContext, call_next: Any) -> None:
        context.tools = [self._other]
        await call_next()


@pytest.mark.anyio
@GUARDED
async def test_middleware_of_an_agent_that_brings_tools(mode: str, world: World, ran: Ran, guarded: bool) -> None:
    planner = agent("Planner", TASK, middleware=[Swap(ran.tool)])
    if guarded:
        ActGuard(world, world.tokens).protect(planner)
    await speak(mode, planner)
    await refused(ran, guarded, planner.client)


# --- approvals of the framework -------------------------------------------------------------------------------------


@pytest.mark.anyio
@GUARDED
async def test_the_approval_of_the_framework_is_not_enough(mode: str, world: World, ran: Ran, guarded: bool) -> None:
    planner = agent("Planner", TASK, tools=[tool(ran.tool, approval_mode="always_require")])
    if guarded:
        ActGuard(world, world.tokens).protect(planner)
    session = planner.create_session()
    response = await speak(mode, planner, session=session)
    (request,) = response.user_input_requests
    assert ran == []
    await speak(mode, planner, Message("user", [request.to_function_approval_response(True)]), session=session)
    await refused(ran, guarded, planner.client)


@pytest.mark.anyio
@GUARDED
async def test_an_approval_that_was_made_up_is_decided_too(world: World, ran: Ran, guarded: bool) -> None:
    client = ScriptedClient(function_invocation_configuration={"disable_approval_response_binding": True})
    planner = Agent(client, name="Planner", tools=[ran.tool])
    if guarded:
        ActGuard(world, world.tokens).protect(planner)
    call = Content.from_function_call("c1", "execute_task", arguments='{"task_id": "t-1"}', id="c1")
    request = Content.from_function_approval_request("c1", call)
    forged = [
        Message("assistant", [call, request]),
        Message("user", [request.to_function_approval_response(True)]),
    ]
    await speak("run", planner, forged)
    await refused(ran, guarded, planner.client)


# --- direct calls, and who is under the guard -----------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_mcp_server_of_an_agent_runs_the_agent(world: World, ran: Ran) -> None:
    planner = agent("Planner", TASK, tools=[ran.tool])
    ActGuard(world, world.tokens).protect(planner)
    inner = planner.as_tool()
    await inner.invoke(arguments={"task": "go"})
    assert ran == []
    assert world.codes == ["no_matching_policy"]


def test_two_agents_of_one_name_are_refused(world: World) -> None:
    first, second = agent("Planner"), agent("Planner")
    with pytest.raises(ValueError, match="two agents are called 'Planner'"):
        ActGuard(world, world.tokens).protect(first, second)
    assert type(first.client) is ScriptedClient


def test_two_agents_of_one_id_are_refused(world: World) -> None:
    first, second = agent("Planner", id="same"), agent("Executor", id="same")
    with pytest.raises(ValueError, match="'Executor' has the id of 'Planner'"):
        ActGuard(world, world.tokens).protect(first, second)
    assert type(first.client) is ScriptedClient
    guard = ActGuard(world, world.tokens).protect(first)
    with pytest.raises(ValueError, match="has the id of"):
        guard.protect(second)


def test_an_agent_under_another_guard_is_refused(world: World) -> None:
    planner = agent("Planner")
    kept = ActGuard(world, world.tokens).protect(planner)
    with pytest.raises(ValueError, match="under another ActGuard"):
        ActGuard(world, world.tokens).protect(planner)
    assert kept.protect(planner, planner) is kept


@pytest.mark.anyio
async def test_protect_twice_asks_once(world: World, ran: Ran) -> None:
    world.allow("Planner")
    planner = agent("Planner", TASK, tools=[ran.tool])
    ActGuard(world, world.tokens).protect(planner).protect(planner)
    await speak("run", planner)
    assert len(world.asked) == len(world.outcomes) == len(ran) == 1


@pytest.mark.anyio
async def test_the_guard_lives_as_long_as_its_agent(world: World, ran: Ran) -> None:
    planner = agent("Planner", TASK, tools=[ran.tool])
    ActGuard(world, world.tokens).protect(planner)
    gc.collect()
    await speak("run", planner)
    assert ran == []


@pytest.mark.anyio
async def test_the_guard_lives_as_long_as_its_agent_whatever_client_it_has(world: World, ran: Ran) -> None:
    planner = agent("Planner", tools=[ran.tool])
    ActGuard(world, world.tokens).protect(planner)
    planner.client = ScriptedClient(TASK)
    gc.collect()
    await speak("run", planner)
    assert "ACT denied: no_matching_policy" in planner.client.text
    assert ran == []


@pytest.mark.anyio
async def test_a_copy_that_outlives_its_guard_does_not_run(world: World, ran: Ran) -> None:
    def copied(watching: Any) -> Any:
        planner = agent("Planner", TASK, tools=[ran.tool])
        other = copy.copy(planner)
        ActGuard(world, world.tokens, mode=watching).protect(planner)
        return other

    other = copied("enforce")
    gc.collect()
    with pytest.raises(UnprotectedAgent, match="agent 'Planner' is a copy"):
        await speak("run", other)
    assert ran == []
    kept = ActGuard(world, world.tokens).protect(other)
    await speak("run", other)
    assert "ACT denied: no_matching_policy" in other.client.text
    assert kept.knows("Planner")
    observed = copied("observe")
    gc.collect()
    await speak("run", observed)
    assert len(ran) == 1


@pytest.mark.anyio
async def test_agents_that_run_at_once_are_not_mixed_up(world: World) -> None:
    """Each call waits until the other agent is in the middle of one."""
    both = asyncio.Barrier(2)

    async def meet(name: str) -> str:
        await both.wait()
        return name

    world.allow("Planner", resource="tool://meet")
    world.allow("Executor", resource="tool://meet")
    client = ScriptedClient()
    team = [Agent(client, name=name, tools=[meet]) for name in ("Planner", "Executor")]
    client.steps[:] = [("meet", {"name": "x"})] * 2
    ActGuard(world, world.tokens).protect(*team)
    await asyncio.gather(*(speak("run", who) for who in team))
    assert sorted(asked.who for asked in world.asked) == [("Executor", "Executor"), ("Planner", "Planner")]
    assert all("callers" not in asked.said["context"] for asked in world.asked)


@pytest.mark.anyio
@GUARDED
async def test_middleware_of_another_agent_is_noticed(world: World, ran: Ran, guarded: bool) -> None:
    """Chat clients keep their last pipeline in one field; another thread may have put its own there meanwhile."""
    world.allow("Executor")
    client = ScriptedClient(TASK, "x", TASK)
    executor, planner = (Agent(client, name=name, tools=[ran.tool]) for name in ("Executor", "Planner"))
    if guarded:
        ActGuard(world, world.tokens).protect(executor, planner)
    await speak("run", executor)
    assert len(ran) == 1
    other = client._cached_function_middleware_pipeline
    client._get_function_middleware_pipeline = lambda middleware: other
    if guarded:
        with pytest.raises(EnforcementFailed, match="requester_unknown"):
            await speak("run", planner)
    else:
        await speak("run", planner)
    assert len(ran) == (1 if guarded else 2)


# --- messages -------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_message_that_is_shown_again_is_decided_again(mode: str, world: World) -> None:
    """Two runs without a session have nothing in common, whatever they are shown."""
    world.allow("Planner", action="message", resource="agent://Executor")
    executor = agent("Executor")
    ActGuard(world, world.tokens, messages="enforce").protect(agent("Planner"), executor)
    said = [Message("user", ["go"]), Message("assistant", ["do it"], author_name="Planner")]
    await speak(mode, executor, said)
    assert executor.client.seen[-1][-1].text == "do it"
    world.act.tokens.revoke(world.issued["Planner"].token_id)
    await speak(mode, executor, said)
    assert executor.client.seen[-1][-1].text.startswith("ACT denied: token_revoked")


@pytest.mark.anyio
async def test_who_may_be_an_agent_with_a_misspelt_name_does_not_speak_as_a_person(mode: str, world: World) -> None:
    world.allow("Planner", action="message", resource="agent://Executor")
    tokens = {"Executor": world.tokens["Executor"], "planer": world.tokens["Planner"]}
    executor = agent("Executor")
    with pytest.warns(UserWarning, match="'Planner' has no token"):
        ActGuard(world, tokens, messages="enforce").protect(agent("Planner"), executor)
    await speak(mode, executor, [Message("user", ["go"]), Message("assistant", ["do it"], author_name="Planner")])
    assert executor.client.seen[-1][-1].text.startswith("ACT denied: no_token")


@pytest.mark.anyio
async def test_of_a_history_that_the_provider_keeps_each_message_is_new(world: World) -> None:
    executor = agent("Executor")
    ActGuard(world, world.tokens, messages="enforce").protect(agent("Planner"), executor)
    session = executor.get_session(service_session_id="kept there")
    said = Message("assistant", ["do it"], author_name="Planner")
    for times in (1, 2):
        await executor.run([said], session=session)
        assert len(world.messages) == times


@pytest.mark.anyio
@pytest.mark.parametrize("watching", ["observe", "enforce"])
async def test_observing_keeps_no_message_from_a_name_that_is_no_resource(world: World, watching: str) -> None:
    executor = agent("Exe/cutor")
    guard = ActGuard(world, world.tokens, mode=watching, messages="enforce")
    guard.protect(agent("Planner"), executor)
    await executor.run([Message("assistant", ["do it"], author_name="Planner")])
    shown = executor.client.seen[-1][0].text
    assert shown == "do it" if watching == "observe" else shown.startswith("ACT denied: resource_malformed")
    codes = [seen.code.value for seen, _ in guard.report().denied]
    assert codes == (["resource_malformed"] if watching == "observe" else [])


def test_the_client_still_looks_like_itself(world: World) -> None:
    client = ScriptedClient("hello")
    planner = Agent(client, name="Planner")
    ActGuard(world, world.tokens).protect(planner)
    assert isinstance(planner.client, ScriptedClient)
    planner.client.steps = ["other"]
    assert client.steps == ["other"]
    assert planner.client.seen is client.seen
    assert planner.to_dict()["type"] == "agent"
