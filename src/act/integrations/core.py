"""What every framework integration shares: who decides, what is asked, what a denial says, how a pending answer is met.

An integration finds out who asked for a call and who would carry it out, hands both to `Enforcer`, and runs the call
only for a `Ruling` that is allowed. Every doubt and every error on the way is a ruling that is not.
Source: 5-agent-frameworks, "Whose token decides" and "Rules for every integration".
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar, cast

from act.client.errors import ApprovalPending, NotReported
from act.client.proof import ProofKey
from act.integrations.mapping import ToolSpec
from act.integrations.observed import Observation, Observations, Report
from act.integrations.ruling import Call, Party, Ruling, UnprotectedAgent, agent_id_of, ruling_from, without_token
from act.models import Approval, Decision, ReasonCode, Verdict

__all__ = [
    "ActClient",
    "ApprovalPending",
    "Approvals",
    "Call",
    "Enforcer",
    "Mode",
    "NotReported",
    "Observation",
    "Observations",
    "OnPending",
    "Outcome",
    "Party",
    "Report",
    "Ruling",
    "Running",
    "ToolSpec",
    "UnprotectedAgent",
    "agent_id_of",
]

log = logging.getLogger("act.integrations")

Outcome = Literal["succeeded", "failed", "cancelled"]
OnPending = Literal["deny", "wait", "raise"]
Mode = Literal["enforce", "observe"]

T = TypeVar("T")

_POLL_SECONDS = 30
_POLL_PAUSE = 0.5


class Approvals(Protocol):
    """Reads approvals; `wait` is a long poll in seconds."""

    def get(self, id: str, *, wait: int = 0) -> Approval: ...


class ActClient(Protocol):
    """The part of `act.Act` that integrations use. Synchronous: async paths call it in a thread."""

    def enforce(
        self,
        token: str,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
        requester_token: str | None = None,
        dry_run: bool = False,
        key: ProofKey | None = None,
        requester_key: ProofKey | None = None,
    ) -> Decision: ...

    def report_outcome(self, decision_id: str, status: Outcome, labels: Sequence[str] | None = None) -> object: ...

    @property
    def approvals(self) -> Approvals: ...


@dataclass
class Running:
    """An allowed call while it runs; `failed` is for failures that raise nothing."""

    failed: bool = False


class Enforcer:
    """Asks ACT on behalf of one guard and answers with rulings. Decisions raise nothing but `act.ApprovalPending`.

    With `mode="observe"` it asks by dry runs: explained, but nothing is spent and nobody is asked to approve. What it
    would have denied it puts into `seen`, and every ruling allows. With `observing` (for what is never held back, such
    as messages that are only watched) it is the same, and no ruling allows.
    Raises `ValueError` and `TypeError` for options it cannot work with.
    """

    def __init__(
        self,
        act: ActClient,
        *,
        framework: str,
        conversation_id: str,
        on_pending: OnPending = "deny",
        approval_timeout: float = 900.0,
        observing: bool = False,
        mode: Mode = "enforce",
        seen: Observations | None = None,
    ) -> None:
        if mode not in ("enforce", "observe"):
            raise ValueError('mode is "enforce" or "observe"')
        if on_pending not in ("deny", "wait", "raise"):
            raise ValueError('on_pending is "deny", "wait" or "raise"')
        if inspect.iscoroutinefunction(act.enforce):
            raise TypeError("integrations take the synchronous act.Act; async paths call it in a thread")
        self._act = act
        self._context = {"framework": framework, "conversationId": conversation_id}
        self.on_pending: OnPending = on_pending
        self._timeout = approval_timeout
        self._observing = observing
        self.mode: Mode = mode
        self._dry = observing or mode == "observe"
        self._seen = seen if seen is not None else Observations()

    def decide(
        self,
        call: Call,
        *,
        executor: Party,
        asker: Party | None,
        may_wait: bool = True,
        stop: threading.Event | None = None,
    ) -> Ruling:
        """May `executor` carry out what `asker` asked for? `None` is an asker who could not be determined.

        With `may_wait=False` a pending answer is met as `on_pending="deny"` instead of `"wait"`; `stop` ends a wait.
        """
        ruling = self._decided(call, executor, asker, may_wait=may_wait, stop=stop or threading.Event())
        return self._observed(ruling, call.action, call.resource, executor, asker) if self._dry else ruling

    def refused(
        self,
        code: ReasonCode,
        reason: str,
        tool: str = "",
        *,
        executor: Party | None = None,
        asker: Party | None = None,
    ) -> Ruling:
        """The ruling on a call that cannot even be put to ACT. Denied, and while observing written down and let go."""
        ruling = Ruling(code, reason)
        return self._observed(ruling, tool, "", executor, asker) if self._dry else ruling

    def _observed(
        self, ruling: Ruling, action: str, resource: str, executor: Party | None, asker: Party | None
    ) -> Ruling:
        verdict = Verdict.DENIED if ruling.decision is None else ruling.decision.decision
        runs, asks = (party.name if party is not None else None for party in (executor, asker))
        self._seen.add(Observation(action, resource, runs, asks, verdict, ruling.code, ruling.reason))
        if self._observing:
            return ruling
        return replace(ruling, allowed=True, decision_id=None, leased=False, approval_id=None, decision=None)

    def _decided(
        self, call: Call, executor: Party, asker: Party | None, *, may_wait: bool, stop: threading.Event
    ) -> Ruling:
        if asker is None:
            return Ruling(
                ReasonCode.REQUESTER_UNKNOWN, "It cannot be determined which agent asked for this, so nobody may do it."
            )
        if (refused := without_token(asker, executor)) is not None:
            return refused
        context = {**call.context, **self._context, "executor": executor.name, "requester": asker.name}
        deadline = time.monotonic() + self._timeout
        try:
            while True:
                ruling = self._ask(call, executor, asker, context)
                if self._dry or ruling.approval_id is None or self.on_pending != "wait" or not may_wait:
                    break
                refused = self._wait(ruling, ruling.approval_id, deadline, stop)
                if refused is not None:
                    return refused
        except ValueError:
            # The text of the error may quote what it was about, the token included; a model must not read that.
            return Ruling(ReasonCode.ACTION_MALFORMED, "The call cannot be put to ACT: it is not plain JSON.")
        except Exception as fault:  # noqa: BLE001 - whatever went wrong while asking, the answer is no
            log.warning("asking ACT failed: %s", type(fault).__name__)
            return Ruling(ReasonCode.UNREACHABLE, "ACT could not be asked, so nothing was done.")
        if (
            not self._dry
            and ruling.approval_id is not None
            and ruling.decision is not None
            and self.on_pending == "raise"
        ):
            raise ApprovalPending(ruling.decision)
        if ruling.allowed and stop.is_set():
            self.report(ruling, "cancelled", ())
            return Ruling(ReasonCode.UNREACHABLE, "The call was cancelled before it could run.")
        return ruling

    async def a_decide(self, call: Call, *, executor: Party, asker: Party | None) -> Ruling:
        """`decide` without blocking the event loop. Cancelling it ends a wait and gives back what it was allowed."""
        stop, lock, ready = threading.Event(), threading.Lock(), list[Ruling]()

        def ask() -> Ruling:
            ruling = self.decide(call, executor=executor, asker=asker, stop=stop)
            with lock:
                if not stop.is_set():
                    ready.append(ruling)
                    return ruling
            self.report(ruling, "cancelled", ())
            return ruling

        try:
            # Who waits for people has a thread of its own: a few of them would hold all threads of the loop.
            return await (in_own_thread(ask) if self.on_pending == "wait" else asyncio.to_thread(ask))
        except asyncio.CancelledError:
            with lock:
                stop.set()
            for allowed in ready:  # it was there, and the caller was cancelled before it could take it
                threading.Thread(target=self.report, args=(allowed, "cancelled", ()), daemon=True).start()
            raise

    def report(self, ruling: Ruling, status: Outcome, labels: Sequence[str] | None = None) -> bool:
        """Tell ACT what became of an allowed call, and whether that could be done. A failure is logged.

        `labels` are of what was read; without them those count that the tenant has as its default.
        """
        if not ruling.allowed or ruling.decision_id is None:
            return True
        try:
            self._act.report_outcome(ruling.decision_id, status, labels)
        except Exception as fault:  # noqa: BLE001 - the call is over; its lease ends by its own time-out
            log.warning("outcome of %s not reported: %s", ruling.decision_id, type(fault).__name__)
            return False
        return True

    @contextmanager
    def reporting(self, ruling: Ruling, labels: Sequence[str] | None = None) -> Iterator[Running]:
        """The time in which an allowed call runs; ACT is told how it ended. `BaseException` counts as cancelled.

        Raises `NotReported` when it could not be told and the call may have read something: then nobody may see what,
        not in an exception either, because the next decision would know nothing of it.
        """
        running = Running()
        try:
            yield running
        except BaseException as fault:
            told = self.report(ruling, "failed" if isinstance(fault, Exception) else "cancelled", labels)
            if isinstance(fault, Exception):  # what ends the program or the task is never replaced
                _insist(told, labels)
            raise
        _insist(self.report(ruling, "failed" if running.failed else "succeeded", labels), labels)

    @asynccontextmanager
    async def a_reporting(self, ruling: Ruling, labels: Sequence[str] | None = None) -> AsyncIterator[Running]:
        """`reporting` that does not block the event loop, except when the call is cancelled: then nothing may wait."""
        running = Running()
        try:
            yield running
        except Exception:
            _insist(await asyncio.to_thread(self.report, ruling, "failed", labels), labels)
            raise
        except BaseException:
            self.report(ruling, "cancelled", labels)
            raise
        status: Outcome = "failed" if running.failed else "succeeded"
        _insist(await asyncio.to_thread(self.report, ruling, status, labels), labels)

    def _ask(self, call: Call, executor: Party, asker: Party, context: Mapping[str, Any]) -> Ruling:
        """One question, with the tokens that the parties hold now: a guard may have renewed its own since the last."""
        asking = asker.held()
        if asking is None or not asking.token:
            return Ruling(ReasonCode.TOKEN_MALFORMED, f"The token of {asker.name} is empty.")
        requester = agent_id_of(asking.token)
        if requester is None:
            return Ruling(ReasonCode.TOKEN_MALFORMED, f"The token of {asker.name} does not name its agent.")
        own = None if executor.token is asker.token else executor.held()
        acting = own or asking
        another = acting.token != asking.token
        return ruling_from(
            self._act.enforce(
                acting.token or "",
                call.action,
                call.resource,
                arguments=call.arguments,
                context=context,
                requester=requester,
                # Proof of who asked: when its token is revoked or over, nobody works for it any more.
                requester_token=asking.token if another else None,
                dry_run=self._dry,
                key=acting.key,
                requester_key=asking.key if another else None,
            )
        )

    def _wait(self, ruling: Ruling, approval_id: str, deadline: float, stop: threading.Event) -> Ruling | None:
        """None once it is approved; otherwise why the call is not made."""
        while not stop.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return ruling
            asked_at = time.monotonic()
            approval = self._act.approvals.get(approval_id, wait=max(1, min(_POLL_SECONDS, int(left))))
            if stop.is_set():
                return ruling  # the caller is gone: asking again would spend the approval on nothing
            if approval.status == "approved":
                return None
            if approval.status == "rejected":
                said = approval.reason or "no reason was given"
                return Ruling(ReasonCode.APPROVAL_REJECTED, f"A person rejected this: {said}")
            if approval.status == "expired":
                return Ruling(ReasonCode.APPROVAL_EXPIRED, "Nobody approved this in time.")
            if approval.status != "pending":
                return Ruling(ReasonCode.APPROVAL_REQUIRED, "The approval was used by another call.")
            # A server that answers a long poll at once must not be asked in a busy loop.
            if time.monotonic() - asked_at < _POLL_PAUSE:
                stop.wait(min(_POLL_PAUSE, max(left, 0.0)))
        return ruling


async def in_own_thread(work: Callable[[], T]) -> T:
    """`asyncio.to_thread` for what may take minutes: the loop neither lends one of its threads nor waits at its end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: T | None, fault: BaseException | None) -> None:
        if done.cancelled():
            return
        if fault is not None:
            done.set_exception(fault)
        else:
            done.set_result(cast(T, result))

    def run() -> None:
        result, fault = None, None
        try:
            result = context.run(work)
        except BaseException as raised:  # noqa: BLE001 - handed to who waits
            fault = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            loop.call_soon_threadsafe(settle, result, fault)

    threading.Thread(target=run, name="act-waiting", daemon=True).start()
    return await done


def _insist(told: bool, labels: Sequence[str] | None) -> None:
    if not told and (labels is None or labels):
        raise NotReported("ACT withheld the result: the call was made, but its session could not be told of it.")
