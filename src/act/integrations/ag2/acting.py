"""Which agent's tool call is running now, in this task or thread: how agents are recognised that work inside it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from act.integrations.context import during
from act.models import ReasonCode

if TYPE_CHECKING:
    from act.integrations.ag2.guard import ActGuard

Agent = Any


@dataclass(frozen=True)
class Acting:
    """A tool call that was allowed, while it runs.

    `adopts`: the tool is AG2's own and makes agents of its own (`run_subtask`, `dynamic_agent`), which have no other
    rights than `agent` has.
    """

    guard: ActGuard
    agent: Agent
    adopts: bool


@dataclass(frozen=True)
class Turn:
    """One turn of a protected agent, with the names of the tools that it was denied, and why."""

    agent: Agent
    denied: dict[str, ReasonCode] = field(default_factory=dict)


_acting: ContextVar[Acting | None] = ContextVar("act_ag2_acting", default=None)
_turn: ContextVar[Turn | None] = ContextVar("act_ag2_turn", default=None)


def acting_now() -> Acting | None:
    """The innermost tool call of a protected agent in which this code runs."""
    return _acting.get()


def acting(guard: ActGuard, agent: Agent, *, adopts: bool) -> AbstractContextManager[None]:
    """The time in which a tool of `agent` runs."""
    return during(_acting, Acting(guard, agent, adopts))


def begin_turn(agent: Agent) -> Turn:
    """Called in the task that asked `agent`, which is the one that sends its answer on: it stays there for that."""
    turn = Turn(agent)
    _turn.set(turn)
    return turn


def last_turn() -> Turn | None:
    """The turn that this task made last."""
    return _turn.get()
