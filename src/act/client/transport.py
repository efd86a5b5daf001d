"""How calls travel: `SyncTransport` and `AsyncTransport`, over httpx2.

- The time-out is for one try as a whole, so that a server that answers byte by byte cannot hold an agent up.
- What is repeated is decided in `retries`; every repetition carries the same body and the same keys.
- Redirects are not followed: a key and a token go to the configured server only.
- The API key lives in the headers of the httpx2 client and nowhere else.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, Literal, TypeVar
from uuid import uuid4

import httpx2

from act.client.call import Call
from act.client.errors import ActError, Unreachable
from act.client.retries import pause_before

T = TypeVar("T")

BETWEEN_LINES: Final = 30.0
_NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
# `RuntimeError` is how httpx2 says that the client has been closed, and asyncio that the loop is another one.
_FAILURES: Final = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, TimeoutError, OSError, RuntimeError)


def is_loopback(url: str) -> bool:
    """Whether ACT runs on this machine: then no proxy of the environment may see the key and the tokens."""
    host = httpx2.URL(url).host
    return host in ("localhost", "::1") or host.startswith("127.")


def trust_for(url: str) -> ssl.SSLContext | Literal[True]:
    """Whom to trust with TLS: those whom this machine trusts.

    To read their certificates takes longer than a call. Without TLS and on this machine they are not needed, and should
    TLS be spoken all the same, nobody is trusted.
    """
    without = is_loopback(url) and httpx2.URL(url).scheme == "http"
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if without else True


def headers_for(api_key: str | None) -> dict[str, str]:
    """The headers of every call.

    Raises:
        ValueError: the key cannot be a header; the message does not show it.
    """
    headers = {"Accept": "application/json"}
    if api_key:
        if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ValueError("The API key has characters that no key has; was it copied completely?")
        headers["X-Api-Key"] = api_key
    return headers


def checked_url(base_url: str) -> str:
    """The base URL without a trailing slash.

    Raises:
        ValueError: it is not an http or https URL with a host and without credentials.
    """
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL as error:
        raise ValueError(f"The base URL cannot be read: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("The base URL must begin with http:// or https:// and name a host.")
    if url.userinfo:
        # httpx2 logs the URL of every request.
        raise ValueError("The base URL must not carry a user or a password; ACT is called with api_key.")
    return base_url.rstrip("/")


def _request(client: httpx2.Client | httpx2.AsyncClient, call: Call[Any], timeout: float) -> httpx2.Request:
    """The request for all tries of a call, so that its keys stay the same and the server does it once."""
    headers, content = {"X-Request-ID": uuid4().hex, **call.headers}, call.content()
    if not call.idempotent:
        headers["Idempotency-Key"] = uuid4().hex
    if content is not None:
        headers["Content-Type"] = "application/json"
    return client.build_request(
        call.method, call.path, params=dict(call.params), content=content, headers=headers, timeout=timeout
    )


class _Lines:
    """Splits a stream at line feeds only: JSON may contain the other characters that `str.splitlines` splits at."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [line for line in lines if line]

    def end(self) -> list[bytes]:
        return [self._rest] if self._rest else []


def _unreachable(error: Exception) -> Unreachable:
    sent = not isinstance(error, _NEVER_SENT)
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return Unreachable("The server did not answer in time; is it up, and is the time-out long enough?", sent=sent)
    said = str(error) or type(error).__name__
    return Unreachable(f"The server could not be reached ({said}); is it running, is the base URL right?", sent=sent)


class Shared(httpx2.BaseTransport):
    """Another client's way to travel, which stays open when this one is closed."""

    def __init__(self, other: httpx2.BaseTransport) -> None:
        self._other = other

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._other.handle_request(request)


class AsyncShared(httpx2.AsyncBaseTransport):
    """As `Shared`."""

    def __init__(self, other: httpx2.AsyncBaseTransport) -> None:
        self._other = other

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self._other.handle_async_request(request)


class SyncTransport:
    """Sends calls and waits. Safe to share between threads."""

    def __init__(self, client: httpx2.Client, *, timeout: float, retries: int) -> None:
        self._client = client
        self._timeout = timeout
        self._retries = retries

    def send(self, call: Call[T]) -> T:
        """Make the call, again if that is safe.

        Raises:
            ActError: the class for what went wrong at the last try.
            ValueError: the body is not JSON; nothing was sent.
        """
        limit = self._timeout + call.wait
        request, tries = _request(self._client, call, limit), 0
        while True:
            tries += 1
            try:
                return call.read(*self._exchange(request, limit))
            except ActError as error:
                pause = pause_before(error, tries, self._retries)
                if pause is None:
                    raise
            time.sleep(pause)

    def lines(self, call: Call[T]) -> Iterator[T]:
        """A streamed answer, line by line; not repeated."""
        request, lines = _request(self._client, call, max(self._timeout, BETWEEN_LINES)), _Lines()
        try:
            response = self._client.send(request, stream=True)
            try:
                if response.status_code != 200:
                    call.read(response.status_code, response.headers, response.read())
                for chunk in response.iter_bytes():
                    for line in lines.feed(chunk):
                        yield call.read(200, response.headers, line)
                for line in lines.end():
                    yield call.read(200, response.headers, line)
            finally:
                response.close()
        except _FAILURES as error:
            raise _unreachable(error) from None

    def close(self) -> None:
        self._client.close()

    def _exchange(self, request: httpx2.Request, timeout: float) -> tuple[int, httpx2.Headers, bytes]:
        deadline = time.monotonic() + timeout
        try:
            response = self._client.send(request, stream=True)
            try:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if time.monotonic() > deadline:
                        raise TimeoutError
                return response.status_code, response.headers, bytes(body)
            finally:
                response.close()
        except _FAILURES as error:
            # `from None`: the original leads to the request and with it to the API key.
            raise _unreachable(error) from None


class AsyncTransport:
    """Sends calls without blocking. Belongs to one asyncio event loop."""

    def __init__(self, client: httpx2.AsyncClient, *, timeout: float, retries: int) -> None:
        self._client = client
        self._timeout = timeout
        self._retries = retries

    async def send(self, call: Call[T]) -> T:
        """As `SyncTransport.send`."""
        limit = self._timeout + call.wait
        request, tries = _request(self._client, call, limit), 0
        while True:
            tries += 1
            try:
                return call.read(*await self._exchange(request, limit))
            except ActError as error:
                pause = pause_before(error, tries, self._retries)
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    async def lines(self, call: Call[T]) -> AsyncIterator[T]:
        """As `SyncTransport.lines`."""
        request, lines = _request(self._client, call, max(self._timeout, BETWEEN_LINES)), _Lines()
        try:
            response = await self._client.send(request, stream=True)
            try:
                if response.status_code != 200:
                    call.read(response.status_code, response.headers, await response.aread())
                async for chunk in response.aiter_bytes():
                    for line in lines.feed(chunk):
                        yield call.read(200, response.headers, line)
                for line in lines.end():
                    yield call.read(200, response.headers, line)
            finally:
                await response.aclose()
        except _FAILURES as error:
            raise _unreachable(error) from None

    async def close(self) -> None:
        await self._client.aclose()

    async def _exchange(self, request: httpx2.Request, timeout: float) -> tuple[int, httpx2.Headers, bytes]:
        try:
            async with asyncio.timeout(timeout):
                response = await self._client.send(request)
                return response.status_code, response.headers, response.content
        except _FAILURES as error:
            raise _unreachable(error) from None
