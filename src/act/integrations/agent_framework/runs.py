"""Each run of an agent begins with a look at whether it is, or is a copy of one, under a guard.

Builders copy agents: `HandoffBuilder` makes a new agent with the same id around the same client. A copy that was made
before the original was protected has the bare client, and so has an agent whose `client` was replaced. `RawAgent.run`,
through which every run passes, is patched once per process; it touches nothing but agents whose id a guard knows.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from agent_framework import RawAgent

from act.integrations.agent_framework.client import guard_of, is_of

if TYPE_CHECKING:
    from act.integrations.agent_framework.guard import ActGuard

_PATCHED = "_act_patched"
_guards: WeakValueDictionary[str, ActGuard] = WeakValueDictionary()


def known_as(agent_id: str) -> ActGuard | None:
    """The guard that an agent of this id is under, itself or as the original of a copy."""
    return _guards.get(agent_id)


def watch(agent_id: str, guard: ActGuard) -> None:
    """Have every agent of this id put under the guard when it runs."""
    _guards[agent_id] = guard
    _patch()


def _patch() -> None:
    if getattr(RawAgent, _PATCHED, False):
        return
    run = RawAgent.run

    @functools.wraps(run)
    def guarded_run(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_of(self):
            if (guard := known_as(self.id)) is not None:
                guard.adopt(self)
            elif (guard := guard_of(self.client)) is not None:
                guard.check_borrowed(self)
        return run(self, *args, **kwargs)

    RawAgent.run = guarded_run
    setattr(RawAgent, _PATCHED, True)
