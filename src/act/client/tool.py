"""A function that runs only when its agent may: the decorator behind `guard.tool` and `act.tool`.

- The decision is asked for with the very arguments of the call, defaults included; they must be JSON.
- If they changed while the decision was on its way, the function does not run.
- What became of the call is reported. When that fails, its result or exception is withheld: the next decision would
  know nothing of what was read. Only a function with `labels=[]` that has made nothing hides nothing.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

from act.client.binding import current_guard
from act.client.deciding import denied
from act.client.errors import ActError, NotReported, PermissionDenied, denial
from act.client.notes import Created, Notes
from act.client.plan import Plan
from act.models import Decision, ReasonCode

if TYPE_CHECKING:
    from act.client.bearer import Bearer
    from act.client.calls import Outcome
    from act.client.guard import Guard

P = ParamSpec("P")
R = TypeVar("R")
OnPending = Literal["raise", "wait"]

log = logging.getLogger("act.client")


def tool(
    action: str = "execute",
    resource: str = "",
    *,
    on_pending: OnPending = "raise",
    labels: Iterable[str] | None = None,
    created: Created | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function, sync or async, run only when the agent of the running code may do `action` on `resource`.

    The agent is that of the guard which is bound at the call (`with guard.bind():`); without one, nothing runs.

    Args:
        resource: a template such as `api://tasks/execute/{task_id}`; its fields are parameters of the function, filled
            with str or int values, percent-encoded. An absent or empty value is a denial.
        on_pending: when a person has to approve, raise `ApprovalPending`, or wait as long as the guard waits.
        labels: of what the function reads, such as `untrusted`; told to the session, also when the function fails.
            Without them the default labels of the tenant; `[]` for a function that reads nothing.
        created: from the result, the resources that were made; told to the session when the function succeeds.

    Raises:
        TypeError: while decorating, the function is a generator, which would be checked before its body runs.
        ValueError: while decorating, the template does not fit the function, or a label is none.
        PermissionDenied: at the call; carries the decision. The function did not run.
        NotReported: at the call; the function ran, and what it has read or made could not be told.
    """
    return protect(current_guard, action, resource, on_pending, Notes.of(labels, created))


def protect(
    guard_of: Callable[[], Bearer | None], action: str, resource: str, on_pending: OnPending, notes: Notes
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The decorator, for whatever guard `guard_of` finds at the call."""
    if on_pending not in ("raise", "wait"):
        raise ValueError("on_pending is 'raise' or 'wait'.")

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        plan = Plan.of(function, action, resource)
        way = _guard_async if plan.is_async else _guard_sync
        guarded = way(cast("Callable[..., Any]", function), plan, guard_of, on_pending == "wait", notes)
        functools.update_wrapper(guarded, function)
        # Frameworks look through __wrapped__ to the bare function, and some call what they find there.
        del guarded.__wrapped__  # type: ignore[attr-defined]
        guarded.__signature__ = plan.signature  # type: ignore[attr-defined]
        guarded.__annotations__ = plan.annotations()
        return cast("Callable[P, R]", guarded)

    return decorate


def _guard_sync(
    function: Callable[..., Any], plan: Plan, guard_of: Callable[[], Bearer | None], waits: bool, notes: Notes
) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        asked, guard = plan.asked(args, kwargs), _blocking(_bearer(guard_of))
        ask = guard.check_and_wait if waits else guard.check
        decision = _allowed(ask(plan.action, asked.resource, arguments=asked.arguments))
        if asked.changed():
            _report(guard, decision, "cancelled")
            raise PermissionDenied(_CHANGED)
        try:
            result = _finished(function(*asked.args, **asked.kwargs))
        except BaseException as error:
            _report(guard, decision, _status(error), notes.labels, error)
            raise
        try:
            made = notes.made(result)
        except BaseException:
            _report(guard, decision, "succeeded", notes.labels)
            raise
        _report(guard, decision, "succeeded", notes.labels, created=made)
        return result

    return guarded


def _guard_async(
    function: Callable[..., Any], plan: Plan, guard_of: Callable[[], Bearer | None], waits: bool, notes: Notes
) -> Callable[..., Any]:
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        asked, guard = plan.asked(args, kwargs), _bearer(guard_of)
        ask = guard.acheck_and_wait if waits else guard.acheck
        decision = _allowed(await ask(plan.action, asked.resource, arguments=asked.arguments))
        if asked.changed():
            await _areport(guard, decision, "cancelled")
            raise PermissionDenied(_CHANGED)
        try:
            result = await function(*asked.args, **asked.kwargs)
        except GeneratorExit:
            # A coroutine that is being closed cannot await a report; its lease ends by the time-out.
            raise
        except BaseException as error:
            await _areport(guard, decision, _status(error), notes.labels, error)
            raise
        try:
            made = notes.made(result)
        except BaseException:
            await _areport(guard, decision, "succeeded", notes.labels)
            raise
        await _areport(guard, decision, "succeeded", notes.labels, created=made)
        return result

    return guarded


_CHANGED = denied(
    ReasonCode.UNREACHABLE, "The arguments changed after the decision was asked for, so it does not hold for them."
)


def _bearer(guard_of: Callable[[], Bearer | None]) -> Bearer:
    guard = guard_of()
    if guard is None:
        reason = "No guard is bound to the running code; call the tool inside `with guard.bind():`."
        raise PermissionDenied(denied(ReasonCode.NO_TOKEN, reason))
    return guard


def _blocking(guard: Bearer) -> Guard:
    from act.client.guard import Guard

    if not isinstance(guard, Guard):
        raise TypeError("An AsyncGuard cannot protect a function that is not async; use a guard of Act.")
    return guard


def _allowed(decision: Decision) -> Decision:
    if not decision:
        raise denial(decision)
    return decision


def _finished(result: Any) -> Any:
    """The result, unless it is work that has not been done yet: that would run after its outcome was reported."""
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        if inspect.iscoroutine(result) or inspect.isgenerator(result):
            result.close()
        raise TypeError("A guarded function that is not async returned work to be done later; make it `async def`.")
    return result


def _status(error: BaseException) -> Outcome:
    return "failed" if isinstance(error, Exception) else "cancelled"


def _report(
    guard: Guard,
    decision: Decision,
    outcome: Outcome,
    labels: tuple[str, ...] | None = (),
    raised: BaseException | None = None,
    created: tuple[str, ...] = (),
) -> None:
    try:
        guard.report(decision, outcome, labels, created)
    except (ActError, ValueError) as error:
        _not_reported(decision, outcome, error, labels is None or bool(labels or created), raised)


async def _areport(
    guard: Bearer,
    decision: Decision,
    outcome: Outcome,
    labels: tuple[str, ...] | None = (),
    raised: BaseException | None = None,
    created: tuple[str, ...] = (),
) -> None:
    try:
        await guard.areport(decision, outcome, labels, created)
    except (ActError, ValueError) as error:
        _not_reported(decision, outcome, error, labels is None or bool(labels or created), raised)


def _not_reported(
    decision: Decision, outcome: Outcome, error: Exception, noted: bool, raised: BaseException | None
) -> None:
    """`raised` is what the function itself ended with; what ends the program or the task is never replaced."""
    log.warning("The outcome %s of %s was not reported: %s", outcome, decision.decision_id, error)
    if noted and (raised is None or isinstance(raised, Exception)):
        message = f"The tool ran ({outcome}), but its session could not be told of it; its result is withheld. {error}"
        raise NotReported(message, request_id=decision.request_id) from error
