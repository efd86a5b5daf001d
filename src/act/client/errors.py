"""What can go wrong between a caller and ACT: one class per status, so that a caller can catch what it can handle.

Every message says what happened and, where the SDK knows it, what to do. No message contains an API key, a token, or
the body of a request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar

from pydantic import ValidationError

from act.models import Decision, Problem, ProblemFault, Verdict


class ActError(Exception):
    """Base of everything the SDK raises.

    Attributes:
        status: the HTTP status, or None when no answer arrived.
        code: the stable code of the problem, or None.
        problem: the RFC 9457 document as ACT sent it, or None.
        request_id: the id under which the server logged the call, or None.
        retry_after: seconds the server asked to wait before the next try, or None.
    """

    advice: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        problem: Problem | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = problem.code if problem else None
        self.problem = problem
        self.request_id = problem.request_id if problem and problem.request_id else request_id
        self.retry_after = retry_after


class BadRequest(ActError):
    """400: the request could not be read."""


class Unauthorized(ActError):
    """401: the API key is missing or not valid."""

    advice = "Set ACT_API_KEY or pass api_key; `actctl api-keys create` makes a key."


class Forbidden(ActError):
    """403: the API key lacks the scope that the call needs."""

    advice = "Use an API key that has the scope."


class NotFound(ActError):
    """404: there is no such thing in the tenant of the API key."""


class Conflict(ActError):
    """409: the call contradicts what is stored, or the same id was used for something else."""


class PayloadTooLarge(ActError):
    """413: the body is larger than ACT accepts."""


class UnsupportedMediaType(ActError):
    """415: the body is not declared as JSON."""


class Unprocessable(ActError):
    """422: the document has faults; `errors` lists all of them, and nothing was changed."""

    @property
    def errors(self) -> list[ProblemFault]:
        """Every fault: an RFC 6901 pointer into the body and a sentence."""
        return list(self.problem.errors or []) if self.problem else []


class TooManyRequests(ActError):
    """429: too many calls; `retry_after` says when to come back, if the server said so."""


class ServerError(ActError):
    """5xx: ACT failed. Nothing may be concluded about what was done."""


class Unreachable(ActError):
    """No answer arrived.

    Attributes:
        sent: False when the call certainly never reached the server, so that repeating it cannot do it twice.
    """

    def __init__(self, message: str, *, sent: bool = True, status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.sent = sent


class UnexpectedAnswer(Unreachable):
    """Something answered, but not as ACT answers; nothing in it is believed."""


class NotReported(ActError):
    """A guarded tool ran, but what it has read or made could not be told to its session, so its result is withheld."""


class PermissionDenied(ActError):
    """A guarded tool was not run. `decision` says why."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(f"{decision.reason} ({decision.reason_code})", request_id=decision.request_id)
        self.decision = decision


class ApprovalPending(PermissionDenied):
    """A guarded tool was not run yet: a person has to approve. `decision.approval` names what to wait for."""


_BY_STATUS: dict[int, type[ActError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: PayloadTooLarge,
    415: UnsupportedMediaType,
    422: Unprocessable,
    429: TooManyRequests,
}


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> ActError:
    """The error that an answer with a status of 400 or more stands for; `headers` is case-insensitive."""
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else ActError)
    try:
        problem = Problem.model_validate_json(body)
    except ValidationError:
        problem = None
    return kind(
        _message(kind, status, problem),
        status=status,
        problem=problem,
        request_id=headers.get("x-request-id"),
        retry_after=_seconds(headers.get("retry-after")),
    )


def denial(decision: Decision) -> PermissionDenied:
    """The exception for a decision that does not allow."""
    pending = decision.decision is Verdict.PENDING_APPROVAL
    return ApprovalPending(decision) if pending else PermissionDenied(decision)


def faults_in(error: ValidationError) -> str:
    """What is wrong with an answer, without the values in it: an answer may carry a token."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"/{'/'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults[:3])


def _message(kind: type[ActError], status: int, problem: Problem | None) -> str:
    if problem is None:
        text = f"The server answered {status} without saying why; is the base URL that of ACT?"
    else:
        text = f"{problem.detail or problem.title} ({problem.code}, {status})"
        for fault in problem.errors or []:
            text += f"\n  {fault.pointer or '(body)'}: {fault.message}"
    return f"{text} {kind.advice}" if kind.advice else text


def _seconds(value: str | None) -> float | None:
    """`Retry-After` in seconds; both forms of RFC 9110, section 10.2.3."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else None
