"""What a person has to approve: told to the model, waited for, raised, or in the framework's own approval flow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agent_framework import Content, Message, ToolApprovalMiddleware
from agent_framework_support import TASK, Ran, World, agent, speak

from act.integrations.agent_framework import ActGuard, ApprovalPending

FREE = ("free", {"text": "x"})


@pytest.fixture
def world(world: World) -> World:
    world.allow("Executor", resource="api://tasks/execute/*", requires_approval=True)
    world.allow("Executor", resource="tool://free")
    return world


def settle(world: World, approval_id: str, verdict: str) -> None:
    if verdict == "approve":
        world.ann.approvals.approve(approval_id)
    elif verdict == "reject":
        world.ann.approvals.reject(approval_id, "not on a Friday")


def approval_of(request: Content) -> str:
    return str(request.additional_properties["act_approval_id"])


def free(text: str) -> str:
    return f"free {text}"


@pytest.mark.anyio
async def test_it_is_told_to_the_model_by_default(mode: str, world: World, ran: Ran) -> None:
    executor = agent("Executor", TASK, tools=[ran.tool])
    ActGuard(world, world.tokens).protect(executor)
    await speak(mode, executor)
    assert ran == []
    assert "ACT denied: approval_required: " in executor.client.text
    assert "is pending; nothing was done" in executor.client.text


@pytest.mark.anyio
async def test_it_is_raised(mode: str, world: World, ran: Ran) -> None:
    executor = agent("Executor", TASK, tools=[ran.tool])
    ActGuard(world, world.tokens, on_pending="raise").protect(executor)
    with pytest.raises(ApprovalPending) as pending:
        await speak(mode, executor)
    assert ran == []
    assert pending.value.decision.approval is not None
    world.ann.approvals.approve(pending.value.decision.approval.id)
    executor.client.steps[:] = [TASK]
    await speak(mode, executor)
    assert ran


@pytest.mark.anyio
@pytest.mark.parametrize("verdict", ["approve", "reject"])
async def test_a_request_ends_the_run_and_its_answer_resumes_it(
    mode: str, world: World, ran: Ran, verdict: str
) -> None:
    executor = agent("Executor", [TASK, FREE], "end", tools=[ran.tool, free])
    guard = ActGuard(world, world.tokens, on_pending="request").protect(executor)
    session = executor.create_session()
    response = await speak(mode, executor, session=session)
    (request,) = response.user_input_requests
    assert request.function_call.parse_arguments() == {"task_id": "t-1", "amount": 5}
    assert ran == []
    settle(world, approval_of(request), verdict)
    response = await speak(mode, executor, Message("user", [await guard.answer(request)]), session=session)
    assert response.text == "end"
    assert bool(ran) is (verdict == "approve")
    assert "free x" in executor.client.results
    if verdict == "reject":
        assert "ACT denied: approval_rejected: A person rejected this: not on a Friday" in executor.client.text
    assert world.codes.count("allowed") == (2 if verdict == "approve" else 1)


@pytest.mark.anyio
@pytest.mark.filterwarnings("error::FutureWarning")  # of the framework, about requests in an old form
async def test_an_answer_without_an_approval_is_requested_again(mode: str, world: World, ran: Ran) -> None:
    """Who clicks approve in the application decides nothing."""
    executor = agent("Executor", TASK, "end", tools=[ran.tool])
    guard = ActGuard(world, world.tokens, on_pending="request").protect(executor)
    session = executor.create_session()
    (request,) = (await speak(mode, executor, session=session)).user_input_requests
    waiting = approval_of(request)
    for _ in range(2):
        given = Message("user", [request.to_function_approval_response(True)])
        (request,) = (await speak(mode, executor, given, session=session)).user_input_requests
        assert ran == []
        assert approval_of(request) == waiting
    settle(world, waiting, "approve")
    given = Message("user", [await guard.answer(request)])
    assert (await speak(mode, executor, given, session=session)).text == "end"
    assert len(ran) == 1


@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore:.*experimental")
async def test_answers_of_a_rule_do_not_go_round_for_ever(mode: str, world: World, ran: Ran) -> None:
    """`ToolApprovalMiddleware` answers each request at once, and would ask ACT as fast as it can."""
    rule = ToolApprovalMiddleware(auto_approval_rules=[lambda call: True])
    executor = agent("Executor", TASK, TASK, "end", tools=[ran.tool], middleware=[rule])
    ActGuard(world, world.tokens, on_pending="request").protect(executor)
    session = executor.create_session()
    assert (await speak(mode, executor, session=session)).text == "end"
    assert [said[:30] for said in executor.client.results] == ["ACT denied: approval_required:"] * 2
    assert ran == []
    assert len(world.asked) == 10
    decision = world.asked[-1].decision
    assert decision is not None
    assert decision.approval is not None
    settle(world, decision.approval.id, "approve")
    executor.client.steps[:] = [TASK]
    await speak(mode, executor, session=session)
    assert ran == [("t-1", 5)]


@pytest.mark.anyio
async def test_what_the_application_refuses_is_not_asked_again(mode: str, world: World, ran: Ran) -> None:
    executor = agent("Executor", TASK, "end", tools=[ran.tool])
    ActGuard(world, world.tokens, on_pending="request").protect(executor)
    session = executor.create_session()
    (request,) = (await speak(mode, executor, session=session)).user_input_requests
    given = Message("user", [request.to_function_approval_response(False)])
    await speak(mode, executor, given, session=session)
    assert ran == []
    assert len(world.asked) == 1
    assert "rejected" in executor.client.text


@pytest.mark.anyio
@pytest.mark.parametrize("where", ["other session", "no session", "other agent"])
async def test_an_answer_counts_only_where_it_was_requested(world: World, ran: Ran, where: str) -> None:
    world.allow("Planner")
    executor, planner = (agent(name, TASK, tools=[ran.tool]) for name in ("Executor", "Planner"))
    guard = ActGuard(world, world.tokens, on_pending="request").protect(executor, planner)
    (request,) = (await speak("run", executor, session=executor.create_session())).user_input_requests
    settle(world, approval_of(request), "approve")
    given = Message("user", [await guard.answer(request)])
    who = planner if where == "other agent" else executor
    who.client.steps[:] = ["hello"]
    await speak("run", who, given, **({} if where == "no session" else {"session": who.create_session()}))
    assert ran == []
    assert len(world.asked) == 1


@pytest.mark.anyio
async def test_arguments_that_are_changed_in_the_answer_are_not_what_was_approved(world: World, ran: Ran) -> None:
    executor = agent("Executor", TASK, tools=[ran.tool])
    guard = ActGuard(world, world.tokens, on_pending="request").protect(executor)
    session = executor.create_session()
    (request,) = (await speak("run", executor, session=session)).user_input_requests
    settle(world, approval_of(request), "approve")
    answer = await guard.answer(request)
    answer.function_call.arguments = {"task_id": "t-2", "amount": 9}
    await speak("run", executor, Message("user", [answer]), session=session)
    assert ran in ([], [("t-1", 5)])


@pytest.mark.anyio
async def test_an_answer_is_waited_for(world: World, ran: Ran) -> None:
    executor = agent("Executor", TASK, tools=[ran.tool])
    guard = ActGuard(world, world.tokens, on_pending="request", approval_timeout=60).protect(executor)
    session = executor.create_session()
    (request,) = (await speak("run", executor, session=session)).user_input_requests
    waiting = asyncio.create_task(guard.answer(request))
    await asyncio.to_thread(settle, world, approval_of(request), "approve")
    answer = await waiting
    assert answer.approved
    await speak("run", executor, Message("user", [answer]), session=session)
    assert ran


@pytest.mark.anyio
@pytest.mark.parametrize("given", [None, "apr_1", Content.from_text("yes")], ids=["none", "id", "text"])
async def test_a_request_that_is_not_of_act_is_not_answered(world: World, given: Any) -> None:
    call = Content.from_function_call("c", "free", arguments={}, id="c")
    for request in (given, Content.from_function_approval_request("c", call)):
        with pytest.raises(ValueError, match="not a request for an approval of ACT"):
            await ActGuard(world, world.tokens, on_pending="request").answer(request)
