"""Functions whose arguments become something else behind the guard than they were before it."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from autogen_support import MODERN, assistant, group, person, script, texts
from autogen_support import chat as talk
from test_autogen_attacks import TASKS, World, one_call
from tests.integrations.suite.world import Station

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Any:
    station = Station(tmp_path_factory.mktemp("hostile"))
    yield station
    station.close()


@MODERN
@pytest.mark.parametrize("written", ["42", "4_2"])
def test_two_who_read_one_argument_differently_get_nothing(mode: str, station: Station, written: str) -> None:
    """A dependency gets the arguments of the function, and reads them by its own types."""
    from autogen.tools import Depends

    ran: list[Any] = []

    def whose(task_id: int) -> str:
        return f"task {task_id}"

    def task(task_id: str, owner: Any) -> str:
        ran.append((task_id, owner))
        return "done"

    whose.__annotations__ = {"task_id": int, "return": str}
    task.__annotations__ = {"task_id": str, "owner": Annotated[str, Depends(whose)], "return": str}
    world = World(station).may("Planner")
    shown = one_call(mode, world, task, {"task_id": written})
    assert "ACT denied: action_malformed: argument 'task_id' is read in two ways" in texts([[{"content": shown}]])
    assert ran == []
    assert world.act.calls == []


@MODERN
def test_a_dependency_that_reads_as_the_function_does(mode: str, station: Station) -> None:
    from autogen.tools import Depends

    ran: list[Any] = []

    def whose(task_id: int, tenant: int = 1) -> str:
        return f"task {task_id} of {tenant}"

    def task(task_id: int, owner: Any) -> str:
        ran.append((task_id, owner))
        return "done"

    whose.__annotations__ = {"task_id": int, "tenant": int, "return": str}
    task.__annotations__ = {"task_id": int, "owner": Annotated[str, Depends(whose)], "return": str}
    world = World(station).may("Planner")
    one_call(mode, world, task, {"task_id": "4_2", "tenant": 2})
    assert [asked.arguments for asked in world.act.calls] == [{"task_id": 42}]
    assert ran == [(42, "task 42 of 1")]


@MODERN
def test_what_a_function_takes_beside_its_parameters_is_read_too(mode: str, station: Station) -> None:
    ran: list[Any] = []

    def task(task_id: str, **others: Any) -> str:
        ran.append((task_id, others))
        return "done"

    task.__annotations__ = {"task_id": str, "others": dict[str, int], "return": str}
    world = World(station).may("Planner")
    one_call(mode, world, task, {"task_id": "t-1", "amount": "5_000"})
    assert [asked.arguments for asked in world.act.calls] == [{"task_id": "t-1", "amount": 5000}]
    assert ran == [("t-1", {"amount": 5000})]


@MODERN
def test_what_a_function_cannot_be_given_is_not_asked_about(mode: str, station: Station) -> None:
    ran: list[Any] = []

    def task(task_id: str, *others: str) -> str:
        ran.append((task_id, others))
        return "done"

    task.__annotations__ = {"task_id": str, "others": Any, "return": str}
    world = World(station).may("Planner")
    one_call(mode, world, task, {"task_id": "t-1", "others": ["safe"]})
    assert [asked.arguments for asked in world.act.calls] == [{"task_id": "t-1"}]
    assert ran == [("t-1", ())]


@pytest.mark.parametrize("bare", [True, False])
def test_a_function_that_knows_the_names_that_autogen_uses(mode: str, station: Station, bare: bool) -> None:
    """`real_model` is what AutoGen calls what reads the arguments; others call a model so."""
    ran: list[Any] = []

    def making(real_model: Any, kwargs_mapping: Any) -> Any:
        def task(task_id: str) -> str:
            ran.append((task_id, real_model, kwargs_mapping))
            return "done"

        task.__annotations__ = {"task_id": str, "return": str}
        return task

    world, task = World(station).may("Planner"), making("a model", {"task_id": "a mapping"})
    if bare:
        user, planner = person(), assistant("Planner")
        planner.register_function({"task": task})
        script(planner, ("task", {"task_id": "t-1"}), "TERMINATE")
        world.guard(user, planner, tools=TASKS)
        talk(mode, user, group(user, planner, allow_repeat_speaker=True))
    else:
        one_call(mode, world, task, {"task_id": "t-1"})
    assert [asked.arguments for asked in world.act.calls] == [{"task_id": "t-1"}]
    assert ran == [("t-1", "a model", {"task_id": "a mapping"})]
