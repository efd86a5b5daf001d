"""Tool calls of one agent: what is asked, what the model reads, how a call ends. In one piece and as a stream."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from agent_framework import Agent, ContextProvider, FunctionInvocationContext, MCPStdioTool, Message, tool
from agent_framework_support import TASK, Ran, ScriptedClient, World, agent, speak

from act.integrations.agent_framework import ActGuard, EnforcementFailed, ToolSpec, act_tool


@pytest.mark.anyio
async def test_an_allowed_call_runs_and_its_outcome_is_reported(mode: str, world: World, ran: Ran) -> None:
    world.allow("Executor", action="execute", resource="api://tasks/execute/*")
    executor = agent("Executor", TASK, "fine", tools=[ran.tool])
    ActGuard(world, world.tokens).protect(executor)
    assert (await speak(mode, executor)).text == "fine"
    assert ran == [("t-1", 5)]
    (asked,) = world.asked
    assert (asked.action, asked.resource) == ("execute", "api://tasks/execute/t-1")
    assert asked.said["arguments"] == {"task_id": "t-1", "amount": 5}
    assert asked.said["requester"] == world.agents["Executor"].id
    assert asked.said["context"]["framework"] == "agent-framework"
    assert asked.who == ("Executor", "Executor")
    assert world.statuses == ["succeeded"]
    assert executor.client.results == ["done t-1"]


@pytest.mark.anyio
@pytest.mark.parametrize("guarded", [False, True])
async def test_a_denied_call_is_a_tool_result_that_the_model_reads(
    mode: str, world: World, ran: Ran, guarded: bool
) -> None:
    planner = agent("Planner", TASK, "I may not", tools=[ran.tool])
    if guarded:
        ActGuard(world, world.tokens).protect(planner)
    assert (await speak(mode, planner)).text == "I may not"
    assert bool(ran) is not guarded
    if guarded:
        (result,) = planner.client.results
        assert result.startswith("ACT denied: no_matching_policy: ")
        assert world.outcomes == []


@pytest.mark.anyio
async def test_a_tool_without_a_mark_is_a_call_of_its_name(mode: str, world: World) -> None:
    world.allow("Executor", action="call", resource="tool://add")

    def add(a: int, b: int) -> int:
        return a + b

    executor = agent("Executor", ("add", {"a": 1, "b": 2}), tools=[add])
    ActGuard(world, world.tokens).protect(executor)
    await speak(mode, executor)
    assert executor.client.results == ["3"]


@pytest.mark.anyio
async def test_the_guard_names_tools_that_cannot_be_marked(world: World) -> None:
    def send_mail(to: str) -> str:
        return f"sent to {to}"

    world.allow("Executor", action="send", resource="mail://ann@example.com")
    executor = agent(
        "Executor", ("send_mail", {"to": "ann@example.com"}), ("send_mail", {"to": "bob"}), tools=[send_mail]
    )
    ActGuard(world, world.tokens, tools={"send_mail": ("send", "mail://{to}")}).protect(executor)
    await speak("run", executor)
    assert [asked.resource for asked in world.asked] == ["mail://ann@example.com", "mail://bob"]
    assert world.codes == ["allowed", "no_matching_policy"]


@pytest.mark.anyio
async def test_the_mark_is_found_under_the_decorator_of_the_framework(world: World) -> None:
    @tool(name="pay_now")
    @act_tool(action="pay", resource="bank://{account}")
    async def pay(account: str) -> str:
        """Pay."""
        return "paid"

    world.allow("Executor", action="pay", resource="bank://7")
    executor = agent("Executor", ("pay_now", {"account": "7"}), tools=[pay])
    ActGuard(world, world.tokens).protect(executor)
    await speak("run", executor)
    assert executor.client.results == ["paid"]


@pytest.mark.anyio
async def test_each_call_of_a_message_is_decided_by_itself(mode: str, world: World, ran: Ran) -> None:
    world.allow("Executor", resource="api://tasks/execute/ok-*")
    calls = [("execute_task", {"task_id": name}) for name in ("ok-1", "no-1", "ok-2")]
    executor = agent("Executor", calls, tools=[ran.tool])
    ActGuard(world, world.tokens).protect(executor)
    await speak(mode, executor)
    assert sorted(name for name, _ in ran) == ["ok-1", "ok-2"]
    assert [result.startswith("ACT denied") for result in executor.client.results] == [False, True, False]
    assert world.statuses == ["succeeded", "succeeded"]


@pytest.mark.anyio
async def test_an_agent_without_a_token_may_only_speak(mode: str, world: World, ran: Ran) -> None:
    person = agent("user", TASK, "hello", tools=[ran.tool])
    ActGuard(world, world.tokens).protect(person)
    assert (await speak(mode, person)).text == "hello"
    assert ran == []
    assert world.asked == []
    assert person.client.text.startswith("ACT denied: no_token: ")


@pytest.mark.anyio
async def test_an_agent_that_shares_a_client_keeps_its_own_token(world: World, ran: Ran) -> None:
    world.allow("Executor")
    executor = agent("Executor", TASK, "x", TASK, tools=[ran.tool])
    planner = Agent(executor.client, name="Planner", tools=[ran.tool])
    ActGuard(world, world.tokens).protect(planner, executor)
    for who in (executor, planner):
        await speak("run", who)
    assert [asked.who[0] for asked in world.asked] == ["Executor", "Planner"]
    assert world.codes == ["allowed", "no_matching_policy"]


@pytest.mark.anyio
async def test_a_rotated_token_is_used_at_once(world: World, ran: Ran) -> None:
    world.allow("Executor")
    tokens = {"Executor": "rubbish"}
    executor = agent("Executor", TASK, "x", TASK, tools=[ran.tool])
    ActGuard(world, tokens).protect(executor)
    await speak("run", executor)
    assert "ACT denied: token_malformed" in executor.client.text
    tokens["Executor"] = world.tokens["Executor"]
    await speak("run", executor)
    assert ran


@pytest.mark.anyio
async def test_a_token_that_is_revoked_in_mid_run_stops_the_agent(mode: str, world: World, ran: Ran) -> None:
    world.allow("Executor")
    executor = agent("Executor", TASK, TASK, tools=[ran.tool])
    ActGuard(world, world.tokens).protect(executor)
    world.before = lambda asked: (
        world.act.tokens.revoke(world.issued["Executor"].token_id) if len(world.asked) == 2 else None
    )
    await speak(mode, executor)
    assert len(ran) == 1
    assert world.codes == ["allowed", "token_revoked"]
    assert "ACT denied: token_revoked" in executor.client.text


@pytest.mark.anyio
@pytest.mark.parametrize("guarded", [False, True])
async def test_unreachable_ends_the_run(mode: str, world: World, ran: Ran, guarded: bool) -> None:
    world.allow("Executor")
    world.broken = True
    executor = agent("Executor", TASK, tools=[ran.tool])
    if not guarded:
        await speak(mode, executor)
        assert ran
        return
    ActGuard(world, world.tokens).protect(executor)
    with pytest.raises(EnforcementFailed, match="ACT denied: unreachable") as failure:
        await speak(mode, executor)
    assert failure.value.ruling.code == "unreachable"
    assert ran == []


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("task_id", [None, True, ["t"], {"a": 1}, 1.5, "", "\ud800", "../x"])
async def test_a_resource_that_cannot_be_named_is_denied(world: World, ran: Ran, task_id: Any) -> None:
    world.allow("Executor", resource="api://tasks/execute/t-*")
    executor = agent("Executor", ("execute_task", {"task_id": task_id}), tools=[ran.tool])
    ActGuard(world, world.tokens).protect(executor)
    await speak("run", executor)
    assert ran == []
    assert "ACT denied: " in executor.client.text


@pytest.mark.anyio
@pytest.mark.parametrize(
    "raw", ["{", "[]", '"x"', '{"task_id": "t", "amount": NaN}', '{"task_id": "t", "amount": 1e999}']
)
async def test_arguments_that_are_no_plain_json_never_reach_the_tool(
    mode: str, world: World, ran: Ran, raw: str
) -> None:
    world.allow("Executor")
    executor = agent("Executor", ("execute_task", raw), tools=[ran.tool])
    ActGuard(world, world.tokens).protect(executor)
    await speak(mode, executor)
    assert ran == []


@pytest.mark.anyio
async def test_what_is_decided_is_what_runs(mode: str, world: World, ran: Ran) -> None:
    world.allow("Executor")
    twice = '{"task_id": "first", "task_id":\n "second", "amount": "7"}'
    executor = agent("Executor", ("execute_task", twice), tools=[ran.tool])
    ActGuard(world, world.tokens).protect(executor)
    await speak(mode, executor)
    assert ran == [("second", 7)]
    assert world.asked[0].said["arguments"] == {"task_id": "second", "amount": 7}


# --- how a call ends ------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_outcome_of_a_failing_call_is_reported(mode: str, world: World) -> None:
    def fails(task_id: str) -> str:
        raise RuntimeError("broken tool")

    world.allow("Executor")
    executor = agent("Executor", ("fails", {"task_id": "t"}), tools=[fails])
    ActGuard(world, world.tokens).protect(executor)
    await speak(mode, executor)
    assert world.statuses == ["failed"]
    assert "Error" in executor.client.text


@pytest.mark.anyio
async def test_the_outcome_of_a_cancelled_call_is_reported(mode: str, world: World) -> None:
    begun = asyncio.Event()

    async def waits() -> str:
        begun.set()
        await asyncio.Event().wait()
        return "never"

    world.allow("Executor", max_concurrent_tasks=1)
    executor = agent("Executor", ("waits", {}), tools=[waits])
    ActGuard(world, world.tokens).protect(executor)
    running = asyncio.create_task(speak(mode, executor))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert world.statuses == ["cancelled"]
    assert world.asked[0].decision is not None
    assert world.asked[0].decision.lease is not None


@pytest.mark.anyio
@pytest.mark.parametrize("labels", [None, [], ["untrusted", "pii"]])
async def test_the_labels_of_a_tool_are_reported(world: World, ran: Ran, labels: list[str] | None) -> None:
    world.allow("Executor")
    executor = agent("Executor", TASK, tools=[ran.tool])
    ActGuard(world, world.tokens, tools={"execute_task": ToolSpec("execute", "api://x", labels)}).protect(executor)
    await speak("run", executor)
    assert [labels for _, _, labels in world.outcomes] == [None if labels is None else tuple(labels)]


@pytest.mark.anyio
@pytest.mark.parametrize(("labels", "shown"), [(None, False), (["untrusted"], False), ([], True)])
async def test_what_was_read_and_could_not_be_reported_is_not_shown(
    mode: str, world: World, ran: Ran, caplog: pytest.LogCaptureFixture, labels: list[str] | None, shown: bool
) -> None:
    world.allow("Executor")
    world.deaf = True
    executor = agent("Executor", TASK, tools=[ran.tool])
    ActGuard(world, world.tokens, tools={"execute_task": ToolSpec("execute", "api://x", labels)}).protect(executor)
    with caplog.at_level(logging.WARNING):
        await speak(mode, executor)
    assert ran
    assert ("done t-1" in executor.client.text) is shown
    assert ("ACT withheld the result" in executor.client.text) is not shown
    assert "not reported" in caplog.text


# --- where tools come from ------------------------------------------------------------------------------------------


class Toolbox(ContextProvider):  # type: ignore[misc]
    def __init__(self, *tools: Any) -> None:
        super().__init__("toolbox")
        self._tools = tools

    async def before_run(self, *, agent: Any, session: Any, context: Any, state: Any) -> None:
        context.extend_tools(self.source_id, list(self._tools))


@pytest.mark.anyio
@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("where", ["run", "options", "default_options", "provider", "later", "method", "mcp", "client"])
async def test_a_tool_is_guarded_wherever_it_comes_from(
    mode: str, world: World, ran: Ran, where: str, guarded: bool
) -> None:
    options: dict[str, Any] = {}
    given: dict[str, Any] = {}
    if where == "default_options":
        options = {"default_options": {"tools": [ran.tool]}}
    elif where == "provider":
        options = {"context_providers": [Toolbox(tool(ran.tool))]}
    elif where == "run":
        given = {"tools": ran.tool}
    elif where == "options":
        given = {"options": {"tools": (one for one in [ran.tool])}}
    elif where == "mcp":
        options = {"tools": [connected(ran)]}
    elif where == "method":
        given = {"tools": [Shelf(ran).execute_task]}
    planner = Agent(ScriptedClient(TASK, "end"), name="Planner", **options)
    if guarded:
        ActGuard(world, world.tokens).protect(planner)
    if where == "later":
        planner.default_options["tools"] = [tool(ran.tool)]
    if where == "client":
        response = planner.client.get_response([Message("user", ["go"])], options={"tools": [ran.tool]})
        await response
    else:
        await speak(mode, planner, **given)
    assert bool(ran) is not guarded
    if guarded:
        assert "no_matching_policy" in planner.client.text


def connected(ran: Ran) -> Any:
    """An MCP tool as it is after it has connected and listed what its server has."""
    server = MCPStdioTool(name="server", command="none")
    server.is_connected = True
    server._functions = [tool(ran.tool)]
    return server


class Shelf:
    """Its tool is a bound method."""

    def __init__(self, ran: Ran) -> None:
        self._ran = ran

    def execute_task(self, task_id: str, amount: int = 0) -> str:
        return str(self._ran.tool(task_id, amount))


@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore:.*experimental")
@pytest.mark.parametrize("guarded", [False, True])
async def test_a_tool_that_brings_another_is_not_a_way_around(mode: str, world: World, ran: Ran, guarded: bool) -> None:
    def load_tools(ctx: FunctionInvocationContext) -> str:
        ctx.add_tools([ran.tool])
        return "loaded"

    world.allow("Planner", resource="tool://load_tools")
    planner = agent("Planner", ("load_tools", {}), TASK, tools=[load_tools])
    if guarded:
        ActGuard(world, world.tokens).protect(planner)
    await speak(mode, planner)
    assert bool(ran) is not guarded
    if guarded:
        assert world.codes == ["allowed", "no_matching_policy"]


# --- observe --------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_observing_blocks_nothing_and_reports(mode: str, world: World, ran: Ran) -> None:
    planner = agent("Planner", TASK, ("execute_task", {"task_id": ""}), tools=[ran.tool])
    guard = ActGuard(world, world.tokens, mode="observe").protect(planner)
    await speak(mode, planner)
    assert len(ran) == 2
    assert all(asked.said["dry_run"] for asked in world.asked)
    assert [seen.code.value for seen, _ in guard.report().denied] == ["no_matching_policy", "resource_malformed"]
    world.broken = True
    planner.client.steps[:] = [TASK]
    await speak(mode, planner)
    assert len(ran) == 3
    assert world.outcomes == []
