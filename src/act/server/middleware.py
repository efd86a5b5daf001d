"""What happens to every request before any room sees it: an id, and a body that reads in one way only."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

from act import bodies
from act.database.ids import new_id
from act.problems import ProblemError
from act.tenants.access import Access, presented_in
from act.text import has_secret

App = Any
Scope = MutableMapping[str, Any]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
# Answers carry tokens and keys: no cache may keep one, no browser may guess what it is.
_SAFETY = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_WITH_BODY = frozenset(("POST", "PUT", "PATCH", "DELETE"))


class RequestId:
    """Gives every request an id, the caller's if it is harmless, and echoes it as `X-Request-ID`."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: bodies.Receive, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = scope["act.headers"] = bodies.headers_of(scope["headers"])
        claimed = headers.get(bodies.REQUEST_ID)
        harmless = claimed and _REQUEST_ID.fullmatch(claimed) and not has_secret(claimed)
        request_id = claimed if claimed and harmless else new_id("req")
        scope["act.request_id"] = request_id

        async def send_with_id(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode()), *_SAFETY]
            await send(message)

        await self._app(scope, receive, send_with_id)


class StrictBodies:
    """Reads bodies of management calls as strictly as `/v1/enforce` reads its own, then hands them on.

    Every call that changes something needs an API key, so whoever has none gets no further than here.
    """

    def __init__(self, app: App, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: bodies.Receive, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] not in _WITH_BODY:
            await self._app(scope, receive, send)
            return
        try:
            # Before anything is read: parsing is work, and only callers may have it done.
            self._access.known(presented_in(scope["act.headers"]))
            body = await bodies.read(scope["act.headers"], receive)
            if body:
                bodies.parse(scope["act.headers"], body)
        except bodies.Disconnected:
            return
        except ProblemError as problem:
            await _refuse(problem, scope, send)
            return
        sent = False

        async def replay() -> MutableMapping[str, Any]:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)


async def _refuse(problem: ProblemError, scope: Scope, send: Any) -> None:
    body = problem.render(scope["act.request_id"])
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
