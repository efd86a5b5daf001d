"""Messages between agents: asked when the recipient takes a message in, as action `message` on `agent://<recipient>`.

`_process_received_message` is where every message arrives, sync and async, through a manager or directly. What is sent
to ACT is the kind and the length of a message, never its content. In "observe" nothing is ever held back; in "enforce"
a message that is not allowed is replaced by the denial, in a shape that keeps the chat going (or ends it, if the
message would have ended it).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from act.integrations.autogen.requester import author_of, receiving
from act.integrations.core import Call, Enforcer, Party, Ruling
from act.integrations.mapping import MappingFault, agent_resource
from act.models import ReasonCode

if TYPE_CHECKING:
    from act.integrations.autogen.guard import ActGuard

Agent = Any


@dataclass(frozen=True)
class Screened:
    """What is taken in instead of `original` (mostly itself)."""

    recipient: Agent
    original: Any
    message: Any
    author: Agent | None
    ends: bool = False


_screened: ContextVar[Screened | None] = ContextVar("act_autogen_screened", default=None)


def guard_messages(agent: Agent, guard: ActGuard) -> None:
    """Ask for every message that `agent` receives, and record who wrote it."""
    process, a_receive = agent._process_received_message, agent.a_receive

    def process_received_message(message: Any, sender: Agent, *args: Any, **kwargs: Any) -> Any:
        screened = _screened.get()
        if screened is None or screened.recipient is not agent or screened.original is not message:
            screened = screen(agent, guard, message, sender)
        else:
            _screened.set(None)
        with receiving(agent, screened.author, ends=screened.ends):
            return process(screened.message, sender, *args, **kwargs)

    async def receive_async(message: Any, sender: Agent, *args: Any, **kwargs: Any) -> Any:
        before = _screened.set(await a_screen(agent, guard, message, sender))
        try:
            return await a_receive(message, sender, *args, **kwargs)
        finally:
            _screened.reset(before)

    agent._process_received_message = process_received_message
    agent.a_receive = receive_async


def screen(agent: Agent, guard: ActGuard, message: Any, sender: Agent) -> Screened:
    """Ask about one message, and decide what the recipient gets."""
    author = author_of(message, sender)
    question = _question(agent, guard, message, author)
    if isinstance(question, tuple):
        call, party = question
        return _outcome(agent, guard, message, author, _asking(guard).decide(call, executor=party, asker=party))
    return _outcome(agent, guard, message, author, question)


async def a_screen(agent: Agent, guard: ActGuard, message: Any, sender: Agent) -> Screened:
    """`screen` without blocking the event loop."""
    author = author_of(message, sender)
    question = _question(agent, guard, message, author)
    if isinstance(question, tuple):
        call, party = question
        ruling = await _asking(guard).a_decide(call, executor=party, asker=party)
        return _outcome(agent, guard, message, author, ruling)
    return _outcome(agent, guard, message, author, question)


def _holds_back(guard: ActGuard) -> bool:
    return guard.messages == "enforce" and guard.mode == "enforce"


def _asking(guard: ActGuard) -> Enforcer:
    return guard.enforcer if _holds_back(guard) else guard.observer


def _question(agent: Agent, guard: ActGuard, message: Any, author: Agent | None) -> tuple[Call, Party] | Ruling | None:
    """What to ask and for whom; a ruling when that is settled already; None when it is none of ACT's business."""
    if guard.messages == "off" or guard.is_plumbing(agent):
        return None
    party = guard.asker(author)
    refused = _asking(guard).refused
    if party is None:
        return refused(ReasonCode.REQUESTER_UNKNOWN, "It cannot be determined who wrote this message.", "message")
    if party.is_person:
        return None  # people may speak
    try:
        return Call("message", agent_resource(agent.name), describe(message)), party
    except MappingFault as fault:
        return refused(ReasonCode.RESOURCE_MALFORMED, f"{fault}.", "message", asker=party)


def _outcome(agent: Agent, guard: ActGuard, message: Any, author: Agent | None, ruling: Ruling | None) -> Screened:
    if ruling is not None and ruling.allowed and ruling.leased:
        guard.enforcer.report(ruling, "succeeded", ())  # who speaks has read nothing by it
    if ruling is None or ruling.allowed or not _holds_back(guard):
        return Screened(agent, message, message, author)
    return Screened(agent, message, replacement(message, ruling.text), author, ends=_would_end(agent, message))


def describe(message: Any) -> dict[str, Any]:
    """Kind and length of a message: all that ACT is told about it."""
    if not isinstance(message, Mapping):
        return {"kind": "text", "length": len(str(message))}
    kinds = ("tool_calls", "function_call", "tool_responses")
    kind = next((kind for kind in kinds if message.get(kind)), "text")
    content = message.get("content")
    return {"kind": kind, "length": len(content) if isinstance(content, str) else len(str(content or ""))}


def replacement(message: Any, text: str) -> Any:
    """The denial in place of a message. Tool results keep their call ids, or a model's API would refuse the history."""
    if not isinstance(message, Mapping):
        return text
    if message.get("tool_responses"):
        responses = [
            {**{key: value for key, value in response.items() if key in ("tool_call_id", "role")}, "content": text}
            for response in message["tool_responses"]
        ]
        return {"role": "tool", "tool_responses": responses, "content": text}
    kept = {key: message[key] for key in ("role", "name") if isinstance(message.get(key), str)}
    return {**kept, "content": text}


def _would_end(agent: Agent, message: Any) -> bool:
    try:
        return bool(agent._is_termination_msg(message if isinstance(message, Mapping) else {"content": message}))
    except Exception:  # noqa: BLE001 - the application's own predicate; without its word the chat goes on
        return False
