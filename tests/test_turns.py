"""What comes within one turn of the event loop is handed on together."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

from act.turns import Turn


def test_what_comes_in_one_turn_is_handed_on_together_in_its_order() -> None:
    seen: list[list[int]] = []

    async def work() -> None:
        turn = Turn[int](seen.append)
        for number in range(3):
            turn.add(number)
        assert seen == []
        await asyncio.sleep(0)
        assert seen == [[0, 1, 2]]
        turn.add(3)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(work())
    assert seen == [[0, 1, 2], [3]]


def test_what_is_added_while_it_is_handed_on_comes_with_the_next() -> None:
    seen: list[list[int]] = []

    async def work() -> None:
        def then(items: list[int]) -> None:
            seen.append(items)
            if items[0] < 2:
                turn.add(items[0] + 1)

        turn = Turn[int](then)
        turn.add(0)
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(work())
    assert seen == [[0], [1], [2]]


def test_many_tasks_share_a_turn() -> None:
    seen: list[list[int]] = []

    async def work() -> None:
        turn = Turn[int](seen.append)

        async def one(number: int) -> None:
            turn.add(number)

        await asyncio.gather(*(one(number) for number in range(64)))
        await asyncio.sleep(0)

    asyncio.run(work())
    assert seen == [list(range(64))]


def test_the_context_of_the_first_is_not_that_of_all() -> None:
    mine: ContextVar[str | None] = ContextVar("mine", default=None)
    seen: list[str | None] = []

    async def work() -> None:
        turn = Turn[int](lambda _: seen.append(mine.get()))
        mine.set("of the first")
        turn.add(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(work())
    assert seen == [None]
