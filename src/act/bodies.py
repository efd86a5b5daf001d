"""Request bodies as ACT reads them: bounded in size and time, JSON only, one reading only (3-api, "Habits")."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, MutableMapping
from typing import Any

from act.problems import ProblemError, unprocessable
from act.strict_json import AmbiguousJson, MalformedJson, loads

MAX_BODY = 256 * 1024
_DIGITS = len(str(MAX_BODY))
BODY_SECONDS = 15.0
JSON = "application/json"

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Headers = Mapping[bytes, str | None]
"""What ACT reads of the headers of a request, by names in lower case; None is one that occurs more than once."""

API_KEY = b"x-api-key"
REQUEST_ID = b"x-request-id"
TRACEPARENT = b"traceparent"
_LENGTH = b"content-length"
_TYPE = b"content-type"
_ENCODING = b"content-encoding"
_READ = frozenset((API_KEY, REQUEST_ID, TRACEPARENT, _LENGTH, _TYPE, _ENCODING))
_SHOWN = 64
"""So many characters of a header are said again."""


class Disconnected(Exception):
    """The client went away before its body was complete."""


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers that ACT reads; two of one name are none, because two readers could take different ones."""
    found: dict[bytes, str | None] = {}
    for name, value in raw:
        if name in _READ:
            found[name] = None if name in found else value.decode("latin-1")
    return found


def header(raw: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """The value of any other header, named in lower case; None when it is absent or occurs twice."""
    found = [value for key, value in raw if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else None


async def read(headers: Headers, receive: Receive) -> bytes:
    """The whole body.

    Raises:
        ProblemError: 413 over 256 KB, 408 when it takes longer than 15 seconds.
        Disconnected: the client went away.
    """
    body = begin(headers, receive)
    return body if isinstance(body, bytes) else await body


def begin(headers: Headers, receive: Receive) -> bytes | Awaitable[bytes]:
    """The whole body, if it is there by now; or else what waits for it, during which anything may change.

    Raises:
        ProblemError, Disconnected: as `read`; and so does what waits.
    """
    declared = headers.get(_LENGTH)
    if declared is not None and len(declared) >= _DIGITS and _is_too_much(declared):
        raise _too_large()
    # Most bodies are there by now; a time-out for one of these would cost more than to read it.
    waiting: Awaitable[bytes] = _collect(receive)
    steps = waiting.__await__()
    try:
        begun = _Begun(steps, next(steps))
    except StopIteration as done:
        return bytes(done.value)
    return _in_time(begun)


async def _in_time(begun: Awaitable[bytes]) -> bytes:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await begun
    except TimeoutError:
        detail = f"The body did not arrive within {BODY_SECONDS:.0f} seconds."
        raise ProblemError(408, "body_timeout", "Request time-out", detail, headers={"Connection": "close"}) from None


class _Begun(Generator[Any, Any, bytes]):
    """What waits for `first`, to be awaited by whoever has made the step to it."""

    def __init__(self, steps: Generator[Any, Any, bytes], first: Any) -> None:
        self._steps = steps
        self._first = [first]

    def __await__(self) -> Generator[Any, Any, bytes]:
        return self

    def send(self, value: Any) -> Any:
        return self._first.pop() if self._first else self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        return self._steps.throw(*error)


def parse(headers: Headers, body: bytes) -> Any:
    """The body as JSON.

    Raises:
        ProblemError: 415 for another media type, character set or coding; 400 for what is not JSON, 422 for what
            reads in two ways.
    """
    if (headers.get(_TYPE) != JSON or _ENCODING in headers) and (fault := _fault_of_type(headers)):
        raise ProblemError(415, "media_type_unsupported", "Unsupported media type", f"Send the body as {JSON}{fault}.")
    try:
        return loads(body)
    except MalformedJson as error:
        raise ProblemError(400, "json_malformed", "Malformed JSON", str(error)) from None
    except AmbiguousJson as error:
        raise unprocessable(error.faults) from None


def _fault_of_type(headers: Headers) -> str | None:
    """Why a body with these headers may be something else than JSON in UTF-8 (RFC 8259, section 8.1)."""
    for header_name, shown in ((_TYPE, "Content-Type"), (_ENCODING, "Content-Encoding")):
        if header_name in headers and headers[header_name] is None:
            return f"; there are several headers {shown}"
    kind, *parameters = (part.strip().lower() for part in (headers.get(_TYPE) or "").split(";"))
    if kind != JSON:
        return f", not as {_clipped(kind)!r}" if kind else ", and say so in the header Content-Type"
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8"):
            return f" in UTF-8, not in {_clipped(value)!r}"
    coding = (headers.get(_ENCODING) or "").strip().lower()
    return None if coding in ("", "identity") else f" as it is, not coded as {_clipped(coding)!r}"


def _clipped(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _is_too_much(declared: str) -> bool:
    # Zeros may stand before it without end (RFC 9110, section 8.6), and Python reads no number of 4,300 digits.
    digits = declared.lstrip("0")
    return digits.isdecimal() and (len(digits) > _DIGITS or int(digits) > MAX_BODY)


async def _collect(receive: Receive) -> bytes:
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY:
            raise _too_large()
        chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


def _too_large() -> ProblemError:
    detail = f"A body has at most {MAX_BODY // 1024} KB."
    return ProblemError(413, "body_too_large", "Content too large", detail, headers={"Connection": "close"})
