"""Tool calls: `execute_function` and `a_execute_function` of each protected agent, on the instance.

Both forms of call (`tool_calls`, `function_call`), sync and async, and functions registered later all pass through
these two. What is decided is what runs: the arguments are read once, as the function takes them, sent to ACT, and
written anew for the original.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from act.integrations.autogen.arguments import as_taken
from act.integrations.autogen.executors import calling
from act.integrations.autogen.requester import Frame, frame_of
from act.integrations.base import Plan
from act.integrations.core import ApprovalPending, NotReported, Party, Ruling
from act.integrations.ruling import ruling_from
from act.models import ReasonCode

if TYPE_CHECKING:
    from act.integrations.autogen.guard import ActGuard

Agent = Any
Result = tuple[bool, dict[str, Any]]


class Parties(TypedDict):
    """Who would carry out a call, and who asked for it."""

    executor: Party
    asker: Party | None


@dataclass(frozen=True)
class Planned:
    """A call as it is to be decided, and the form in which it is run when it is allowed.

    In the place of a `plan` may stand the ruling on a call that cannot be put to ACT.
    """

    plan: Plan | Ruling
    parties: Parties
    func_call: dict[str, Any]
    function: Any

    @property
    def labels(self) -> Sequence[str] | None:
        return self.plan.labels if isinstance(self.plan, Plan) else None

    def replaced(self, agent: Agent, guard: ActGuard) -> Result | None:
        """The result when the agent has another function by this name by now, as after a long wait for a person."""
        if guard.mode != "enforce" or agent._function_map.get(self.func_call["name"]) is self.function:
            return None
        said = "The tool was replaced while it was decided about its call."
        return denial(self.func_call, _refused(ReasonCode.ACTION_MALFORMED, said))


def guard_tools(agent: Agent, guard: ActGuard) -> None:
    """Put the guard in front of every tool call that `agent` carries out."""
    execute, a_execute = agent.execute_function, agent.a_execute_function

    def execute_function(func_call: Any, *args: Any, **kwargs: Any) -> Result:
        frame = frame_of(agent)
        planned = plan_call(agent, guard, frame, func_call, _call_id(args, kwargs))
        if not isinstance(planned, Planned):
            return planned
        # AutoGen calls this from its event loop for the functions of `function_call`; waiting there would stop it.
        may_wait = frame is None or not frame.asynchronous
        plan, parties = planned.plan, planned.parties
        ruling = plan if isinstance(plan, Ruling) else guard.enforcer.decide(plan.call, **parties, may_wait=may_wait)
        if not ruling.allowed:
            return denial(func_call, ruling.text)
        try:
            with guard.enforcer.reporting(ruling, planned.labels) as running, calling(guard):
                result: Result = planned.replaced(agent, guard) or execute(planned.func_call, *args, **kwargs)
                running.failed = not result[0]
        except NotReported as withheld:
            return denial(func_call, str(withheld))
        return result

    def a_execute_function(func_call: Any, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Result]:
        # Not a coroutine function: in a sync chat AutoGen awaits it in a new thread, which knows no frame.
        frame = frame_of(agent)
        return carry_out(frame, func_call, args, kwargs)

    async def carry_out(frame: Frame | None, func_call: Any, args: Any, kwargs: Any) -> Result:
        planned = plan_call(agent, guard, frame, func_call, _call_id(args, kwargs))
        if not isinstance(planned, Planned):
            return planned
        plan, parties = planned.plan, planned.parties
        try:
            ruling = plan if isinstance(plan, Ruling) else await guard.enforcer.a_decide(plan.call, **parties)
        except ApprovalPending as pending:
            if frame is None or frame.asynchronous:
                raise
            # In the thread of a sync chat an exception is lost; the frame raises it when the reply is done.
            frame.raised = pending
            ruling = ruling_from(pending.decision)
        if not ruling.allowed:
            return denial(func_call, ruling.text)
        try:
            async with guard.enforcer.a_reporting(ruling, planned.labels) as running:
                with calling(guard):
                    result: Result = planned.replaced(agent, guard) or await a_execute(
                        planned.func_call, *args, **kwargs
                    )
                running.failed = not result[0]
        except NotReported as withheld:
            return denial(func_call, str(withheld))
        return result

    agent.execute_function = execute_function
    agent.a_execute_function = a_execute_function


def plan_call(
    agent: Agent, guard: ActGuard, frame: Frame | None, func_call: Any, call_id: str | None
) -> Planned | Result:
    """What to ask for one call, or the result that refuses a call which cannot be asked about."""
    if not isinstance(func_call, Mapping) or not isinstance(func_call.get("name"), str):
        return denial(func_call, _refused(ReasonCode.ACTION_MALFORMED, "The call does not name a tool."))
    if frame is not None and frame.raised is not None:
        return denial(func_call, _refused(ReasonCode.APPROVAL_REQUIRED, "An earlier call of this message is pending."))
    name = func_call["name"]
    try:
        arguments = json.loads(agent._format_json_str(func_call.get("arguments", "{}")))
    except (TypeError, ValueError, RecursionError) as fault:
        return denial(func_call, f"Error: {fault}\n The argument must be in JSON format.")
    if not isinstance(arguments, dict):
        return denial(func_call, "Error: the arguments must be a JSON object.")
    asker = frame.asker_of_call(func_call, call_id) if frame is not None else guard.stand_in_asker(agent)
    parties = Parties(executor=guard.party(agent), asker=guard.asker(asker))
    function = agent._function_map.get(name)
    plan = guard.plan(name, as_taken(function, arguments), spec=guard.spec_for(agent, name), **parties)
    run = dict(func_call) | ({"arguments": plan.canonical} if isinstance(plan, Plan) else {})
    return Planned(plan, parties, run, function)


def denial(func_call: Any, text: str) -> Result:
    """A refusal in the form of a tool's result, which the model reads."""
    name = func_call.get("name") if isinstance(func_call, Mapping) else None
    return False, {"name": name if isinstance(name, str) else "", "role": "function", "content": text}


def _refused(code: ReasonCode, reason: str) -> str:
    return Ruling(code, reason).text


def _call_id(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    given = kwargs.get("call_id", args[0] if args else None)
    return given if isinstance(given, str) else None
