"""Messages between agents: asked as action `message` on `agent://<recipient>`, when the recipient is shown them.

What is sent to ACT is the kind and the length, never the content. With `messages="enforce"` the recipient is shown the
denial instead of a message: a message that were dropped, or raised about, would hang the team.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autogen_agentchat.messages import TextMessage

from act.integrations.core import ApprovalPending, Call, Ruling
from act.integrations.mapping import MappingFault, agent_resource
from act.integrations.ruling import ruling_from
from act.models import ReasonCode

if TYPE_CHECKING:
    from act.integrations.agentchat.guard import ActGuard


class Screen:
    """What the agents under one guard may be shown of what others said."""

    def __init__(self, guard: ActGuard) -> None:
        self._guard = guard

    async def shown(self, name: str, messages: Sequence[Any]) -> list[Any]:
        """The messages that the agent `name` is shown."""
        return list(messages) if self._guard.messages == "off" else [await self._one(name, one) for one in messages]

    async def _one(self, name: str, message: Any) -> Any:
        source = str(message.source)
        author = self._guard.party_named(source)
        if source == name or author.is_person:
            return message  # people may speak
        enforcing = self._guard.messages == "enforce"
        asking = self._guard.enforcer if enforcing else self._guard.observer
        try:
            said = {"kind": type(message).__name__, "length": len(message.to_model_text())}
            call = Call("message", agent_resource(name), said)
            ruling = await asking.a_decide(call, executor=author, asker=author)
        except MappingFault as fault:
            ruling = asking.refused(ReasonCode.RESOURCE_MALFORMED, f"{fault}.", "message", asker=author)
        except ApprovalPending as pending:
            ruling = ruling_from(pending.decision)
        if ruling.allowed and ruling.leased:
            # who speaks has read nothing by it
            await asyncio.to_thread(self._guard.enforcer.report, ruling, "succeeded", ())
        return message if ruling.allowed or not enforcing else _instead(message, ruling)


def _instead(message: Any, ruling: Ruling) -> Any:
    return TextMessage(content=ruling.text, source=message.source)
