"""What a case gives to a driver: the script of a model, the tools, and the guard that stands between them.

A driver of a framework builds the smallest team that a user would write, puts it under `job.guard(ActGuard)`, and lets
it run to its end. It knows nothing of cases, and cases know nothing of frameworks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

END = "TERMINATE"
"""The last thing that a model says; a team ends when it hears it."""


@dataclass(frozen=True)
class Call:
    """One tool call of a model. `arguments` that are a text are what the model writes, word for word."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)


@dataclass(frozen=True)
class Turn:
    """What the model says once: these calls in one message, or the text. `before` happens before it says so."""

    calls: tuple[Call, ...] = ()
    text: str = ""
    before: Callable[[], object] | None = None


class Script:
    """A model: one turn each time it is asked, then `END` for ever. `results` is what it was shown last."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = list(turns)
        self.results: list[str] = []
        self.asked = 0

    @property
    def finished(self) -> bool:
        """Whether the model said everything and was asked once more after it."""
        return self.asked > len(self._turns)

    def answer(self, results: Sequence[str]) -> Turn:
        """The next turn. `results` are the texts of all tool results in what the model is shown now, oldest first."""
        self.results = list(results)
        self.asked += 1
        if self.asked > len(self._turns):
            return Turn(text=END)
        turn = self._turns[self.asked - 1]
        if turn.before is not None:
            turn.before()
        return turn


@dataclass
class Job:
    """One run of a team.

    With `two` the model of `asker` calls tools that `executor` alone can carry out, and only in the way in which the
    framework lets one agent work for another; otherwise `asker` has its tools itself (`executor` is not there, or is
    the place without rights of its own in which the framework runs tools).

    Args:
        tools: functions with annotations and docstrings; coroutine functions where `asynchronous`.
        asynchronous: run the team by the async entry point of the framework, under `job.wait`.
        act: None for a team without a guard.
        options: more arguments for `ActGuard`.
    """

    script: Script
    tools: Sequence[Callable[..., Any]]
    asynchronous: bool
    two: bool = False
    asker: str = "Planner"
    executor: str = "Executor"
    act: Any = None
    tokens: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    made: Any = None
    _running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def guard(self, guard_class: Any) -> Any:
        """The guard to put the team under, or None when there is to be none."""
        if self.act is not None:
            self.made = guard_class(self.act, self.tokens, **self.options)
        return self.made

    def wait(self, run: Coroutine[Any, Any, Any]) -> Any:
        """Run the coroutine on a loop of its own, as a task that `cancel` cancels."""

        async def whole() -> Any:
            task = asyncio.ensure_future(run)
            self._running = asyncio.get_running_loop(), task
            return await task

        return asyncio.run(whole())

    def cancel(self) -> None:
        """Cancel the running team, from wherever."""
        assert self._running is not None
        loop, task = self._running
        loop.call_soon_threadsafe(task.cancel)


class Driver(Protocol):
    """One framework. A module in `drivers` has an instance called `driver`."""

    guard_class: Any
    """The `ActGuard` of the framework."""

    supported: Sequence[str]
    """Words that the refusal of a thing of another type must contain: the names of the types that are taken."""

    def run(self, job: Job) -> None:
        """Build the team, protect it, and let it run. What comes out of the framework comes out of this."""

    def strangers(self) -> Sequence[object]:
        """Things that may be mistaken for an agent of the framework, and are none that the guard takes."""
