"""Who asked? Answered by the identity of agent objects, never by what a message says about itself.

A protected agent keeps a `Ledger` of who wrote each message in its histories, filled in as messages arrive: the author
is the agent object that AutoGen passes as `sender`. A group chat relays through its manager, so there the author is the
agent object from which the manager received the very message object that it now passes on; anything else from a manager
(a restored history, a rewritten message) has no known author. While an agent replies, a `Frame` holds the messages it
replies to, and a call is attributed to the author of the last one only if that message asks for this call.

AutoGen 0.14 has an agent answer a call of `__structured_output` with the arguments of the call. These are the words of
who asked, not of who answers, and the agent keeps who that was.

Trusted: the `sender` objects that AutoGen passes, and the Python code of the application. Not trusted: the `name`,
`role` and content of any message, and the names of agents that are not protected.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from autogen import GroupChatManager

from act.integrations.context import during

Agent = Any

QUOTED = "_act_quoted"
_STRUCTURED = "__structured_output"


@dataclass(frozen=True)
class Entry:
    """Who wrote a message (None: not known), and whether it was a dropped message that would have ended the chat."""

    message: Mapping[str, Any]
    author: Agent | None
    ends: bool = False


class Ledger:
    """The authors of the messages in one agent's histories, by the identity of the stored message."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._entries: dict[int, Entry] = {}
        self.quoted: dict[str, Agent | None] = {}
        """Texts that the agent says in the words of others, and of whom."""

    def record(self, message: Mapping[str, Any], author: Agent | None, *, ends: bool = False) -> None:
        """Remember the author of a message that was just stored."""
        # The entry keeps the message alive, so its id cannot come to mean another one.
        self._entries[id(message)] = Entry(message, author, ends)
        if len(self._entries) % 512 == 0:
            self._forget_dropped()

    def entry(self, message: object) -> Entry | None:
        """What is known about exactly this stored message."""
        return self._entries.get(id(message))

    def _forget_dropped(self) -> None:
        kept = {id(message) for history in list(self._agent._oai_messages.values()) for message in history}
        self._entries = {key: entry for key, entry in self._entries.items() if key in kept}


@dataclass
class Frame:
    """One reply being made: by whom, to which messages. `raised` is what must come out of the reply in the end."""

    agent: Agent
    ledger: Ledger
    messages: list[Any]
    asynchronous: bool
    raised: Exception | None = None

    def asker_of_call(self, func_call: Mapping[str, Any], call_id: str | None) -> Agent | None:
        """The author of the last message, if that message asks for this call."""
        if not self.messages or not asks_for(self.messages[-1], func_call, call_id):
            return None
        entry = self.ledger.entry(self.messages[-1])
        return entry.author if entry else None

    def own(self, reply: Any) -> Any:
        """The reply, after it was remembered when it is in the words of who asked. Those are never more than a text."""
        message = self.messages[-1] if self.messages and isinstance(self.messages[-1], Mapping) else {}
        called = [call.get("function") for call in message.get("tool_calls") or () if isinstance(call, Mapping)]
        functions = [one for one in called if isinstance(one, Mapping) and one.get("name") == _STRUCTURED]
        if not any(reply == function.get("arguments") for function in functions):
            return reply
        said = reply if isinstance(reply, str) else json.dumps(reply, default=str)
        entry = self.ledger.entry(self.messages[-1])
        self.ledger.quoted[said] = entry.author if entry else None
        return said

    @property
    def ends_here(self) -> bool:
        """The last message was dropped, and would have ended the chat."""
        entry = self.ledger.entry(self.messages[-1]) if self.messages else None
        return entry is not None and entry.ends


def asks_for(message: Any, func_call: Mapping[str, Any], call_id: str | None) -> bool:
    """Whether `message` asks for this call: the same name, with the same arguments or under the same call id.

    By value, because AutoGen copies messages on the way; hooks of the application may rewrite arguments.
    """
    if not isinstance(message, Mapping):
        return False
    asked = [(message.get("id"), message.get("function_call"))]
    calls = [call for call in message.get("tool_calls") or () if isinstance(call, Mapping)]
    asked += [(call.get("id"), call.get("function")) for call in calls]
    return any(
        isinstance(function, Mapping)
        and function.get("name") == func_call.get("name")
        and (function.get("arguments") == func_call.get("arguments") or (call_id is not None and number == call_id))
        for number, function in asked
    )


def author_of(message: Any, sender: Agent | None) -> Agent | None:
    """Who wrote a message that arrives from `sender`; None when it cannot be determined."""
    said_by = _said_by(message, sender)
    quoted = getattr(said_by, QUOTED, {})
    content = message.get("content") if isinstance(message, Mapping) else message
    return quoted[content] if isinstance(content, str) and content in quoted else said_by


def _said_by(message: Any, sender: Agent | None) -> Agent | None:
    if not isinstance(sender, GroupChatManager):
        return sender
    if isinstance(message, str):
        return sender  # a manager relays messages as dicts; a bare text is its own (introductions)
    # Not its `_last_speaker`: AutoGen 0.2 leaves that stale in async chats.
    histories = list(sender._oai_messages.items())
    return next((agent for agent, history in histories if any(kept is message for kept in reversed(history))), None)


_frame: ContextVar[Frame | None] = ContextVar("act_autogen_frame", default=None)
_receiving: ContextVar[tuple[Agent, Agent | None, bool] | None] = ContextVar("act_autogen_receiving", default=None)


def frame_of(agent: Agent) -> Frame | None:
    """The reply that `agent` itself is making now, in this task or thread."""
    frame = _frame.get()
    return frame if frame is not None and frame.agent is agent else None


@contextmanager
def replying(frame: Frame) -> Iterator[None]:
    """The time in which `frame.agent` makes its reply. An error kept in the frame comes out at the end."""
    before = _frame.set(frame)
    try:
        yield
    except Exception as fault:
        if frame.raised is not None:
            raise frame.raised from fault
        raise
    finally:
        _frame.reset(before)
    if frame.raised is not None:
        raise frame.raised


def receiving(agent: Agent, author: Agent | None, *, ends: bool) -> AbstractContextManager[None]:
    """The time in which `agent` stores a message that `author` wrote."""
    return during(_receiving, (agent, author, ends))


def watch_replies(agent: Agent, ledger: Ledger, before_reply: Any) -> None:
    """Make `agent` keep its ledger and its frames. `before_reply(agent, sender)` may raise to refuse the reply."""
    reply, a_reply, append = agent.generate_reply, agent.a_generate_reply, agent._append_oai_message

    def frame_for(messages: list[Any] | None, sender: Agent | None, *, asynchronous: bool) -> Frame:
        before_reply(agent, sender)
        if messages is None:
            messages = agent._oai_messages[sender] if sender is not None else []
        return Frame(agent, ledger, list(messages), asynchronous)

    def generate_reply(messages: Any = None, sender: Any = None, *args: Any, **kwargs: Any) -> Any:
        frame = frame_for(messages, sender, asynchronous=False)
        if frame.ends_here:
            return None
        with replying(frame):
            return frame.own(reply(messages, sender, *args, **kwargs))

    async def a_generate_reply(messages: Any = None, sender: Any = None, *args: Any, **kwargs: Any) -> Any:
        frame = frame_for(messages, sender, asynchronous=True)
        if frame.ends_here:
            return None
        with replying(frame):
            return frame.own(await a_reply(messages, sender, *args, **kwargs))

    def append_oai_message(*args: Any, **kwargs: Any) -> Any:
        stored = append(*args, **kwargs)
        # The conversation is the one agent among the arguments; their order differs between AutoGen versions.
        given = [*args, *kwargs.values()]
        conversation = next((value for value in given if hasattr(value, "receive")), None)
        if stored and conversation is not None:
            arriving = _receiving.get()
            if arriving is not None and arriving[0] is agent:
                ledger.record(agent._oai_messages[conversation][-1], arriving[1], ends=arriving[2])
            else:
                ledger.record(agent._oai_messages[conversation][-1], agent)
        return stored

    setattr(agent, QUOTED, ledger.quoted)
    agent.generate_reply = generate_reply
    agent.a_generate_reply = a_generate_reply
    agent._append_oai_message = append_oai_message
