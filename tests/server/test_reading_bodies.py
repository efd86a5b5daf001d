"""How a body is read: at once when it is there, within a time-out when it is waited for, and never left half read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from act import bodies
from act.problems import ProblemError

GONE = {"type": "http.disconnect"}


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def arriving(*parts: dict[str, Any], pause: float) -> Callable[[], Awaitable[dict[str, Any]]]:
    """One part after the other, each after a pause; nothing after the last."""
    left = iter(parts)

    async def receive() -> dict[str, Any]:
        if pause:
            await asyncio.sleep(pause)
        if (found := next(left, None)) is None:
            await asyncio.Event().wait()
        assert found is not None
        return found

    return receive


def read(receive: Callable[[], Awaitable[Any]]) -> bytes:
    return asyncio.run(bodies.read({}, receive))


@pytest.mark.parametrize("pause", [0, 0.01])
class TestAtOnceAndLater:
    def test_parts_are_put_together(self, pause: float) -> None:
        assert read(arriving(part(b"ab", more=True), part(b"c"), pause=pause)) == b"abc"

    def test_a_client_that_goes_away(self, pause: float) -> None:
        with pytest.raises(bodies.Disconnected):
            read(arriving(part(b"ab", more=True), GONE, pause=pause))

    def test_a_byte_too_many(self, pause: float) -> None:
        with pytest.raises(ProblemError) as refused:
            read(arriving(part(b"a" * bodies.MAX_BODY, more=True), part(b"a"), pause=pause))
        assert (refused.value.status, refused.value.code) == (413, "body_too_large")

    def test_a_part_that_never_comes(self, pause: float, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)
        with pytest.raises(ProblemError) as refused:
            read(arriving(part(b"a", more=True), pause=pause))
        assert (refused.value.status, refused.value.code) == (408, "body_timeout")


@pytest.mark.parametrize("cancelled", [True, False])
def test_what_waits_is_told_that_it_is_over(cancelled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whoever gives up: the caller, or the time-out."""
    monkeypatch.setattr(bodies, "BODY_SECONDS", 60 if cancelled else 0.02)
    begun, ended = asyncio.Event(), list[bool]()

    async def receive() -> dict[str, Any]:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        raise AssertionError

    async def main() -> None:
        reading = asyncio.create_task(bodies.read({}, receive))
        await begun.wait()
        if cancelled:
            await asyncio.sleep(0)
            reading.cancel()
        with pytest.raises(asyncio.CancelledError if cancelled else ProblemError):
            await reading

    asyncio.run(main())
    assert ended == [True]
