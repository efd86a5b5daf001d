"""Teams of every kind that the framework has. Run as a program: plays all, and prints what became of each as JSON.

A team that hangs ends the program, and the cases that have not been played are missing from its answer.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from agent_framework import (
    AgentExecutorResponse,
    Executor,
    InMemoryCheckpointStorage,
    Message,
    WorkflowBuilder,
    WorkflowContext,
    WorkflowExecutor,
    handler,
    workflow,
)
from agent_framework_orchestrations import (
    ConcurrentBuilder,
    GroupChatBuilder,
    HandoffBuilder,
    MagenticBuilder,
    SequentialBuilder,
)
from agent_framework_support import TASK, Node, Ran, World, agent, results
from test_agent_framework_tools import Toolbox

from act.integrations.agent_framework import ActGuard, ApprovalPending, EnforcementFailed, UnprotectedAgent

LIMIT = 90.0
"""Seconds for one case on a slow machine; each takes well under one."""

Case = Callable[[Node], Awaitable[None]]
CASES: dict[str, Case] = {}
HAND_OVER = ("handoff_to_Executor", {})


def case(play: Case) -> Case:
    CASES[play.__name__] = play
    return play


async def end_of(team: Any, *, stream: bool = False, message: Any = "go", **options: Any) -> Any:
    """The whole result of one run."""
    if not stream:
        return await team.run(message, **options)
    return await team.run(message, stream=True, **options).get_final_response()


def both(ran: Ran, **options: Any) -> tuple[Any, Any]:
    """A planner and an executor with the same tool, whose models both call it once."""
    return tuple(agent(name, TASK, f"{name} is done", tools=[ran.tool], **options) for name in ("Planner", "Executor"))


Build = Callable[[Any, Any], Any]


async def each_call_is_attributed_to_its_agent(node: Node, build: Build) -> None:
    """The executor may, the planner may not; and without a guard both did."""
    ran = Ran()
    await end_of(build(*both(ran)))
    assert len(ran) == 2, "the control"
    for stream in (False, True):
        for how in ("agents", "team", "afterwards"):
            world, ran = World(node), Ran()
            world.allow("Executor", resource="api://tasks/execute/*")
            planner, executor = both(ran)
            guard = ActGuard(world, world.tokens)
            if how == "agents":
                guard.protect(planner, executor)
            team = build(planner, executor)
            if how == "team":
                guard.protect(team)
            elif how == "afterwards":
                guard.protect(planner, executor)
            await end_of(team, stream=stream)
            assert len(ran) == 1, (stream, how, ran)
            decided = {asked.who: code for asked, code in zip(world.asked, world.codes, strict=True)}
            assert decided == {("Planner", "Planner"): "no_matching_policy", ("Executor", "Executor"): "allowed"}
            assert world.statuses == ["succeeded"]


def sequential(planner: Any, executor: Any) -> Any:
    return SequentialBuilder(participants=[planner, executor]).build()


def concurrent(planner: Any, executor: Any) -> Any:
    return ConcurrentBuilder(participants=[planner, executor]).build()


def group(planner: Any, executor: Any) -> Any:
    turns = iter(["Planner", "Executor"])
    return GroupChatBuilder(
        participants=[planner, executor], selection_func=lambda state: next(turns, "Planner"), max_rounds=2
    ).build()


def managed_group(planner: Any, executor: Any) -> Any:
    chosen = [json.dumps({"terminate": False, "reason": "r", "next_speaker": name}) for name in ("Planner", "Executor")]
    ended = json.dumps({"terminate": True, "reason": "r", "final_message": "end"})
    manager = agent("Manager", *chosen, ended)
    return GroupChatBuilder(participants=[planner, executor], orchestrator_agent=manager, max_rounds=4).build()


def magentic(planner: Any, executor: Any) -> Any:
    def ledger(name: str, done: bool) -> str:
        said = {"reason": "r", "answer": done}
        return json.dumps(
            {
                "is_request_satisfied": said,
                "is_in_loop": {"reason": "r", "answer": False},
                "is_progress_being_made": {"reason": "r", "answer": True},
                "next_speaker": {"reason": "r", "answer": name},
                "instruction_or_question": {"reason": "r", "answer": "go"},
            }
        )

    script = ["facts", "plan", ledger("Planner", False), ledger("Executor", False), ledger("Executor", True), "end"]
    return MagenticBuilder(participants=[planner, executor], manager_agent=agent("Manager", *script)).build()


def edges(planner: Any, executor: Any) -> Any:
    return WorkflowBuilder(start_executor=planner).add_edge(planner, executor).build()


def nested(planner: Any, executor: Any) -> Any:
    inner = WorkflowExecutor(SequentialBuilder(participants=[executor]).build(), id="inner")
    text = Text(id="text")
    return WorkflowBuilder(start_executor=planner).add_edge(planner, text).add_edge(text, inner).build()


class Text(Executor):  # type: ignore[misc]
    """Hands on what was said last as a text."""

    @handler
    async def take(self, response: AgentExecutorResponse, ctx: WorkflowContext[list[Message]]) -> None:
        await ctx.send_message([Message("user", ["go"])])


def as_agent(planner: Any, executor: Any) -> Any:
    return sequential(planner, executor).as_agent(name="team")


def functional(planner: Any, executor: Any) -> Any:
    @workflow
    async def team(text: str) -> str:
        await planner.run(text)
        return str((await executor.run(text)).text)

    return team.build()


def handing_over(planner: Any, executor: Any) -> Any:
    planner.client.steps[:] = [TASK, HAND_OVER]
    return handoff_team(planner, executor)


TEAMS: Sequence[Build] = (
    sequential,
    concurrent,
    group,
    managed_group,
    magentic,
    edges,
    nested,
    as_agent,
    functional,
)

for build in TEAMS:

    async def play(node: Node, build: Build = build) -> None:
        await each_call_is_attributed_to_its_agent(node, build)

    CASES[f"{build.__name__}_attributes_each_call_to_its_agent"] = play


# --- handoffs -------------------------------------------------------------------------------------------------------


def handoff_team(*agents: Any, start: Any = None) -> Any:
    for one in agents:
        one.require_per_service_call_history_persistence = True
    builder = HandoffBuilder(participants=list(agents)).with_start_agent(start or agents[0])
    return builder.with_autonomous_mode(turn_limits={one.name: 1 for one in agents}).build()


@case
async def handoff_is_allowed_or_denied(node: Node) -> None:
    for provider in (False, True):
        for how in ("control", "agents", "afterwards", "team"):
            for allowed in (True, False):
                world, ran = World(node), Ran()
                world.allow("Executor", resource="api://tasks/execute/*")
                if allowed:
                    world.allow("Planner", action="handoff", resource="agent://Executor")
                options = {"context_providers": [Toolbox()]} if provider else {}
                planner = agent("Planner", HAND_OVER, "I stay", **options)
                executor = agent("Executor", TASK, tools=[ran.tool])
                guard = ActGuard(world, world.tokens)
                if how == "agents":
                    guard.protect(planner, executor)
                team = handoff_team(planner, executor)
                if how == "team":
                    guard.protect(team)
                elif how == "afterwards":
                    guard.protect(planner, executor)
                await end_of(team, stream=how == "team")
                came = (provider, how, allowed)
                if how == "control":
                    assert len(ran) == 1, came
                    assert world.asked == [], came
                    continue
                assert bool(ran) is allowed, came
                assert (world.asked[0].action, world.asked[0].resource) == ("handoff", "agent://Executor"), came
                assert world.asked[0].who == ("Planner", "Planner"), came
                if allowed:
                    assert [asked.who[0] for asked in world.asked] == ["Planner", "Executor"], came
                    assert world.outcomes[0][1:] == ("succeeded", ()), came
                else:
                    assert "ACT denied: no_matching_policy" in "".join(results(planner.client.seen[-1])), came


@case
async def handoff_to_an_agent_that_nobody_protects_ends_the_run(node: Node) -> None:
    world, ran = World(node), Ran()
    world.allow("Planner")
    planner, executor = agent("Planner", HAND_OVER), agent("Executor", TASK, tools=[ran.tool])
    guard = ActGuard(world, world.tokens).protect(planner)
    with pytest.raises(UnprotectedAgent, match="'Executor'"):
        await end_of(handoff_team(planner, executor))
    assert ran == []
    guard.protect(executor)


@case
async def handoff_to_a_name_that_is_no_resource_is_denied(node: Node) -> None:
    world = World(node)
    world.allow("Planner")
    planner, executor = agent("Planner", ("handoff_to_Exe_cutor", {}), "I stay"), agent("Exe/cutor", "I have it")
    team = handoff_team(planner, executor)
    ActGuard(world, world.tokens).protect(team)
    await end_of(team)
    assert "ACT denied: resource_malformed: the agent's name" in "".join(results(planner.client.seen[-1]))
    assert executor.client.seen == []
    assert world.asked == []


@case
async def handoff_after_a_tool_call_of_ones_own(node: Node) -> None:
    world, ran = World(node), Ran()
    world.allow("Planner", action="handoff", resource="agent://*")
    world.allow("Executor")
    planner, executor = both(ran)
    ActGuard(world, world.tokens).protect(planner, executor)
    await end_of(handing_over(planner, executor))
    assert world.codes == ["no_matching_policy", "allowed", "allowed"], world.codes
    assert len(ran) == 1


@case
async def handoff_that_a_person_has_to_approve(node: Node) -> None:
    world, ran = World(node), Ran()
    world.allow("Planner", action="handoff", resource="agent://*", requires_approval=True)
    world.allow("Executor")
    planner, executor = agent("Planner", HAND_OVER), agent("Executor", TASK, tools=[ran.tool])
    guard = ActGuard(world, world.tokens, on_pending="wait", approval_timeout=30)
    team = handoff_team(planner, executor)
    guard.protect(team)

    def approve() -> None:
        while not (waiting := [one for one in world.ann.approvals.list("pending") if one.action == "handoff"]):
            time.sleep(0.02)
        world.ann.approvals.approve(waiting[0].id)

    await asyncio.gather(end_of(team), asyncio.to_thread(approve))
    assert len(ran) == 1
    assert world.codes == ["approval_required", "allowed", "allowed"], world.codes


# --- messages -------------------------------------------------------------------------------------------------------


@case
async def messages_are_observed_once_and_by_author(node: Node) -> None:
    for stream in (False, True):
        world = World(node)
        planner, executor = agent("Planner", "I am the planner"), agent("Executor", "I am the executor")
        third = agent("Third", "I am nobody")
        team = SequentialBuilder(participants=[planner, executor, third]).build()
        guard = ActGuard(world, world.tokens).protect(team)
        await end_of(team, stream=stream)
        assert sorted((asked.who[0], asked.resource) for asked in world.messages) == [
            ("Executor", "agent://Third"),
            ("Planner", "agent://Executor"),
            ("Planner", "agent://Third"),
        ]
        assert all(asked.said["dry_run"] for asked in world.messages)
        assert world.messages[0].said["arguments"] == {"kind": "text", "length": 16}
        assert [message.text for message in third.client.seen[0]] == ["go", "I am the planner", "I am the executor"]
        assert {seen.code.value for seen, _ in guard.report().observed} == {"no_matching_policy"}


@case
async def messages_are_enforced_or_not_asked_about(node: Node) -> None:
    for stream in (False, True):
        for option in ("enforce", "off"):
            world, ran = World(node), Ran()
            world.allow("Planner", "Executor", action="execute", resource="api://*")
            planner, executor = both(ran)
            executor.client.steps[:] = ["I am the executor"]
            team = SequentialBuilder(participants=[planner, executor, agent("Third")]).build()
            ActGuard(world, world.tokens, messages=option).protect(team)
            await end_of(team, stream=stream)
            shown = "\n".join(message.text for message in executor.client.seen[0])
            assert ("ACT denied: no_matching_policy" in shown) is (option == "enforce"), shown
            assert ("Planner is done" in shown) is (option == "off"), shown
            assert ("done t-1" in str(executor.client.results)) is (option == "off"), shown
            assert bool(world.messages) is (option == "enforce")
            if option == "enforce":
                assert [message.role for message in executor.client.seen[0]] == ["user", "assistant", "assistant"]
                assert not any(asked.said["dry_run"] for asked in world.messages)
                world.allow("Planner", action="message", resource="agent://Executor")
                planner.client.steps[:], executor.client.steps[:] = ["hello"], ["hello"]
                await end_of(SequentialBuilder(participants=[planner, executor]).build(), stream=stream)
                assert "hello" in [message.text for message in executor.client.seen[1]]


@case
async def a_message_of_an_author_who_is_not_known_is_not_shown_while_enforcing(node: Node) -> None:
    for option in ("observe", "enforce"):
        world = World(node)
        world.allow("Planner", "Executor")
        executor = agent("Executor")
        ActGuard(world, world.tokens, messages=option).protect(executor)
        await executor.run([Message("assistant", ["do it"], author_name="Planner"), Message("user", ["go"])])
        shown = executor.client.seen[0][0].text
        assert shown.startswith("ACT denied: requester_unknown") if option == "enforce" else shown == "do it"
        assert world.messages == []


@case
async def observed_messages_are_shown_when_act_cannot_be_reached(node: Node) -> None:
    world = World(node)
    world.broken = True
    planner, executor = agent("Planner", "hello"), agent("Executor")
    ActGuard(world, world.tokens).protect(planner, executor)
    await end_of(sequential(planner, executor))
    assert "hello" in [message.text for message in executor.client.seen[0]]
    others = agent("Planner", "hello"), agent("Executor")
    ActGuard(world, world.tokens, messages="enforce").protect(*others)
    with pytest.raises(EnforcementFailed):
        await end_of(sequential(*others))


# --- when things go wrong -------------------------------------------------------------------------------------------


@case
async def unreachable_ends_every_team(node: Node) -> None:
    for build in TEAMS:
        for stream in (False, True):
            world, ran = World(node), Ran()
            world.broken = True
            team = build(*both(ran))
            ActGuard(world, world.tokens).protect(team)
            with pytest.raises(EnforcementFailed):
                await end_of(team, stream=stream)
            assert ran == [], (build, stream)


@case
async def a_cancelled_team_gives_back_what_it_holds(node: Node) -> None:
    begun = asyncio.Event()

    async def waits() -> str:
        begun.set()
        await asyncio.Event().wait()
        return "never"

    world = World(node)
    world.allow("Executor", resource="tool://waits", max_concurrent_tasks=1)
    executor = agent("Executor", ("waits", {}), tools=[waits])
    team = sequential(agent("Planner", "hello"), executor)
    ActGuard(world, world.tokens).protect(team)
    running = asyncio.create_task(end_of(team))
    await begun.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert world.statuses == ["cancelled"]


@case
async def a_request_for_approval_goes_through_the_workflow(node: Node) -> None:
    for verdict in ("approve", "reject"):
        world, ran = World(node), Ran()
        world.allow("Executor", resource="api://tasks/execute/*", requires_approval=True)
        executor = agent("Executor", TASK, "end", tools=[ran.tool])
        team = sequential(agent("Planner", "hello"), executor)
        guard = ActGuard(world, world.tokens, on_pending="request").protect(team)
        (event,) = (await team.run("go")).get_request_info_events()
        assert ran == []
        waiting = event.data.additional_properties["act_approval_id"]
        if verdict == "approve":
            world.ann.approvals.approve(waiting)
        else:
            world.ann.approvals.reject(waiting, "not on a Friday")
        await team.run(responses={event.request_id: await guard.answer(event.data)})
        assert bool(ran) is (verdict == "approve")
        assert ("not on a Friday" in executor.client.text) is (verdict == "reject")


@case
async def a_request_for_approval_goes_through_every_team(node: Node) -> None:
    for what in ("handoff", "execute"):
        teams = (handoff_team, sequential, concurrent, group, managed_group, magentic, edges)
        for build in teams if what == "execute" else (handoff_team,):
            world, ran = World(node), Ran()
            world.allow("Planner", action="handoff", **({"requires_approval": True} if what == "handoff" else {}))
            world.allow("Executor", action="execute", **({"requires_approval": True} if what == "execute" else {}))
            planner = agent("Planner", HAND_OVER if build is handoff_team else "hello")
            team = build(planner, agent("Executor", TASK, "end", tools=[ran.tool]))
            guard = ActGuard(world, world.tokens, on_pending="request").protect(team)
            events = (await team.run("go")).get_request_info_events()
            (asked,) = [event for event in events if getattr(event.data, "type", "") == "function_approval_request"]
            assert ran == [], build
            world.ann.approvals.approve(asked.data.additional_properties["act_approval_id"])
            await team.run(responses={asked.request_id: await guard.answer(asked.data)})
            assert len(ran) == 1, (what, build)
            assert sorted(world.codes) == sorted(["approval_required", *["allowed"] * (len(world.codes) - 1)])


@case
async def what_is_raised_comes_out_of_every_team(node: Node) -> None:
    for build in TEAMS:
        world, ran = World(node), Ran()
        world.allow("Planner", "Executor", requires_approval=True)
        team = build(*both(ran))
        ActGuard(world, world.tokens, on_pending="raise").protect(team)
        with pytest.raises(ApprovalPending):
            await end_of(team)
        assert ran == [], build


@case
async def a_model_that_never_takes_no_for_an_answer_comes_to_an_end(node: Node) -> None:
    for build in (sequential, handing_over):
        world, ran = World(node), Ran()
        planner, executor = both(ran)
        team = build(planner, executor)
        planner.client.steps[:] = [TASK, HAND_OVER] * 500
        executor.client.steps[:] = [TASK] * 1000
        ActGuard(world, world.tokens).protect(team)
        await end_of(team)
        assert ran == []
        assert len(world.asked) < 500, "the framework ends a run after so many rounds"


@case
async def a_member_that_nobody_protects_is_found_in_the_team(node: Node) -> None:
    world, ran = World(node), Ran()
    planner, executor = both(ran)
    planner.default_options["tools"].append(sequential(executor, agent("x")).as_agent(name="team").as_tool(name="team"))
    with pytest.raises(UnprotectedAgent, match="'Executor'"):
        ActGuard(world, world.tokens).protect(planner)


@case
async def a_team_that_goes_on_from_a_checkpoint_is_under_the_guard(node: Node) -> None:
    world, ran = World(node), Ran()
    world.allow("Executor", resource="api://tasks/execute/*", requires_approval=True)
    storage = InMemoryCheckpointStorage()

    def build() -> tuple[Any, Any]:
        executor = agent("Executor", TASK, "end", tools=[ran.tool])
        return SequentialBuilder(participants=[executor], checkpoint_storage=storage).build(), executor

    team, _ = build()
    guard = ActGuard(world, world.tokens, on_pending="request").protect(team)
    (event,) = (await team.run("go")).get_request_info_events()
    again, executor = build()
    ActGuard(world, world.tokens, on_pending="request").protect(again)
    latest = await storage.get_latest(workflow_name=again.name)
    assert latest is not None
    world.act.agents.revoke_tokens(world.agents["Executor"].id)
    answer = event.data.to_function_approval_response(True)
    await again.run(checkpoint_id=latest.checkpoint_id, responses={event.request_id: answer})
    assert ran == []
    assert "ACT denied: token_revoked" in executor.client.text, executor.client.text
    assert guard is not None


async def main() -> dict[str, str | None]:
    answers: dict[str, str | None] = {}
    with tempfile.TemporaryDirectory() as folder:
        node = Node(Path(folder))
        for name, play in CASES.items():
            faulthandler.dump_traceback_later(LIMIT, exit=True)
            try:
                await play(node)
                answers[name] = None
            except BaseException:
                answers[name] = traceback.format_exc()
            faulthandler.cancel_dump_traceback_later()
            print(json.dumps({name: answers[name]}), flush=True)
        node.act.close()
    return answers


if __name__ == "__main__":
    asyncio.run(main())
