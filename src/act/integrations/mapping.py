"""From a tool call to what ACT is asked: an action, and a resource with the call's arguments filled in.

Nothing here knows a framework. What cannot be filled in without doubt is a `MappingFault`, which callers turn into a
denial: a value that is missing, empty, or neither a string nor an integer never becomes part of a resource.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import isroutine
from string import Formatter
from typing import Any, TypeVar

from act.client.notes import Notes
from act.text import segment

F = TypeVar("F", bound=Callable[..., Any])

_ATTRIBUTE = "__act_tool__"


class MappingFault(ValueError):
    """The call does not give what its resource needs."""


@dataclass(frozen=True)
class ToolSpec:
    """What a tool stands for. Without a `resource` it is `tool://<name>`.

    `labels` are of what it reads, such as `untrusted`: none, if it is an empty list, and the default labels of the
    tenant, if it is not given. Raises `ValueError` for a template that is more than text and plain `{argument}` names,
    and for labels that are none; `TypeError` for what is no text.
    """

    action: str = "call"
    resource: str | None = None
    labels: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.action, str) or not isinstance(self.resource, str | None):
            raise TypeError(
                f"the action and the resource of a tool are texts, not {self.action!r} and {self.resource!r}"
            )
        object.__setattr__(self, "labels", Notes.of(self.labels, None).labels)
        for _, field, spec, conversion in Formatter().parse(self.resource or ""):
            if field is not None and (not field.isidentifier() or spec or conversion):
                raise ValueError(f"{self.resource!r}: write plain argument names in braces, not {{{field}}}")


DEFAULT = ToolSpec()


def act_tool(
    *, action: str = "call", resource: str | None = None, labels: Sequence[str] | None = None
) -> Callable[[F], F]:
    """Say on the function itself what ACT is asked when an agent calls it.

    `@act_tool(action="execute", resource="api://tasks/execute/{task_id}")` stands directly above `def`, below the
    framework's own decorators, which keep the mark through `functools.wraps`. Raises `TypeError` on anything else.
    """
    spec = ToolSpec(action, resource, labels)

    def mark(function: F) -> F:
        if not isroutine(function):
            raise TypeError("put @act_tool directly above the def, below the framework's decorators")
        setattr(function, _ATTRIBUTE, spec)
        return function

    return mark


def spec_of(function: Any) -> ToolSpec | None:
    """The mark of `act_tool`, found through the wrappers that frameworks put around a function."""
    for _ in range(16):
        if function is None:
            return None
        spec = getattr(function, _ATTRIBUTE, None)
        if isinstance(spec, ToolSpec):
            return spec
        function = getattr(function, "__wrapped__", None) or getattr(function, "_origin", None)
    return None


def as_spec(given: ToolSpec | tuple[str, str]) -> ToolSpec:
    """A `ToolSpec` from the form in which a guard's `tools=` option is written. Raises `TypeError` for any other."""
    if isinstance(given, ToolSpec):
        return given
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise TypeError(f"a tool stands for (action, resource) or for a ToolSpec, not for {given!r}")
    return ToolSpec(*given)


def resource_for(spec: ToolSpec, tool: str, arguments: Mapping[str, Any]) -> str:
    """The resource of one call. Raises `MappingFault`; no value can leave its place in the template."""
    if spec.resource is None:
        return "tool://" + _encoded("the tool's name", tool)
    parts = []
    for text, field, _, _ in Formatter().parse(spec.resource):
        parts.append(text)
        if field is not None:
            parts.append(_encoded(f"argument {field!r}", arguments.get(field)))
    return "".join(parts)


def agent_resource(name: str, suffix: str = "") -> str:
    """`agent://<name>`, percent-encoded. Raises `MappingFault` for a name that cannot be one."""
    return "agent://" + _encoded("the agent's name", name) + suffix


def _encoded(what: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise MappingFault(f"{what} is needed to name the resource, as a string or an integer")
    try:
        return segment(str(value))
    except UnicodeEncodeError:
        raise MappingFault(f"{what} is not valid text") from None
    except ValueError as error:
        raise MappingFault(f"{what} cannot be used: {error}") from None
