"""What `Guard` and `AsyncGuard` have in common: a token that is never shown, and the asynchronous way of asking."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, ParamSpec, TypeVar

from act.client.calls import Outcome
from act.client.credential import Credential, Held
from act.client.deciding import Ask, Deciding, denied, kept
from act.client.errors import ActError
from act.client.notes import Created, Notes
from act.client.tool import OnPending, protect
from act.models import Approval, Decision, OutcomeRecorded, ReasonCode, Verdict

P = ParamSpec("P")
R = TypeVar("R")

LONGEST_POLL: Final = 30
SHORTEST_POLL: Final = 0.5
NOT_REVOKED: Final = "The token %s of the task %s was not revoked and is good until it expires: %s"


class Bearer(ABC):
    """One agent's token, and the questions asked with it."""

    def __init__(self, token: str | Credential | None, wait: float) -> None:
        self._credential = token if isinstance(token, Credential) else Credential(token)
        self._wait = wait

    @property
    def agent_id(self) -> str | None:
        """The agent that the token names, for display and as `requester`. Not verified: only the server can judge."""
        return self._credential.held.claimed.agent_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}(agent_id={self.agent_id!r})"

    def _binds(self, wanted: bool | None) -> bool:
        """Whether a token that is handed down is bound to a key: as this one is, if nobody says."""
        return self._credential.held.key is not None if wanted is None else wanted

    @abstractmethod
    def acheck(
        self,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
    ) -> Deciding:
        """May the agent do this? Await it; everything that goes wrong is a denial, arguments that are not JSON too."""

    @abstractmethod
    async def areport(
        self,
        decision: Decision,
        status: Outcome,
        labels: Iterable[str] | None = None,
        created: Iterable[str] | None = None,
    ) -> OutcomeRecorded:
        """Say what became of an allowed action."""

    @abstractmethod
    async def _approval(self, id: str, wait: int) -> Approval: ...

    async def await_for_approval(self, of: Decision | str, timeout: float | None = None) -> Approval:
        """The approval once it is decided, or still pending after `timeout` seconds. Raises `ActError`."""
        id, poll = approval_id(of), Poll(self._wait if timeout is None else timeout)
        while True:
            approval = await self._approval(id, poll.wait())
            pause = poll.pause()
            if approval.status != "pending" or pause is None:
                return approval
            await asyncio.sleep(pause)

    def acheck_and_wait(
        self,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
        timeout: float | None = None,
    ) -> Deciding:
        """As `acheck`, but when a person has to approve, wait for that and ask again. See `Guard.check_and_wait`."""
        arguments = kept(arguments)

        async def work() -> Decision:
            ask = Ask(arguments=arguments, context=context, requester=requester)
            first = await self.acheck(action, resource, **ask)
            if first.decision is not Verdict.PENDING_APPROVAL:
                return first
            try:
                approval = await self.await_for_approval(first, timeout)
            except ActError as error:
                return not_settled(first, error)
            if approval.status == "pending":
                return first
            return final(await self.acheck(action, resource, **ask), approval)

        return Deciding(work())

    def tool(
        self,
        action: str = "execute",
        resource: str = "",
        *,
        on_pending: OnPending = "raise",
        labels: Iterable[str] | None = None,
        created: Created | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Let a function run only when it is allowed. See `act.tool`, which takes the guard that is bound instead."""
        return protect(lambda: self, action, resource, on_pending, Notes.of(labels, created))


class Poll:
    """How long to hold each long poll and how long to rest between two, until a deadline."""

    def __init__(self, timeout: float) -> None:
        self._deadline = time.monotonic() + timeout
        self._asked = 0.0

    def wait(self) -> int:
        """Whole seconds for the next poll."""
        self._asked = time.monotonic()
        return max(0, min(LONGEST_POLL, int(self._deadline - self._asked)))

    def pause(self) -> float | None:
        """Seconds until the next poll, so that a server that does not hold polls is not flooded; None when over."""
        now = time.monotonic()
        if now >= self._deadline:
            return None
        return min(max(SHORTEST_POLL - (now - self._asked), 0.0), self._deadline - now)


def approval_id(of: Decision | str) -> str:
    """The approval that a decision waits for."""
    if isinstance(of, str):
        return of
    if of.approval is None:
        raise ValueError("The decision does not wait for an approval.")
    return of.approval.id


def final(again: Decision, approval: Approval) -> Decision:
    """What asking again after `approval` was decided comes to.

    The server says why it was not approved, and records it. Should it open a new approval instead, the answer that a
    person gave, or did not give in time, stands.
    """
    if again.decision is not Verdict.PENDING_APPROVAL:
        return again
    if approval.status == "rejected":
        why = f": {approval.reason}" if approval.reason else "."
        return denied(ReasonCode.APPROVAL_REJECTED, f"A person rejected this{why}", again.request_id)
    if approval.status == "expired":
        return denied(ReasonCode.APPROVAL_EXPIRED, "Nobody approved this in time.", again.request_id)
    return again


def not_settled(decision: Decision, error: ActError) -> Decision:
    """The denial when waiting itself went wrong."""
    reason = f"Nobody can say whether this was approved, so it may not run. {error}"
    return denied(ReasonCode.UNREACHABLE, reason, decision.request_id)


def reportable(decision: Decision) -> str:
    """The id to report an outcome under."""
    if decision.decision is not Verdict.ALLOWED or decision.decision_id is None:
        raise ValueError("Only an allowed decision has an outcome.")
    return decision.decision_id


def session_of(held: Held, task: str, facts: Mapping[str, Any] | None, expires_in: int | None) -> dict[str, Any]:
    """What to ask `tokens.issue` for, so that a token for a task is no wider than the one that is held.

    Raises:
        ValueError: the token was handed down: a new one of its agent's own would be wider; or it cannot be read; or
            it is bound to a key that the guard does not have: the new one would be bound to none.
    """
    claims = held.claimed
    if claims.agent_id is None:
        raise ValueError("A session needs a token that says whose it is.")
    if claims.delegated:
        raise ValueError(
            "What was handed down cannot begin a session; it belongs to the task of the token it came from."
        )
    if claims.jwk is not None and held.key is None:
        raise ValueError("The token is bound to a key; make the guard with that key.")
    return {
        "agent_id": claims.agent_id,
        "expires_in": expires_in,
        "policy_ids": claims.policy_ids,
        "scope": claims.scope,
        "task": task,
        "facts": facts,
        "on_behalf_of": claims.on_behalf_of,
    }


def not_json(error: ValueError) -> Decision:
    """The denial of a question that could not even be asked."""
    return denied(ReasonCode.UNREACHABLE, f"ACT could not be asked, so nothing may run. {error}")
