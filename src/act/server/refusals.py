"""What is refused at the edge of HTTP, before there is a request: what is said of it, to whom, and how often."""

from __future__ import annotations

import logging
import time
from typing import Final

from act.metrics import http_refused
from act.problems import ProblemError, overloaded

LINES_A_SECOND: Final = 50
"""Nobody needs a key to be refused, so nobody fills the log with it; the metric counts all."""

log = logging.getLogger("act.server")


class Lines:
    """How many were logged in this second."""

    def __init__(self) -> None:
        self._second = 0
        self._count = 0

    def one_more(self, second: int) -> bool:
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count <= LINES_A_SECOND


_lines = Lines()


def note(problem: ProblemError, client: str | None) -> None:
    """Count it, and log it: which bound it was and who, and nothing of what was sent."""
    http_refused(problem.code)
    if _lines.one_more(int(time.monotonic())):
        log.info("refused a request: %s", problem.detail, extra={"client": client})


def head_too_large(most: str) -> ProblemError:
    detail = f"The head of a request has at most {most}."
    return ProblemError(431, "headers_too_large", "Request header fields too large", detail)


def target_too_long(most: int) -> ProblemError:
    detail = f"What a request asks for has at most {most // 1024} KB, its query included."
    return ProblemError(414, "target_too_long", "URI too long", detail)


def too_many_chunks(most: int) -> ProblemError:
    detail = f"A body comes in at most {most} chunks; send larger ones, or its length."
    return ProblemError(413, "body_too_large", "Content too large", detail)


def head_too_slow(seconds: int) -> ProblemError:
    detail = f"The headers did not arrive within {seconds} seconds."
    return ProblemError(408, "headers_timeout", "Request time-out", detail)


def too_many_waiting(most: int) -> ProblemError:
    return overloaded(f"At most {most} requests wait on one connection; read the answers first.")


def no_proxy() -> ProblemError:
    detail = "This server is no proxy; CONNECT leads nowhere."
    return ProblemError(405, "method_not_allowed", "Method not allowed", detail)


def no_http() -> ProblemError:
    return ProblemError(400, "http_malformed", "Malformed HTTP", "This is no HTTP/1.1 request.")
