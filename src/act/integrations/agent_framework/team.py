"""Which agents there are: in a workflow, behind a tool, and inside a context provider.

An agent that was forgotten is a hole that nobody sees. What can be found from Python objects is found; code that makes
an agent when it runs is not.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agent_framework import (
    AgentSession,
    BaseAgent,
    Content,
    Executor,
    FunctionalWorkflow,
    FunctionalWorkflowAgent,
    FunctionalWorkflowDefinition,
    FunctionTool,
    Message,
    RawAgent,
    Workflow,
    WorkflowAgent,
)

from act.integrations.behind import held_by, is_function, named_by

Agent = Any

_DEPTH = 5
_CONTAINERS = (
    Workflow,
    WorkflowAgent,
    FunctionalWorkflow,
    FunctionalWorkflowAgent,
    FunctionalWorkflowDefinition,
    Executor,
)
_COLLECTIONS = (dict, list, tuple, set, frozenset)
_LEAVES = (str, bytes, bytearray, int, float, type, Message, Content, AgentSession)
_PROTOCOL = ("run", "create_session", "get_session")


def given_agents(targets: Iterable[Any]) -> tuple[list[Agent], list[Agent]]:
    """The agents that `protect` was given, and those among them that no guard can stand in front of.

    Raises `TypeError` for anything but agents and workflows.
    """
    found: list[Agent] = []
    foreign: list[Agent] = []
    for target in targets:
        if isinstance(target, RawAgent):
            found.append(target)
        elif isinstance(target, _CONTAINERS):
            for agent in agents_in(target):
                (found if isinstance(agent, RawAgent) else foreign).append(agent)
        else:
            raise TypeError(
                "ActGuard.protect takes agents (Agent, RawAgent and their subclasses) and workflows (Workflow, "
                "FunctionalWorkflow, their agents, and Executor) of the Microsoft Agent Framework, not "
                f"{type(target).__name__}{_hint(target)}"
            )
    return _once(found), _once(foreign)


def _hint(target: Any) -> str:
    if isinstance(target, list | tuple | set):
        return "; give them one by one"
    return "; build it first" if callable(getattr(target, "build", None)) else ""


def agents_behind(tool: Any) -> list[Agent]:
    """The agents that a function tool can set to work, `as_tool()` among them."""
    return agents_in([tool.func, getattr(tool, "_instance", None)]) if isinstance(tool, FunctionTool) else []


def tools_behind(tool: Any) -> list[Any]:
    """The function tools that a tool object keeps for itself, as one does in which a model's code calls tools."""
    if type(tool) is FunctionTool:
        return []
    return [held for value in _held(tool) for held in flat(value) if isinstance(held, FunctionTool)]


def agents_inside(agent: Agent) -> list[Agent]:
    """The agents that the tools and context providers of an agent can set to work."""
    tools = [one for one in agent.default_options.get("tools") or () if isinstance(one, FunctionTool)]
    found = [inner for tool in tools for inner in agents_behind(tool)]
    return [inner for inner in _once([*found, *agents_in(list(agent.context_providers))]) if inner is not agent]


def agents_in(thing: Any) -> list[Agent]:
    """All agents that can be reached from a function, a workflow, or a part of the framework, without passing one."""
    return _once(_walk(thing, _DEPTH, {}))


def _walk(thing: Any, depth: int, seen: dict[int, int]) -> Iterator[Agent]:
    if depth <= seen.get(id(thing), 0) or thing is None or isinstance(thing, _LEAVES):
        return  # too far away, or looked into from as near
    seen[id(thing)] = depth
    if is_agent(thing):
        yield thing
        return
    # Workflows may be in workflows as deep as they like; what is looked for elsewhere is near.
    further = depth if isinstance(thing, (*_CONTAINERS, *_COLLECTIONS)) else depth - 1
    for part in _parts(thing):
        yield from _walk(part, further, seen)


def _parts(thing: Any) -> Iterator[Any]:
    """What a thing is made of, as far as it can hold agents that the framework, or the function, works with."""
    if hasattr(type(thing), "call_tool") or hasattr(type(thing), "get_response"):
        return  # MCP servers and chat clients: what they are connected with is theirs
    if isinstance(thing, Mapping):
        yield from thing.values()
    elif isinstance(thing, _COLLECTIONS):
        yield from thing
    elif isinstance(thing, functools.partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
    elif is_function(thing):
        yield from held_by(thing)
        yield from (named for value in named_by(thing) for named in flat(value) if is_agent(named))
    elif isinstance(thing, (*_CONTAINERS, FunctionTool)) or type(thing).__module__.startswith("agent_framework"):
        yield from _held(thing)
    else:  # an object of the application: only what it holds itself
        yield from (held for value in _held(thing) for held in flat(value) if is_agent(held))


def is_agent(thing: Any) -> bool:
    """Whether a thing is an agent of the framework; a workflow as an agent is its members, not itself."""
    if isinstance(thing, WorkflowAgent | FunctionalWorkflowAgent | type):
        return False
    return isinstance(thing, BaseAgent) or all(callable(getattr(type(thing), name, None)) for name in _PROTOCOL)


def _held(thing: Any) -> list[Any]:
    return list(vars(thing).values()) if hasattr(thing, "__dict__") else []


def flat(value: Any) -> Iterable[Any]:
    """A value, or the values in it when it is a collection."""
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, _COLLECTIONS) else (value,)


def _once(agents: Iterable[Agent]) -> list[Agent]:
    return list({id(agent): agent for agent in agents}.values())
