"""The arguments that ACT decides about are those that the function gets, whatever a model writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Annotated, Any

import ag2
import pytest
from ag2 import Context, Depends, Inject, Variable
from ag2.events import ToolCallEvent
from ag2_support import Team, agent, call, results, run
from pydantic import AfterValidator, AliasChoices, BaseModel, Field, SecretStr
from tests.integrations.suite.world import Station

from act.integrations.ag2 import act_tool

pytestmark = pytest.mark.timeout(180)


class Tasks:
    """The tools of the tests, each on `api://tasks/{task_id}`, and what they got."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def tool(self, function: Callable[..., Any]) -> Any:
        return ag2.tool(act_tool(resource="api://tasks/{task_id}")(function), name="task")


def ask(team: Team, tool: Any, event: ToolCallEvent, *, guarded: bool = True, **options: Any) -> str:
    planner = agent("Planner", event, "done", tools=[tool], **options)
    if guarded:
        team.guard().protect(planner)
    return str(run(results(run(planner.ask("go")))))


@pytest.mark.parametrize("written", ["4_2", "042", " 42 ", "42.0", 42.0])
def test_a_value_is_decided_about_as_the_function_gets_it(station: Station, written: Any) -> None:
    def task(task_id: int) -> str:
        tasks.got.append(task_id)
        return "done"

    tasks, team = Tasks(), Team(station)
    ask(team, tasks.tool(task), call("task", task_id=written), guarded=False)
    assert tasks.got == [42], "the control: AG2 takes this for 42"
    # All tasks but one; a policy cannot list how else 42 may be written.
    team.planner.may("call", "api://tasks/*").may("call", "api://tasks/42", effect="deny")
    assert "ACT denied: policy_denied" in ask(team, tasks.tool(task), call("task", task_id=written))
    assert tasks.got == [42]
    assert team.act.calls[0].arguments == {"task_id": 42}


def test_the_name_by_which_the_function_reads_is_the_one_that_counts(station: Station) -> None:
    def task(task_id: Annotated[str, Field(alias="id")]) -> str:
        tasks.got.append(task_id)
        return "done"

    tasks, team, both = Tasks(), Team(station), call("task", task_id="allowed", id="forbidden")
    ask(team, tasks.tool(task), both, guarded=False)
    assert tasks.got == ["forbidden"], "the control"
    team.planner.may("call", "api://tasks/allowed")
    assert "ACT denied: resource_malformed" in ask(team, tasks.tool(task), both)
    by_alias = ag2.tool(act_tool(resource="api://tasks/{id}")(task), name="task")
    assert "ACT denied: no_matching_policy" in ask(team, by_alias, both)
    assert tasks.got == ["forbidden"]
    assert [asked.arguments for asked in team.act.calls] == [{"id": "forbidden"}]


def _of_variable(got: list[Any]) -> Any:
    def task(task_id: Annotated[str, Variable()]) -> None:
        got.append(task_id)

    return task


def _of_injection(got: list[Any]) -> Any:
    def task(task_id: Annotated[str, Inject()]) -> None:
        got.append(task_id)

    return task


def _of_dependency(got: list[Any]) -> Any:
    def real() -> str:
        return "real"

    def task(task_id: str = Depends(real)) -> None:
        got.append(task_id)

    return task


@pytest.mark.parametrize("kind", [_of_variable, _of_injection, _of_dependency])
def test_what_the_application_fills_in_is_not_for_the_model_to_say(station: Station, kind: Any) -> None:
    tasks, team = Tasks(), Team(station)
    team.planner.may("*", "*")
    tool, said = tasks.tool(kind(tasks.got)), call("task", task_id="made up")
    filled = {"variables": {"task_id": "real"}, "dependencies": {"task_id": "real"}}
    assert "ACT denied: resource_malformed" in ask(team, tool, said, **filled)
    assert tasks.got == []
    ask(team, ag2.tool(kind(tasks.got), name="task"), said, **filled)
    assert tasks.got == ["real"]
    assert [asked.arguments for asked in team.act.calls] == [{}]


def test_a_dependency_gets_what_was_decided(station: Station) -> None:
    def whose(tenant: int) -> str:
        return f"tenant {tenant}"

    def another(tenant: int) -> str:
        return f"another {tenant}"

    def task(task_id: str, context: Context, owner: str = Depends(whose)) -> None:
        tasks.got.append((task_id, owner))

    tasks, team = Tasks(), Team(station)
    team.planner.may("*", "*")
    said = call("task", task_id="1", tenant="0_7", nothing="of it")
    ask(team, tasks.tool(task), said)
    planner = agent("Planner", said, "done", tools=[tasks.tool(task)])
    planner.dependency_provider.override(whose, another)
    team.guard().protect(planner)
    run(planner.ask("go"))
    assert tasks.got == [("1", "tenant 7"), ("1", "another 0_7")], "what overrides a dependency is not converted"
    tenants = [asked.arguments for asked in team.act.calls]
    assert tenants == [{"task_id": "1", "tenant": 7}, {"task_id": "1", "tenant": "0_7"}]


def test_two_who_read_one_argument_differently_get_nothing(station: Station) -> None:
    def whose(task_id: int) -> str:
        return f"task {task_id}"

    def task(task_id: str, owner: str = Depends(whose)) -> None:
        tasks.got.append((task_id, owner))

    tasks, team, said = Tasks(), Team(station), call("task", task_id="4_2")
    ask(team, tasks.tool(task), said, guarded=False)
    assert tasks.got == [("4_2", "task 42")], "the control"
    team.planner.may("*", "*")
    assert "ACT denied: action_malformed: argument 'task_id'" in ask(team, tasks.tool(task), said)
    assert len(tasks.got) == 1
    assert team.act.calls == []


def _secret(got: list[Any]) -> Any:
    def task(task_id: str, more: SecretStr) -> None:
        got.append(more)

    return task


def _iterator(got: list[Any]) -> Any:
    def task(task_id: str, more: Iterable[str]) -> None:
        got.append(more)

    return task


def _of_two_names(got: list[Any]) -> Any:
    def task(task_id: str, more: Annotated[str, Field(validation_alias=AliasChoices("more", "less"))]) -> None:
        got.append(more)

    return task


def _raising(got: list[Any]) -> Any:
    def broken(value: Any) -> Any:
        raise LookupError(value)

    def task(task_id: str, more: Any) -> None:
        got.append(more)

    task.__annotations__["more"] = Annotated[str, AfterValidator(broken)]
    return task


def _wrong(got: list[Any]) -> Any:
    def task(task_id: str, more: date) -> None:
        got.append(more)

    return task


@pytest.mark.parametrize("kind", [_secret, _iterator, _of_two_names, _raising, _wrong])
def test_what_json_cannot_say_for_certain_is_not_asked_about(station: Station, kind: Any) -> None:
    tasks, team = Tasks(), Team(station)
    team.planner.may("*", "*")
    tool, said = tasks.tool(kind(tasks.got)), call("task", task_id="1", more=["x"] if kind is _iterator else "x")
    ask(team, tool, said, guarded=False)
    assert len(tasks.got) == (0 if kind in (_wrong, _raising) else 1), "the control"
    tasks.got.clear()
    assert "ACT denied: action_malformed: argument 'more'" in ask(team, tool, said)
    assert tasks.got == []
    assert team.act.calls == []


class Change(BaseModel):
    """What is not set stays as it is."""

    name: str | None = None
    amount: int = Field(0, alias="howMany")


def test_what_a_model_leaves_unset_stays_unset(station: Station) -> None:
    def task(task_id: str, change: Change) -> None:
        tasks.got.append(change.model_dump(exclude_unset=True))

    tasks, team = Tasks(), Team(station)
    team.planner.may("*", "*")
    ask(team, tasks.tool(task), call("task", task_id="1", change={"howMany": "5"}))
    assert tasks.got == [{"amount": 5}]
    assert team.act.calls[0].arguments == {"task_id": "1", "change": {"howMany": 5}}


def test_observing_changes_no_arguments(station: Station) -> None:
    def task(task_id: str, more: SecretStr) -> None:
        tasks.got.append(more.get_secret_value())

    tasks, team = Tasks(), Team(station, mode="observe")
    guard = team.guard()
    planner = agent("Planner", call("task", task_id="1", more="x"), "done", tools=[tasks.tool(task)])
    guard.protect(planner)
    run(planner.ask("go"))
    assert tasks.got == ["x"]
    assert [seen.code.value for seen, _ in guard.report().denied] == ["action_malformed"]
