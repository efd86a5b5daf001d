"""Teams at a hub. Each scenario is one coroutine; an assertion that fails is its answer.

Run by `python -m tests.integrations.ag2.hub_scenarios`: reads names of scenarios, one a line, and answers each with one
line of JSON. Who asks sets the time limit.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import ag2
import pytest
from ag2.knowledge import MemoryKnowledgeStore
from ag2.network import (
    EV_PACKET,
    EV_TEXT,
    AccessDeniedError,
    AgentTarget,
    Allow,
    BaseHubArbiter,
    ContextEquals,
    Deny,
    Envelope,
    Finish,
    FromSpeaker,
    Handoff,
    Hub,
    HubClient,
    LocalLink,
    Passport,
    TerminateTarget,
    ToolCalled,
    Transition,
    TransitionGraph,
)
from ag2.network.workflow_helpers import set_context
from ag2.testing import TrackingConfig
from ag2_support import TOUCH, Team, Touched, agent, call, model
from tests.integrations.suite.world import Station

from act.integrations.ag2 import UnprotectedAgent

SECRET = "the launch code is 0000"
SCENARIOS: dict[str, Callable[[Table], Any]] = {}


def scenario(play: Callable[[Table], Any]) -> Callable[[Table], Any]:
    SCENARIOS[play.__name__] = play
    return play


class Table:
    """A hub with a planner, an executor, and a person; closed at the end."""

    def __init__(self, station: Station) -> None:
        self.station, self.touched = station, Touched()

    async def sit(
        self, *says: Any, answers: tuple[Any, ...] = ("fine",), tools: tuple[Any, ...] = (), **options: Any
    ) -> None:
        """`says` is the planner's model, `answers` the executor's; the options are the guard's, or `guarded=False`."""
        guarded = options.pop("guarded", True)
        self.team = Team(self.station, **options)
        self.hub = await Hub.open(
            MemoryKnowledgeStore(), ttl_sweep_interval=0, expectation_sweep_interval=0, invite_ack_timeout=20
        )
        self.models = {"Planner": TrackingConfig(model(*says)), "Executor": TrackingConfig(model(*answers))}
        self.planner = ag2.Agent("Planner", config=self.models["Planner"], tools=tools)
        self.executor = ag2.Agent("Executor", config=self.models["Executor"], tools=[self.touched.tool])
        self.guard = self.team.guard()
        if guarded:
            self.guard.protect(self.hub, self.planner, self.executor)
        self.at = {agent.name: await self.hub.register(agent) for agent in (self.planner, self.executor)}
        self.people = HubClient(LocalLink(self.hub), hub=self.hub)
        self.user = await self.people.register_human(Passport(name="user"))

    async def leave(self) -> None:
        await self.people.close()
        await self.hub.close()

    def turns(self, name: str) -> int:
        """How often an agent's model was asked."""
        return len(self.models[name].calls)

    async def written(self, channel: Any) -> str:
        """All that a channel keeps."""
        return "\n".join(envelope.to_json() for envelope in await self.hub.read_wal(channel.channel_id))

    async def answer(self, channel: Any) -> str:
        """What the person reads next from somebody else."""
        envelope = await self.user.next_envelope(
            predicate=lambda sent: sent.channel_id == channel.channel_id and sent.event_type in (EV_TEXT, EV_PACKET),
            timeout=30,
        )
        return str(envelope.event_data.get("text") or envelope.event_data.get("body"))

    async def asks(self, name: str, text: str = "go") -> str:
        """The person asks an agent and reads its answer."""
        channel = await self.user.open(type="conversation", target=name)
        await self.user.send(channel.channel_id, text)
        return await self.answer(channel)

    async def works(self) -> str:
        """The application asks the planner, which is then free to wait for what it delegates."""
        return str((await self.planner.ask("go")).body)

    async def discussion(self) -> Any:
        """A channel of all three, in which it is the planner's turn, and that nobody asked about."""
        self.guard.messages, before = "off", self.guard.messages
        channel = await self.at["Planner"].open(type="discussion", target=["Executor", "user"])
        self.guard.messages = before
        return channel

    async def closed(self, channel: Any) -> Any:
        """The channel when it is over."""
        for _ in range(600):
            metadata = await self.hub.get_channel(channel.channel_id)
            if metadata.is_terminal():
                return metadata
            await asyncio.sleep(0.05)
        raise AssertionError("the workflow goes on for ever")

    async def workflow(self, *rules: Transition, default: Any = None) -> Any:
        """A workflow in which the planner speaks first and the person has started it."""
        ids = {name: client.agent_id for name, client in self.at.items()}
        graph = TransitionGraph(
            initial_speaker=self.user.agent_id,
            transitions=[Transition(FromSpeaker(self.user.agent_id), AgentTarget(ids["Planner"])), *rules],
            default_target=default or TerminateTarget("over"),
            max_turns=8,
        )
        channel = await self.user.open(type="workflow", target=list(ids.values()), knobs={"graph": graph.to_dict()})
        await self.user.send(channel.channel_id, "go")
        return channel

    def to_executor(self) -> Transition:
        return Transition(ToolCalled("hand_over"), AgentTarget(self.at["Executor"].agent_id))


# --- messages ---------------------------------------------------------------------------------------------------------


class DeniesDispatch(BaseHubArbiter):
    async def authorize_dispatch(self, *args: Any) -> Any:
        return Deny("not to you")


@scenario
async def denying_the_dispatch_does_not_keep_a_text_secret(table: Table) -> None:
    """The control: what one would write first."""
    await table.sit(guarded=False)
    channel = await table.at["Planner"].open(type="conversation", target="Executor")
    table.hub.register_arbiter(DeniesDispatch())
    await channel.send(SECRET)
    assert SECRET in await table.written(channel)


@scenario
async def a_message_that_is_not_allowed_is_stored_nowhere(table: Table) -> None:
    await table.sit(messages="enforce")
    channel = await table.discussion()
    planner = table.at["Planner"]
    for audience in (None, [table.at["Executor"].agent_id]):
        sent = Envelope(channel.channel_id, planner.agent_id, audience, EV_TEXT, {"text": SECRET})
        with pytest.raises(AccessDeniedError, match="ACT denied: "):
            await planner.send_envelope(sent)
    assert SECRET not in await table.written(channel)
    assert table.turns("Executor") == 0
    assert SECRET not in str([asked.arguments for asked in table.team.act.asked])


@scenario
async def who_may_be_an_agent_with_a_misspelt_name_does_not_speak_as_a_person(table: Table) -> None:
    await table.sit(messages="enforce")
    table.team.planner.may("message", "agent://*")
    table.guard.tokens["planer"] = table.guard.tokens.pop("Planner")
    channel = await table.discussion()
    sent = Envelope(channel.channel_id, table.at["Planner"].agent_id, None, EV_TEXT, {"text": SECRET})
    with pytest.raises(AccessDeniedError, match="ACT denied: no_token"):
        await table.at["Planner"].send_envelope(sent)
    assert SECRET not in await table.written(channel)


@scenario
async def a_channel_that_is_not_allowed_is_not_opened(table: Table) -> None:
    await table.sit(messages="enforce")
    with pytest.raises(AccessDeniedError, match="ACT denied: no_matching_policy"):
        await table.at["Planner"].open(type="conversation", target="Executor", intent=SECRET)
    table.team.planner.may("message", "agent://Executor")
    await table.at["Planner"].open(type="conversation", target="Executor")


@scenario
async def a_message_to_all_is_asked_about_for_each(table: Table) -> None:
    await table.sit(messages="enforce")
    table.team.planner.may("message", "agent://user")
    channel = await table.discussion()
    sent = Envelope(channel.channel_id, table.at["Planner"].agent_id, None, EV_TEXT, {"text": SECRET})
    with pytest.raises(AccessDeniedError):
        await table.at["Planner"].send_envelope(sent)
    table.team.planner.may("message", "agent://Executor")
    table.team.act.asked.clear()
    await table.at["Planner"].send_envelope(sent)
    asked = sorted((asked.resource, json.dumps(asked.arguments, sort_keys=True)) for asked in table.team.act.asked)
    about = json.dumps({"kind": EV_TEXT, "length": len(SECRET)})
    assert asked[:2] == [("agent://Executor", about), ("agent://user", about)], asked


@scenario
async def messages_are_observed_by_default(table: Table) -> None:
    await table.sit("hello", messages="observe")
    assert await table.asks("Planner") == "hello"
    seen = [(seen.action, seen.resource, seen.verdict) for seen, _ in table.guard.report().observed]
    assert ("message", "agent://user", "denied") in seen, seen
    assert all(asked.dry_run for asked in table.team.act.asked)


@scenario
async def an_answer_that_is_not_allowed_is_replaced_and_nobody_waits(table: Table) -> None:
    await table.sit(SECRET, messages="enforce")
    channel = await table.user.open(type="conversation", target="Planner")
    await table.user.send(channel.channel_id, "go")
    assert (await table.answer(channel)).startswith("ACT denied: no_matching_policy")
    assert SECRET not in await table.written(channel)
    table.team.planner.may("message", "agent://user")
    assert await table.asks("Planner") == SECRET


@scenario
async def a_hub_goes_on_when_act_cannot_be_reached(table: Table) -> None:
    """Nothing is said and nothing is done, and nobody waits for ever."""
    await table.sit(HAND_OVER, SECRET, answers=("mine",), tools=(hand_over,), messages="enforce")

    def lost(*args: Any, **more: Any) -> Any:
        raise ConnectionError("no route")

    table.team.act.enforce = lost
    assert (await table.asks("Planner")).startswith("ACT denied: unreachable")
    channel = await table.workflow(table.to_executor())
    await table.closed(channel)
    assert SECRET not in await table.written(channel)
    assert table.turns("Executor") == 0
    table.guard.messages = "off"
    assert await table.asks("Planner") == SECRET


@scenario
async def a_human_is_a_person_whatever_the_name(table: Table) -> None:
    await table.sit(messages="enforce")
    people = HubClient(LocalLink(table.hub), hub=table.hub)
    await table.at["Executor"].unregister()
    posing = await people.register_human(Passport(name="Executor"))
    table.team.executor.may("*", "*")
    channel = await posing.open(type="conversation", target="Planner")
    await posing.send(channel.channel_id, "hi")
    assert [asked for asked in table.team.act.asked if asked.agent == table.team.executor.id] == []
    await people.close()


# --- handing work on --------------------------------------------------------------------------------------------------


def delegating(target: str) -> Any:
    return call("delegate", target=target, prompt="touch it", timeout=30)


@scenario
async def work_is_delegated_without_a_guard(table: Table) -> None:
    """The control."""
    await table.sit(delegating("functions.Executor"), "done", answers=(TOUCH, "touched it"), guarded=False)
    assert await table.works() == "done"
    assert table.touched == ["x"]


@scenario
async def delegating_is_a_handoff_however_the_peer_is_spelled(table: Table) -> None:
    for spell in (lambda: "Executor", lambda: "functions.Executor", lambda: table.at["Executor"].agent_id):
        await table.sit("hello", answers=(TOUCH, "touched it"))
        table.team.planner.may("handoff", "agent://functions.*")
        table.models["Planner"].config = model(delegating(spell()), "done")
        assert await table.asks("Planner") == "done"
        assert table.team.asked == [("Planner", "handoff", "agent://Executor")], table.team.asked
        assert table.turns("Executor") == 0
        await table.leave()
    await table.sit(delegating("nobody"), "done")
    assert await table.asks("Planner") == "done"
    assert table.team.asked == []


@scenario
async def who_is_delegated_to_has_its_own_rights(table: Table) -> None:
    await table.sit(delegating("functions.Executor"), "done", answers=(TOUCH, "touched it"))
    table.team.planner.may("handoff", "agent://Executor").may("call", "tool://touch")
    assert await table.works() == "done"
    assert table.touched == []
    table.team.executor.may("call", "tool://touch")
    assert await table.works() == "done"
    assert table.touched == ["x"]
    assert table.team.asked[-1] == ("Executor", "call", "tool://touch")


@scenario
async def whoever_delegated_reads_a_denied_answer_at_once(table: Table) -> None:
    await table.sit(delegating("Executor"), "done", answers=(SECRET,), messages="enforce")
    for name in ("Executor", "user"):
        table.team.planner.may("message", f"agent://{name}")
    table.team.planner.may("handoff", "agent://Executor")
    assert await asyncio.wait_for(table.works(), 25) == "done"
    seen = str(table.models["Planner"].mock.call_args_list)
    assert "ACT denied: no_matching_policy" in seen
    assert SECRET not in seen


HAND_OVER = call("hand_over", reason="yours")


def hand_over(reason: str) -> str:
    """Give the task to the executor."""
    return "handed over"


def handing_to(target: str) -> Any:
    def hand_over(reason: str) -> Handoff:
        return Handoff(target=target, reason=reason)

    hand_over.__annotations__["return"] = Handoff
    return hand_over


@scenario
async def a_denied_call_hands_over_all_the_same(table: Table) -> None:
    """The control: AG2 routes by the name of the tool in the model's call, and a denied call has a name too."""
    await table.sit(HAND_OVER, "over to you", answers=("mine",), tools=(hand_over,), guarded=False)

    async def denied(call_next: Any, event: Any, context: Any) -> Any:
        return ag2.events.ToolResultEvent.from_call(event, "denied")

    table.planner.tools[0] = table.planner.tools[0].with_middleware(denied)
    channel = await table.workflow(table.to_executor())
    await table.closed(channel)
    assert table.turns("Executor") == 1


@scenario
async def a_denied_call_hands_nothing_over(table: Table) -> None:
    await table.sit(HAND_OVER, "over to you", answers=("mine",), tools=(hand_over,))
    table.team.planner.may("handoff", "agent://*")
    channel = await table.workflow(table.to_executor())
    assert (await table.closed(channel)).close_reason == "over"
    assert table.turns("Executor") == 0
    assert "ACT denied: no_matching_policy: The call of hand_over was denied" in await table.written(channel)


@scenario
async def a_handoff_is_asked_about_beside_its_tool(table: Table) -> None:
    for tool in (hand_over, handing_to("Executor")):
        await table.sit(HAND_OVER, "over to you", answers=("mine",), tools=(tool,))
        table.team.planner.may("call", "tool://hand_over")
        channel = await table.workflow(table.to_executor())
        await table.closed(channel)
        assert table.turns("Executor") == 0
        asked = [("Planner", "call", "tool://hand_over"), ("Planner", "handoff", "agent://Executor")]
        assert table.team.asked == asked, table.team.asked
        await table.leave()
        await table.sit(HAND_OVER, "over to you", answers=("mine",), tools=(tool,))
        table.team.planner.may("call", "tool://hand_over").may("handoff", "agent://Executor")
        channel = await table.workflow(table.to_executor())
        await table.closed(channel)
        assert table.turns("Executor") == 1
        await table.leave()
    await table.sit()


@scenario
async def a_denied_handoff_does_not_reach_its_target_by_the_default_either(table: Table) -> None:
    await table.sit(HAND_OVER, "over to you", answers=("mine",), tools=(hand_over,))
    table.team.planner.may("call", "tool://hand_over")
    target = AgentTarget(table.at["Executor"].agent_id)
    channel = await table.workflow(table.to_executor(), default=target)
    assert (await table.closed(channel)).close_reason == "act_denied"
    assert table.turns("Executor") == 0


@scenario
async def a_packet_that_is_written_by_hand_is_a_handoff_too(table: Table) -> None:
    await table.sit(guarded=True)
    rules = Transition(FromSpeaker(table.user.agent_id), AgentTarget(table.at["Planner"].agent_id))
    graph = TransitionGraph(table.at["Planner"].agent_id, [rules], TerminateTarget("over"), 8)
    ids = [client.agent_id for client in table.at.values()]
    channel = await table.user.open(type="workflow", target=ids, knobs={"graph": graph.to_dict()})
    for target in (table.at["Executor"].agent_id, {"no": "text"}):
        routing = {"kind": "handoff", "tool": "", "reason": "", "target": target}
        data = {"routing": routing, "context_updates": {"set": {}, "delete": []}, "body": "go"}
        planner = table.at["Planner"]
        try:
            await planner.send_envelope(Envelope(channel.channel_id, planner.agent_id, None, EV_PACKET, data))
        except Exception:
            continue
        await table.closed(channel)
        break
    assert table.turns("Executor") == 0
    assert table.team.asked == [("Planner", "handoff", "agent://Executor")], table.team.asked


@scenario
async def a_packet_that_does_not_say_what_it_is_hands_nothing_over(table: Table) -> None:
    """AG2 routes by the tool that a packet names, and by what it sets, also when it calls itself a text."""
    nothing = {"set": {}, "delete": []}
    by_tool = {"routing": {"kind": "text", "tool": "hand_over"}, "context_updates": nothing}
    by_context = {"routing": {"kind": "text"}, "context_updates": {"set": {"to": "Executor"}, "delete": []}}
    for steering in (by_tool, by_context):
        for guarded, may in ((False, False), (True, False), (True, True)):
            await table.sit(guarded=guarded, answers=("mine",))
            if may:
                table.team.planner.may("handoff", "agent://Executor")
            planner, executor = table.at.values()
            rules = [
                Transition(FromSpeaker(executor.agent_id), TerminateTarget("over")),
                Transition(ToolCalled("hand_over"), AgentTarget(executor.agent_id)),
                Transition(ContextEquals("to", "Executor"), AgentTarget(executor.agent_id)),
            ]
            graph = TransitionGraph(planner.agent_id, rules, TerminateTarget("over"), 8)
            ids = [planner.agent_id, executor.agent_id]
            channel = await table.user.open(type="workflow", target=ids, knobs={"graph": graph.to_dict()})
            data = {**steering, "body": "go"}
            await planner.send_envelope(Envelope(channel.channel_id, planner.agent_id, None, EV_PACKET, data))
            await table.closed(channel)
            assert table.turns("Executor") == (0 if guarded and not may else 1), (steering, guarded, may)
            asked = [("Planner", "handoff", "agent://Executor")] if guarded else []
            assert table.team.asked == asked, table.team.asked
            if guarded and not may:
                assert "ACT denied: no_matching_policy" in await table.written(channel)
            await table.leave()
    await table.sit()


@scenario
async def who_was_decided_on_is_who_has_the_next_turn(table: Table) -> None:
    """Between the decision and the turn somebody may change what the workflow routes by."""
    await table.sit(HAND_OVER, "over to you", answers=("mine",), tools=(hand_over,))
    planner = table.at["Planner"]
    clerk = ag2.Agent("Clerk", config=model("the clerk's"))
    table.guard.protect(clerk)
    ids = [*(client.agent_id for client in table.at.values()), (await table.hub.register(clerk)).agent_id]
    table.team.planner.may("call", "tool://hand_over").may("handoff", "agent://Executor")
    rules = [
        Transition(FromSpeaker(table.user.agent_id), AgentTarget(planner.agent_id)),
        *(Transition(FromSpeaker(id), TerminateTarget("over")) for id in ids[1:]),
        Transition(ContextEquals("to", "clerk"), AgentTarget(ids[2])),
        Transition(ToolCalled("hand_over"), AgentTarget(ids[1])),
    ]
    graph = TransitionGraph(table.user.agent_id, rules, TerminateTarget("over"), 8)
    channel = await table.user.open(type="workflow", target=ids, knobs={"graph": graph.to_dict()})
    ask = table.team.act.enforce
    loop = asyncio.get_running_loop()

    def meanwhile(token: str, action: str, resource: str, **more: Any) -> Any:
        if action == "handoff":
            asyncio.run_coroutine_threadsafe(set_context(channel, "to", "clerk"), loop).result(20)
        return ask(token, action, resource, **more)

    table.team.act.enforce = meanwhile
    await table.user.send(channel.channel_id, "go")
    await table.closed(channel)
    said = [e.sender_id for e in await table.hub.read_wal(channel.channel_id) if e.event_type == EV_PACKET]
    assert said == [planner.agent_id, ids[1]], said
    assert ("Planner", "handoff", "agent://Executor") in table.team.asked


@scenario
async def a_person_hands_nothing_over(table: Table) -> None:
    await table.sit(answers=("mine",))
    graph = TransitionGraph(table.user.agent_id, [], TerminateTarget("over"), 8)
    ids = [client.agent_id for client in table.at.values()]
    channel = await table.user.open(type="workflow", target=ids, knobs={"graph": graph.to_dict()})
    routing = {"kind": "handoff", "tool": "", "reason": "", "target": ids[1]}
    data = {"routing": routing, "context_updates": {"set": {}, "delete": []}, "body": "go"}
    await table.user.post_envelope(Envelope(channel.channel_id, "", None, EV_PACKET, data))
    await table.closed(channel)
    assert table.turns("Executor") == 0
    assert "ACT denied: no_token: " in await table.written(channel)


@scenario
async def a_workflow_can_finish(table: Table) -> None:
    def hand_over(reason: str) -> Finish:
        return Finish(summary=reason)

    hand_over.__annotations__["return"] = Finish
    await table.sit(HAND_OVER, "bye", tools=(hand_over,))
    table.team.planner.may("call", "tool://hand_over")
    channel = await table.workflow(table.to_executor())
    assert (await table.closed(channel)).close_reason == "finished"
    assert table.team.asked == [("Planner", "call", "tool://hand_over")]


# --- who is under the guard -------------------------------------------------------------------------------------------


async def _failed(table: Table, name: str) -> str:
    """Have an agent asked whose turn is refused; why."""
    failures: list[str] = []

    class Listener:
        def __getattr__(self, hook: str) -> Any:
            async def heard(*args: Any) -> None:
                if hook == "on_turn_failed":
                    failures.append(repr(args))

            return heard

    table.hub.register_listener(Listener())
    channel = await table.user.open(type="conversation", target=name)
    await table.user.send(channel.channel_id, "go")
    for _ in range(400):
        if failures:
            return failures[0]
        await asyncio.sleep(0.05)
    raise AssertionError("the turn was not refused")


@scenario
async def a_hub_that_was_forgotten_is_refused(table: Table) -> None:
    await table.sit("hello", answers=(TOUCH, "done"), guarded=False)
    table.guard.protect(table.planner, table.executor)
    assert "the hub at which 'Planner' works is not under this ActGuard" in await _failed(table, "Planner")
    assert table.turns("Planner") == 0


@scenario
async def an_agent_at_the_hub_that_was_forgotten_is_refused(table: Table) -> None:
    await table.sit("hello", answers=(TOUCH, "done"), guarded=False)
    table.guard.protect(table.hub, table.planner)
    assert "agent 'Executor' at a hub under this guard" in await _failed(table, "Executor")
    assert table.touched == []


@scenario
async def a_hub_that_was_forgotten_is_refused_outside_of_it_too(table: Table) -> None:
    """A turn that the application begins: the tools of the network still speak at the hub."""
    await table.sit(delegating("Executor"), "done", guarded=False)
    table.guard.protect(table.planner, table.executor)
    with pytest.raises(UnprotectedAgent, match="the hub at which 'Planner' works"):
        await table.works()
    assert table.turns("Executor") == 0


@scenario
async def a_client_stands_for_its_agent_and_its_hub(table: Table) -> None:
    await table.sit("hello", guarded=False)
    table.guard.protect(*table.at.values())
    table.guard.protect(table.people)
    assert await table.asks("Planner") == "hello"
    with pytest.raises(ValueError, match="another ActGuard"):
        Team(table.station).guard().protect(table.hub)


@scenario
async def another_arbiter_comes_before_the_guard_and_not_instead(table: Table) -> None:
    await table.sit(messages="enforce")
    table.hub.register_arbiter(DeniesDispatch())
    with pytest.raises(AccessDeniedError, match="ACT denied"):
        await table.at["Planner"].open(type="conversation", target="Executor")
    arbiter = table.hub.arbiter
    assert isinstance(await arbiter.authorize_dispatch(None, None, None, None), Deny)
    table.hub.register_arbiter(BaseHubArbiter())
    assert isinstance(await arbiter.authorize_dispatch(None, None, None, None), Allow)


class Elsewhere:
    """A link that does not show the hub behind it, as one over the network."""

    def __init__(self, hub: Any) -> None:
        self._link = LocalLink(hub)

    def __getattr__(self, name: str) -> Any:
        if name == "hub":
            raise AttributeError(name)
        return getattr(self._link, name)


@scenario
async def a_hub_in_another_process_is_protected_there(table: Table) -> None:
    await table.sit(messages="enforce")
    there = HubClient(Elsewhere(table.hub))
    scribe = agent("Scribe", SECRET)
    here = table.team.guard(allow_unprotected=True)
    here.protect(scribe)
    await there.register(scribe)
    import warnings

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        channel = await table.user.open(type="conversation", target="Scribe")
        await table.user.send(channel.channel_id, "go")
        assert await table.answer(channel) == SECRET  # it has no token, so it may speak
    assert any("in another process" in str(item.message) for item in warned), warned
    await there.close()


@scenario
async def observing_holds_nothing_back_at_a_hub(table: Table) -> None:
    await table.sit(HAND_OVER, "over to you", answers=(TOUCH, "mine"), tools=(hand_over,), mode="observe")
    channel = await table.workflow(table.to_executor())
    await table.closed(channel)
    assert table.touched == ["x"]
    denied = {(seen.action, seen.resource) for seen, _ in table.guard.report().denied}
    assert {("call", "tool://hand_over"), ("handoff", "agent://Executor"), ("call", "tool://touch")} <= denied, denied


async def _played(name: str, station: Station) -> None:
    table = Table(station)
    try:
        await SCENARIOS[name](table)
    finally:
        await table.leave()


def main() -> None:
    answers: Any = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the framework prints goes to standard error
    with tempfile.TemporaryDirectory() as folder:
        station = Station(Path(folder) / "station")
        for line in sys.stdin:
            failure = None
            try:
                asyncio.run(_played(line.strip(), station))
            except BaseException:
                failure = traceback.format_exc()
            print(json.dumps({"failure": failure}), file=answers, flush=True)
        station.close()


if __name__ == "__main__":
    main()
