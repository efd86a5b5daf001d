"""The way into a service in the same process; the service itself is tried in `test_with_the_service`."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from act import Act, AsyncAct, ReasonCode, Unreachable
from act.client import embedded
from act.client.embedded import AsyncEmbeddedTransport, EmbeddedTransport, Service

from .wire import KEY, Seen, decision

ASK = ("token", "execute", "api://tasks/execute/1")


class App:
    """The smallest service: it starts, answers `enforce`, and stops."""

    def __init__(self, fails: str = "", delay: float = 0.0) -> None:
        self.events: list[str] = []
        self.keys: list[bytes] = []
        self.fails = fails
        self.delay = delay

    def close(self) -> None:
        self.events.append("closed")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        self.keys.append(dict(scope["headers"])[b"x-api-key"])
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await asyncio.sleep(self.delay)
        if self.fails == "request":
            raise OSError("the disk is full")
        if self.fails == "silence":
            return
        answer = json.dumps(decision(Seen(scope["method"], scope["path"], {}, body))).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": answer})

    async def _live(self, receive: Any, send: Any) -> None:
        while True:
            step = (await receive())["type"]
            self.events.append(step)
            if self.fails == step:
                await send({"type": f"{step}.failed", "message": "no such file"})
                return
            if self.fails == "raise":
                raise RuntimeError("broken")
            await send({"type": f"{step}.complete"})
            if step == "lifespan.shutdown":
                return


def opened(monkeypatch: pytest.MonkeyPatch, app: App) -> None:
    monkeypatch.setattr(embedded, "open_service", lambda path, api_key: Service(app, KEY, app.close))


def test_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    opened(monkeypatch, app := App())
    with Act.embedded("act.db") as act:
        assert app.events == ["lifespan.startup"]
        assert act.enforce(*ASK)
        with act.with_key("act_other_key_of_a_person") as person:
            assert person.enforce(*ASK)
        assert act.enforce(*ASK), "closing the one does not close the other"
        assert app.keys == [KEY.encode(), b"act_other_key_of_a_person", KEY.encode()]
    assert app.events == ["lifespan.startup", "lifespan.shutdown", "closed"]
    assert act.enforce(*ASK).reason_code is ReasonCode.UNREACHABLE
    act.close()


def test_async(monkeypatch: pytest.MonkeyPatch) -> None:
    opened(monkeypatch, app := App())

    async def work() -> None:
        async with AsyncAct.embedded("act.db") as act:
            assert all(await asyncio.gather(*(act.enforce(*ASK) for _ in range(20))))
            async with act.with_key("act_other_key_of_a_person") as person:
                assert await person.enforce(*ASK)
            assert await act.enforce(*ASK)
        assert not await act.enforce(*ASK)

    asyncio.run(work())
    assert app.events == ["lifespan.startup", "lifespan.shutdown", "closed"]


@pytest.mark.parametrize("fails", ["lifespan.startup", "raise"])
def test_a_service_that_does_not_start(fails: str) -> None:
    with pytest.raises(RuntimeError, match=r"no such file|broken"):
        Service(App(fails), KEY, lambda: None)


@pytest.mark.parametrize("fails", ["request", "silence"])
def test_a_service_that_fails_denies(fails: str) -> None:
    service = Service(App(fails), KEY, lambda: None)
    with Act(embedded.URL, KEY, transport=EmbeddedTransport(service), retries=0) as act:
        assert act.enforce(*ASK).reason_code is ReasonCode.UNREACHABLE


def test_time_out() -> None:
    service = Service(App(delay=60), KEY, lambda: None)
    began = time.monotonic()
    with (
        Act(embedded.URL, KEY, transport=EmbeddedTransport(service), timeout=0.2, retries=0) as act,
        pytest.raises(Unreachable, match="in time"),
    ):
        act.enforce(*ASK, raise_on_error=True)
    assert time.monotonic() - began < 30


async def arrived(app: App) -> None:
    """When a request is there."""
    async with asyncio.timeout(30):
        while not app.keys:  # noqa: ASYNC110 - it arrives in another loop
            await asyncio.sleep(0.01)


def test_closing_below_a_request_denies() -> None:
    service = Service(app := App(delay=60), KEY, lambda: None)

    async def work() -> None:
        async with AsyncAct(embedded.URL, KEY, transport=AsyncEmbeddedTransport(service), timeout=50, retries=0) as act:
            asking = asyncio.create_task(act.enforce(*ASK))
            await arrived(app)
            await asyncio.to_thread(service.close)
            async with asyncio.timeout(30):
                assert (await asking).reason_code is ReasonCode.UNREACHABLE

    asyncio.run(work())


def test_a_cancelled_caller_is_cancelled() -> None:
    service = Service(app := App(delay=60), KEY, lambda: None)

    async def work() -> None:
        async with AsyncAct(embedded.URL, KEY, transport=AsyncEmbeddedTransport(service), timeout=50) as act:
            asking = asyncio.create_task(act.enforce(*ASK))
            await arrived(app)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(work())
