"""Tool calls and handoffs: the gate decides first, the seal lets through only what was decided."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from agent_framework import (
    Content,
    FunctionInvocationContext,
    FunctionMiddleware,
    MiddlewareTermination,
)
from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import to_jsonable_python

from act.integrations.agent_framework.failures import EnforcementFailed, RunPending
from act.integrations.agent_framework.pending import approval_request
from act.integrations.base import Plan
from act.integrations.core import ApprovalPending, NotReported, Ruling
from act.integrations.mapping import MappingFault, ToolSpec, agent_resource
from act.models import ReasonCode

if TYPE_CHECKING:
    from act.integrations.agent_framework.guard import ActGuard

Next = Callable[[], Awaitable[None]]

REQUEST = "act_request"
_DECIDED = "act_decided"
_REQUEST = "function_approval_request"
_UNASKED = object()
"""Stands for a call that nobody could ask about, and that runs because it is only observed."""
_callers: ContextVar[tuple[Caller, ...]] = ContextVar("act_agent_framework_callers", default=())


@dataclass(frozen=True)
class Caller:
    """An agent in whose tool call this code runs, and the guard that it is under."""

    guard: ActGuard
    name: str


def calling_now() -> Caller | None:
    """The innermost tool call of a protected agent in which this code runs."""
    return next(reversed(_callers.get()), None)


class Gate(FunctionMiddleware):  # type: ignore[misc]  # the framework is not analysed
    """Asks ACT about each call of one agent, and tells it how the call ended."""

    def __init__(self, guard: ActGuard, name: str, handoffs: Mapping[str, str], request: object) -> None:
        self._guard = guard
        self._name = name
        self._handoffs = handoffs
        self._request = request

    async def process(self, context: FunctionInvocationContext, call_next: Next) -> None:
        """Decide, run, report. What is refused becomes the tool's result.

        Raises:
            EnforcementFailed: ACT could not be asked, or it cannot be told whose call this is.
            ApprovalPending: a person has to approve, and `on_pending` is "raise".
            UnprotectedAgent: the call would let an agent act, or use a tool, that the guard does not see.
        """
        try:
            await self._meet(context, call_next)
        except Exception:
            self._check_brought(context)
            raise
        self._check_brought(context)

    async def _meet(self, context: FunctionInvocationContext, call_next: Next) -> None:
        tool = context.function
        self._check_request(context)
        self._guard.check_tools(self._name, [tool], running=True)
        target = self._handoffs.get(tool.name)
        if target is not None:
            self._guard.check_handoff(self._name, target)
        plan = self._plan(context, target)
        if isinstance(plan, Ruling):
            await self._run(context, call_next, _UNASKED) if plan.allowed else self._say(context, plan)
        else:
            await self._enforce(context, call_next, plan)

    def _check_brought(self, context: FunctionInvocationContext) -> None:
        """A tool may have brought others, also one that failed."""
        self._guard.check_tools(self._name, context.tools or (), running=True)

    def _check_request(self, context: FunctionInvocationContext) -> None:
        """A chat client keeps its last middleware, and threads that share one may be given that of another agent."""
        if context.kwargs.pop(REQUEST, None) is not self._request and self._guard.mode == "enforce":
            said = "It cannot be determined which agent asked for this, so nobody may do it."
            raise EnforcementFailed(Ruling(ReasonCode.REQUESTER_UNKNOWN, said))

    async def _enforce(self, context: FunctionInvocationContext, call_next: Next, plan: Plan) -> None:
        party = self._guard.party_named(self._name)
        try:
            ruling = await self._guard.enforcer.a_decide(plan.call, executor=party, asker=party)
        except ApprovalPending as pending:
            raise RunPending(pending.decision) from pending
        if ruling.allowed:
            await self._carry_out(context, call_next, plan, ruling)
        elif ruling.code is ReasonCode.UNREACHABLE:
            raise EnforcementFailed(ruling)
        elif ruling.approval_id is not None and self._guard.may_request(
            ruling.approval_id, again=context.metadata.get("approval_response") is not None
        ):
            context.result = approval_request(context, plan.call, ruling)
        else:
            self._say(context, ruling)

    async def _carry_out(self, context: FunctionInvocationContext, call_next: Next, plan: Plan, ruling: Ruling) -> None:
        terminated: MiddlewareTermination | None = None
        try:
            async with self._guard.enforcer.a_reporting(ruling, plan.labels) as running:
                try:
                    await self._run(context, call_next, _canonical(plan.call.arguments))
                except MiddlewareTermination as termination:  # how a handoff succeeds
                    terminated = termination
                # A call that ended in a question to the user has not been made.
                running.failed = isinstance(context.result, Content) and context.result.type == _REQUEST
        except NotReported as withheld:
            context.result = str(withheld)
            return
        if terminated is not None:
            raise terminated

    async def _run(self, context: FunctionInvocationContext, call_next: Next, decided: object) -> None:
        context.metadata[_DECIDED] = decided
        before = _callers.set((*_callers.get(), Caller(self._guard, self._name)))
        try:
            await call_next()
        finally:
            _callers.reset(before)

    def _say(self, context: FunctionInvocationContext, ruling: Ruling) -> None:
        context.result = ruling.text

    def _plan(self, context: FunctionInvocationContext, target: str | None) -> Plan | Ruling:
        tool, party = context.function, self._guard.party_named(self._name)
        callers = [caller.name for caller in _callers.get()]
        spec = self._guard.spec_named(tool.name, tool.func)
        refused = partial(self._guard.enforcer.refused, tool=tool.name, executor=party, asker=party)
        try:
            arguments = taken(context)
            if target is not None:
                spec = ToolSpec("handoff", agent_resource(target), labels=())  # to hand over is to read nothing
        except MappingFault as fault:
            return refused(ReasonCode.RESOURCE_MALFORMED, f"{fault}.")
        except Exception:  # noqa: BLE001 - arguments may be any objects, and their conversion may raise anything
            return refused(ReasonCode.ACTION_MALFORMED, "JSON cannot say what the arguments of the call are.")
        return self._guard.plan(
            tool.name,
            arguments,
            spec=spec,
            executor=party,
            asker=party,
            context={"callers": callers} if callers else {},
        )


class Seal(FunctionMiddleware):  # type: ignore[misc]
    """The last middleware before a tool: lets through what the gate has decided about, once."""

    def __init__(self, guard: ActGuard, name: str) -> None:
        self._guard = guard
        self._name = name

    async def process(self, context: FunctionInvocationContext, call_next: Next) -> None:
        """Refuse arguments that other middleware has changed, and a call that it repeats."""
        if not _is(context.arguments, context.metadata.pop(_DECIDED, None)):
            said = "This is not the call that was decided about: middleware has changed or repeated it."
            party, tool = self._guard.party_named(self._name), context.function.name
            code = ReasonCode.ACTION_MALFORMED
            ruling = self._guard.enforcer.refused(code, said, tool, executor=party, asker=party)
            if not ruling.allowed:
                context.result = ruling.text
                return
        await call_next()


def handoff_targets(middleware: Iterable[Any]) -> dict[str, str]:
    """Tool name to agent, of the middleware that `HandoffBuilder` adds to the agents it copies."""
    found: dict[str, str] = {}
    for one in middleware:
        targets = getattr(one, "_handoff_functions", None)
        if type(one).__name__ == "_AutoHandoffMiddleware" and isinstance(targets, dict):
            found |= targets
    return found


def taken(context: FunctionInvocationContext) -> Any:
    """The arguments in the form in which the tool takes them, as JSON values. Raises for what JSON cannot say."""
    try:
        # The framework's own preparation of a call, done before the decision: `"4_2"` is 42 for an `int`.
        arguments = context.function._prepare_context_arguments(context, context.arguments)
    except TypeError:  # the tool does not take them, so it will not run
        arguments = context.arguments
    if _hides(arguments):
        raise ValueError("JSON does not say what is in the arguments")
    return plain(arguments)


def _hides(value: Any) -> bool:
    """Whether something in a value looks in JSON like any other of its kind, or is gone once it was read."""
    if isinstance(value, Mapping):
        return any(map(_hides, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_hides, value))
    return isinstance(value, Secret | SecretStr | SecretBytes | Iterator)


def plain(arguments: Any) -> Any:
    """Arguments as JSON values. Raises for what JSON cannot say."""
    return arguments.model_dump(mode="json") if isinstance(arguments, BaseModel) else to_jsonable_python(arguments)


def _canonical(arguments: Any) -> str:
    return json.dumps(arguments, allow_nan=False, sort_keys=True)


def _is(arguments: Any, decided: object) -> bool:
    try:
        return decided is _UNASKED or (decided is not None and _canonical(plain(arguments)) == decided)
    except Exception:  # noqa: BLE001 - as in `Gate._plan`
        return False
