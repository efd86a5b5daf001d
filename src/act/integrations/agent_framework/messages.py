"""Messages between agents: asked as action `message` on `agent://<recipient>`, when the recipient is shown them.

A message of an agent comes to another one with the author's name on it, which the framework writes there and no model
can. Only names of agents under the guard count. What is sent to ACT is the kind and the length, never the content. A
history is shown again with every request, so of each conversation it is kept how often a message was asked about. With
`messages="enforce"` the recipient is shown the denial instead of a message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from agent_framework import Message

from act.integrations.agent_framework.failures import EnforcementFailed
from act.integrations.core import Call, Ruling
from act.integrations.mapping import MappingFault, agent_resource
from act.models import ReasonCode

if TYPE_CHECKING:
    from act.integrations.agent_framework.guard import ActGuard

Key = tuple[str, ...]

_MOST = 10_000


class Screen:
    """What the agents under one guard may be shown of what others said."""

    def __init__(self, guard: ActGuard) -> None:
        self._guard = guard
        self._asked: dict[Key, list[str | None]] = {}

    def concerns(self, name: str, messages: Iterable[Any]) -> bool:
        """Whether there is anything to ask before `name` is shown these messages."""
        return self._guard.messages != "off" and any(self._author(name, one) for one in messages)

    async def shown(self, name: str, conversation: str | None, messages: Sequence[Any]) -> list[Any]:
        """The messages that `name` is shown. Without a conversation all of them are new, and nothing is remembered.

        Raises `EnforcementFailed`, or `ApprovalPending`, while enforcing.
        """
        if len(self._asked) > _MOST:
            self._asked.clear()
        asked = self._asked if conversation is not None else dict[Key, list[str | None]]()
        times: Counter[Key] = Counter()
        kept = []
        for message in messages:
            author = self._author(name, message)
            if author is None:
                kept.append(message)
                continue
            text = sha256(message.text.encode("utf-8", "surrogatepass")).hexdigest()
            key = (name, conversation or "", author, str(message.role), _kind(message), text)
            times[key] += 1
            answers = asked.setdefault(key, [])
            while len(answers) < times[key]:
                answers.append(await self._ask(author, name, message))
            denial = answers[times[key] - 1]
            if denial is None:
                kept.append(message)
            elif message.role == "assistant":  # the results of calls that are not shown cannot be shown either
                kept.append(Message("assistant", [denial], author_name=author))
        return kept

    def _author(self, name: str, message: Any) -> str | None:
        """Another agent that wrote a message; None for the agent itself, and for people."""
        author = getattr(message, "author_name", None)
        return author if isinstance(author, str) and author != name and message.role in ("assistant", "tool") else None

    async def _ask(self, author: str, name: str, message: Any) -> str | None:
        """Why a message is not shown."""
        guard = self._guard
        enforcing = guard.messages == "enforce"
        if not guard.knows(author):
            said = Ruling(ReasonCode.REQUESTER_UNKNOWN, "It cannot be determined who wrote this message.").text
            return said if enforcing and guard.mode == "enforce" else None
        party, asking = guard.party_named(author), guard.enforcer if enforcing else guard.observer
        if party.is_person:
            return None  # people may speak
        try:
            said_of_it = {"kind": _kind(message), "length": len(message.text)}
            call = Call("message", agent_resource(name), said_of_it)
        except MappingFault as fault:
            code = ReasonCode.RESOURCE_MALFORMED
            refused = asking.refused(code, f"{fault}.", "message", executor=party, asker=party)
            return refused.text if enforcing and not refused.allowed else None
        ruling = await asking.a_decide(call, executor=party, asker=party)
        if ruling.allowed and ruling.leased:
            guard.enforcer.report(ruling, "succeeded", ())  # who speaks has read nothing by it
        if ruling.allowed or not enforcing:
            return None
        if ruling.code is ReasonCode.UNREACHABLE:
            raise EnforcementFailed(ruling)
        return ruling.text


def _kind(message: Any) -> str:
    return ",".join(sorted({str(content.type) for content in message.contents})) or "text"
