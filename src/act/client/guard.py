"""`Guard`: what stands between one agent and its tools, for programs that wait for answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from act.client.batch import Checking, DecidingAll, Decisions, asked_with
from act.client.bearer import (
    NOT_REVOKED,
    Bearer,
    Poll,
    approval_id,
    final,
    not_json,
    not_settled,
    reportable,
    session_of,
)
from act.client.binding import bound
from act.client.calls import Outcome
from act.client.credential import Credential, Held
from act.client.deciding import Ask, Deciding, kept
from act.client.enforcer import Enforcer
from act.client.errors import ActError
from act.client.narrowing import Scope
from act.client.proof import ProofKey
from act.client.proving import used_up
from act.models import Approval, Decision, IssuedToken, OutcomeRecorded, Verdict

log = logging.getLogger("act.client")


class Guard(Bearer):
    """Asks for one agent through `Act`; for sync code, and for async code through a worker thread.

    The methods that begin with `a` are to be awaited. Many agents in one event loop are better served by `AsyncGuard`.
    """

    def __init__(self, act: Enforcer, token: str | Credential | None, *, wait: float = 900.0) -> None:
        super().__init__(token, wait)
        self._act = act

    def check(
        self,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
    ) -> Decision:
        """May the agent do this? Everything that goes wrong is a denial, arguments that are not JSON too."""
        held = self.held()
        try:
            return self._act.enforce(
                held.token,
                action,
                resource,
                arguments=arguments,
                context=context,
                requester=requester,
                key=held.key,
            )
        except ValueError as error:
            return not_json(error)

    def check_all(self, asked: Iterable[Checking]) -> Decisions:
        """`check` for many questions in one call, decided in their order. True only when all are allowed.

        Args:
            asked: the arguments of `check`, one dictionary for each question.
        """
        held = self.held()
        questions = asked_with(held.token, held.key, asked)
        try:
            return self._act.enforce_batch(questions)
        except ValueError as error:
            return Decisions(not_json(error) for _ in questions)

    def check_and_wait(
        self,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
        timeout: float | None = None,
    ) -> Decision:
        """As `check`, but when a person has to approve, wait for that and send the same request again.

        Returns:
            The final decision: allowed, denied (`approval_rejected` with the person's reason, `approval_expired`), or
            still pending when `timeout` seconds are over. Only the first is true in a condition.
        """
        ask = Ask(arguments=kept(arguments), context=context, requester=requester)
        first = self.check(action, resource, **ask)
        if first.decision is not Verdict.PENDING_APPROVAL:
            return first
        try:
            approval = self.wait_for_approval(first, timeout)
        except ActError as error:
            return not_settled(first, error)
        if approval.status == "pending":
            return first
        return final(self.check(action, resource, **ask), approval)

    def wait_for_approval(self, of: Decision | str, timeout: float | None = None) -> Approval:
        """The approval once it is decided, or still pending after `timeout` seconds. Raises `ActError`."""
        id, poll = approval_id(of), Poll(self._wait if timeout is None else timeout)
        while True:
            approval = self._act.approvals.get(id, wait=poll.wait())
            pause = poll.pause()
            if approval.status != "pending" or pause is None:
                return approval
            time.sleep(pause)

    def report(
        self,
        decision: Decision,
        status: Outcome,
        labels: Iterable[str] | None = None,
        created: Iterable[str] | None = None,
    ) -> OutcomeRecorded:
        """Say what became of an allowed action; ends its lease. See `Act.report_outcome`. Raises `ActError`."""
        return self._act.report_outcome(reportable(decision), status, labels, created)

    def bind(self) -> AbstractContextManager[Guard]:
        """Make this the guard of the code in the block (`act.tool`, `act.current_guard`)."""
        return bound(self)

    def acheck(
        self,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
    ) -> Deciding:
        """`check`, in a worker thread."""
        ask = Ask(arguments=arguments, context=context, requester=requester)
        return Deciding(asyncio.to_thread(self.check, action, resource, **ask))

    def acheck_all(self, asked: Iterable[Checking]) -> DecidingAll:
        """`check_all`, in a worker thread."""
        return DecidingAll(asyncio.to_thread(self.check_all, asked))

    async def areport(
        self,
        decision: Decision,
        status: Outcome,
        labels: Iterable[str] | None = None,
        created: Iterable[str] | None = None,
    ) -> OutcomeRecorded:
        """`report`, in a worker thread."""
        return await asyncio.to_thread(self.report, decision, status, labels, created)

    async def _approval(self, id: str, wait: int) -> Approval:
        return await asyncio.to_thread(self._act.approvals.get, id, wait)

    def delegate(
        self,
        to: str,
        *,
        actions: Iterable[str] | None = None,
        resources: Iterable[str] | None = None,
        scope: Scope | None = None,
        expires_in: int | None = None,
        renew_for: int | None = None,
        grants: Iterable[str] = ("use",),
        hand_to: Mapping[str, Iterable[str]] | None = None,
        max_depth: int | None = None,
        task: str | None = None,
        facts: Mapping[str, Any] | None = None,
        bound: bool | None = None,
    ) -> Guard:
        """Hand a part of what this agent may hand down to the agent `to` (id or name); answers its guard.

        The child's token goes its own way: it ends when this one's node ends, is revoked with it, and is good for the
        scope alone. What it may do is asked for link by link at every request (see docs/delegation.md).

        Args:
            actions, resources: what is handed down (globs); `scope` is a list of several such parts.
            expires_in: seconds; no longer than this token.
            grants: `use`, `delegate`, or both.
            hand_to: with `delegate`, to whom it may be handed on: `{"roles": [...]}`, `{"agent_ids": [...]}` or both.
            max_depth: with `delegate`, how many agents may follow; 1 by default.
            task, facts: the task of this token, which its children share; facts need an API key for `tokens`.
            bound: bind the child's token to a key of its own; as this guard by default.

        Raises:
            ActError: it was not handed down; an `Unprocessable` names every part that is too much.
            ValueError: the scope is incomplete.
        """
        held, key = self.held(), ProofKey.generate() if self._binds(bound) else None
        grants = list(grants)

        def create() -> IssuedToken:
            return self._act.delegations.create(
                held.token,
                to,
                scope=scope,
                actions=actions,
                resources=resources,
                expires_in=expires_in,
                renew_for=renew_for,
                grants=grants,
                hand_to=hand_to,
                max_depth=max_depth,
                task=task,
                facts=facts,
                cnf=key.public_jwk if key else None,
                key=held.key,
            )

        return self._act.guard(_once_more(create), wait=self._wait, key=key)

    @contextmanager
    def session(
        self, task: str, *, facts: Mapping[str, Any] | None = None, expires_in: int | None = None
    ) -> Iterator[Guard]:
        """A guard of the same agent for one task, which is the guard of the code in the block.

        Its token is a new one for the task, no wider than this guard's, bound to a key if this guard's is, and revoked
        at the end of the block with all that was handed down from it. Needs an API key for `tokens`.

        Args:
            facts: values of the task that conditions see as `token.facts`.

        Raises:
            ActError: the token was not issued, or not revoked; it is then good until it expires.
            ValueError: this guard's own token was handed down.
        """
        held = self.held()
        given, key = session_of(held, task, facts, expires_in), ProofKey.generate() if held.key else None
        issued = self._act.tokens.issue(**given, cnf=key.public_jwk if key else None)
        guard = self._act.guard(issued, wait=self._wait, key=key)
        try:
            with guard.bind():
                yield guard
        except BaseException:
            try:
                self._act.tokens.revoke(issued.token_id)
            except ActError as error:
                log.warning(NOT_REVOKED, issued.token_id, task, error)
            raise
        self._act.tokens.revoke(issued.token_id)

    def held(self) -> Held:
        """The token to ask with now, and its key: another one than before, when it was time for that.

        For integrations, which ask through the client themselves. What it shows is secret; keep it for one question.
        """
        credential = self._credential
        if credential.begin():
            try:
                held = credential.held
                rotate = self._act.tokens.rotate
                credential.renewed(
                    _once_more(lambda: rotate(held.claimed.token_id, token=held.token, key=held.key)).token
                )
            except (ActError, ValueError) as error:
                credential.failed(error)
            finally:
                credential.end()
        return credential.held


def _once_more(call: Callable[[], IssuedToken]) -> IssuedToken:
    """Make a call that carries a proof, and again with another when the first one was used up on the way."""
    try:
        return call()
    except ActError as error:
        if not used_up(error):
            raise
    return call()
