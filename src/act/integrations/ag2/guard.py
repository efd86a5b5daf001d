"""`ActGuard`: what the user of AG2 1.x touches."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from ag2.tools.executor import ToolExecutor
from ag2.utils import MODEL_CONFIG_CONTEXT_DEPENDENCY_KEY

from act.client.guard import Guard
from act.integrations.ag2 import network
from act.integrations.ag2.executor import GuardedExecutor, watch_others
from act.integrations.ag2.kinds import leaves, why_not
from act.integrations.ag2.team import can_act, given, inner_agents, is_elsewhere, tools_of
from act.integrations.base import GuardBase
from act.integrations.core import ActClient, Enforcer, Party

Agent = Any


class ActGuard(GuardBase):
    """Puts ACT before everything that AG2 agents do: tools, code, subtasks, handoffs, and messages at a hub.

    The options are those of `GuardBase`, and:

    Args:
        approver: an `act.Act` with the API key of a person who may approve. A pending approval is then put to the
            person behind the agent's `hitl_hook` first, and what they say is given to ACT with that key.
    """

    framework = "ag2"

    def __init__(
        self, act: ActClient, tokens: Mapping[str, str | Guard | None], *, approver: Any = None, **options: Any
    ) -> None:
        options["conversation_id"] = options.get("conversation_id") or f"{self.framework}-{uuid.uuid4()}"
        super().__init__(act, tokens, **options)
        self.approver = approver
        self.approval_timeout: float = options.get("approval_timeout", 900.0)
        # Asks once and waits for nobody: with an approver a pending answer goes to the person at the agent first.
        once = Enforcer(
            act,
            framework=self.framework,
            conversation_id=options["conversation_id"],
            mode=self.mode,
            seen=self._seen,
        )
        self.first = self.enforcer if approver is None else once

    def _start(self) -> None:
        self._members: WeakKeyDictionary[Agent, str] = WeakKeyDictionary()

    def protect(self, *targets: Any) -> ActGuard:
        """Put agents and hubs under this guard. Idempotent. Turns that are running already go on as they began.

        Raises `UnprotectedAgent` when an agent has a tool in which another agent works that is not under the guard, or
        a tool that is run by the model's provider; `ValueError` when two agents have one name, or an agent or a hub is
        under another guard; `TypeError` for what is neither. Nothing is changed when it raises.
        """
        agents, hubs = given(targets)
        self._check_names(agents)
        for agent in agents:
            self.check_tools(agent, tools_of(agent), also=agents)
            self.check_model(agent, getattr(agent, "config", None))
        for hub in hubs:
            network.check_hub(hub, self)
        for agent in agents:
            if agent not in self._members:
                self._members[agent] = agent.name
                agent._tool_executor = GuardedExecutor(agent._tool_executor, agent, self)
        for hub in hubs:
            network.guard_hub(hub, self)
        watch_others()
        self.meet(self._members[agent] for agent in agents)
        return self

    # --- what the gates ask -------------------------------------------------------------------------------------------

    def party(self, agent: Agent) -> Party:
        """An agent with its token, which only an agent object under this guard can have."""
        name = self._members.get(agent)
        return Party(str(agent.name)) if name is None else self.party_named(name)

    def check_turn(self, agent: Agent, tools: list[Any], context: Any) -> None:
        """What may have changed since `protect`: the tools, the agents inside them, and the hub that the turn is at."""
        self.check_tools(agent, tools)
        self.check_model(agent, context.dependencies.get(MODEL_CONFIG_CONTEXT_DEPENDENCY_KEY))
        network.check_turn(agent, tools, context, self)

    def check_tools(self, agent: Agent, tools: Iterable[Any], *, also: Iterable[Agent] = ()) -> None:
        """Refuse tools that no gate can stand before, and tools in which an agent works that is not under the guard."""
        held = list(tools)
        where = f"inside {self.party(agent).name!r}"
        for tool in leaves(held):
            reason = why_not(tool)
            if reason is not None:
                self.unprotected(f"tool {tool.name!r} {where} {reason}, where no guard can stop it; take it away")
        for inner in inner_agents(agent, held):
            if inner not in self._members and can_act(inner) and all(inner is not other for other in also):
                self.refuse(inner.name, where)

    def check_model(self, agent: Agent, config: Any) -> None:
        """Refuse an agent that only stands for one in another process."""
        if is_elsewhere(config):
            self.unprotected(
                f"what {self.party(agent).name!r} does is done in another process ({type(config).__name__}): "
                "protect it there, and say allow_unprotected=True here",
                stacklevel=4,
            )

    def refuse(self, name: str, where: str) -> None:
        """Refuse an agent, or warn where that is allowed."""
        self.unprotected(
            f"agent {name!r} {where} is not under this ActGuard and could act unseen; give it to guard.protect too",
            stacklevel=4,
        )

    def _check_names(self, agents: list[Agent]) -> None:
        names: dict[str, Agent] = {name: agent for agent, name in self._members.items()}
        for agent in agents:
            executor = agent._tool_executor
            if isinstance(executor, GuardedExecutor):
                if executor.guard is not self:
                    raise ValueError(f"agent {agent.name!r} is under another ActGuard")
            elif not isinstance(executor, ToolExecutor):
                raise TypeError(f"agent {agent.name!r} runs its tools in a way that this version does not know")
            if names.setdefault(self._members.get(agent, agent.name), agent) is not agent:
                raise ValueError(f"two agents are called {agent.name!r}; a token belongs to one of them")
