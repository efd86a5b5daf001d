"""A pending approval that is put to the person behind the agent's `hitl_hook`."""

from __future__ import annotations

import asyncio
from typing import Any

import ag2
import pytest
from ag2.events import HumanInputRequest, ToolApprovalRequest
from ag2_support import TOUCH, Team, Touched, agent, call, model, results, run
from tests.integrations.suite.world import Station

from act import ApprovalPending

pytestmark = pytest.mark.timeout(180)


class Hook:
    """A person who answers, and what they were asked."""

    def __init__(self, answer: Any) -> None:
        self.asked: list[HumanInputRequest] = []
        self._answer = answer

    async def answer(self, event: HumanInputRequest) -> str:
        self.asked.append(event)
        if isinstance(self._answer, BaseException):
            raise self._answer
        if self._answer is None:
            await asyncio.sleep(3600)
        return str(self._answer)


def team(station: Station, hook: Hook | None, **options: Any) -> tuple[Any, Team, Touched]:
    touched, team = Touched(), Team(station)
    team.planner.may("call", "tool://touch", constraints={"requires_approval": True})
    planner = agent("Planner", TOUCH, "done", tools=[touched.tool], hitl_hook=hook and hook.answer)
    team.guard(**{"approver": station.person, **options}).protect(planner)
    return planner, team, touched


async def _seen(planner: Any) -> str:
    return await results(await planner.ask("go"))


@pytest.mark.parametrize("on_pending", ["deny", "wait", "raise"])
def test_a_yes_is_an_approval_of_exactly_this_call(station: Station, on_pending: str) -> None:
    hook = Hook(" Yes ")
    planner, whole, touched = team(station, hook, on_pending=on_pending)
    assert run(_seen(planner)) == "touched x"
    assert touched == ["x"]
    (asked,) = hook.asked
    assert isinstance(asked, ToolApprovalRequest)
    for word in ("call tool://touch", '{"what": "x"}'):
        assert word in asked.content
    assert whole.planner.waiting() == []
    approvals = [item for item in station.person.approvals.list() if item.agent_id == whole.planner.id]
    assert [(item.status, len(item.approved_by)) for item in approvals] == [("redeemed", 1)]


@pytest.mark.parametrize(
    ("answer", "said"), [("n", "said no"), ("", "said no"), ("not on a Friday", "not on a Friday")]
)
def test_anything_else_is_a_rejection_with_its_reason(station: Station, answer: str, said: str) -> None:
    planner, whole, touched = team(station, Hook(answer))
    seen = run(_seen(planner))
    assert touched == []
    assert "ACT denied: approval_rejected: " in seen
    assert said in seen
    assert whole.planner.waiting() == []


@pytest.mark.parametrize("hook", [None, Hook(RuntimeError("no line"))])
def test_a_person_who_cannot_be_asked_has_said_nothing(station: Station, hook: Hook | None) -> None:
    planner, whole, touched = team(station, hook)
    seen = run(_seen(planner))
    assert touched == []
    assert "ACT denied: approval_required: " in seen
    assert len(whole.planner.waiting()) == 1


def test_a_person_who_does_not_answer_holds_nobody_up(station: Station) -> None:
    planner, whole, touched = team(station, Hook(None), approval_timeout=0.3)
    assert "approval_required" in run(_seen(planner))
    assert touched == []
    assert len(whole.planner.waiting()) == 1


def test_a_person_who_may_not_approve_approves_nothing(station: Station) -> None:
    """The word is given with the approver's API key, and counts for what that key may do."""
    key = station.act.api_keys.create("reader", ["audit"]).key
    for answer, code in (("y", "approval_required"), ("n", "approval_rejected")):
        planner, whole, touched = team(station, Hook(answer), approver=station.act.with_key(key))
        assert f"ACT denied: {code}: " in run(_seen(planner))
        assert touched == []
        assert len(whole.planner.waiting()) == 1


def test_without_an_approver_the_person_is_not_asked(station: Station) -> None:
    hook = Hook("y")
    planner, _, touched = team(station, hook, approver=None)
    assert "approval_required" in run(_seen(planner))
    assert (hook.asked, touched) == ([], [])
    planner, _, touched = team(station, hook, approver=None, on_pending="raise")
    with pytest.raises(ApprovalPending):
        run(planner.ask("go"))
    assert touched == []


def test_ag2s_own_approval_stands_before_the_one_of_act(station: Station) -> None:
    """`approval_required` of AG2 asks the person first; a no there is never asked about."""
    from ag2.middleware.builtin.tools import approval_required

    touched, whole = Touched(), Team(station)
    tool = ag2.tool(touched.tool, middleware=[approval_required()])
    for answer, asked in (("n", 0), ("y", 1)):
        planner = agent("Planner", TOUCH, "done", tools=[tool], hitl_hook=Hook(answer).answer)
        whole.guard().protect(planner)
        run(planner.ask("go"))
        assert touched == []
        assert len(whole.asked) == asked


def test_the_person_of_the_agent_answers_for_its_subtask(station: Station) -> None:
    hook, touched, whole = Hook("y"), Touched(), Team(station)
    whole.planner.may("call", "tool://run_subtask")
    whole.planner.may("call", "tool://touch", constraints={"requires_approval": True})
    child = ag2.TaskConfig(config=model(TOUCH, "sub done"))
    turns = (call("run_subtask", task="touch it"), "done")
    planner = agent("Planner", *turns, tools=[touched.tool], tasks=child, hitl_hook=hook.answer)
    whole.guard(approver=station.person).protect(planner)
    run(planner.ask("go"))
    assert touched == ["x"]
    assert len(hook.asked) == 1
