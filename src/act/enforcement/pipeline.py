"""The street of one request: judged, made durable, answered.

Every error on the way ends in a denial or in a problem; there is no way past a step. What a decision spends is
written in one commit with its audit record, and no answer leaves before that commit.
"""

from __future__ import annotations

import logging
import secrets

from act.approvals.service import StepLost
from act.audit.transaction import Sealed, Transaction
from act.audit.writer import WriteFailed, Writer
from act.database.changes import ChangeFeed
from act.database.clock import Clock
from act.database.ids import new_id
from act.enforcement.answer import answer, record
from act.enforcement.bearers import Asked
from act.enforcement.judge import Judge, Judgement
from act.enforcement.replays import Key, Replays
from act.models import Decision
from act.problems import ProblemError, conflict, internal_error, overloaded

ATTEMPTS = 3

log = logging.getLogger("act.enforcement")


class Pipeline:
    def __init__(self, clock: Clock, feed: ChangeFeed, judge: Judge, replays: Replays, writer: Writer) -> None:
        self._clock = clock
        self._feed = feed
        self._judge = judge
        self._replays = replays
        self._writer = writer

    async def enforce(self, asked: Asked) -> Decision:
        """Decide one request.

        Raises:
            ProblemError: 409 for a request id that was used for something else, 503 when no durable answer is
                possible now or the state is older than the caller insists on. A problem is a denial.
        """
        self._refuse_older(asked)
        key = (asked.caller.id, asked.request.request_id)
        while earlier := self._replays.find(key, self._clock.monotonic()):
            if earlier.digest != asked.digest:
                raise conflict("request_id_reused", "This requestId was used for another request; make a new one.")
            if earlier.decision is None:
                await earlier.done.wait()
                continue
            if self._stands(asked, earlier.decision):
                return earlier.decision.model_copy(update={"replayed": True})
            break
        return await self._decide_once(asked, key)

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

    async def _decide_once(self, asked: Asked, key: Key) -> Decision:
        entry = self._replays.begin(key, asked.digest, self._clock.monotonic())
        decision = None
        try:
            decision = await self._decide(asked)
        finally:
            self._replays.finish(key, entry, decision)
        return decision

    async def _decide(self, asked: Asked) -> Decision:
        for _ in range(ATTEMPTS):
            if self._feed.broken:
                raise _stale("The server does not know how old its state is; it has to be restarted.", {})
            started = self._clock.monotonic()
            revision = self._feed.revision  # read first: the answer may rest on newer state, never on older
            decision_id, now = new_id("dec"), self._clock.now()
            judgement = self._judge.judge(asked, decision_id, now)
            try:
                sealed = await self._record(asked, judgement, decision_id, revision, started)
            except StepLost:
                judgement.undo()
                continue
            except WriteFailed as error:
                judgement.undo()
                raise overloaded(f"{error} Nothing was allowed; try again.") from error
            except Exception as error:
                judgement.undo()
                log.exception("decision %s could not be recorded", decision_id)
                raise internal_error() from error
            return answer(asked, judgement, decision_id, revision, now, sealed)
        raise overloaded("Others were faster several times. Nothing was allowed; try again.")

    async def _record(
        self, asked: Asked, judgement: Judgement, decision_id: str, revision: int, started: float
    ) -> Sealed:
        """Make the decision durable, with all it spends, in one commit."""
        salt = secrets.token_bytes(16)
        fields = record(asked, judgement, decision_id, revision, salt)

        def work(transaction: Transaction) -> Sealed:
            for effect in judgement.settlement.effects:
                effect.write(transaction)
            fields["latencyMicros"] = round((self._clock.monotonic() - started) * 1_000_000)
            return transaction.record(asked.caller.tenant_id, "decision", fields, salt)

        return await self._writer.commit(work)


def _stale(detail: str, headers: dict[str, str]) -> ProblemError:
    return ProblemError(503, "stale_state", "Stale state", detail, headers=headers)
