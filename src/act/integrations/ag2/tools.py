"""The tools of one turn with a gate before each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from typing import Any

from ag2.tools.tool import Tool

from act.integrations.ag2.gate import Gate
from act.integrations.ag2.kinds import is_collection, is_function, is_of_client, wraps_function

MakeGate = Callable[[Any, Any], Gate]
"""Makes the gate for a tool, and for the tool that it is a part of (or None)."""


class Fronted(Tool):
    """A tool that takes middleware from the agent only, with the gate as the innermost of it."""

    def __init__(self, inner: Any, gate: Gate) -> None:
        self.name = inner.name
        self._inner, self._gate = inner, gate

    async def schemas(self, context: Any) -> Any:
        return await self._inner.schemas(context)

    def register(self, stack: Any, context: Any, *, middleware: Iterable[Any] = ()) -> None:
        self._inner.register(stack, context, middleware=[self._gate, *middleware])


def gated(tool: Any, make_gate: MakeGate) -> Any:
    """A copy of the tool with a gate before each function in it. Tools of a kind that is not known stay as they are."""
    if is_collection(tool):
        held = copy(tool)
        held._tools = {name: gated(member, make_gate) for name, member in tool._tools.items()}
        return held
    if is_function(tool):
        return _with_gate(tool, make_gate(tool, None))
    if wraps_function(tool):
        held = copy(tool)
        held._tool = _with_gate(tool._tool, make_gate(tool._tool, tool))
        return held
    return Fronted(tool, make_gate(tool, None)) if is_of_client(tool) else tool


def _with_gate(tool: Any, gate: Gate) -> Any:
    held = copy(tool)
    held._middleware = (*tool._middleware, gate)
    return held
