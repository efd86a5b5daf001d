"""`ActGuard`: what the user of AutoGen classic touches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from autogen import GroupChatManager

from act.integrations.autogen import executors
from act.integrations.autogen.code import guard_code
from act.integrations.autogen.messages import guard_messages
from act.integrations.autogen.requester import Ledger, watch_replies
from act.integrations.autogen.team import built_in_tools, can_act, engine, given_agents, inner_agents
from act.integrations.autogen.tools import guard_tools
from act.integrations.base import GuardBase
from act.integrations.core import Party
from act.integrations.mapping import ToolSpec

Agent = Any


@dataclass(frozen=True)
class _Member:
    """What the guard knows about one agent under it. `plumbing`: made by AutoGen itself, no agent of its own."""

    name: str
    plumbing: bool = False
    specs: Mapping[str, ToolSpec] | None = None
    asker: Agent | None = None


class ActGuard(GuardBase):
    """Puts ACT before everything that AutoGen agents do: tools, code, handoffs, and messages.

    The options are those of `GuardBase`.
    """

    framework = "autogen"

    def _start(self) -> None:
        self._members: WeakKeyDictionary[Agent, _Member] = WeakKeyDictionary()

    def protect(self, *targets: Any) -> ActGuard:
        """Put agents, group chats (all members), managers and patterns under this guard. Idempotent.

        Raises `UnprotectedAgent` when one of them has nested chats with, or manages, an agent that is not under the
        guard; `ValueError` when two agents have one name or an agent is under another guard; `TypeError` for what is
        no AutoGen agent. Nothing is changed when it raises.
        """
        agents = given_agents(targets)
        self._check_names(agents)
        self._check_inner(agents, also=agents)
        for agent in agents:
            self._install(agent, _Member(agent.name))
        self.meet(agent.name for agent in agents)
        executors.patch_shared_executors()
        executors.watch_agents()
        return self

    def adopt(
        self, executor: Agent, *, specs: Mapping[str, ToolSpec] | None = None, asker: Agent | None = None
    ) -> None:
        """Put an executor that AutoGen made under the guard, without a token of its own."""
        self._install(executor, _Member(executor.name, plumbing=True, specs=specs, asker=asker))

    # --- what the overrides ask -------------------------------------------------------------------------------------

    def party(self, agent: Agent) -> Party:
        """An agent with its token, which only an agent object under this guard can have."""
        member = self._members.get(agent)
        if member is None or member.plumbing:
            return Party(member.name if member else str(agent.name))
        return self.party_named(member.name)

    def asker(self, author: Agent | None) -> Party | None:
        """`party`, or None for an author who is not known."""
        return None if author is None else self.party(author)

    def stand_in_asker(self, agent: Agent) -> Agent | None:
        """Who asks an executor that runs outside of any chat."""
        member = self._members.get(agent)
        return member.asker if member else None

    def is_plumbing(self, agent: Agent) -> bool:
        """Whether messages to this agent are AutoGen's own affair."""
        member = self._members.get(agent)
        return isinstance(agent, GroupChatManager) or (member is not None and member.plumbing)

    def spec_for(self, agent: Agent, tool: str) -> ToolSpec:
        """What a call of this tool by this agent stands for."""
        member = self._members.get(agent)
        return self.spec_named(tool, agent._function_map.get(tool), (member.specs or {}).get(tool) if member else None)

    def check_members(self, agents: Iterable[Agent]) -> None:
        """Refuse a group in which an agent that can act, or one inside a wrapper, is not under this guard."""
        for agent in agents:
            self._check_peer(agent, "in a group with protected agents")

    def check_inside_call(self, agent: Agent) -> None:
        """Refuse an agent that could act and replies inside of a tool call, and is under no guard."""
        if executors.guard_of(agent) is None and can_act(agent):
            self._refuse(agent, "inside of a tool call")

    # --- installing ---------------------------------------------------------------------------------------------------

    def _install(self, agent: Agent, member: _Member) -> None:
        under = executors.guard_of(agent)
        if under is not None and under is not self:
            raise ValueError(f"agent {agent.name!r} is under another ActGuard")
        if under is self:
            if member.plumbing and self._members[agent].plumbing:
                self._members[agent] = member
            return
        setattr(agent, executors.GUARD, self)
        self._members[agent] = member
        ledger = Ledger(agent)
        watch_replies(agent, ledger, self._before_reply)
        guard_messages(agent, self)
        guard_tools(agent, self)
        guard_code(agent, self)
        executors.guard_run_executor(agent, self)

    def _check_names(self, agents: list[Agent]) -> None:
        names: dict[str, Agent] = {member.name: agent for agent, member in self._members.items() if not member.plumbing}
        for agent in agents:
            if executors.guard_of(agent) not in (None, self):
                raise ValueError(f"agent {agent.name!r} is under another ActGuard")
            if names.setdefault(agent.name, agent) is not agent:
                raise ValueError(f"two agents are called {agent.name!r}; a token belongs to one of them")

    def _check_inner(self, agents: list[Agent], *, also: list[Agent]) -> None:
        for agent in agents:
            if tools := built_in_tools(agent):
                self.unprotected(
                    f"agent {agent.name!r} has tools that run inside of its model client or at its provider "
                    f"({', '.join(tools)}), where no guard can stand; take them out of built_in_tools"
                )
            if kind := engine(agent):
                self.unprotected(
                    f"agent {agent.name!r} is a {kind}, which runs tools, code or agents of its own making by itself, "
                    "where no guard can stand"
                )
            for inner in inner_agents(agent):
                if inner not in self._members and all(inner is not given for given in also):
                    self._refuse(inner, f"inside {agent.name!r}")

    def _before_reply(self, agent: Agent, sender: Agent | None) -> None:
        """What may have changed since `protect`: nested chats, tools, and whom the agent works with."""
        self._check_inner([agent], also=[])
        peers = sender.groupchat.agents if isinstance(sender, GroupChatManager) else [sender]
        for peer in peers:
            if peer is not None:
                self._check_peer(peer, f"working with {agent.name!r}")

    def _check_peer(self, peer: Agent, where: str) -> None:
        if peer in self._members:
            return
        exposed = peer if can_act(peer) else next((a for a in inner_agents(peer) if a not in self._members), None)
        if exposed is not None:
            self._refuse(exposed, where)

    def _refuse(self, agent: Agent, where: str) -> None:
        self.unprotected(
            f"agent {getattr(agent, 'name', agent)!r} {where} is not under this ActGuard and could act unseen; "
            "give it to guard.protect too"
        )
