"""The kinds of tools that AG2 has: which of them a gate can stand before, and what is inside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from inspect import unwrap
from typing import Any

from ag2.tools.builtin.tool_search import ToolSearchTool
from ag2.tools.final import ClientTool, FunctionTool, Toolkit


def is_collection(tool: Any) -> bool:
    """Whether a tool is a number of others."""
    return any(
        isinstance(tool, kind) and type(tool).register is kind.register and type(tool).tools is kind.tools
        for kind in (Toolkit, ToolSearchTool)
    )


def is_function(tool: Any) -> bool:
    """A function, or a tool of an MCP server: both run their own middleware inside the agent's."""
    if isinstance(tool, FunctionTool):
        return type(tool).register is FunctionTool.register
    return _is_own(tool) and isinstance(getattr(tool, "_middleware", None), tuple)


def wraps_function(tool: Any) -> bool:
    """A tool of AG2 around one function, such as `SandboxCodeTool`."""
    return _is_own(tool) and isinstance(getattr(tool, "_tool", None), FunctionTool)


def is_of_client(tool: Any) -> bool:
    """A tool that a remote client runs; what is decided is whether the call is sent to it."""
    return isinstance(tool, ClientTool) and type(tool).register is ClientTool.register


def leaves(tools: Iterable[Any]) -> Iterator[Any]:
    """The tools themselves, without the collections that they are in."""
    for tool in tools:
        if is_collection(tool):
            yield from leaves(tool._tools.values())
        else:
            yield tool


def why_not(tool: Any) -> str | None:
    """Why no gate can stand before a tool, or None."""
    if is_function(tool) or wraps_function(tool) or is_of_client(tool):
        return None
    if type(tool).__module__.startswith("ag2.tools.builtin."):
        return "is run by the model's provider"
    return f"is of the kind {type(tool).__name__}, which registers itself in a way that is not known"


def function_of(tool: Any) -> Any:
    """The Python function behind a tool, or None."""
    return getattr(getattr(getattr(tool, "_tool", tool), "model", None), "call", None)


def held_by(function: Any) -> Iterator[Any]:
    """What the closure of a function holds, one list deep."""
    for cell in (getattr(unwrap(function), "__closure__", None) or ()) if callable(function) else ():
        try:
            held = cell.cell_contents
        except ValueError:  # not filled yet
            continue
        yield from held if isinstance(held, list | tuple | set) else (held,)


def _is_own(tool: Any) -> bool:
    return type(tool).__module__.startswith(("ag2.tools.", "ag2.extensions."))
