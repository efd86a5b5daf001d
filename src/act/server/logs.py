"""What the process says of itself: text for people, or one JSON object a line (`ACT_LOG_FORMAT`).

Whatever a log call was given, a record is one line of text or one with an indented traceback, of bounded length, and
nothing in it looks like a secret. Nobody can write a line of their own into the log.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Any, Final, Literal

from act import bodies
from act.models import rfc3339
from act.secret_looks import looks
from act.text import without_secrets

LogFormat = Literal["text", "json"]
FORMATS: Final[tuple[LogFormat, ...]] = ("text", "json")

MAX_MESSAGE: Final = 4096
MAX_TRACEBACK: Final = 16384
"""Characters; escaped, as JSON wants it, a text takes at most twice as many. Of a traceback the end is kept."""
FIELDS: Final = ("requestId", "decisionId", "webhookId", "method", "path", "status", "milliseconds", "client")
"""What a log call may give in `extra`, beside its sentence; in JSON each is a member."""

_CUT: Final = "[cut]"

access = logging.getLogger("act.access")


def configure(form: LogFormat, secrets: tuple[str | None, ...] = (), stream: IO[str] | None = None) -> None:
    """Have everything that any library logs written in this form, to stderr.

    Args:
        secrets: texts that must never be written, beside what looks like a token or a key.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    known = tuple(secret for secret in secrets if secret)
    handler.setFormatter(_Json(known) if form == "json" else _Text(known))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    threading.excepthook = _thread_ended


def announcer(form: LogFormat) -> Callable[[str], None]:
    """Says something to whoever has started the server: a bare line on stderr, or a record."""
    if form == "json":
        return logging.getLogger("act.server").info
    return lambda text: print(text, file=sys.stderr, flush=True)


class AccessLog:
    """Logs every answer: who asked for what, how it was answered, how long it took. No query string, no body.

    A path and an id are what somebody sent: what looks like a secret of others is `[redacted]` in them.
    """

    def __init__(self, app: Any) -> None:
        from act.audit.redaction import excerpt  # only a server needs its expressions

        self._app = app
        self._excerpt = excerpt

    async def __call__(self, scope: MutableMapping[str, Any], receive: bodies.Receive, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, request_id = time.monotonic(), 0, None

        async def listening(message: MutableMapping[str, Any]) -> None:
            nonlocal status, request_id
            if message["type"] == "http.response.start":
                status, request_id = message["status"], bodies.header(message["headers"], b"x-request-id")
            await send(message)

        try:
            await self._app(scope, receive, listening)
        finally:
            client = scope.get("client")
            fields = {
                "method": scope["method"],
                "path": self._excerpt(scope["path"], MAX_MESSAGE),
                "status": status,  # 0: there was no answer
                "milliseconds": round((time.monotonic() - started) * 1000, 3),
                "client": client[0] if client else None,
                "requestId": request_id and self._excerpt(request_id, MAX_MESSAGE),
            }
            said = "%(method)s %(path)s %(status)d %(milliseconds).3f ms, %(client)s, %(requestId)s"
            access.info(said, fields, extra=fields)


class _Formatter(logging.Formatter):
    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__()
        self._secrets = secrets

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return looks().sub("[secret]", without_secrets(text))

    def _message(self, record: logging.LogRecord) -> str:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a log call that is wrong loses its values, and not the record
            message = str(record.msg)
        # First without secrets: the half of one would not be known as one.
        return _begin_of(self._clean(message), MAX_MESSAGE)

    def _traceback(self, record: logging.LogRecord) -> str:
        if not record.exc_info or record.exc_info[0] is None:
            return ""
        return _end_of(self._clean("".join(traceback.format_exception(*record.exc_info))), MAX_TRACEBACK)


class _Text(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone().isoformat(sep=" ", timespec="milliseconds")
        line = f"{at} {record.levelname} {record.name}: {_printable(self._message(record))}"
        # Indented, so that nothing in it can be taken for the begin of a record.
        return "\n  ".join([line, *map(_printable, self._traceback(record).splitlines())])


class _Json(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._message(record),
        }
        for name in FIELDS:
            if (value := record.__dict__.get(name)) is not None:
                number = isinstance(value, int | float)
                line[name] = value if number else _begin_of(self._clean(str(value)), MAX_MESSAGE)
        if trace := self._traceback(record):
            line["exception"] = trace
        return json.dumps(line)  # ASCII alone: a line end, or half of a character, is always an escape


def _begin_of(text: str, most: int) -> str:
    if len(text) > most:
        text = text[:most] + _CUT
    return text if len(json.dumps(text)) <= 2 * most else text[: most // 6] + _CUT


def _end_of(text: str, most: int) -> str:
    if len(text) > most:
        text = _CUT + text[-most:]
    return text if len(json.dumps(text)) <= 2 * most else _CUT + text[-most // 6 :]


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _thread_ended(args: Any) -> None:
    """A thread that dies says so in the log, and not beside it."""
    info: tuple[type[BaseException], BaseException, TracebackType | None] = (
        args.exc_type,
        args.exc_value,
        args.exc_traceback,
    )
    log = logging.getLogger("act.server")
    log.critical("the thread %s ended", args.thread.name if args.thread else None, exc_info=info)
