"""Each run of an agent begins with a look at whether it is, or is a copy of one, under a guard.

Builders copy agents: `HandoffBuilder` makes a new agent with the same id around the same client. A copy that was made
before the original was protected has the bare client, and so has an agent whose `client` was replaced. `RawAgent.run`,
through which every run passes, is patched once per process; it touches nothing but agents whose id a guard knows, and
those that work inside a tool call of one.
"""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from agent_framework import RawAgent

from act.integrations.agent_framework.calls import calling_now
from act.integrations.agent_framework.client import guard_of, is_of
from act.integrations.core import UnprotectedAgent

if TYPE_CHECKING:
    from act.integrations.agent_framework.guard import ActGuard

_PATCHED = "_act_patched"
_GUARD = "_act_guard"
_MOST = 100_000
_guards: WeakValueDictionary[str, ActGuard] = WeakValueDictionary()
_left: dict[str, None] = {}
"""The ids of agents whose guard is gone: of these only copies can be left, and they are under no guard any more."""


def known_as(agent_id: str) -> ActGuard | None:
    """The guard that an agent of this id is under, itself or as the original of a copy."""
    return _guards.get(agent_id)


def watch(agent: Any, guard: ActGuard) -> None:
    """Have every agent of this id put under the guard when it runs. The guard lives as long as the agent does."""
    setattr(agent, _GUARD, guard)
    if _guards.get(agent.id) is not guard:
        _guards[agent.id] = guard
        _left.pop(agent.id, None)
        if guard.mode == "enforce":
            weakref.finalize(guard, _leave, agent.id).atexit = False
    _patch()


def _leave(agent_id: str) -> None:
    if agent_id not in _guards:
        _left[agent_id] = None
    if len(_left) > _MOST:
        _left.pop(next(iter(_left)), None)


def _patch() -> None:
    if getattr(RawAgent, _PATCHED, False):
        return
    run = RawAgent.run

    @functools.wraps(run)
    def guarded_run(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_of(self):
            if (guard := known_as(self.id)) is not None:
                guard.adopt(self)
            elif self.id in _left:
                raise UnprotectedAgent(
                    f"agent {self.name or self.id!r} is a copy of one that was under an ActGuard which is gone; "
                    "keep the guard, or give guard.protect the copy, or the workflow that it is in"
                )
            elif (guard := guard_of(self.client)) is not None:
                guard.check_borrowed(self)
            elif (caller := calling_now()) is not None:
                caller.guard.check_inner(self, caller.name)
        return run(self, *args, **kwargs)

    RawAgent.run = guarded_run
    setattr(RawAgent, _PATCHED, True)
