"""Teams under the guard: what ends an agent comes out of the team as it is, and a cancelled team ends.

AutoGen hands on an exception of an agent as a `RuntimeError` with its text. A team that is cancelled waits for its
runtime to be idle, which a tool, or a person, that does not answer can put off for ever.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from autogen_agentchat.teams._group_chat._base_group_chat_manager import BaseGroupChatManager
from autogen_core import AgentId

from act.integrations.agentchat.agents import post_of
from act.integrations.agentchat.parts import acting_in

_GUARDED = "_act_team"
_ROUND = 0.02
"""Seconds after which it is looked again for what a cancelled team has begun since."""


def put_team_under(team: Any) -> None:
    """Give a team its guarded class. Idempotent."""
    base = type(team)
    if hasattr(base, _GUARDED):
        return
    kind = _team(base)
    kind.__name__, kind.__qualname__, kind.__module__ = base.__name__, base.__qualname__, base.__module__
    team.__class__ = kind


def _team(base: Any) -> Any:
    class GuardedTeam(base):  # type: ignore[misc]
        _act_team = True
        _act_cut_short = False

        async def run_stream(self, **options: Any) -> AsyncGenerator[Any, None]:
            posts = [post for agent in acting_in(self) if (post := post_of(agent)) is not None]
            for post in posts:
                post.ended = None
            await _forget_speakers(self)
            events: asyncio.Queue[Any] = asyncio.Queue()
            end = object()

            async def play() -> None:
                try:
                    async for event in super(GuardedTeam, self).run_stream(**options):
                        events.put_nowait(event)
                finally:
                    events.put_nowait(end)

            playing = asyncio.ensure_future(play())
            token = options.get("cancellation_token")
            aborting = _abort_with(token, self, playing)
            try:
                while (event := await events.get()) is not end:
                    yield event
                await playing
            except asyncio.CancelledError:
                self._act_cut_short = True
                if token is None or not token.is_cancelled():  # otherwise it is ending; twice would disturb that
                    playing.cancel()
                await _abort(self, playing)
                raise
            except GeneratorExit:  # nobody listens any more: as in AutoGen, the team is played to its end
                with suppress(asyncio.CancelledError, Exception):
                    await playing
                raise
            except RuntimeError as fault:
                self._act_cut_short = True
                raise next((post.ended for post in posts if post.ended is not None), fault) from None
            finally:
                aborting.clear()

        def __reduce_ex__(self, protocol: Any) -> Any:
            raise TypeError("a team under an ActGuard cannot be copied or pickled; protect it where it is used")

    return GuardedTeam


def _abort_with(token: Any, team: Any, playing: asyncio.Task[None]) -> set[asyncio.Task[None]]:
    """Abort the team when the token of its run is cancelled, also if an agent does not listen to it.

    Returns where the task that does so is kept.
    """
    aborting: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()

    def begin() -> None:
        aborting.add(loop.create_task(_abort(team, playing)))

    def cancelled() -> None:
        if not playing.done():
            loop.call_soon_threadsafe(begin)

    if token is not None:
        token.add_callback(cancelled)
    return aborting


async def _forget_speakers(team: Any) -> None:
    """After a run that was cut short nobody is about to speak any more; AutoGen would wait for who was."""
    if not team._act_cut_short:
        return
    team._act_cut_short = False
    manager = AgentId(team._group_chat_manager_topic_type, team._team_id)
    with suppress(LookupError, TypeError):
        found = await team._runtime.try_get_underlying_agent_instance(manager, BaseGroupChatManager)
        found._active_speakers.clear()


async def _abort(team: Any, playing: asyncio.Task[None]) -> None:
    """Cancel what the agents of a team are at, until it has ended, each task once.

    A task that has not begun is left to begin: it would not be counted as done, and the team would wait for it. A
    runtime that the application has started is the application's.
    """
    cancelled: set[asyncio.Task[Any]] = set()
    while not playing.done():
        for task in list(team._runtime._background_tasks) if team._embedded_runtime else ():
            if task not in cancelled and inspect.getcoroutinestate(task.get_coro()) != inspect.CORO_CREATED:
                cancelled.add(task)
                task.cancel()
        await asyncio.wait({playing}, timeout=_ROUND)
