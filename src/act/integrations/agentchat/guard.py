"""`ActGuard`: what the user of AutoGen 0.7 touches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakValueDictionary

from autogen_agentchat.agents import AssistantAgent, CodeExecutorAgent
from autogen_agentchat.teams import BaseGroupChat
from autogen_core import SingleThreadedAgentRuntime
from autogen_core.tool_agent import ToolAgent

from act.integrations.agentchat.agents import post_of, put_under, watch_agents
from act.integrations.agentchat.messages import Screen
from act.integrations.agentchat.parts import agents_behind, can_act, parts_of, tools_in
from act.integrations.agentchat.post import Post
from act.integrations.agentchat.teams import put_team_under
from act.integrations.agentchat.tool_agents import guard_of, put_runtime_under, put_tool_agent_under
from act.integrations.base import GuardBase

Agent = Any

_ACTING = (AssistantAgent, CodeExecutorAgent)
_CORE = (ToolAgent, SingleThreadedAgentRuntime)


class ActGuard(GuardBase):
    """Puts ACT before every tool call, code execution and handoff of AutoGen 0.7 agents.

    The options are those of `GuardBase`.
    """

    framework = "autogen-agentchat"

    def _start(self) -> None:
        self.screen = Screen(self)
        self._agents: WeakValueDictionary[str, Agent] = WeakValueDictionary()

    def protect(self, *targets: Any) -> ActGuard:
        """Put agents, all members of teams, tool agents and runtimes under this guard. Idempotent.

        Raises `UnprotectedAgent` when one of them can set an agent to work that is not under the guard, or a member of
        a team is of a class that no guard can stand in front of; `ValueError` when two agents have one name or an
        agent is under another guard; `TypeError` for anything else. Nothing is changed when it raises.
        """
        parts = [part for target in targets for part in parts_of(target)]
        agents = [part for part in parts if isinstance(part, _ACTING)]
        for part in parts:
            if not isinstance(part, (*_ACTING, *_CORE, BaseGroupChat)):
                self.unprotected(
                    f"{_called(part)} is a {type(part).__name__}, which no guard can stand in front of", stacklevel=3
                )
        self._check_names(agents)
        for part in parts:
            self._check_owner(part)
            if isinstance(part, (*_ACTING, ToolAgent)):
                for tool in tools_in(part):
                    self._check_behind(f"of {_called(part)}", tool, agents)
        for part in parts:
            self._adopt(part)
        self.meet(name for part in parts if (name := _name_of(part)) is not None)
        watch_agents()
        return self

    # --- what runs ask ------------------------------------------------------------------------------------------------

    def check_tool(self, name: str, tool: Any) -> None:
        """Refuse a tool of the agent `name` behind which are agents that the guard does not know.

        Raises `UnprotectedAgent`.
        """
        if tool is not None:
            self._check_behind(f"of agent {name!r}", tool, ())

    def check_inside_call(self, agent: Agent) -> None:
        """Refuse an agent that could act and takes a turn inside of a tool call, and is under no guard.

        Raises `UnprotectedAgent`.
        """
        if post_of(agent) is None and can_act(agent):
            self.unprotected(
                f"{_called(agent)} inside of a tool call is not under this ActGuard and could act unseen; give it to "
                "guard.protect too"
            )

    def only_executes(self, name: str) -> bool:
        """Whether what the agent `name` says is nothing but what code has printed."""
        agent = self._agents.get(name)
        return isinstance(agent, CodeExecutorAgent) and agent._model_client is None

    # --- checks -------------------------------------------------------------------------------------------------------

    def _adopt(self, part: Any) -> None:
        if isinstance(part, _ACTING):
            if post_of(part) is None:
                self._agents[part.name] = part
                put_under(part, Post(self, part.name))
        elif isinstance(part, BaseGroupChat):
            put_team_under(part)
        elif isinstance(part, ToolAgent):
            put_tool_agent_under(part, self)
        elif isinstance(part, SingleThreadedAgentRuntime):
            put_runtime_under(part, self)

    def _check_names(self, agents: list[Agent]) -> None:
        known = dict(self._agents)
        for agent in agents:
            if known.setdefault(agent.name, agent) is not agent:
                raise ValueError(f"two agents are called {agent.name!r}; a token belongs to one of them")

    def _check_owner(self, part: Any) -> None:
        post = post_of(part) if isinstance(part, _ACTING) else None
        under = post.guard if post is not None else guard_of(part) if isinstance(part, _CORE) else None
        if under is not None and under is not self:
            raise ValueError(f"{_called(part)} is under another ActGuard")

    def _check_behind(self, where: str, tool: Any, also: Iterable[Agent]) -> None:
        for inner in agents_behind(tool):
            post = post_of(inner) if isinstance(inner, _ACTING) else None
            if any(inner is one for one in also) or (post is not None and post.guard is self):
                continue
            self.unprotected(
                f"{_called(inner)} behind the tool {getattr(tool, 'name', tool)!r} {where} is not under this ActGuard "
                "and could act unseen; give it to guard.protect too",
                stacklevel=4,
            )


def _name_of(part: Any) -> str | None:
    """What tokens are given to: the name of an agent, or the type of a tool agent that a runtime has made."""
    if isinstance(part, _ACTING):
        return str(part.name)
    made = getattr(part, "id", None) if isinstance(part, ToolAgent) else None
    return None if made is None else str(made.type)


def _called(part: Any) -> str:
    return f"agent {part.name!r}" if isinstance(getattr(part, "name", None), str) else f"a {type(part).__name__}"
