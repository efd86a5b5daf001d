"""Shapes that all wire types share."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
)
from pydantic.alias_generators import to_camel

from act.policies.globs import pattern_fault, resource_fault
from act.text import has_secret, text_fault, without_secrets

T = TypeVar("T")


def rfc3339(moment: datetime) -> str:
    """A moment as ACT writes it: UTC, milliseconds, `Z`."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"


def _read_moment(value: Any) -> Any:
    if isinstance(value, str):
        try:
            # RFC 3339, section 5.6: the letters may be small.
            value = datetime.fromisoformat(f"{value[:-1]}Z" if value[-2:-1].isdecimal() and value[-1] == "z" else value)
        except ValueError:
            raise ValueError("write a moment as RFC 3339, for example 2026-11-22T18:00:00Z") from None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("name the offset from UTC, for example 2026-11-22T18:00:00Z")
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise ValueError("the moment is outside the years 1 to 9999 in UTC") from None
    return value


def _refuse(fault_of: Callable[[str], str | None]) -> Callable[[str], str]:
    def check(value: str) -> str:
        if fault := fault_of(value):
            raise ValueError(fault)
        return value

    return check


Moment = Annotated[datetime, BeforeValidator(_read_moment), PlainSerializer(rfc3339, return_type=str)]


def _secret_fault(text: str) -> str | None:
    # Records keep no such text, and what has an id is known by it.
    return "choose one that does not look like a token or a key" if has_secret(text) else None


def _without_secret(value: dict[str, Any]) -> dict[str, Any]:
    if fault := _secret_fault(json.dumps(value, ensure_ascii=False)):
        raise ValueError(fault)
    return value


NoSecret = AfterValidator(_refuse(_secret_fault))

Identifier = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$"), NoSecret]
Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_refuse(text_fault)), NoSecret]
Role = Name
Text = Annotated[str, Field(max_length=2000), NoSecret]
Reason = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(without_secrets)]
"""What a person says of what they do; it is kept, and told to others."""
Pattern = Annotated[str, AfterValidator(_refuse(pattern_fault)), NoSecret]
Metadata = Annotated[dict[str, Any], AfterValidator(_without_secret)]
Label = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_refuse(text_fault)), NoSecret]
Resource = Annotated[str, AfterValidator(_refuse(resource_fault)), NoSecret]


class Request(BaseModel):
    """Base of everything a caller sends."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class Answer(BaseModel):
    """Base of everything ACT answers."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        hide_input_in_errors=True,
    )


class Page(Answer, Generic[T]):
    """One page of a list; `next_cursor` is opaque and present exactly when `has_more`."""

    items: list[T]
    has_more: bool = False
    next_cursor: str | None = None


class ProblemFault(Answer):
    pointer: str
    message: str


class Problem(Answer):
    """RFC 9457 problem details. `decision` is there so that a client that reads only it fails closed."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None = None
    errors: list[ProblemFault] | None = None
    decision: Literal["denied"] | None = None


class Scope(StrEnum):
    """What an API key may be used for. `admin` stands for all of them within its tenant."""

    ADMIN = "admin"
    AGENTS = "agents"
    POLICIES = "policies"
    TOKENS = "tokens"
    ENFORCE = "enforce"
    APPROVE = "approve"
    AUDIT = "audit"
    ANALYSIS = "analysis"
