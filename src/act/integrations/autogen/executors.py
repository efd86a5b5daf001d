"""The executors that AutoGen makes by itself, in which the overrides of a protected agent are never reached.

`run()` makes a hidden user agent that runs the agent's tools; pattern chats copy all tools into a `GroupToolExecutor`;
a remote (A2A) service makes one per request. Each of them is adopted: guarded like an agent without a token, so that
the token of the agent that asked decides. The two classes are patched once per process, and the patches touch nothing
but executors that take tools from a protected agent.

A tool may make agents when it runs. Those that could act are refused when they reply inside of a call of a protected
agent; for that the class of all agents is patched in the same way.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from autogen import ConversableAgent

from act.integrations.context import during
from act.integrations.mapping import MappingFault, ToolSpec, agent_resource, spec_of

if TYPE_CHECKING:
    from act.integrations.autogen.guard import ActGuard

Agent = Any

GUARD = "_act_guard"
_PATCHED = "_act_patched"
_WATCHED = "_act_watched"

_calling: ContextVar[ActGuard | None] = ContextVar("act_autogen_calling", default=None)


def calling(guard: ActGuard) -> AbstractContextManager[None]:
    """The time in which a tool of an agent under this guard runs."""
    return during(_calling, guard)


def watch_agents() -> None:
    """Have every agent that replies inside of a tool call checked. Idempotent."""
    if getattr(ConversableAgent, _WATCHED, False):
        return
    reply, a_reply = ConversableAgent.generate_reply, ConversableAgent.a_generate_reply

    def check(agent: Agent) -> None:
        guard = _calling.get()
        if guard is not None:
            guard.check_inside_call(agent)

    @functools.wraps(reply)
    def generate_reply(self: Agent, *args: Any, **kwargs: Any) -> Any:
        check(self)
        return reply(self, *args, **kwargs)

    @functools.wraps(a_reply)
    async def a_generate_reply(self: Agent, *args: Any, **kwargs: Any) -> Any:
        check(self)
        return await a_reply(self, *args, **kwargs)

    ConversableAgent.generate_reply, ConversableAgent.a_generate_reply = generate_reply, a_generate_reply
    setattr(ConversableAgent, _WATCHED, True)


def guard_of(agent: Agent) -> ActGuard | None:
    """The guard that an agent is under."""
    found: ActGuard | None = getattr(agent, GUARD, None)
    return found


def guard_run_executor(agent: Agent, guard: ActGuard) -> None:
    """Adopt the hidden executor of `agent.run()` whenever it is used."""
    create = getattr(agent, "_create_or_get_executor", None)
    if create is None:  # AutoGen 0.2 has no run()
        return

    @contextmanager
    def create_or_get_executor(*args: Any, **kwargs: Any) -> Iterator[Agent]:
        with create(*args, **kwargs) as executor:
            guard.adopt(executor)
            yield executor

    agent._create_or_get_executor = create_or_get_executor


def patch_shared_executors() -> None:
    """Make AutoGen's tool executors ask for adoption. Idempotent; without these classes there is nothing to do."""
    try:
        from autogen.agentchat.group.group_tool_executor import GroupToolExecutor
    except ImportError:  # AutoGen 0.2
        return
    _patch_group(GroupToolExecutor)
    try:
        from autogen.agentchat.remote.agent_service import AgentService
    except ImportError:
        return
    _patch_remote(AgentService)


def _patch_group(executor_class: Any) -> None:
    if getattr(executor_class, _PATCHED, False):
        return
    register = executor_class.register_agents_functions

    def register_agents_functions(self: Agent, agents: list[Agent], *args: Any, **kwargs: Any) -> Any:
        guards = {id(guard): guard for guard in map(guard_of, agents) if guard is not None}
        if len(guards) > 1:
            raise ValueError("the agents of one group are under different ActGuards; protect them with one")
        for guard in guards.values():
            guard.check_members(agents)
            guard.adopt(self, specs=_specs(agents))
        return register(self, agents, *args, **kwargs)

    executor_class.register_agents_functions = register_agents_functions
    setattr(executor_class, _PATCHED, True)


def _patch_remote(service_class: Any) -> None:
    make = getattr(service_class, "_make_tool_executor", None)
    if make is None or getattr(service_class, _PATCHED, False):
        return

    def make_tool_executor(self: Any, *args: Any, **kwargs: Any) -> Agent:
        executor = make(self, *args, **kwargs)
        guard = guard_of(self.agent)
        if guard is not None:
            # The service hands over what the agent's own model answered, outside of any chat.
            guard.adopt(executor, specs=_specs([self.agent]), asker=self.agent)
        return executor

    service_class._make_tool_executor = make_tool_executor
    setattr(service_class, _PATCHED, True)


def _specs(agents: list[Agent]) -> dict[str, ToolSpec]:
    """What each tool stands for, in the order in which the executor takes them over; handoffs among them.

    Read before AutoGen rewraps tools for context variables, which loses the marks of `act_tool`.
    """
    specs: dict[str, ToolSpec] = {}
    for agent in agents:
        handoffs = getattr(getattr(agent, "handoffs", None), "llm_conditions", [])
        targets = {condition.llm_function_name: condition.target for condition in handoffs}
        found = {name: spec_of(function) for name, function in agent._function_map.items()}
        found |= {tool.name: spec_of(tool.func) for tool in agent.tools}
        found |= {name: _handoff(targets[name]) for name in found.keys() & targets.keys()}
        for name, spec in found.items():
            if spec is None:
                specs.pop(name, None)
            else:
                specs[name] = spec
    return specs


def _handoff(target: Any) -> ToolSpec | None:
    try:
        name = getattr(target, "agent_name", None) or target.display_name()
        resource = agent_resource(name)
    except MappingFault:
        return None
    # Braces would make a template of it; they cannot be left after percent-encoding.
    return ToolSpec("handoff", resource, labels=())  # to hand over is to read nothing
