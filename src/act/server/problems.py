"""Problems of the framework's own making, in the form of all others (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from act.audit.units import WriteFailed
from act.problems import ProblemError, faults_of_detail, internal_error, overloaded, unprocessable

MEDIA_TYPE = "application/problem+json"

log = logging.getLogger("act.server")


def install(app: FastAPI) -> None:
    """Have every failure of the application answered as a problem."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(WriteFailed, _not_written)
    app.add_exception_handler(Exception, _unexpected)


def answer(request: Request, problem: ProblemError, more: Mapping[str, str] | None = None) -> Response:
    return Response(
        problem.render(request.scope["act.request_id"]),
        problem.status,
        headers=problem.headers | dict(more or {}),
        media_type=MEDIA_TYPE,
    )


def nothing_here() -> ProblemError:
    return ProblemError(404, "not_found", "Not Found", "There is nothing at this path; see /docs.")


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return answer(request, error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults, of_body = [], False
    for detail in error.errors():
        source, *location = detail["loc"]
        of_body = of_body or source == "body"
        # A parameter is not part of a document; its pointer is its name.
        document = error.body if source == "body" else {str(part): None for part in location}
        faults += faults_of_detail(detail, location, document)
    return answer(request, unprocessable(faults, of="document" if of_body else "query"))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return answer(request, nothing_here(), error.headers)
    code = {405: "method_not_allowed"}.get(error.status_code, "http_error")
    return answer(request, ProblemError(error.status_code, code, str(error.detail), str(error.detail)), error.headers)


async def _not_written(request: Request, error: Exception) -> Response:
    return answer(request, overloaded(f"{error} Nothing was changed; try again."))


async def _unexpected(request: Request, error: Exception) -> Response:
    request_id = request.scope["act.request_id"]
    log.error("request %s failed", request_id, exc_info=error, extra={"requestId": request_id})
    return answer(request, internal_error())
