"""Hubs: the messages of agents, the channels they open, and the handoffs that a workflow reads from their answers.

The guard is the hub's arbiter; the one that was there, and any that is registered later, is asked first. Decided is in
`authorize_send`, before the text is stored, for everybody whom it would reach: to stop it at `authorize_dispatch` does
not keep it secret. What ACT is sent is the kind and the length of a message, never its content.

A message that is not allowed is refused to whoever sent it. An answer in a conversation is replaced by the denial
instead, because somebody waits for it; and a handoff that is not allowed becomes a plain answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from copy import copy
from typing import TYPE_CHECKING, Any

from ag2.network import (
    EV_PACKET,
    EV_TEXT,
    AgentClient,
    Deny,
    Envelope,
    Passport,
)
from ag2.network.policies import HUB_DEP

from act.integrations.ag2.acting import last_turn
from act.integrations.ag2.kinds import function_of, held_by, leaves
from act.integrations.core import ApprovalPending, Call, Party, Ruling
from act.integrations.mapping import MappingFault, agent_resource
from act.integrations.ruling import ruling_from
from act.models import ReasonCode

if TYPE_CHECKING:
    from act.integrations.ag2.guard import ActGuard

Agent = Any
Hub = Any

_BOOKKEEPING = ("ag2.channel.", "ag2.task.")
"""Events of the protocol itself; opening a channel is asked about as a whole."""


class ActArbiter:
    """Decides for a hub, after the arbiter `inner`, whose other decisions stand."""

    def __init__(self, inner: Any, hub: Hub, guard: ActGuard) -> None:
        self.inner, self.guard = inner, guard
        self._hub = hub

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def authorize_channel_open(
        self, manifest: Any, creator: Passport, creator_rule: Any, invitees: list[Passport], *more: Any
    ) -> Any:
        verdict = await self.inner.authorize_channel_open(manifest, creator, creator_rule, invitees, *more)
        if isinstance(verdict, Deny):
            return verdict
        about = {"kind": "ag2.channel.open", "channel": manifest.type}
        refused = await self._speak(creator, [invitee.name for invitee in invitees], about)
        return verdict if refused is None else Deny(refused.text)

    async def authorize_send(
        self, envelope: Envelope, sender: Passport, sender_rule: Any, recipients: list[Passport]
    ) -> Any:
        verdict = await self.inner.authorize_send(envelope, sender, sender_rule, recipients)
        if isinstance(verdict, Deny) or envelope.event_type.startswith(_BOOKKEEPING):
            return verdict
        refused = await self._speak(sender, await self._reached(envelope), describe(envelope))
        if refused is not None:
            return verdict if _replace(envelope, refused.text) else Deny(refused.text)
        await self._hand_off(envelope, sender)
        return verdict

    async def _speak(self, sender: Passport, recipients: list[str], about: dict[str, Any]) -> Ruling | None:
        """The ruling that keeps a message from going to all of these, or None."""
        guard, party = self.guard, speaker(self.guard, sender)
        if guard.messages == "off" or party.is_person:
            return None  # people may speak
        enforcer = guard.enforcer if guard.messages == "enforce" else guard.observer
        for recipient in recipients:
            try:
                call = Call("message", agent_resource(recipient), about)
            except MappingFault as fault:
                ruling = enforcer.refused(ReasonCode.RESOURCE_MALFORMED, f"{fault}.", executor=party, asker=party)
            else:
                ruling = await _decided(guard, enforcer, call, party)
            if not ruling.allowed and guard.messages == "enforce":
                return ruling
        return None

    async def _reached(self, envelope: Envelope) -> list[str]:
        """The names of all whom an envelope would reach; no audience means everybody in the channel."""
        ids = envelope.audience
        if ids is None:
            metadata = await self._hub.get_channel(envelope.channel_id)
            ids = metadata.participant_ids()
        return [self._hub.name_for(id, default=id) for id in ids if id != envelope.sender_id]

    async def _hand_off(self, envelope: Envelope, sender: Passport) -> None:
        """Ask about the handoff that an answer asks for. One that is not allowed is taken out of the answer."""
        routing = envelope.event_data.get("routing") if envelope.event_type == EV_PACKET else None
        if not isinstance(routing, dict) or not (routing.get("kind") == "handoff" or self._steers(envelope)):
            return
        target = self._next(envelope)
        if target in (None, envelope.sender_id):
            return
        name = self._hub.name_for(target, default=target) if isinstance(target, str) else ""
        ruling = await self._may_hand_off(speaker(self.guard, sender), name, routing)
        if ruling.allowed:
            # What was decided is what happens, also if the workflow has gone on meanwhile.
            routing = {**routing, "kind": "handoff", "target": target}
            envelope.event_data = {**envelope.event_data, "routing": routing}
        else:
            self._take_out(envelope, target, ruling.text)

    async def _may_hand_off(self, party: Party, name: str, routing: dict[str, Any]) -> Ruling:
        guard, turn = self.guard, last_turn()
        tool = str(routing.get("tool", ""))
        if turn is not None and tool in turn.denied and guard.party(turn.agent).name == party.name:
            # AG2 routes by the name of the tool that was called, whether or not the call was carried out.
            said = f"The call of {tool} was denied, so there is no handoff."
            return guard.enforcer.refused(turn.denied[tool], said, tool, executor=party, asker=party)
        try:
            call = Call("handoff", agent_resource(name), {"tool": tool, "reason": str(routing.get("reason", ""))})
        except MappingFault as fault:
            return guard.enforcer.refused(ReasonCode.RESOURCE_MALFORMED, f"{fault}.", tool, executor=party, asker=party)
        return await _decided(guard, guard.enforcer, call, party)

    def _steers(self, envelope: Envelope) -> bool:
        """Whether an answer that does not say it is a handoff sends the workflow elsewhere than a plain one would.

        AG2 writes none such. Who writes envelopes by hand can name a tool in it, or set what the workflow routes by.
        """
        plain = copy(envelope)
        plain.event_data = {**envelope.event_data, **_plain()}
        return bool(self._next(envelope) != self._next(plain))

    def _take_out(self, envelope: Envelope, target: Any, text: str) -> None:
        body = envelope.event_data.get("body")
        said = f"{body}\n{text}" if isinstance(body, str) and body else text
        data = {**envelope.event_data, **_plain(), "body": said}
        envelope.event_data = data
        if self._next(envelope) == target:  # the plain answer would go there as well: end it instead
            routing = {"kind": "finish", "reason": "act_denied", "summary": text}
            envelope.event_data = {**data, "routing": routing}

    def _next(self, envelope: Envelope) -> Any:
        """Who would have the next turn after an answer; None when nobody would."""
        state = self._hub.adapter_state(envelope.channel_id)
        after = self._hub.adapter_for(envelope.channel_id).fold(copy(envelope), state)
        return getattr(after, "expected_next_speaker", envelope.event_data["routing"].get("target"))


async def _decided(guard: ActGuard, enforcer: Any, call: Call, party: Party) -> Ruling:
    """A ruling, in the place of what is raised: who sends a message is not the one who waits for an approval."""
    try:
        ruling: Ruling = await enforcer.a_decide(call, executor=party, asker=party)
    except ApprovalPending as pending:
        return ruling_from(pending.decision)
    if ruling.allowed and ruling.leased:
        await asyncio.to_thread(guard.enforcer.report, ruling, "succeeded", ())  # who speaks has read nothing by it
    return ruling


def speaker(guard: ActGuard, passport: Passport) -> Party:
    """Who speaks at a hub. The hub has made sure of the name; a human has no token, whatever the name."""
    return Party(passport.name) if passport.effective_kind == "human" else guard.party_named(passport.name)


def describe(envelope: Envelope) -> dict[str, Any]:
    """Kind and length of a message: all that ACT is told about it."""
    data = envelope.event_data
    text = data.get("text") if envelope.event_type == EV_TEXT else data.get("body")
    return {
        "kind": envelope.event_type,
        "length": len(text if isinstance(text, str) else json.dumps(data, default=str)),
    }


def _replace(envelope: Envelope, text: str) -> bool:
    """Put the denial into the place of an answer. Whether that could be done: nobody waits for other messages."""
    if envelope.causation_id is None:
        return False
    if envelope.event_type == EV_TEXT:
        envelope.event_data = {"text": text}
    elif envelope.event_type == EV_PACKET:
        envelope.event_data = {**_plain(), "body": text}
    else:
        return False
    return True


def _plain() -> dict[str, Any]:
    """What routes nowhere by itself."""
    return {"routing": {"kind": "text"}, "context_updates": {"set": {}, "delete": []}}


def check_hub(hub: Hub, guard: ActGuard) -> None:
    """Raise `ValueError` for a hub under another guard."""
    if _guard_of(hub) not in (None, guard):
        raise ValueError("the hub is under another ActGuard")


def guard_hub(hub: Hub, guard: ActGuard) -> None:
    """Become the arbiter of a hub, and stay it. Idempotent."""
    if _guard_of(hub) is guard:
        return
    arbiter = ActArbiter(hub.arbiter, hub, guard)
    hub.register_arbiter(arbiter)

    def register_arbiter(another: Any) -> None:
        arbiter.inner = another

    hub.register_arbiter = register_arbiter


def guard_of_hub(context: Any) -> ActGuard | None:
    """The guard of the hub that a turn is at."""
    return _guard_of(getattr(context.dependencies.get(HUB_DEP), "_hub", None))


def _guard_of(hub: Hub) -> ActGuard | None:
    arbiter = getattr(hub, "arbiter", None)
    return arbiter.guard if isinstance(arbiter, ActArbiter) else None


def check_turn(agent: Agent, tools: Iterable[Any], context: Any, guard: ActGuard) -> None:
    """Refuse the turn of a protected agent at a hub that lets it speak and hand off unseen."""
    clients = [context.dependencies.get(HUB_DEP)]
    for tool in leaves(tools):
        clients += [held._hub_client for held in held_by(function_of(tool)) if isinstance(held, AgentClient)]
    for client in {id(client): client for client in clients if client is not None}.values():
        hub = getattr(client, "_hub", None)
        if _guard_of(hub) is guard:
            continue
        if hub is None:
            said = "is in another process: protect it there, and say allow_unprotected=True here"
        else:
            said = "is not under this ActGuard; give it to guard.protect too"
        guard.unprotected(f"the hub at which {guard.party(agent).name!r} works {said}", stacklevel=4)
