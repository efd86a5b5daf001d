"""Serving a node over HTTP until the process is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from typing import NoReturn

import uvicorn

from act.server import logs, memory
from act.server.app import Node
from act.server.protocol import BoundedHttp
from act.server.settings import Settings

GRACE_SECONDS = 20
LOOK_SECONDS = 0.5
"""While the server stops, between two looks for clients that read nothing."""
BACKLOG = 2048

log = logging.getLogger("act.server")


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; then answer what is in flight, write what waits, and return.

    Port 0 takes a free one; the address that is served is the first line on stderr.

    Raises:
        DatabaseUnusable: the database cannot be opened; says what to do.
        OSError: the address cannot be bound.
    """
    logs.configure(settings.log_format, (settings.bootstrap_api_key, settings.master_key))
    memory.few_arenas()
    announce = logs.announcer(settings.log_format)
    signal.signal(signal.SIGTERM, _end_early)
    listener = _listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    with Node(settings) as node:
        if node.new_admin_key is not None:
            _show_key(node.new_admin_key, announce, chosen=settings.bootstrap_api_key is not None)
        memory.settle()
        shown = f"[{host}]" if ":" in host else host
        announce(f"ACT serves {settings.database} at http://{shown}:{port} (API: /docs)")
        config = uvicorn.Config(
            logs.AccessLog(node.app) if settings.access_log else node.app,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            backlog=BACKLOG,
            http=BoundedHttp,
            ws="none",
        )
        _Server(config, node).run(sockets=[listener])
    log.info("stopped; everything that was answered is on disk")


class _Server(uvicorn.Server):
    """A server for which SIGTERM and SIGINT are a wish to end in good order, and not a way to die."""

    def __init__(self, config: uvicorn.Config, node: Node) -> None:
        super().__init__(config)
        self._node = node

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The base class raises the signal again when all is done, which would end the process before the node closes.
        before = {which: signal.signal(which, self.handle_exit) for which in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for which, handler in before.items():
                signal.signal(which, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._node.stop_waiting()
        leaving = asyncio.create_task(self._leave_stalled())
        try:
            await super().shutdown(sockets)
        finally:
            leaving.cancel()

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # once a second
            self._tick()
        return await super().on_tick(counter)

    async def _leave_stalled(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._tick(stopping=True)

    def _tick(self, *, stopping: bool = False) -> None:
        for connection in list(self.server_state.connections):
            assert isinstance(connection, BoundedHttp)
            connection.tick(stopping=stopping)


def _end_early(*_: object) -> NoReturn:
    """SIGTERM before there is a server to stop: leave through every `with` on the way."""
    raise SystemExit(0)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)  # from now on an early connection waits instead of being refused
    except TypeError as error:  # what no name can be written in
        listener.close()
        raise OSError(f"Cannot serve at {host}:{port}: this is no name of a host.") from error
    except OSError as error:
        listener.close()
        other = "--host" if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else "--port"
        raise OSError(f"Cannot serve at {host}:{port}: {error.strerror}. Choose another with {other}.") from error
    return listener


def _show_key(key: str, announce: Callable[[str], None], *, chosen: bool) -> None:
    if chosen:
        announce("First start: the admin API key is the one given in ACT_BOOTSTRAP_API_KEY.")
        return
    announce("First start. This is the admin API key; it is shown once and kept nowhere:")
    # Data on stdout, words on stderr: `actctl serve > admin.key` keeps the key out of the log.
    print(key, flush=True)
