"""Which agents there are: in a team, behind a tool, inside another agent.

An agent that was forgotten is a hole that nobody sees. What can be found from Python objects is found; code that makes
an agent when it runs is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from autogen_agentchat.agents import (
    AssistantAgent,
    BaseChatAgent,
    CodeExecutorAgent,
    MessageFilterAgent,
    SocietyOfMindAgent,
    UserProxyAgent,
)
from autogen_agentchat.base import ChatAgent, Team
from autogen_agentchat.teams import BaseGroupChat
from autogen_core import SingleThreadedAgentRuntime
from autogen_core.tool_agent import ToolAgent
from autogen_core.tools import BaseTool, StaticWorkbench

from act.integrations.arguments import Read, read
from act.integrations.behind import agents_behind as reached

SUPPORTED: Final = (
    "ActGuard.protect takes agents (AssistantAgent, CodeExecutorAgent, and SocietyOfMindAgent, MessageFilterAgent and "
    "UserProxyAgent), teams (RoundRobinGroupChat, SelectorGroupChat, Swarm, GraphFlow, MagenticOneGroupChat and other "
    "BaseGroupChat), and of autogen-core ToolAgent and SingleThreadedAgentRuntime, with their subclasses, not {}"
)

_ACTING = (AssistantAgent, CodeExecutorAgent)


def parts_of(target: Any) -> Iterator[Any]:
    """What has to be put under the guard for `target`: agents that act, teams, and parts of the core.

    An agent of a class that is not known is among them too. Raises `TypeError` for what is none of them.
    """
    if isinstance(target, BaseGroupChat):
        yield target
        for member in target._participants:
            yield from parts_of(member) if _known(member) else (member,)
    elif isinstance(target, MessageFilterAgent):
        inner = target._wrapped_agent
        yield from parts_of(inner) if _known(inner) else (inner,)
    elif isinstance(target, SocietyOfMindAgent):
        yield from parts_of(target._team) if _known(target._team) else (target._team,)
    elif isinstance(target, (*_ACTING, ToolAgent, SingleThreadedAgentRuntime)):
        yield target
    elif not isinstance(target, UserProxyAgent):
        raise TypeError(SUPPORTED.format(target.__name__ if isinstance(target, type) else type(target).__name__))


def acting_in(target: Any) -> list[Any]:
    """The agents of a team, or the one inside an agent, that can act."""
    return [part for part in parts_of(target) if not isinstance(part, BaseGroupChat)] if _known(target) else [target]


def tools_in(agent: Any) -> list[Any]:
    """The tools of an agent that are Python objects."""
    if isinstance(agent, ToolAgent):
        return list(agent.tools)
    benches = agent._workbench if isinstance(agent, AssistantAgent) else ()
    return [tool for bench in benches for tool in getattr(bench, "_tools", ())]


def can_act(agent: Any) -> bool:
    """Whether an agent can itself do more than speak: call tools or execute code."""
    benches = agent._workbench if isinstance(agent, AssistantAgent) else [agent]
    return any(not isinstance(bench, StaticWorkbench) or bench._tools for bench in benches)


def tool_of(workbench: Any, name: str) -> Any:
    """The tool that a workbench knows by this name, if it is a Python object."""
    if not isinstance(workbench, StaticWorkbench):
        return None
    original = workbench._override_name_to_original.get(name, name)
    return next((tool for tool in workbench._tools if tool.name == original), None)


def function_of(tool: Any) -> Any:
    """The function behind a tool, on which its mark stands."""
    return getattr(tool, "_func", None)


def arguments_of(tool: Any, arguments: Any) -> Read:
    """The arguments of a call as the tool reads them, if it is a Python object."""
    if not isinstance(tool, BaseTool):
        return Read(arguments)
    # Its own `args_type()` may name another type than the one by which it reads.
    return read(getattr(tool, "_args_type", None) or tool.args_type(), arguments)


def agents_behind(tool: Any) -> list[Any]:
    """The agents and teams that a tool can set to work: `AgentTool`, `TeamTool`, what it holds and knows."""
    found: dict[int, Any] = {}
    for known in (function_of(tool), getattr(tool, "run", None)):
        for inner in reached(known, _is_agent):
            found |= {id(agent): agent for agent in acting_in(inner)}
    return list(found.values())


def _known(thing: Any) -> bool:
    kinds = (*_ACTING, BaseGroupChat, MessageFilterAgent, SocietyOfMindAgent, UserProxyAgent)
    return isinstance(thing, (*kinds, ToolAgent, SingleThreadedAgentRuntime))


def _is_agent(thing: Any) -> bool:
    return not isinstance(thing, type) and isinstance(thing, (BaseChatAgent, ChatAgent, Team))
