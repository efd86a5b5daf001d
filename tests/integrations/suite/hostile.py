"""Types that make something of their arguments that is not what was written, or not the same each time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    Json,
    PlainSerializer,
    SecretStr,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic_core import core_schema, to_jsonable_python
from typing_extensions import TypedDict


@dataclass(frozen=True)
class Kind:
    """A type of an argument, made anew for each run, and what a model writes for it."""

    name: str
    make: Callable[[], Any]
    written: Any


def late(times: int) -> Callable[[], Any]:
    """Raises so many times before it takes what it is given."""

    def make() -> Any:
        left = [times]

        def check(value: int) -> int:
            left[0] -= 1
            if left[0] >= 0:
                raise ValueError("not ready")
            return value

        return Annotated[int, AfterValidator(check)]

    return make


def once() -> Any:
    """Takes a value once, as a check for repeated numbers does."""
    used: set[int] = set()

    def check(value: int) -> int:
        if value in used:
            raise LookupError(value)
        used.add(value)
        return value

    return Annotated[int, AfterValidator(check)]


def counting() -> Any:
    calls: list[int] = []

    def check(value: int) -> int:
        calls.append(value)
        return value + len(calls)

    return Annotated[int, AfterValidator(check)]


class Money:
    """Says of itself that it is like any other; cents of what was written as whole units."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return core_schema.no_info_after_validator_function(
            lambda units: cls(units * 100),
            core_schema.int_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda money: money.cents),
        )


class Taking(BaseModel):
    """Changes what it is given to read."""

    amount: int = 0
    unit: str = "cent"

    @model_validator(mode="before")
    @classmethod
    def _in_cents(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.pop("unit", "cent") == "euro":
            given["amount"] = int(given["amount"]) * 100
        return given


class Liar(BaseModel):
    """Tells the same of each, and is equal to each."""

    amount: int

    @model_serializer
    def _told(self) -> dict[str, Any]:
        return {"amount": 1}

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class Hiding(BaseModel):
    amount: int
    account: str = Field(default="own", exclude=True)


class Renamed(BaseModel):
    amount: int = Field(default=1, validation_alias="in", serialization_alias="out")


class Aliased(BaseModel):
    amount: int = Field(alias="howMany")


class Made(BaseModel):
    amount: int = 0
    notes: list[str] = Field(default_factory=lambda: ["made"])


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int = 0


class Typed(TypedDict, total=False):
    x: int


def by_unit() -> Any:
    """Reads an amount by another argument."""

    class Price(BaseModel):
        unit: str = "cent"
        amount: Annotated[int, AfterValidator(in_cents)] = 0

    return Price


def in_cents(value: int, info: ValidationInfo) -> int:
    return value * 100 if (info.data or {}).get("unit") == "euro" else value


KINDS = [
    *(Kind(f"late {times}", late(times), "7") for times in range(1, 8)),
    Kind("once", once, 7),
    Kind("counting", counting, "7"),
    Kind("times", lambda: Annotated[int, AfterValidator(lambda value: value * 100)], 7),
    Kind("flag", lambda: Annotated[Any, BeforeValidator(lambda value: value == 1)], 1),
    Kind("money", lambda: Money, 7),
    Kind("taking", lambda: Taking, {"amount": "5", "unit": "euro"}),
    Kind("liar", lambda: Liar, {"amount": 5000}),
    Kind("hiding", lambda: Hiding, {"amount": 1, "account": "of another"}),
    Kind("renamed", lambda: Renamed, {"in": 5000, "out": 1}),
    Kind("aliased", lambda: Aliased, {"howMany": "5"}),
    Kind("made", lambda: Made, {"amount": "5"}),
    Kind("by unit", by_unit, {"unit": "euro", "amount": "5"}),
    Kind("secret", lambda: SecretStr, "x"),
    Kind("secrets", lambda: deque[SecretStr], ["x"]),
    Kind("secret keys", lambda: dict[SecretStr, int], {"x": 1}),
    Kind("masked", lambda: Annotated[str, PlainSerializer(lambda _: "***", when_used="json")], "x"),
    Kind("iterator", lambda: Iterable[int], [1, 2]),
    Kind("number", lambda: float, "inf"),
    Kind("no number", lambda: float, "NaN"),
    Kind("decimal", lambda: Decimal, "1.10"),
    Kind("large", lambda: int, "1" * 30),
    Kind("moment", lambda: datetime, 0),
    Kind("day or text", lambda: date | str, 0),
    Kind("span", lambda: timedelta, 90),
    Kind("bytes", lambda: bytes, "\u00e9"),
    Kind("enum", lambda: Colour, "red"),
    Kind("point", lambda: Point, {"x": "1"}),
    Kind("typed", lambda: Typed, {"x": "1", "y": 2}),
    Kind("set", lambda: set[int], [8, "0", 8]),
    Kind("text in text", lambda: Json[Any], '{"a": 1, "a": 2}'),
    Kind("path", lambda: Path, "a/../b"),
    Kind("id", lambda: UUID, "00000000000000000000000000000007"),
]


def told(value: Any) -> Any:
    """All that is in a value that a function got, as plain values that can be compared."""
    if isinstance(value, Mapping):
        return {str(told(name)): told(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset | deque):
        return sorted((told(one) for one in value), key=repr)
    if isinstance(value, BaseModel):
        return {name: told(one) for name, one in vars(value).items()}
    if is_dataclass(value):
        return {field.name: told(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Money):
        return value.cents
    return to_jsonable_python(value, inf_nan_mode="strings")


def is_all_of(asked: Any, got: Any) -> bool:
    """Whether what was asked about is what the function got, but for names and defaults that the function added."""
    if isinstance(got, dict) and isinstance(asked, dict):
        names = {name.replace("howMany", "amount"): name for name in asked}
        added = {"unit": "cent", "account": "own", "notes": ["made"], "y": 0, "amount": 0}
        return names.keys() <= got.keys() and all(
            is_all_of(asked[names[name]], one) if name in names else added.get(name) == one for name, one in got.items()
        )
    return type(asked) is type(got) and bool(asked == got)
