"""A test suite of policies as its author writes it; `docs/testing-policies.md` tells the format."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from act.models import Moment, Name, ReasonCode, Request, Text

Decision = Literal["allowed", "denied", "pending_approval"]
DECISIONS: tuple[Decision, ...] = ("allowed", "denied", "pending_approval")


def _code(written: Any) -> Any:
    if isinstance(written, str):
        try:
            return ReasonCode(written)
        except ValueError:
            raise ValueError(f"there is no reason code '{written}'") from None
    return written


_Code = Annotated[ReasonCode, BeforeValidator(_code)]


def _expectation(written: Any) -> Any:
    if isinstance(written, str):
        if written not in DECISIONS:
            raise ValueError(f"write one of {', '.join(DECISIONS)}, or an object with `decision`")
        return {"decision": written}
    return written


def _several(written: Any) -> Any:
    return [written] if isinstance(written, str) else written


_Several = Annotated[list[str], Field(min_length=1), BeforeValidator(_several)]


class Expected(Request):
    """What should come out; what is None may be anything. `policies` are names, in any order."""

    decision: Decision
    reason_code: _Code | None = None
    policies: list[Name] | None = None


class SingleCase(Request):
    """One request, and what should come out. `now` takes the place of the suite's."""

    case: Text = ""
    agent: str
    action: str
    resource: str
    arguments: dict[str, Any] = {}
    context: dict[str, Any] = {}
    requester: str | None = None
    now: Moment | None = None
    expect: Annotated[Expected, BeforeValidator(_expectation)]


class Matrix(Request):
    """Every agent does every action on every resource with each of the arguments, which have names of their own."""

    agents: Annotated[list[str], Field(min_length=1)]
    actions: Annotated[list[str], Field(min_length=1)]
    resources: Annotated[list[str], Field(min_length=1)]
    arguments: Annotated[dict[str, dict[str, Any]], Field(min_length=1)] | None = None
    context: dict[str, Any] = {}


class Cells(Request):
    """The cells of a matrix that have all of these; what is None is not asked about."""

    agent: _Several | None = None
    action: _Several | None = None
    resource: _Several | None = None
    arguments: _Several | None = None
    reason_code: _Code | None = None
    policies: list[Name] | None = None


class Listed(Request):
    """What should come out for the cells of a matrix; denied for those that are not listed."""

    allowed: list[Cells] = []
    pending_approval: Annotated[list[Cells], Field(alias="pending_approval")] = []
    denied: list[Cells] = []


class MatrixCase(Request):
    """Many requests at once."""

    case: Text = ""
    matrix: Matrix
    now: Moment | None = None
    expect: Listed = Listed()


class SuiteDocument(Request):
    """The whole suite; its agents, policies and cases are read one by one, so that each tells its own faults."""

    about: Text = ""
    now: Moment | None = None
    agents: Annotated[list[Any], Field(min_length=1)]
    files: list[str] = []
    policies: list[Any] = []
    cases: Annotated[list[Any], Field(min_length=1)]
