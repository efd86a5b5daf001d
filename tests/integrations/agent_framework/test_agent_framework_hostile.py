"""Arguments that become something else behind the decision than they were before it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import pytest
from agent_framework import FunctionInvocationContext, FunctionMiddleware
from agent_framework_support import World, agent, speak
from pydantic import AfterValidator
from pydantic_core import to_jsonable_python

from act.integrations.agent_framework import ActGuard


class Plain(FunctionMiddleware):  # type: ignore[misc]
    """Puts JSON in the place of the arguments, as one that logs them may: it is the same, and is read again."""

    async def process(self, context: FunctionInvocationContext, call_next: Any) -> None:
        context.arguments = to_jsonable_python(dict(context.arguments))
        await call_next()


@pytest.mark.anyio
@pytest.mark.parametrize("guarded", [False, True])
async def test_what_is_read_again_behind_the_decision_is_another_call(mode: str, world: World, guarded: bool) -> None:
    got = []

    def pay(amount, when) -> None:  # type: ignore[no-untyped-def]
        got.append(amount)

    in_cents = Annotated[int, AfterValidator(lambda value: value * 100)]
    pay.__annotations__ = {"amount": in_cents, "when": datetime}
    world.allow("Planner")
    call = ("pay", {"amount": 5, "when": "2026-11-23T00:00:00Z"})
    planner = agent("Planner", call, tools=[pay], middleware=[Plain()])
    if guarded:
        ActGuard(world, world.tokens).protect(planner)
    await speak(mode, planner)
    assert got == ([] if guarded else [50_000]), "5 euros are 500 cents"
    if guarded:
        assert world.asked[0].said["arguments"]["amount"] == 500
        assert "ACT denied: action_malformed: This is not the call that was decided about" in planner.client.text
        assert world.statuses == ["failed"]


@pytest.mark.anyio
async def test_json_in_the_place_of_the_arguments_is_the_same_call(mode: str, world: World) -> None:
    got = []

    def pay(amount, when) -> None:  # type: ignore[no-untyped-def]
        got.append((amount, when.year))

    pay.__annotations__ = {"amount": int, "when": datetime}
    world.allow("Planner")
    call = ("pay", {"amount": "5", "when": "2026-11-23T00:00:00Z"})
    planner = agent("Planner", call, tools=[pay], middleware=[Plain()])
    ActGuard(world, world.tokens).protect(planner)
    await speak(mode, planner)
    assert got == [(5, 2026)]


@pytest.mark.anyio
async def test_arguments_that_the_tool_does_not_take_are_not_asked_about(mode: str, world: World) -> None:
    def pay(amount: int) -> None: ...

    pay.__annotations__ = {"amount": int}
    world.allow("Planner")
    planner = agent("Planner", ("pay", {"amount": "seven"}), tools=[pay])
    ActGuard(world, world.tokens).protect(planner)
    await speak(mode, planner)
    assert world.asked == []
    assert "ACT denied: action_malformed: argument 'amount': Input should be a valid integer" in planner.client.text
    assert "seven" not in planner.client.text


@pytest.mark.anyio
async def test_observing_lets_them_go_as_they_are(world: World) -> None:
    def pay(amount: int) -> None: ...

    pay.__annotations__ = {"amount": int}
    planner = agent("Planner", ("pay", {"amount": "seven"}), tools=[pay])
    guard = ActGuard(world, world.tokens, mode="observe").protect(planner)
    await speak("run", planner)
    assert "Argument parsing failed" in planner.client.text
    assert [seen.code.value for seen, _ in guard.report().denied] == ["action_malformed"]
