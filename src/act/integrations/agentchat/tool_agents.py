"""Tool agents of `autogen-core`: other agents send them `FunctionCall`s, and they run the tool.

Intervention handlers see such a call, but not how it ends when the tool raises; so the guard stands in the tool agent,
and a runtime under the guard puts it there however the agent comes about. Who asked is the sender of the message,
which the runtime knows and no model can choose. Agents are named by their type.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from autogen_core import FunctionCall
from autogen_core.tool_agent import ToolAgent, ToolException

from act.integrations.agentchat.parts import arguments_of, function_of
from act.integrations.agentchat.post import ask, calling, error, linked
from act.integrations.core import NotReported

if TYPE_CHECKING:
    from act.integrations.agentchat.guard import ActGuard

_GUARD = "_act_guard"


def guard_of(thing: Any) -> ActGuard | None:
    """The guard that a tool agent, or a runtime, is under."""
    return getattr(thing, _GUARD, None)


def put_runtime_under(runtime: Any, guard: ActGuard) -> None:
    """Put the tool agents of a runtime under the guard, also those that it has not made yet."""
    if guard_of(runtime) is not None:
        return
    get_agent = runtime._get_agent

    async def guarded(agent_id: Any) -> Any:
        agent = await get_agent(agent_id)
        if isinstance(agent, ToolAgent):
            guard.protect(agent)
        return agent

    runtime._get_agent = guarded
    setattr(runtime, _GUARD, guard)


def put_tool_agent_under(agent: Any, guard: ActGuard) -> None:
    """Give a tool agent its guarded class."""
    if guard_of(agent) is not None:
        return
    base: Any = type(agent)

    class GuardedToolAgent(base):  # type: ignore[misc]
        async def on_message_impl(self, message: Any, ctx: Any) -> Any:
            """As the agent's own, for calls that are allowed."""
            tool = next((one for one in self.tools if one.name == getattr(message, "name", None)), None)
            if not isinstance(message, FunctionCall) or tool is None:
                return await super().on_message_impl(message, ctx)
            return await _called(guard, self, tool, message, ctx, super().on_message_impl)

        async def handle_function_call(self, message: Any, ctx: Any) -> Any:
            """The same, for a subclass that calls it by itself."""
            return await self.on_message_impl(message, ctx)

    kind: Any = GuardedToolAgent
    kind.__name__, kind.__qualname__, kind.__module__ = base.__name__, base.__qualname__, base.__module__
    agent.__class__ = kind
    setattr(agent, _GUARD, guard)


async def _called(guard: ActGuard, agent: Any, tool: Any, call: Any, ctx: Any, carry_out: Any) -> Any:
    name = agent.id.type
    guard.check_tool(name, tool)
    asker = None if ctx.sender is None else guard.party_named(ctx.sender.type)
    executor = guard.party_named(name)
    spec = guard.spec_named(tool.name, function_of(tool))
    arguments = arguments_of(tool, _parsed(call.arguments))
    asking = ask(guard, tool.name, arguments, spec, executor=executor, asker=asker)
    asked = await linked(asking, ctx.cancellation_token)
    if not asked.ruling.allowed:
        return error(call, asked.ruling.text)
    decided, broken = call, None
    if isinstance(asked.arguments, dict):
        decided = replace(call, arguments=json.dumps(asked.arguments))
    try:
        async with guard.enforcer.a_reporting(asked.ruling, asked.labels) as running:
            try:
                with calling(guard):
                    result = await carry_out(decided, ctx)
            except ToolException as fault:  # not an `Exception`, but how a tool agent says that a tool failed
                broken, running.failed = fault, True
    except NotReported as withheld:
        return error(call, str(withheld))
    if broken is not None:
        raise broken
    return result


def _parsed(arguments: str) -> Any:
    """What a call says; nothing that is an object, when that cannot be told."""
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return None
