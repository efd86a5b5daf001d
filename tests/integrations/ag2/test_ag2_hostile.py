"""Functions whose arguments become something else behind the gate than they were before it."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from ag2 import Depends, Variable
from ag2_support import Team, call
from pydantic import AfterValidator, ValidationInfo
from test_ag2_arguments import Tasks, ask
from tests.integrations.suite.world import Station

pytestmark = pytest.mark.timeout(60)


def in_cents(value: int, info: ValidationInfo) -> int:
    return value * 100 if (info.data or {}).get("unit") == "euro" else value


def test_a_value_that_is_read_by_another_argument(station: Station) -> None:
    def task(task_id: str, unit: str, amount: Annotated[int, AfterValidator(in_cents)]) -> None:
        tasks.got.append(amount)

    tasks, team, said = Tasks(), Team(station), call("task", task_id="1", unit="euro", amount=5)
    team.planner.may("*", "*")
    ask(team, tasks.tool(task), said, guarded=False)
    assert tasks.got == [500], "the control"
    assert "ACT denied: action_malformed: argument 'amount'" in ask(team, tasks.tool(task), said)
    assert tasks.got == [500]
    ask(team, tasks.tool(task), call("task", task_id="1", unit="cent", amount="5"))
    assert tasks.got == [500, 5]
    assert [asked.arguments["amount"] for asked in team.act.calls] == [5]


def test_a_name_that_fastdepends_takes_for_itself(station: Station) -> None:
    def task(task_id: str, nested: bool = False) -> None:
        tasks.got.append(nested)

    tasks, team, said = Tasks(), Team(station), call("task", task_id="1", nested=True)
    team.planner.may("*", "*")
    ask(team, tasks.tool(task), said, guarded=False)
    assert tasks.got == [False], "the control: it does not get what the model wrote"
    assert "ACT denied: action_malformed: argument 'nested'" in ask(team, tasks.tool(task), said)
    assert tasks.got == [False]
    assert team.act.calls == []


def test_what_is_filled_in_is_not_for_the_model_to_say_though_another_takes_it(station: Station) -> None:
    def real() -> str:
        return "real"

    def audit(account: str) -> str:
        return f"audit of {account}"

    def task(task_id: str, account: str = Depends(real), note: str = Depends(audit)) -> None:
        tasks.got.append((account, note))

    tasks, team, said = Tasks(), Team(station), call("task", task_id="1", account="made up")
    team.planner.may("*", "*")
    ask(team, tasks.tool(task), said, guarded=False)
    assert tasks.got == [("made up", "audit of made up")], "the control"
    ask(team, tasks.tool(task), said)
    assert tasks.got[1:] == [("real", "audit of real")]
    assert [asked.arguments for asked in team.act.calls] == [{"task_id": "1"}]


def _others(got: list[Any]) -> Any:
    def task(*, task_id: str, **others: Any) -> None:
        got.append({name for name in others if not name.startswith("_")})

    return task


def _more(got: list[Any]) -> Any:
    def task(task_id: str, *others: Any) -> None:
        got.append(set(others))

    return task


@pytest.mark.parametrize("kind", [_others, _more])
def test_what_no_parameter_is_for_is_neither_asked_about_nor_given(station: Station, kind: Any) -> None:
    tasks, team = Tasks(), Team(station)
    team.planner.may("*", "*")
    ask(team, tasks.tool(kind(tasks.got)), call("task", task_id="1", others=["safe"], reason="safe"))
    assert [asked.arguments for asked in team.act.calls] == [{"task_id": "1"}]
    assert tasks.got == [set()]


def test_a_variable_of_the_application_stays_its_own(station: Station) -> None:
    def whose(tenant: str = "none") -> str:
        return f"of {tenant}"

    def task(task_id: str, tenant: Annotated[str, Variable()], owner: str = Depends(whose)) -> None:
        tasks.got.append((tenant, owner))

    tasks, team = Tasks(), Team(station)
    team.planner.may("*", "*")
    ask(team, tasks.tool(task), call("task", task_id="1", tenant="made up"), variables={"tenant": "real"})
    assert [asked.arguments for asked in team.act.calls] == [{"task_id": "1"}]
    assert tasks.got == [("real", "of none")]
