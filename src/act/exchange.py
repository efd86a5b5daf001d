"""What every exchange over HTTP has: an id, headers that are read once, and an answer that no cache keeps."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Literal

from act import bodies
from act.database.ids import new_id
from act.problems import ProblemError
from act.text import has_secret

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

HANG_UP = "act.hang_up"
"""In `state` of a scope: called with the scope, it closes the connection without the end that the answer wants."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_KEY = 16
"""Characters: what is shorter is no key."""
# Answers carry tokens and keys: no cache may keep one, no browser may guess what it is.
_SAFETY = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


def identify(scope: Scope) -> str:
    """Read the headers of a request into `act.headers`, and give it an id: the caller's, if that is harmless."""
    headers = scope["act.headers"] = bodies.headers_of(scope["headers"])
    claimed = headers.get(bodies.REQUEST_ID)
    harmless = claimed and _REQUEST_ID.fullmatch(claimed) and not has_secret(claimed)
    # A key of a form of its own is known from its first use on, and nobody has looked at it yet.
    if harmless and claimed and (key := headers.get(bodies.API_KEY)) and len(key) >= _KEY and key in claimed:
        harmless = False
    request_id = scope["act.request_id"] = claimed if claimed and harmless else new_id("req")
    return request_id


def on_every_answer(request_id: str) -> Headers:
    """Headers that no answer goes without."""
    return ((b"x-request-id", request_id.encode()), *_SAFETY)


async def answer(
    send: Send, status: int, media_type: bytes, body: bytes, extra: Mapping[str, str], also: Headers = ()
) -> None:
    """Send a whole answer."""
    headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), *also]
    if extra:
        headers += [(name.lower().encode(), value.encode()) for name, value in extra.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse(
    send: Send,
    problem: ProblemError,
    request_id: str,
    decision: Literal["denied"] | None = None,
    also: Headers = (),
) -> None:
    """Send a problem; `decision` is what a client that reads only that shall read."""
    body = problem.render(request_id, decision)
    await answer(send, problem.status, b"application/problem+json", body, problem.headers, also)
