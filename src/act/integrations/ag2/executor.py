"""The one place through which all tools of a turn come, and the agents that have no guard there.

Each turn registers its tools with the agent's `_tool_executor`: those of the agent, of its plugins and toolkits, those
given to `ask`, and those that AG2 adds. `GuardedExecutor` takes its place on a protected agent. `ToolExecutor.register`
itself is patched once per process, for agents that are not protected and run inside a tool call of one that is, or at
a hub that is; the patch touches nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ag2.tools.executor import ToolExecutor
from ag2.utils import AGENT_CONTEXT_DEPENDENCY_KEY, MODEL_CONFIG_CONTEXT_DEPENDENCY_KEY

from act.integrations.ag2.acting import Turn, acting_now, begin_turn
from act.integrations.ag2.gate import Gate
from act.integrations.ag2.kinds import leaves
from act.integrations.ag2.network import guard_of_hub
from act.integrations.ag2.team import is_elsewhere
from act.integrations.ag2.tools import gated

if TYPE_CHECKING:
    from act.integrations.ag2.guard import ActGuard

Agent = Any

_PATCHED = "_act_patched"
_admitted: ContextVar[bool] = ContextVar("act_ag2_admitted", default=False)


class GuardedExecutor:
    """Stands before an agent's tool executor, and puts a gate before every tool it is given."""

    def __init__(self, inner: Any, agent: Agent, guard: ActGuard) -> None:
        self._inner, self._agent, self.guard = inner, agent, guard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def register(
        self,
        stack: Any,
        context: Any,
        *,
        tools: Iterable[Any] = (),
        known_tools: Iterable[str] = (),
        middleware: Iterable[Any] = (),
    ) -> None:
        """Open a turn. Raises `UnprotectedAgent` when a tool or a peer in it could act unseen."""
        held = list(tools)
        self.guard.check_turn(self._agent, held, context)
        turn = begin_turn(self._agent)
        ready = _admitted.set(True)
        try:
            self._inner.register(
                stack,
                context,
                tools=[gate_all(self.guard, self._agent, turn, tool) for tool in held],
                known_tools=known_tools,
                middleware=middleware,
            )
        finally:
            _admitted.reset(ready)


def gate_all(guard: ActGuard, agent: Agent, turn: Turn, tool: Any) -> Any:
    """The tool with gates that ask for `agent`."""
    return gated(tool, lambda inner, outer: Gate(guard, agent, turn, inner, outer))


def watch_others() -> None:
    """Meet the agents that are not protected where a protected one works. Idempotent."""
    if getattr(ToolExecutor, _PATCHED, False):
        return
    original = ToolExecutor.register

    def register(self: Any, stack: Any, context: Any, *, tools: Iterable[Any] = (), **more: Any) -> None:
        held = list(tools)
        original(self, stack, context, tools=held if _admitted.get() else _met(held, context), **more)

    ToolExecutor.register = register  # type: ignore[method-assign]
    setattr(ToolExecutor, _PATCHED, True)


def _met(tools: list[Any], context: Any) -> list[Any]:
    """The tools that an agent without a guard may have here."""
    now, config = acting_now(), context.dependencies.get(MODEL_CONFIG_CONTEXT_DEPENDENCY_KEY)
    if now is not None and now.adopts:
        now.guard.check_tools(now.agent, tools)
        now.guard.check_model(now.agent, config)
        turn = Turn(now.agent)  # its denials say nothing about the calls of the agent that made it
        return [gate_all(now.guard, now.agent, turn, tool) for tool in tools]
    if next(leaves(tools), None) is None and not is_elsewhere(config):
        return tools  # it can only speak
    if now is not None:
        now.guard.refuse(_name_in(context), f"inside a tool of {now.guard.party(now.agent).name!r}")
    elif (guard := guard_of_hub(context)) is not None:
        guard.refuse(_name_in(context), "at a hub under this guard")
    return tools


def _name_in(context: Any) -> str:
    return str(getattr(context.dependencies.get(AGENT_CONTEXT_DEPENDENCY_KEY), "name", "without a name"))
