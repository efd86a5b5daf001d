"""`AsyncGuard`: what stands between one agent and its tools, for asyncio programs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

from act.client.batch import Checking, DecidingAll, Decisions, asked_with
from act.client.bearer import NOT_REVOKED, Bearer, not_json, reportable, session_of
from act.client.binding import bound
from act.client.calls import Outcome
from act.client.credential import Credential, Held
from act.client.deciding import Deciding
from act.client.enforcer import AsyncEnforcer
from act.client.errors import ActError
from act.client.narrowing import Scope
from act.client.proof import ProofKey
from act.client.proving import used_up
from act.models import Approval, Decision, IssuedToken, OutcomeRecorded

log = logging.getLogger("act.client")


class AsyncGuard(Bearer):
    """Asks for one agent through `AsyncAct`. All that asks begins with `a` and is to be awaited."""

    def __init__(self, act: AsyncEnforcer, token: str | Credential | None, *, wait: float = 900.0) -> None:
        super().__init__(token, wait)
        self._act = act
        self._tasks: set[asyncio.Task[None]] = set()

    def bind(self) -> AbstractContextManager[AsyncGuard]:
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
        """May the agent do this? Await it; everything that goes wrong is a denial, arguments that are not JSON too."""

        async def work() -> Decision:
            held = await self._held()
            try:
                return await self._act.enforce(
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

        return Deciding(work())

    def acheck_all(self, asked: Iterable[Checking]) -> DecidingAll:
        """`acheck` for many questions in one call, decided in their order. See `Guard.check_all`."""

        async def work() -> Decisions:
            held = await self._held()
            questions = asked_with(held.token, held.key, asked)
            try:
                return await self._act.enforce_batch(questions)
            except ValueError as error:
                return Decisions(not_json(error) for _ in questions)

        return DecidingAll(work())

    async def areport(
        self,
        decision: Decision,
        status: Outcome,
        labels: Iterable[str] | None = None,
        created: Iterable[str] | None = None,
    ) -> OutcomeRecorded:
        """Say what became of an allowed action; ends its lease. See `Act.report_outcome`. Raises `ActError`."""
        return await self._act.report_outcome(reportable(decision), status, labels, created)

    async def wait_for_approval(self, of: Decision | str, timeout: float | None = None) -> Approval:
        """The approval once it is decided, or still pending after `timeout` seconds. Raises `ActError`."""
        return await self.await_for_approval(of, timeout)

    async def _approval(self, id: str, wait: int) -> Approval:
        return await self._act.approvals.get(id, wait)

    async def delegate(
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
    ) -> AsyncGuard:
        """Hand a part of what this agent may hand down to the agent `to`; answers its guard. See `Guard.delegate`."""
        held, key = await self._held(), ProofKey.generate() if self._binds(bound) else None
        grants = list(grants)

        async def create() -> IssuedToken:
            return await self._act.delegations.create(
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

        return self._act.guard(await _aonce_more(create), wait=self._wait, key=key)

    @asynccontextmanager
    async def session(
        self, task: str, *, facts: Mapping[str, Any] | None = None, expires_in: int | None = None
    ) -> AsyncIterator[AsyncGuard]:
        """A guard of the same agent for one task, bound in the block. See `Guard.session`."""
        held = await self._held()
        given, key = session_of(held, task, facts, expires_in), ProofKey.generate() if held.key else None
        issued = await self._act.tokens.issue(**given, cnf=key.public_jwk if key else None)
        guard = self._act.guard(issued, wait=self._wait, key=key)
        try:
            with guard.bind():
                yield guard
        except BaseException:
            try:
                await self._act.tokens.revoke(issued.token_id)
            except ActError as error:
                log.warning(NOT_REVOKED, issued.token_id, task, error)
            raise
        await self._act.tokens.revoke(issued.token_id)

    async def _held(self) -> Held:
        """As `Guard.held`. A caller that is cancelled does not end a rotation under way: its answer must arrive."""
        if self._credential.begin():
            await asyncio.shield(self._renewing())
        return self._credential.held

    def _renewing(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self._renew())
        self._tasks.add(task)  # the event loop itself does not hold on to it
        task.add_done_callback(self._tasks.discard)
        return task

    async def _renew(self) -> None:
        credential = self._credential
        try:
            held = credential.held
            rotate = self._act.tokens.rotate
            issued = await _aonce_more(lambda: rotate(held.claimed.token_id, token=held.token, key=held.key))
            credential.renewed(issued.token)
        except (ActError, ValueError) as error:
            credential.failed(error)
        finally:
            credential.end()


async def _aonce_more(call: Callable[[], Awaitable[IssuedToken]]) -> IssuedToken:
    try:
        return await call()
    except ActError as error:
        if not used_up(error):
            raise
    return await call()
