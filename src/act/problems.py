"""Problems of the caller (RFC 9457), raised anywhere and answered by the server as `application/problem+json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from act.models import Problem, ProblemFault
from act.strict_json import MAX_FAULTS, Fault, escape
from act.text import without_secrets

TYPE_PREFIX = "urn:act:problem:"


class ProblemError(Exception):
    """One problem: `status` of HTTP, a stable `code`, and a sentence that says what to do."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.faults = tuple(faults)
        self.headers = dict(headers or {})

    def render(self, request_id: str, decision: Literal["denied"] | None = None) -> bytes:
        """The body of the answer. `decision` is written where a client expects one.

        Sentences and pointers tell what was sent; clients log them, so no token or key stands in them.
        """
        problem = Problem(
            type=TYPE_PREFIX + self.code,
            title=self.title,
            status=self.status,
            detail=self.detail,
            code=self.code,
            request_id=request_id,
            errors=[ProblemFault(pointer=f.pointer, message=f.message) for f in self.faults] or None,
            decision=decision,
        )
        return without_secrets(problem.model_dump_json(exclude_none=True)).encode()


def not_found(what: str, id: str) -> ProblemError:
    return ProblemError(404, "not_found", "Not found", f"There is no {what} '{id[:128]}' in this tenant.")


def archived(detail: str) -> ProblemError:
    return ProblemError(410, "archived", "Archived", detail)


def conflict(code: str, detail: str) -> ProblemError:
    return ProblemError(409, code, "Conflict", detail)


def forbidden(code: str, detail: str) -> ProblemError:
    return ProblemError(403, code, "Forbidden", detail)


def unprocessable(faults: Sequence[Fault], of: Literal["document", "query"] = "document") -> ProblemError:
    """Faults of a body, or of what stands beside it: there nothing could have been changed."""
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    if len(faults) >= MAX_FAULTS:
        count = f"{MAX_FAULTS} faults or more"  # an answer is no larger than a person can read
    unchanged = "" if of == "query" else "; nothing was changed"
    detail = f"The {of} has {count}{unchanged}. See 'errors'."
    return ProblemError(422, "document_invalid", "Document invalid", detail, faults[:MAX_FAULTS])


def overloaded(detail: str) -> ProblemError:
    return ProblemError(503, "overloaded", "Overloaded", detail, headers={"Retry-After": "1"})


def internal_error() -> ProblemError:
    detail = "The server failed; nothing was allowed. The server's log has the request id."
    return ProblemError(500, "internal_error", "Internal error", detail)


def faults_of_validation(error: ValidationError, document: Any) -> list[Fault]:
    """Every fault that pydantic found in a document, each with its JSON pointer."""
    return [
        fault
        for detail in error.errors(include_url=False)
        for fault in faults_of_detail(detail, detail["loc"], document)
    ]


def faults_of_detail(detail: ErrorDetails, location: Iterable[int | str], document: Any) -> list[Fault]:
    """The faults that one error of pydantic tells: one, or those that a field's own check has found inside it."""
    here = fault_of_detail(detail, location, document)
    if detail["type"] != "faults":
        return [here]
    return [Fault(here.pointer + fault.pointer, fault.message) for fault in detail["ctx"]["faults"]]


def fault_of_detail(detail: ErrorDetails, location: Iterable[int | str], document: Any) -> Fault:
    """One fault. Parts of the location that are not in the document name branches of a type, and are left out."""
    pointer, here = "", document
    *way, last = list(location) or [""]
    for part in (*way, last):
        if _holds(here, part):
            here = here[part]
        elif part is not last or detail["type"] != "missing":
            continue
        pointer += f"/{escape(str(part))}"
    return Fault(pointer, _sentence(detail))


def _holds(here: Any, part: int | str) -> bool:
    return (isinstance(here, dict) and part in here) or (
        isinstance(here, list) and isinstance(part, int) and part < len(here)
    )


def _sentence(detail: ErrorDetails) -> str:
    if detail["type"] == "missing":
        return "This field is required."
    if detail["type"] == "extra_forbidden":
        return "Unknown field."
    if detail["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return "Input should be an object."  # pydantic names types of Python, and not always the same
    message = detail["msg"].removeprefix("Value error, ")
    return f"{message[:1].upper()}{message[1:].rstrip('.')}."
