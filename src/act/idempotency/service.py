"""What was carried out under an `Idempotency-Key`, durably: the mark in the commit of the change, the answer after it.

The mark is written by the same savepoint as the change, so there is never one without the other, whenever the process
ends. The answer follows in a commit of its own. Between the two the mark stands alone: then it is known that the
change was made, and not what was answered.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, Engine

from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.idempotency import store
from act.idempotency.claim import SALT, Answer, Claim
from act.problems import ProblemError, conflict

KEPT: Final = timedelta(hours=24)
SWEPT: Final = 1_000
"""Rows that one sweep deletes."""


class Mark:
    """Goes along with what one request writes (`act.audit.writer.along`). Its salt tells it from other attempts."""

    def __init__(self, claim: Claim, clock: Clock) -> None:
        self.claim = claim
        self.salt = secrets.token_bytes(SALT)
        self.written = False
        self._clock = clock

    def __call__(self, transaction: Transaction) -> None:
        """Write the mark, once a request.

        Raises:
            ProblemError: 409; an earlier request with the same key was carried out, so this one is not.
        """
        connection, now = transaction.connection, self._clock.now()
        row = store.find(connection, self.claim)
        if row is not None and row.salt == self.salt:
            return
        if row is not None and row.created_at + KEPT > now:
            raise in_flight()
        if row is not None:
            store.drop(connection, self.claim, row.salt)
        store.add(connection, self.claim, self.salt, now)
        self.written = True


class IdempotencyService:
    def __init__(self, writer: Writer, reader: Engine, clock: Clock) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock

    def find(self, claim: Claim) -> Answer | None:
        """What was answered to the same request; None when nothing was carried out under its key. May block.

        Raises:
            ProblemError: 422 when it was another request; 409 when it was carried out and nobody knows the answer.
        """
        with self._reader.begin() as connection:
            row = store.find(connection, claim)
        if row is None or row.created_at + KEPT <= self._clock.now():
            return None
        if row.fingerprint != claim.fingerprint:
            raise reused()
        answer = None if row.answer is None else claim.unseal(row.answer, row.salt)
        if answer is None:
            raise _answer_lost()
        return answer

    def mark(self, claim: Claim) -> Mark:
        """What has to go along with everything that the request writes."""
        return Mark(claim, self._clock)

    async def keep(self, mark: Mark, answer: Answer) -> None:
        """Keep what was answered to a request that has written something.

        A success is kept. A refusal may have left a record of itself, and may be tried again, so its mark goes. After
        a failure of the server nobody knows what was done, and the mark stays.

        Raises:
            WriteFailed: it is not kept; the mark stays.
        """
        claim, salt = mark.claim, mark.salt
        if 400 <= answer.status < 500:
            await self._settle(lambda connection: store.drop(connection, claim, salt))
        elif answer.status < 400 and (sealed := claim.seal(answer, salt)) is not None:
            await self._settle(lambda connection: store.fill(connection, claim, salt, sealed))

    async def _settle(self, work: Callable[[Connection], None]) -> None:
        await self._writer.commit(lambda transaction: work(transaction.connection), recorded=False)

    def sweep(self) -> None:
        """Forget what is older than 24 hours. Blocks."""
        before = self._clock.now() - KEPT
        with self._reader.begin() as connection:
            due = store.any_older(connection, before)
        if due:
            self._writer.tidy(lambda connection: store.forget_older(connection, before, SWEPT))


def in_flight() -> ProblemError:
    detail = "A request with this Idempotency-Key is being carried out; ask again for its answer."
    return ProblemError(409, "idempotency_in_flight", "Conflict", detail, headers={"Retry-After": "1"})


def reused() -> ProblemError:
    detail = "This Idempotency-Key was used for another request; make a new one. Nothing was changed."
    return ProblemError(422, "idempotency_key_reused", "Idempotency key reused", detail)


def _answer_lost() -> ProblemError:
    detail = (
        "A request with this Idempotency-Key was carried out, and its answer was not kept. Look up what it has done; "
        "nothing was changed now."
    )
    return conflict("idempotency_answer_lost", detail)
