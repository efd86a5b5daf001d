"""Which agents can act for a protected one: found in its tools, and refused when they are not under the guard.

They are looked for when an agent is given to the guard and again before each turn, because tools can be added later.
What cannot be seen in a tool (an agent behind a global name) is met when it runs, by `executor.watch_others`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ag2.network import AgentClient, Hub, HubClient
from ag2.plugin import PluginTarget

from act.integrations.ag2.kinds import function_of, held_by, leaves

Agent = Any

_REMOTE = ("ag2.a2a.", "ag2.acp.", "ag2.extensions.nlip.")
SUPPORTED = "ag2.Agent, ag2.live.LiveAgent, and of ag2.network Hub, HubClient and AgentClient"


def given(targets: Iterable[Any]) -> tuple[list[Agent], list[Hub]]:
    """The agents and the hubs that `protect` was given. Raises `TypeError` for anything else."""
    agents: list[Agent] = []
    hubs: list[Any] = []
    for target in targets:
        if isinstance(target, PluginTarget):
            agents.append(target)
        elif isinstance(target, AgentClient):
            agents.append(target.agent)
            hubs += _hub_of(target._hub_client)
        elif isinstance(target, HubClient):
            hubs += _hub_of(target)
        elif isinstance(target, Hub):
            hubs.append(target)
        else:
            kind = type(target)
            hint = "; give them one by one" if isinstance(target, list | tuple | set) else ""
            raise TypeError(f"ActGuard.protect takes {SUPPORTED}; not {kind.__module__}.{kind.__qualname__}{hint}")
    return list({id(agent): agent for agent in agents}.values()), list({id(hub): hub for hub in hubs}.values())


def tools_of(agent: Agent) -> list[Any]:
    """The tools that an agent has now: its own, and those that AG2 gave it."""
    return [*agent.tools, *getattr(agent, "_additional_tools", ())]


def can_act(agent: Agent) -> bool:
    """Whether an agent can itself do more than speak."""
    return next(leaves(tools_of(agent)), None) is not None or is_elsewhere(getattr(agent, "config", None))


def is_elsewhere(config: Any) -> bool:
    """Whether a model is in truth another agent, which has tools of its own in another process."""
    return any(_is_remote(one) for one in (config, *getattr(config, "__dict__", {}).values()))


def _is_remote(config: Any) -> bool:
    return any(kind.__module__.startswith(_REMOTE) for kind in type(config).__mro__)


def inner_agents(agent: Agent, tools: Iterable[Any]) -> Iterator[Agent]:
    """The agents inside tools: behind `as_tool()`, and those that the tool's function holds."""
    for tool in leaves(tools):
        for inner in (getattr(tool, "agent", None), *held_by(function_of(tool))):
            if isinstance(inner, PluginTarget) and inner is not agent:
                yield inner


def _hub_of(client: Any) -> list[Any]:
    return [] if client._hub is None else [client._hub]
