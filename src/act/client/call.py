"""A call to ACT as a value: what to send and how to read the answer, without any I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from act.client.errors import UnexpectedAnswer, error_of, faults_in
from act.strict_json import faults_of

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One API call.

    Attributes:
        path: already percent-encoded.
        parse: reads the body of a success; raises `ValueError` when it is not what was promised.
        body: JSON; kept out of the repr because it may carry a token.
        idempotent: doing it twice is the same as doing it once, so it needs no `Idempotency-Key`.
        wait: seconds for which the server may hold the answer back (long poll).
        answers: further statuses whose body is an answer and no error.
        headers: beside those of every call.
    """

    method: str
    path: str
    parse: Callable[[bytes], T]
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    idempotent: bool = False
    wait: float = 0.0
    answers: frozenset[int] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> bytes | None:
        """The body as JSON text, or None.

        Raises:
            ValueError: the body is not JSON of one reading only; names every fault by its pointer.
        """
        return None if self.body is None else encoded(self.body)

    def read(self, status: int, headers: Mapping[str, str], body: bytes) -> T:
        """The answer.

        Raises:
            ActError: the class for the status.
            UnexpectedAnswer: a redirect, or a body that is not what the call promises.
        """
        if 300 <= status < 400:
            raise UnexpectedAnswer(
                "The server answered with a redirect, which is not followed; set the base URL to where ACT is.",
                status=status,
            )
        if not 200 <= status < 300 and status not in self.answers:
            raise error_of(status, headers, body)
        try:
            return self.parse(body)
        except ValidationError as error:
            # `from None`: the original shows the values of the answer, and an answer may carry a token.
            raise UnexpectedAnswer(f"The answer is not one of ACT: {faults_in(error)}.", status=status) from None
        except ValueError as error:
            raise UnexpectedAnswer(f"The answer is not one of ACT: {error}", status=status) from None


def path(*segments: str) -> str:
    """A path under `/v1`, every segment percent-encoded so that an id can never name another call.

    Raises:
        ValueError: a segment is empty, `.` or `..`, which no encoding keeps apart from the path around it.
    """
    if any(segment in ("", ".", "..") for segment in segments):
        raise ValueError("An id cannot be empty, '.' or '..'.")
    return "/v1/" + "/".join(quote(segment, safe="") for segment in segments)


def nothing(body: bytes) -> None:
    """The parser of a 204."""
    if body.strip():
        raise ValueError("there should be no body.")


def get(at: str, kind: type[M], params: Mapping[str, str | None] | None = None, *, wait: int = 0) -> Call[M]:
    """Read one thing; parameters that are None are left out. With `wait`, a long poll of that many seconds."""
    given = {name: value for name, value in (params or {}).items() if value is not None}
    if wait:
        given["wait"] = str(wait)
    return Call("GET", at, kind.model_validate_json, params=given, idempotent=True, wait=wait)


def post(
    at: str,
    kind: type[M],
    body: Mapping[str, Any] | None = None,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> Call[M]:
    """Change one thing. Members of `body` that are None were not given and are left out."""
    given = None if body is None else {name: value for name, value in body.items() if value is not None}
    return Call(method, at, kind.model_validate_json, body=given, headers=headers or {})


def encoded(value: Any) -> bytes:
    """`value` as JSON text.

    Raises:
        ValueError: it is not JSON of one reading only (`act.strict_json`); names every fault by its pointer.
    """
    if faults := list(faults_of(value)):
        said = " ".join(f"{fault.pointer or '(body)'}: {fault.message}" for fault in faults)
        raise ValueError(f"This cannot be sent as JSON. {said}")
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
