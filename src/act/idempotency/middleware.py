"""`Idempotency-Key` on calls that change something (3-api, "Habits of the API")."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import MutableMapping
from typing import Any, Final

from starlette.responses import Response

from act import bodies
from act.audit.units import WriteFailed, along
from act.idempotency.claim import Answer, Claim, Place, claim, well_formed
from act.idempotency.service import IdempotencyService, Mark, in_flight, reused
from act.problems import ProblemError
from act.tenants.access import Access, presented_in
from act.tenants.frozen import tenant_frozen
from act.tenants.live import LiveTenants

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
QUESTIONS: Final = frozenset(("/v1/enforce", "/v1/enforce/batch", "/v1/policies/validate", "/v1/tokens/introspect"))
"""They change nothing, or have ids of their own."""

_NAME: Final = HEADER.lower().encode()
_CHANGING: Final = frozenset(("POST", "PUT", "PATCH", "DELETE"))
_MAKES_TOKENS = re.compile(r"/v1/(tokens|tokens/[^/]+/rotate|delegations)")

Scope = MutableMapping[str, Any]

log = logging.getLogger("act.idempotency")


def takes_key(method: str, path: str) -> bool:
    """Whether an `Idempotency-Key` means something there."""
    return method in _CHANGING and path not in QUESTIONS


def has_key(scope: Scope) -> bool:
    """Whether the request has an `Idempotency-Key`, of whatever form."""
    return any(name == _NAME for name, _ in scope["headers"])


class Idempotency:
    """Belongs to one event loop, and to one process on the database. Callers have shown an API key before."""

    def __init__(self, app: Any, access: Access, tenants: LiveTenants, service: IdempotencyService) -> None:
        self._app = app
        self._access = access
        self._tenants = tenants
        self._service = service
        self._running: dict[Place, bytes] = {}

    async def __call__(self, scope: Scope, receive: bodies.Receive, send: Any) -> None:
        if scope["type"] != "http" or not takes_key(scope["method"], scope["path"]) or not has_key(scope):
            await self._app(scope, receive, send)
            return
        try:
            body = await bodies.read(scope["act.headers"], receive)
            response = await self._answer(scope, self._claim(scope, body), body, receive)
        except bodies.Disconnected:
            return
        except ProblemError as problem:
            content = problem.render(scope["act.request_id"])
            response = Response(content, problem.status, problem.headers, "application/problem+json")
        await response(scope, receive, send)

    def _claim(self, scope: Scope, body: bytes) -> Claim:
        presented, names = presented_in(scope["act.headers"]), _values(scope, _NAME)
        caller = self._access.known(presented)
        name = names[0].decode("latin-1")
        if len(names) > 1 or not well_formed(name):
            detail = f"Send one {HEADER} of 1 to 255 visible ASCII characters."
            raise ProblemError(422, "idempotency_key_malformed", "Idempotency key malformed", detail)
        return claim(
            caller.tenant_id,
            caller.id,
            presented or "",
            name,
            scope["method"],
            scope["path"],
            scope["query_string"],
            _values(scope, b"if-match"),
            body,
        )

    async def _answer(self, scope: Scope, asked: Claim, body: bytes, receive: bodies.Receive) -> Response:
        running = self._running.get(asked.place)
        if running is not None:
            raise in_flight() if running == asked.fingerprint else reused()
        self._running[asked.place] = asked.fingerprint
        try:
            if kept := await asyncio.to_thread(self._service.find, asked):
                self._refuse_frozen(scope, asked)
                return _response(kept, replayed=True)
            return _response(await self._carry_out(scope, self._service.mark(asked), body, receive))
        finally:
            del self._running[asked.place]

    def _refuse_frozen(self, scope: Scope, asked: Claim) -> None:
        if self._tenants.get(asked.tenant_id).frozen and _MAKES_TOKENS.fullmatch(scope["path"]):
            raise tenant_frozen()

    async def _carry_out(self, scope: Scope, mark: Mark, body: bytes, receive: bodies.Receive) -> Answer:
        answer = await self._ask(scope, mark, body, receive)
        if mark.written:
            try:
                await self._service.keep(mark, answer)
            except WriteFailed as error:
                request_id = scope["act.request_id"]
                log.error("request %s: its answer is not kept: %s", request_id, error, extra={"requestId": request_id})
        return answer

    async def _ask(self, scope: Scope, mark: Mark, body: bytes, receive: bodies.Receive) -> Answer:
        """The answer of the application, and `mark` along with all that it writes, in whatever thread it does."""
        start: MutableMapping[str, Any] = {}
        chunks: list[bytes] = []
        whole = False
        unread = [body]

        async def again() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": unread.pop()} if unread else await receive()

        async def collect(message: MutableMapping[str, Any]) -> None:
            nonlocal whole
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                chunks.append(message.get("body", b""))
                whole = not message.get("more_body", False)

        token = along.set(mark)
        try:
            await self._app(scope, again, collect)
        except Exception:
            if not whole:  # the framework raises what went wrong once more, after it has logged and answered it
                raise
        finally:
            along.reset(token)
        return Answer(start["status"], tuple(start["headers"]), b"".join(chunks))


def _values(scope: Scope, name: bytes) -> tuple[bytes, ...]:
    return tuple(value for key, value in scope["headers"] if key == name)


def _response(answer: Answer, *, replayed: bool = False) -> Response:
    response = Response(answer.body, answer.status)
    response.raw_headers = [*answer.headers]
    if replayed:
        if answer.status != 204:
            response.raw_headers.append((b"content-length", str(len(answer.body)).encode()))
        response.raw_headers.append((REPLAYED.lower().encode(), b"true"))
    return response
