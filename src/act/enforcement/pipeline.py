"""The street of a request: judged, described, made durable, answered.

Every error on the way ends in a denial or in a problem; there is no way past a step. What a decision spends is
written in one commit with its audit record, and no answer leaves before that commit.

Requests that are there together are taken through each step together, in the order in which they came (`act.turns`).
An error in a step is that of one request, and leaves the others alone.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from act.approvals.steps import StepLost
from act.audit.arguments import SALT_SIZE, Body, body_of
from act.audit.transaction import Sealed, Transaction
from act.audit.units import WriteFailed
from act.audit.writer import MAX_WAITING, Writer
from act.database.changes import ChangeFeed
from act.database.clock import Clock
from act.database.ids import new_id
from act.enforcement.answer import answer, record
from act.enforcement.answered import Answered, again
from act.enforcement.bearers import Asked
from act.enforcement.judge import Judge, Judgement
from act.enforcement.replays import Entry, Key, Replays
from act.metrics import Metrics
from act.models import Decision
from act.problems import ProblemError, conflict, internal_error, overloaded
from act.tenants.access import Access
from act.turns import Turn, tellable

ATTEMPTS = 3
SHARE = MAX_WAITING * 4 // 5
"""Requests of one tenant that may be under way when many are, so that no tenant keeps all others from being written."""

log = logging.getLogger("act.enforcement")


@dataclass(slots=True, eq=False)
class _Case:
    """A request on its way. What it reserves is held until it is recorded or undone."""

    asked: Asked
    key: Key
    entry: Entry
    waiting: asyncio.Future[Answered]
    told: Callable[[_Case], None]
    """Called when `sealed` or `failure` is there."""
    attempts: int = 0
    started: float = field(init=False)
    revision: int = field(init=False)
    decision_id: str = field(init=False)
    now: datetime = field(init=False)
    judgement: Judgement = field(init=False)
    body: Body = field(init=False)
    fields: dict[str, Any] = field(init=False)
    sealed: Sealed | None = None
    failure: BaseException | None = None

    def done(self) -> bool:
        """Never: also when nobody waits any more, what was reserved has to be settled."""
        return False

    def set_result(self, sealed: Sealed) -> None:
        self.sealed = sealed
        self.told(self)

    def set_exception(self, failure: BaseException) -> None:
        self.failure = failure
        self.told(self)


class _Salts:
    """Random salts, none used twice. Asking the system for each alone would cost more than hashing with it."""

    def __init__(self) -> None:
        self._random, self._at = b"", 0

    def next(self) -> bytes:
        if self._at == len(self._random):
            self._random, self._at = secrets.token_bytes(256 * SALT_SIZE), 0
        self._at += SALT_SIZE
        return self._random[self._at - SALT_SIZE : self._at]


class Pipeline:
    """Belongs to one event loop."""

    def __init__(
        self,
        clock: Clock,
        feed: ChangeFeed,
        access: Access,
        judge: Judge,
        replays: Replays,
        writer: Writer,
        metrics: Metrics,
    ) -> None:
        self._clock = clock
        self._access = access
        self._feed = feed
        self._judge = judge
        self._replays = replays
        self._writer = writer
        self._metrics = metrics
        self._salts = _Salts()
        self._begun = Turn(self._decide)
        self._settled = Turn(self._answer)

    async def enforce(self, asked: Asked) -> Answered:
        """Decide one request.

        Raises:
            ProblemError: 409 for a request id that was used for something else, 503 when no durable answer is
                possible now or the state is older than the caller insists on. A problem is a denial.
        """
        return await (await self.begin(asked))

    async def begin(self, asked: Asked) -> Awaitable[Answered]:
        """Have one request decided, and answer what waits for it. Whether or not anybody waits, it is decided.

        It waits for nothing but an earlier request under the same id: of requests that are begun one after the other,
        each is judged with what those before it have reserved.

        Raises:
            ProblemError: as `enforce`; then nothing was begun.
        """
        self._refuse_older(asked)
        key = Key(asked.caller.tenant_id, asked.caller.id, asked.request.request_id)
        while earlier := self._replays.find(key, now := self._clock.monotonic()):
            if earlier.digest != asked.digest:
                raise conflict("request_id_reused", "This requestId was used for another request; make a new one.")
            if not earlier.done:
                if earlier.crowded:
                    raise overloaded("Too many wait for this same request already. Nothing was allowed; try again.")
                await earlier.wait()
                self._access.look_again(asked.caller)
                continue
            decision = earlier.decision
            if decision is not None and self._stands(asked, decision):
                self._metrics.replayed()
                return _known(again(decision))
            break
        waiting: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        entry = self._replays.begin(key, asked.digest, now)
        self._begun.add(_Case(asked, key, entry, waiting, self._settled.add))
        return waiting

    def _refuse_older(self, asked: Asked) -> None:
        # Once is enough: a revision never goes down.
        least, revision = asked.request.min_revision, self._feed.revision
        if least is not None and revision < least:
            detail = f"The state is of revision {revision}, and minRevision is {least}. Nothing was allowed; try again."
            raise _stale(detail, {"Retry-After": "1"})

    def _stands(self, asked: Asked, decision: Decision) -> bool:
        if self._feed.broken:
            return False
        return self._judge.still_stands(asked, decision, self._feed.revision, self._clock.now())

    def _decide(self, cases: list[_Case]) -> None:
        if self._writer.waiting + len(cases) > SHARE:
            cases = self._within_share(cases)
        for step in (self._judge_one, self._describe_one, self._record_one):
            cases = self._each(step, cases)

    def _within_share(self, cases: list[_Case]) -> list[_Case]:
        """Those of tenants that have not too many under way; the others are refused."""
        running, left, now = self._replays.running(), [], self._clock.monotonic()
        for case in cases:
            if running[case.key.tenant_id] <= SHARE:
                left.append(case)
                continue
            running[case.key.tenant_id] -= 1
            detail = "Too many requests of this tenant are waiting. Nothing was allowed; try again."
            self._end(case, None, overloaded(detail), now)
        return left

    def _answer(self, cases: list[_Case]) -> None:
        self._each(self._answer_one, cases)

    def _each(self, step: Callable[[_Case], None], cases: list[_Case]) -> list[_Case]:
        """Take all of them through a step; those for which it went well."""
        left = []
        for case in cases:
            try:
                step(case)
            except BaseException as error:  # noqa: BLE001 - told to whoever waits for this one; a panic is no `Exception`
                self._end(case, None, error, self._clock.monotonic())
            else:
                left.append(case)
        return left

    def _judge_one(self, case: _Case) -> None:
        if self._feed.broken:
            raise _stale("The server does not know how old its state is; it has to be restarted.", {})
        case.started = self._clock.monotonic()
        case.revision = self._feed.revision  # read first: the answer may rest on newer state, never on older
        case.decision_id, case.now = new_id("dec"), self._clock.now()
        case.attempts += 1
        case.judgement = self._judge.judge(case.asked, case.decision_id, case.now)

    def _describe_one(self, case: _Case) -> None:
        asked, judgement = case.asked, case.judgement
        try:
            case.body = body_of(asked.request.arguments, self._salts.next(), self._judge.keeping(asked))
            case.fields = record(asked, judgement, case.decision_id, case.revision, case.now, case.body)
        except BaseException as error:
            raise self._undone(case, error) from error

    def _record_one(self, case: _Case) -> None:
        """Have the decision made durable, with all it spends, in one commit."""
        asked, fields, body, effects = case.asked, case.fields, case.body, case.judgement.settlement.effects
        started = case.started

        def work(transaction: Transaction) -> Sealed:
            for effect in effects:
                effect.write(transaction)
            fields["latencyMicros"] = round((self._clock.monotonic() - started) * 1_000_000)
            return transaction.record(asked.caller.tenant_id, "decision", fields, body)

        try:
            self._writer.submit(work, case)
        except BaseException as error:
            raise self._undone(case, error) from error

    def _answer_one(self, case: _Case) -> None:
        if case.sealed is None:
            if not isinstance(case.failure, StepLost) or case.attempts >= ATTEMPTS:
                raise self._undone(case, case.failure) from case.failure
            case.judgement.undo()
            case.failure = None
            self._begun.add(case)
            return
        settlement, now = case.judgement.settlement, self._clock.monotonic()
        took = now - case.started
        if settlement.lease_seconds is not None:
            case.judgement.written()
            if took >= settlement.lease_seconds:  # its place may be another's by now
                raise overloaded("It took longer to write than the lease lasts. Nothing was allowed; try again.")
        self._metrics.decided(settlement.verdict, settlement.code, took)
        made = answer(case.asked, case.judgement, case.decision_id, case.revision, case.now, case.sealed)
        self._end(case, made, None, now)

    def _undone(self, case: _Case, error: BaseException | None) -> ProblemError:
        """Give back what was reserved for a decision that was not written; answers the problem that says so."""
        case.judgement.undo()
        if isinstance(error, StepLost):
            return overloaded("Others were faster several times. Nothing was allowed; try again.")
        if isinstance(error, WriteFailed):
            return overloaded(f"{error} Nothing was allowed; try again.")
        id = case.decision_id
        log.error("decision %s could not be recorded", id, exc_info=error, extra={"decisionId": id})
        return internal_error()

    def _end(self, case: _Case, answered: Answered | None, error: BaseException | None, now: float) -> None:
        """Keep the answer for retries, and tell whoever waits."""
        self._replays.finish(case.key, case.entry, answered, now)
        if case.waiting.done():  # who waited has gone; the decision stands all the same
            if error is not None and not isinstance(error, ProblemError):
                log.error("a request that nobody waits for any more failed", exc_info=error)
        elif answered is not None:
            case.waiting.set_result(answered)
        else:
            case.waiting.set_exception(tellable(error or internal_error()))


async def _known(answered: Answered) -> Answered:
    return answered


def _stale(detail: str, headers: dict[str, str]) -> ProblemError:
    return ProblemError(503, "stale_state", "Stale state", detail, headers=headers)
