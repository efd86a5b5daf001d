"""Teams under the guard: what ends an agent comes out of the team as it is, and a cancelled team ends.

AutoGen hands on an exception of an agent as a `RuntimeError` with its text. A team that is cancelled waits for its
runtime to be idle, which a tool, or a person, that does not answer can put off for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from act.integrations.agentchat.agents import post_of
from act.integrations.agentchat.parts import acting_in

_GUARDED = "_act_team"


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

        async def run_stream(self, **options: Any) -> AsyncGenerator[Any, None]:
            posts = [post for agent in acting_in(self) if (post := post_of(agent)) is not None]
            for post in posts:
                post.ended = None
            events: asyncio.Queue[Any] = asyncio.Queue()
            end = object()

            async def play() -> None:
                try:
                    async for event in super(GuardedTeam, self).run_stream(**options):
                        events.put_nowait(event)
                finally:
                    events.put_nowait(end)

            playing = asyncio.ensure_future(play())
            try:
                while (event := await events.get()) is not end:
                    yield event
                await playing
            except asyncio.CancelledError:
                _abort(self)
                playing.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await playing
                raise
            except RuntimeError as fault:
                raise next((post.ended for post in posts if post.ended is not None), fault) from None
            finally:
                if not playing.done():  # nobody listens any more: as in AutoGen, the team is played to its end
                    with suppress(Exception):
                        await playing

        def __reduce_ex__(self, protocol: Any) -> Any:
            raise TypeError("a team under an ActGuard cannot be copied or pickled; protect it where it is used")

    return GuardedTeam


def _abort(team: Any) -> None:
    """Cancel what the agents of a team are at. A runtime that the application started is the application's."""
    if team._embedded_runtime:
        for task in list(team._runtime._background_tasks):
            task.cancel()
