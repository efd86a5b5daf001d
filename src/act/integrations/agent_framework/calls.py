"""Tool calls and handoffs: the gate decides first, the seal lets through only what was decided."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
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

from act.integrations.agent_framework.arguments import taken
from act.integrations.agent_framework.failures import EnforcementFailed, RunPending
from act.integrations.agent_framework.pending import approval_request
from act.integrations.arguments import canonical
from act.integrations.base import Plan
from act.integrations.context import during
from act.integrations.core import ApprovalPending, NotReported, Ruling
from act.integrations.mapping import MappingFault, ToolSpec, agent_resource
from act.models import ReasonCode

if TYPE_CHECKING:
    from act.integrations.agent_framework.guard import ActGuard

Next = Callable[[], Awaitable[None]]

REQUEST = "act_request"
_DECIDED = "act_decided"
_CHANGED = "act_changed"
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
                    await self._run(context, call_next, canonical(plan.call.arguments))
                except MiddlewareTermination as termination:  # how a handoff succeeds
                    terminated = termination
                # A call that ended in a question to the user has not been made, and one that was changed has not.
                asks = isinstance(context.result, Content) and context.result.type == _REQUEST
                running.failed = asks or context.metadata.pop(_CHANGED, False)
        except NotReported as withheld:
            context.result = str(withheld)
            return
        if terminated is not None:
            raise terminated

    async def _run(self, context: FunctionInvocationContext, call_next: Next, decided: object) -> None:
        context.metadata[_DECIDED] = decided
        with during(_callers, (*_callers.get(), Caller(self._guard, self._name))):
            await call_next()

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
        decided = context.metadata.pop(_DECIDED, None)
        if not _is(context, decided):
            said = "This is not the call that was decided about: middleware has changed or repeated it."
            party, tool = self._guard.party_named(self._name), context.function.name
            code = ReasonCode.ACTION_MALFORMED
            ruling = self._guard.enforcer.refused(code, said, tool, executor=party, asker=party)
            if not ruling.allowed:
                context.metadata[_CHANGED] = decided is not None  # otherwise it was made before
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


def _is(context: FunctionInvocationContext, decided: object) -> bool:
    if decided is _UNASKED or decided is None:
        return decided is _UNASKED
    try:
        # Prepared here, if middleware has put other values in their place, and not behind the decision.
        given = taken(context)
        return given.fault is None and canonical(given.arguments) == decided
    except Exception:  # noqa: BLE001 - as in `Gate._plan`
        return False
