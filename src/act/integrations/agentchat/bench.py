"""A workbench around a workbench: whatever tools there are, and whoever added them, a call passes here.

AutoGen calls a `StaticStreamWorkbench` in another way than all others, to hear of what its tools stream. So there are
two classes, and both only hand on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from autogen_core.tools import StaticStreamWorkbench, TextResultContent, ToolResult, Workbench

from act.integrations.agentchat.parts import arguments_of, function_of, tool_of
from act.integrations.agentchat.post import Post
from act.integrations.core import NotReported, Ruling
from act.models import ReasonCode

_REPLACED = "The tool was replaced while it was decided about its call."
_OWN = ("_act_inner", "_act_post")

Events = AsyncGenerator[Any, None]


class _Composed:
    """Behaves as the workbench that it stands before, but for calls."""

    def __init__(self, inner: Any, post: Post) -> None:
        self._act_inner, self._act_post = inner, post

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:
            raise AttributeError(name)
        return getattr(self._act_inner, name)

    async def list_tools(self) -> Any:
        return await self._act_inner.list_tools()

    async def call_tool(
        self, name: str, arguments: Any = None, cancellation_token: Any = None, call_id: str | None = None
    ) -> Any:
        """As the workbench's own; what is denied becomes an error result."""

        async def once(decided: Any) -> Events:
            yield await self._act_inner.call_tool(name, decided, cancellation_token, call_id)

        return [result async for result in self._act_events(name, arguments, once)][-1]

    async def _act_events(self, name: str, arguments: Any, carry_out: Callable[[Any], Events]) -> Events:
        """What a call brings forth, the result last: held back until ACT knows of it."""
        post, tool = self._act_post, tool_of(self._act_inner, name)
        post.guard.check_tool(post.name, tool)
        given = {} if arguments is None else arguments
        asked = await post.ask(name, arguments_of(tool, given), function_of(tool))
        if not asked.ruling.allowed:
            yield _error(name, asked.ruling.text)
            return
        result = None
        try:
            async with (
                post.guard.enforcer.a_reporting(asked.ruling, asked.labels) as running,
                aclosing(carry_out(given if asked.arguments is None else asked.arguments)) as events,
            ):
                if post.guard.mode == "enforce" and tool_of(self._act_inner, name) is not tool:
                    result = _error(name, Ruling(ReasonCode.ACTION_MALFORMED, _REPLACED).text)
                else:
                    async for event in events:
                        if isinstance(event, ToolResult):
                            result = event
                        else:
                            yield event
                running.failed = result is None or result.is_error
        except NotReported as withheld:
            result = _error(name, str(withheld))
        yield result if result is not None else _error(name, "Error: the tool has given no result")

    async def start(self) -> None:
        await self._act_inner.start()

    async def stop(self) -> None:
        await self._act_inner.stop()

    async def reset(self) -> None:
        await self._act_inner.reset()

    async def save_state(self) -> Mapping[str, Any]:
        state: Mapping[str, Any] = await self._act_inner.save_state()
        return state

    async def load_state(self, state: Mapping[str, Any]) -> None:
        await self._act_inner.load_state(state)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a workbench under an ActGuard cannot be copied; protect the agent that has the copy")


class GuardedWorkbench(_Composed, Workbench):  # type: ignore[misc]  # the framework is not analysed
    """Before any workbench."""


class GuardedStreamWorkbench(_Composed, StaticStreamWorkbench):  # type: ignore[misc]
    """Before one that streams."""

    async def call_tool_stream(
        self, name: str, arguments: Any = None, cancellation_token: Any = None, call_id: str | None = None
    ) -> Events:
        """As the workbench's own."""

        def stream(decided: Any) -> Events:
            events: Events = self._act_inner.call_tool_stream(name, decided, cancellation_token, call_id)
            return events

        async with aclosing(self._act_events(name, arguments, stream)) as events:
            async for event in events:
                yield event


def guarded(workbench: Any, post: Post) -> Any:
    """The workbench under the guard of one agent."""
    if isinstance(workbench, _Composed):
        return workbench if workbench._act_post is post else guarded(workbench._act_inner, post)
    kind = GuardedStreamWorkbench if isinstance(workbench, StaticStreamWorkbench) else GuardedWorkbench
    return kind(workbench, post)


def _error(name: str, text: str) -> Any:
    return ToolResult(name=name, result=[TextResultContent(content=text)], is_error=True)
