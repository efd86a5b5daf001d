"""What happens to a management call before any room sees it: an id, and a body that reads in one way only."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from act import bodies
from act.exchange import Scope, identify, on_every_answer, refuse
from act.problems import ProblemError
from act.server.problems import nothing_here
from act.tenants.access import Access, presented_in

App = Any

_WITH_BODY = frozenset(("POST", "PUT", "PATCH", "DELETE"))


class RequestId:
    """Gives every request an id, the caller's if it is harmless, and echoes it as `X-Request-ID`.

    A path that ends with a line feed leads nowhere: the router's patterns would match it as the path before it.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: bodies.Receive, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = identify(scope)
        headers = on_every_answer(request_id)
        if scope["path"].endswith("\n"):
            await refuse(send, nothing_here(), request_id, also=headers)
            return

        async def send_with_id(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
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
            await refuse(send, problem, scope["act.request_id"])
            return
        sent = False

        async def replay() -> MutableMapping[str, Any]:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)
