"""ACT inside the calling process: the same service on the same SQLite file, without HTTP.

The service runs on an event loop of its own in a background thread; requests are handed to that loop. So the service
never shares a loop with the agents, and sync callers need none. This is the only module of the SDK that knows the
server, and it imports it late: the SDK alone stays light.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx2

URL: Final = "http://act.embedded"
STARTING: Final = 60.0
"""Seconds in which the application must have started, or stopped."""


def open_service(path: str | Path, api_key: str | None = None) -> Service:
    """Start ACT on the SQLite file `path`, which is made if there is none.

    Without `api_key` an admin key is made and kept beside the signing keys, in a file that only its owner can read:
    approvals are bound to the key that asked, so it has to be the same the next time.

    Raises:
        ImportError: the extra `server` is not installed.
        PermissionError: others than the owner can read the kept key, or it was revoked.
        act.database.engine.DatabaseUnusable: another process has the file open, or it is no database of ACT.
    """
    try:
        from act.server.app import Node
        from act.server.settings import Settings
    except ImportError as error:
        raise ImportError(
            f"Act.embedded needs the server ({error}); pip install 'agent-capability-tokens[server]'."
        ) from error
    file = Path(path).expanduser().absolute()
    key = api_key or _kept_key(file)
    node = Node(Settings.from_environment(database=f"sqlite:///{file}", bootstrap_api_key=key))
    try:
        if api_key is None:
            node.admit_admin(key, "embedded")  # the file may have been made by `actctl serve`, which has its own
        return Service(node.app, key, node.close)
    except BaseException:
        node.close()
        raise


def _kept_key(file: Path) -> str:
    """The admin key kept for a database, made before it is admitted, so that no crash can lose it."""
    kept = file.with_name(file.name + ".keys") / "embedded-api-key"
    if kept.exists():
        if kept.stat().st_mode & 0o077:
            raise PermissionError(f"The API key {kept} can be read by others; run: chmod 600 {kept}")
        return kept.read_text()
    key = f"act_embedded_{secrets.token_urlsafe(32)}"
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    unfinished = kept.with_name(f".{kept.name}.{os.getpid()}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(key)
        out.flush()
        os.fsync(out.fileno())
    os.link(unfinished, kept)  # complete or not there, and never over that of another process
    unfinished.unlink()
    return key


class Service:
    """An ASGI application that runs on a loop and in a thread of its own.

    Args:
        api_key: the key to call it with.
        close: what to do after the last request.
    """

    def __init__(self, app: Any, api_key: str, close: Callable[[], None]) -> None:
        self.api_key = api_key
        self._app = app
        self._close = close
        self._running: set[asyncio.Task[httpx2.Response]] = set()
        self._ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, name="act-embedded", daemon=True)
        self._thread.start()
        self._loop, self._stop = self._ready.result(STARTING)

    def submit(self, request: httpx2.Request) -> Future[httpx2.Response]:
        """Answer `request` on the loop of the service.

        As over HTTP: who stops waiting does not stop what was begun, and finds it when asking again.
        """
        if not self._thread.is_alive():
            raise httpx2.ConnectError("the embedded service has been closed", request=request)
        answer: Future[httpx2.Response] = Future()
        self._loop.call_soon_threadsafe(self._begin, request, answer)
        return answer

    def close(self) -> None:
        """Stop the service; what was answered is durable. Closing twice does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(STARTING)
        self._close()

    def _begin(self, request: httpx2.Request, answer: Future[httpx2.Response]) -> None:
        running = self._loop.create_task(_exchange(self._app, request))
        self._running.add(running)
        running.add_done_callback(partial(self._end, answer))

    def _end(self, answer: Future[httpx2.Response], running: asyncio.Task[httpx2.Response]) -> None:
        self._running.discard(running)
        if not answer.set_running_or_notify_cancel():
            return  # nobody waits any more
        if running.cancelled():
            answer.set_exception(httpx2.ReadError("the embedded service was closed meanwhile"))
        elif error := running.exception():
            failure = httpx2.ReadError(f"the embedded service failed ({type(error).__name__})")
            failure.__cause__ = error
            answer.set_exception(failure)
        else:
            answer.set_result(running.result())

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._live())
        except Exception as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _live(self) -> None:
        stop = asyncio.Event()
        async with _lifespan(self._app):
            self._ready.set_result((asyncio.get_running_loop(), stop))
            await stop.wait()


class EmbeddedTransport(httpx2.BaseTransport):
    """Hands requests to a `Service`, which is closed with it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = self._service.submit(request)
        try:
            return answer.result(request.extensions["timeout"]["read"])
        except TimeoutError:
            answer.cancel()
            raise httpx2.ReadTimeout("the embedded service did not answer in time", request=request) from None

    def close(self) -> None:
        self._service.close()


class AsyncEmbeddedTransport(httpx2.AsyncBaseTransport):
    """Hands requests to a `Service`, which is closed with it. The time-out is that of `AsyncTransport`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await asyncio.wrap_future(self._service.submit(request))

    async def aclose(self) -> None:
        await asyncio.to_thread(self._service.close)


async def _exchange(app: Any, request: httpx2.Request) -> httpx2.Response:
    """One request through an ASGI application, and its answer once it is whole."""
    travel = httpx2.ASGITransport(app, raise_app_exceptions=False)
    response = await travel.handle_async_request(request)
    return httpx2.Response(response.status_code, headers=response.headers, content=await response.aread())


@asynccontextmanager
async def _lifespan(app: Any) -> AsyncIterator[None]:
    """Drive the ASGI lifespan protocol: the application is started inside, and stopped after the block."""
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    living = asyncio.create_task(app(scope, told.get, said.put))

    async def step(name: str) -> None:
        await told.put({"type": f"lifespan.{name}"})
        answer = asyncio.create_task(said.get())
        await asyncio.wait({living, answer}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            living.result()
        if not answer.done() or answer.result()["type"] != f"lifespan.{name}.complete":
            why = answer.result().get("message") if answer.done() else "it ended"
            raise RuntimeError(f"The embedded service failed at {name}: {why}")

    await step("startup")
    try:
        yield
    finally:
        await step("shutdown")
        await living
