"""`ActGuard`: what the user of the Microsoft Agent Framework touches."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Literal

from agent_framework import FunctionTool, RawAgent, normalize_tools

from act.client.guard import Guard
from act.integrations.agent_framework.client import GuardedClient, bare, guard_of, is_of, runs_tools, runs_tools_inside
from act.integrations.agent_framework.failures import RunUnprotected
from act.integrations.agent_framework.messages import Screen
from act.integrations.agent_framework.pending import approval_of
from act.integrations.agent_framework.runs import known_as, watch
from act.integrations.agent_framework.team import agents_behind, agents_inside, given_agents, tools_behind
from act.integrations.base import GuardBase
from act.integrations.core import ActClient, OnPending, UnprotectedAgent, in_own_thread

Agent = Any

_POLL_SECONDS = 30
_POLL_PAUSE = 0.5
_REQUESTS = 3
"""So often an approval is requested again for answers that nobody has waited for."""
_MOST = 10_000


class ActGuard(GuardBase):
    """Puts ACT before every tool call and handoff of Agent Framework agents.

    The options are those of `GuardBase`, and `on_pending="request"`: a call that a person has to approve ends the run
    with a request of the framework's own, see `answer`.
    """

    framework = "agent-framework"

    def __init__(
        self,
        act: ActClient,
        tokens: Mapping[str, str | Guard | None],
        *,
        on_pending: OnPending | Literal["request"] = "deny",
        approval_timeout: float = 900.0,
        **options: Any,
    ) -> None:
        self._requesting = on_pending == "request"
        self._requested: dict[str, int] = {}
        meeting: OnPending = "deny" if on_pending == "request" else on_pending
        super().__init__(act, tokens, on_pending=meeting, approval_timeout=approval_timeout, **options)
        self._act = act
        self._timeout = approval_timeout
        self._names: dict[str, str] = {}  # agent id to name
        self.screen = Screen(self)

    def protect(self, *targets: Any) -> ActGuard:
        """Put agents, and all members of workflows, under this guard. Idempotent.

        Raises `UnprotectedAgent` when one of them has a tool that the guard could not see being used (hosted by the
        model's provider), or can set an agent to work that is not under the guard; `ValueError` when two agents have
        one name or an agent is under another guard; `TypeError` for what is neither an agent nor a workflow, and for a
        chat client that does not run tools in the framework's own loop. Nothing is changed when it raises.
        """
        agents, foreign = given_agents(targets)
        for agent in foreign:
            self.unprotected(f"{_called(agent)} is a {type(agent).__name__}, which no guard can stand in front of")
        self._check_names(agents)
        for agent in agents:
            if not runs_tools(agent.client):
                raise TypeError(_no_loop(agent))
            self._check_client(agent)
            self._check_tools(
                name_of(agent), normalize_tools(agent.default_options.get("tools")), UnprotectedAgent, agents
            )
            for inner in agents_inside(agent):
                self._check_agent(inner, f"inside {_called(agent)}", UnprotectedAgent, agents)
        for agent in agents:
            self.adopt(agent)
        self.meet(map(name_of, agents))
        return self

    async def answer(self, request: Any, *, timeout: float | None = None) -> Any:
        """The answer to a request of `on_pending="request"`, when its approval is settled or after `timeout` seconds.

        The answer only makes the framework ask ACT again: what is approved then runs, a rejection is read by the model
        with its reason, and what is still pending is requested again. Give it to the same session, or as the response
        to the workflow's request. Raises `ValueError` for a request that is not of ACT: that is for a person to answer.
        """
        approval_id = approval_of(request)
        if approval_id is None:
            raise ValueError("this is not a request for an approval of ACT")
        self._requested.pop(approval_id, None)
        stop = threading.Event()
        try:
            await in_own_thread(
                partial(self._settled, approval_id, self._timeout if timeout is None else timeout, stop)
            )
        finally:
            stop.set()
        return request.to_function_approval_response(True)

    # --- what the client and the gate ask ---------------------------------------------------------------------------

    def adopt(self, agent: Agent) -> None:
        """Put one agent under the guard, or a copy of one that is."""
        if not is_of(agent):
            if not runs_tools(agent.client):
                self._refuse(_no_loop(agent), UnprotectedAgent)
            self._check_client(agent)
            name = self._names.setdefault(agent.id, name_of(agent))
            agent.client = GuardedClient(bare(agent.client), self, name, agent.id)
        watch(agent, self)

    def check_borrowed(self, agent: Agent) -> None:
        """Refuse an agent that has the client of one under this guard, and is not under it itself."""
        self._refuse(
            f"{_called(agent)} has the chat client of a protected agent, whose rights it would use; "
            "give it a client of its own, or to guard.protect too",
            UnprotectedAgent,
        )

    def may_request(self, approval_id: str, *, again: bool) -> bool:
        """Whether a pending approval becomes a request of the framework's own, and not a denial that the model reads.

        It does not for ever: what answers by a rule, as `ToolApprovalMiddleware` does, would go round and round.
        """
        if not self._requesting:
            return False
        if len(self._requested) > _MOST:
            self._requested.clear()
        self._requested[approval_id] = self._requested.get(approval_id, 0) + 1 if again else 0
        return self._requested[approval_id] <= _REQUESTS

    def check_inner(self, agent: Agent, name: str) -> None:
        """Refuse an agent that is under no guard and works inside a tool call of the agent `name`. The run ends."""
        self._check_agent(agent, f"inside a tool of {name!r}", RunUnprotected)

    def check_tools(self, name: str, tools: Iterable[Any], *, running: bool = False) -> None:
        """Refuse tools of the agent `name` that the guard could not see being used, or behind which are agents that it
        does not know. While an agent is `running`, the refusal ends the run.
        """
        self._check_tools(name, tools, RunUnprotected if running else UnprotectedAgent)

    def knows(self, name: str) -> bool:
        """Whether an agent of this name, or without a name and of this id, is under the guard."""
        return name in self._names.values()

    def check_handoff(self, name: str, target: str) -> None:
        """Refuse a handoff to an agent that is not under the guard."""
        if not self.knows(target):
            self._refuse(f"agent {target!r}, to which {name!r} hands over, is not under this ActGuard", RunUnprotected)

    # --- checks -------------------------------------------------------------------------------------------------------

    def _check_names(self, agents: list[Agent]) -> None:
        names = dict(self._names)
        ids = {name: agent_id for agent_id, name in names.items()}
        for agent in agents:
            name, under = name_of(agent), guard_of(agent.client) or known_as(agent.id)
            if under is not None and under is not self:
                raise ValueError(f"{_called(agent)} is under another ActGuard")
            if ids.setdefault(name, agent.id) != agent.id:
                raise ValueError(f"two agents are called {name!r}; a token belongs to one of them")
            if names.setdefault(agent.id, name) != name:
                raise ValueError(
                    f"agent {name!r} has the id of {names[agent.id]!r}, by which the guard tells agents apart"
                )

    def _check_client(self, agent: Agent) -> None:
        if hidden := runs_tools_inside(agent.client):
            self._refuse(
                f"the chat client of {_called(agent)} has a {type(hidden).__name__} inside, which would run tools "
                'where no guard sees it; set function_invocation_configuration["enabled"] = False there',
                UnprotectedAgent,
            )

    def _check_tools(
        self, name: str, tools: Iterable[Any], error: type[UnprotectedAgent], also: Iterable[Agent] = ()
    ) -> None:
        for tool in tools:
            if not isinstance(tool, FunctionTool):
                said = tool.get("type", "dict") if isinstance(tool, Mapping) else type(tool).__name__
                self._refuse(
                    f"agent {name!r} has the tool {said!r}, which the model's provider runs where no guard can see it",
                    error,
                )
            elif hidden := tools_behind(tool):
                names = ", ".join(sorted(repr(one.name) for one in hidden))
                self._refuse(
                    f"the tool {tool.name!r} of agent {name!r} calls tools where no guard sees it: {names}", error
                )
            for inner in agents_behind(tool):
                self._check_agent(inner, f"behind the tool {getattr(tool, 'name', tool)!r} of {name!r}", error, also)

    def _check_agent(self, agent: Agent, where: str, error: type[UnprotectedAgent], also: Iterable[Agent] = ()) -> None:
        if any(agent is one for one in also):
            return
        if isinstance(agent, RawAgent) and known_as(agent.id) is self:
            return
        self._refuse(
            f"{_called(agent)} {where} is not under this ActGuard and could act unseen; give it to guard.protect too",
            error,
        )

    def _refuse(self, said: str, error: type[UnprotectedAgent]) -> None:
        try:
            self.unprotected(said, stacklevel=4)
        except UnprotectedAgent:
            raise error(said) from None

    def _settled(self, approval_id: str, timeout: float, stop: threading.Event) -> None:
        deadline = time.monotonic() + timeout
        while not stop.is_set() and (left := deadline - time.monotonic()) > 0:
            asked_at = time.monotonic()
            if self._act.approvals.get(approval_id, wait=max(1, min(_POLL_SECONDS, int(left)))).status != "pending":
                return
            if time.monotonic() - asked_at < _POLL_PAUSE:  # a server that answers at once is not asked in a busy loop
                stop.wait(min(_POLL_PAUSE, left))


def name_of(agent: Agent) -> str:
    """What tokens are given to: the name of an agent, or its id when it has none."""
    return str(agent.name or agent.id)


def _no_loop(agent: Agent) -> str:
    return (
        f"the chat client of {_called(agent)} is a {type(agent.client).__name__}, and ActGuard takes those with a "
        "FunctionInvocationLayer: it cannot see what others do with tools"
    )


def _called(agent: Agent) -> str:
    return f"agent {getattr(agent, 'name', None) or getattr(agent, 'id', agent)!r}"
