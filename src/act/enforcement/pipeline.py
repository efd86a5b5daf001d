"""The street of one request: judged, made durable, answered.

Every error on the way ends in a denial or in a problem; there is no way past a step. What a decision spends is
written in one commit with its audit record, and no answer leaves before that commit.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable
from datetime import datetime
from typing import NamedTuple

from act.approvals.steps import StepLost
from act.audit.arguments import SALT_SIZE, body_of
from act.audit.transaction import Sealed, Transaction
from act.audit.writer import WriteFailed, Writer
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

ATTEMPTS = 3

log = logging.getLogger("act.enforcement")


class _Attempt(NamedTuple):
    """A request as it was judged; what it reserves is held until it is recorded or undone."""

    started: float
    revision: int
    decision_id: str
    now: datetime
    judgement: Judgement


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
    def __init__(
        self, clock: Clock, feed: ChangeFeed, judge: Judge, replays: Replays, writer: Writer, metrics: Metrics
    ) -> None:
        self._clock = clock
        self._feed = feed
        self._judge = judge
        self._replays = replays
        self._writer = writer
        self._metrics = metrics
        self._salts = _Salts()

    async def enforce(self, asked: Asked) -> Answered:
        """Decide one request.

        Raises:
            ProblemError: 409 for a request id that was used for something else, 503 when no durable answer is
                possible now or the state is older than the caller insists on. A problem is a denial.
        """
        return await (await self.begin(asked))

    async def begin(self, asked: Asked) -> Awaitable[Answered]:
        """Judge one request now, and answer what makes the decision durable; that must be awaited in any case.

        It waits for nothing but an earlier request under the same id: of requests that are begun one after the other,
        each is judged with what those before it have reserved.

        Raises:
            ProblemError: as `enforce`; then nothing was begun.
        """
        self._refuse_older(asked)
        key = Key(asked.caller.tenant_id, asked.caller.id, asked.request.request_id)
        while earlier := self._replays.find(key, self._clock.monotonic()):
            if earlier.digest != asked.digest:
                raise conflict("request_id_reused", "This requestId was used for another request; make a new one.")
            if not earlier.done:
                await earlier.wait()
                continue
            decision = earlier.decision
            if decision is not None and self._stands(asked, decision):
                self._metrics.replayed()
                return _known(again(decision))
            break
        attempt = self._judged(asked)
        return self._decide_once(asked, key, self._replays.begin(key, asked.digest, self._clock.monotonic()), attempt)

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

    async def _decide_once(self, asked: Asked, key: Key, entry: Entry, attempt: _Attempt) -> Answered:
        answered = None
        try:
            answered = await self._decide(asked, attempt)
        finally:
            self._replays.finish(key, entry, answered)
        return answered

    def _judged(self, asked: Asked) -> _Attempt:
        if self._feed.broken:
            raise _stale("The server does not know how old its state is; it has to be restarted.", {})
        started = self._clock.monotonic()
        revision = self._feed.revision  # read first: the answer may rest on newer state, never on older
        decision_id, now = new_id("dec"), self._clock.now()
        return _Attempt(started, revision, decision_id, now, self._judge.judge(asked, decision_id, now))

    async def _decide(self, asked: Asked, first: _Attempt) -> Answered:
        attempt: _Attempt | None = first
        for _ in range(ATTEMPTS):
            started, revision, decision_id, now, judgement = attempt or self._judged(asked)
            try:
                sealed = await self._record(asked, judgement, decision_id, revision, now, started)
            except StepLost:
                judgement.undo()
                attempt = None
                continue
            except WriteFailed as error:
                judgement.undo()
                raise overloaded(f"{error} Nothing was allowed; try again.") from error
            except Exception as error:
                judgement.undo()
                log.exception("decision %s could not be recorded", decision_id, extra={"decisionId": decision_id})
                raise internal_error() from error
            settlement = judgement.settlement
            self._metrics.decided(settlement.verdict, settlement.code, self._clock.monotonic() - started)
            return answer(asked, judgement, decision_id, revision, now, sealed)
        raise overloaded("Others were faster several times. Nothing was allowed; try again.")

    async def _record(
        self, asked: Asked, judgement: Judgement, decision_id: str, revision: int, now: datetime, started: float
    ) -> Sealed:
        """Make the decision durable, with all it spends, in one commit."""
        body = body_of(asked.request.arguments, self._salts.next(), self._judge.keeping(asked))
        fields = record(asked, judgement, decision_id, revision, now, body)

        def work(transaction: Transaction) -> Sealed:
            for effect in judgement.settlement.effects:
                effect.write(transaction)
            fields["latencyMicros"] = round((self._clock.monotonic() - started) * 1_000_000)
            return transaction.record(asked.caller.tenant_id, "decision", fields, body)

        return await self._writer.commit(work)


async def _known(answered: Answered) -> Answered:
    return answered


def _stale(detail: str, headers: dict[str, str]) -> ProblemError:
    return ProblemError(503, "stale_state", "Stale state", detail, headers=headers)
