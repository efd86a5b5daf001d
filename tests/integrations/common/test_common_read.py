"""Arguments as one or several readers have them, and why nobody gets them. No framework is needed for it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr, model_validator

from act.integrations.arguments import Read, model_of, read, read_by_all
from act.integrations.base import GuardBase, Plan
from act.integrations.context import during
from act.integrations.mapping import ToolSpec


class Arguments(BaseModel):
    number: int = Field(default=0, alias="no")
    numbers: set[int] = set()
    secret: SecretStr | None = None


class Taking(BaseModel):
    number: int = 0

    @model_validator(mode="before")
    @classmethod
    def _taken(cls, given: Any) -> Any:
        return {"number": given.pop("number", 0) + given.pop("fee", 0)}


class Raising(BaseModel):
    number: int = 0

    @model_validator(mode="after")
    def _refused(self) -> Raising:
        raise LookupError(self.number)


@pytest.mark.parametrize(
    ("model", "written", "expected"),
    [
        (Arguments, {"no": "7"}, Read({"no": 7})),
        (Arguments, {"no": "x"}, Read({"no": "x"}, "argument 'no': Input should be a valid integer, unable to parse")),
        (
            Arguments,
            {"secret": "x", "no": 1},
            Read(None, "argument 'secret' is of a type that JSON does not tell whole"),
        ),
        (Raising, {"number": 1}, Read({"number": 1}, "argument 'number': LookupError")),
        (Arguments, ["no"], Read(["no"])),
        (dict, {"no": "7"}, Read({"no": "7"})),
    ],
)
def test_a_reading_says_why_not(model: Any, written: Any, expected: Read) -> None:
    got = read(model, written)
    assert got.arguments == expected.arguments
    assert (got.fault or "").startswith(expected.fault or "")
    assert (got.fault is None) is (expected.fault is None)


@pytest.mark.parametrize("numbers", [[8, 0], [0, 8], [16, 8, 0, 24], [3, 3, 3]])
def test_a_set_has_no_order(numbers: list[int]) -> None:
    got = read(Arguments, {"numbers": numbers})
    assert got.fault is None
    assert set(got.arguments["numbers"]) == set(numbers)


def test_reading_changes_nothing_that_was_given() -> None:
    given = {"number": 5, "fee": 1}
    assert read(Taking, given) == Read({"number": 6})
    assert given == {"number": 5, "fee": 1}


def test_all_who_read_an_argument_read_it_alike() -> None:
    number, text, other = (model_of({"x": (int, ...)}), model_of({"x": (str, ...)}), model_of({"y": (str, "")}))
    assert read_by_all([number, number, other], {"x": "4_2", "y": "1", "z": 1}) == Read({"x": 42, "y": "1"})
    assert read_by_all([text, number], {"x": "42"}) == Read(None, "argument 'x' is read in two ways")
    refused = read_by_all([number, text], {"x": "42"})
    assert refused.fault is not None, "what is a number by then is no text"


class NoGuard(GuardBase):
    framework = "none"


class NoAct:
    def enforce(self) -> None: ...


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (Read({"task_id": "1"}, "argument 'x' is wrong"), "action_malformed"),
        (Read({}, "argument 'x' is wrong"), "resource_malformed"),
        (Read(None, "argument 'x' is wrong"), "action_malformed"),
        (Read({"task_id": "1", "x": float("nan")}), "action_malformed"),
        ({}, "resource_malformed"),
    ],
)
def test_what_has_a_fault_is_never_planned(given: Any, code: str) -> None:
    act: Any = NoAct()
    ruling = NoGuard(act, {}).plan("task", given, spec=ToolSpec("call", "api://tasks/{task_id}"))
    assert not isinstance(ruling, Plan)
    assert (ruling.allowed, ruling.code.value) == (False, code)


def test_a_context_variable_has_its_value_for_a_time() -> None:
    variable: ContextVar[int] = ContextVar("variable", default=0)
    with pytest.raises(LookupError), during(variable, 1), during(variable, 2):
        assert variable.get() == 2
        raise LookupError
    assert variable.get() == 0
