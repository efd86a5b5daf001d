"""What is made of arguments before ACT is asked, and what options are refused. No framework is needed for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from act.integrations import arguments
from act.integrations.base import GuardBase
from act.integrations.mapping import ToolSpec, as_spec


class Arguments(BaseModel):
    number: int = 0
    text: str = ""
    when: datetime | None = None
    secret: SecretStr | None = None


class Named(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    amount: int = Field(alias="amt")


class Moved(BaseModel):
    """Takes an amount from another place than the one where a policy looks for it."""

    amount: int

    @model_validator(mode="before")
    @classmethod
    def _from_override(cls, given: Any) -> Any:
        return {"amount": given["override"]} if "override" in given else given


@pytest.mark.parametrize(
    ("model", "written", "read"),
    [
        (Arguments, {"number": "007"}, {"number": 7}),
        (Arguments, {"number": 7.0, "unknown": 1}, {"number": 7}),
        (Arguments, {"number": True}, {"number": 1}),
        (Arguments, {}, {}),
        (Arguments, {"when": 0}, {"when": "1970-01-01T00:00:00Z"}),
        (Named, {"amount": 1, "amt": 2}, {"amt": 2}),
        (Moved, {"amount": 1, "override": 5000}, {"amount": 5000}),
    ],
)
def test_arguments_are_those_that_the_tool_reads(model: Any, written: Any, read: Any) -> None:
    assert arguments.read(model, written).arguments == read
    assert model.model_validate(read) == model.model_validate(written), "and what is read of them again"


@pytest.mark.parametrize(
    ("model", "written"),
    [
        (Arguments, {"number": "seven"}),  # the tool does not take it
        (Arguments, ["number"]),
        (None, {"number": "007"}),
        (dict, {"number": "007"}),
    ],
)
def test_what_cannot_be_read_stays_as_it_was_written(model: Any, written: Any) -> None:
    assert arguments.read(model, written).arguments == written


@pytest.mark.parametrize("others", [{}, {"number": "007"}])
def test_nobody_can_ask_about_what_json_cannot_say(others: Any) -> None:
    """It would be `**********`, whatever it is; and what else there is would go on as it was written."""
    assert arguments.read(Arguments, {"secret": "s", **others}).arguments is None


def test_defaults_are_not_sent() -> None:
    assert arguments.read(Arguments, {"text": "x"}).arguments == {"text": "x"}
    assert datetime(1970, 1, 1, tzinfo=UTC) == Arguments(when=0).when  # type: ignore[arg-type]  # as the control above


class NoGuard(GuardBase):
    framework = "none"


class NoAct:
    def enforce(self) -> None: ...


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tools": {"pay": "tool://pay"}}, r"stands for \(action, resource\) or for a ToolSpec, not for 'tool://pay'"),
        ({"tools": {"pay": "ab"}}, "not for 'ab'"),
        ({"tools": {"pay": ("call", "tool://pay", [])}}, "stands for"),
        ({"resources": {"pay": ("call", "tool://pay")}}, "are texts"),
        ({"tokens": ["token"]}, "mapping of the names of agents"),
    ],
)
def test_options_that_were_misunderstood_are_refused_in_words(options: dict[str, Any], said: str) -> None:
    act: Any = NoAct()
    with pytest.raises(TypeError, match=said):
        NoGuard(act, **{"tokens": {}, **options})


def test_what_a_tool_stands_for_may_be_a_pair() -> None:
    assert as_spec(("call", "tool://pay")) == ToolSpec("call", "tool://pay")
