"""Erasing what was kept of arguments. The log stays as it is, and every proof of it valid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Engine, Row

from act import models
from act.audit import archive_store, erasure_store, store
from act.audit.erasure_store import Whose
from act.audit.proving import LogService, refuse_archived
from act.audit.transaction import Sealed, Transaction
from act.audit.writer import Writer
from act.database.engine import empty_wal
from act.models import rfc3339
from act.problems import not_found
from act.tenants.tenant import ApiKey

AT_ONCE: Final = 500
"""Records of one call: one commit, behind which no decision waits for long."""
LOOKED_AT: Final = 20_000
"""Records that one call looks through."""

Forget = Callable[[Transaction, str, Sequence[str]], int]
"""Erases the arguments of approvals of a tenant, by their ids; answers of how many."""


class ErasureService:
    """A call erases at most `AT_ONCE` bodies, in one commit with the record that says who did, and why.

    Args:
        forget: an approval holds the same arguments as the decision that asked for it.
    """

    def __init__(self, writer: Writer, reader: Engine, log: LogService, forget: Forget) -> None:
        self._writer = writer
        self._reader = reader
        self._log = log
        self._forget = forget

    def erase(self, caller: ApiKey, index: int, reason: str) -> models.ArgumentsErased:
        """Erase what stands beside one record. Where nothing does, that is no error, and leaves no record.

        Raises:
            ProblemError: 404 when there is no such record, 410 when it is in an archive.
        """
        with self._reader.begin() as connection:
            refuse_archived(connection, caller.tenant_id, index)
            if store.at_index(connection, caller.tenant_id, index) is None:
                raise not_found("audit record", str(index))
            found = erasure_store.held(connection, caller.tenant_id, Whose(), index, index + 1, 1)
        return self._erased(caller, found, reason, None, None)

    def erase_matching(self, caller: ApiKey, body: models.ArgumentsEraseMatching) -> models.ArgumentsErased:
        """Erase what stands beside records that match, from index `begin` on; `next` says where to go on."""
        whose = Whose(
            body.agent_id, body.requester_id, body.on_behalf_of, rfc3339(body.before) if body.before else None
        )
        size = self._log.size(caller)
        with self._reader.begin() as connection:
            begin = max(body.begin, archive_store.held_from(connection, caller.tenant_id))
            end = min(begin + LOOKED_AT, size)
            found = erasure_store.held(connection, caller.tenant_id, whose, begin, end, AT_ONCE)
        following = found[-1].idx + 1 if len(found) == AT_ONCE else end
        return self._erased(caller, found, body.reason, body, following if following < size else None)

    def _erased(
        self,
        caller: ApiKey,
        found: Sequence[Row[Any]],
        reason: str,
        asked: models.ArgumentsEraseMatching | None,
        following: int | None,
    ) -> models.ArgumentsErased:
        if not found:
            return models.ArgumentsErased(erased=0, approvals=0, next=following, overwritten=empty_wal(self._reader))
        tenant_id, indexes = caller.tenant_id, [row.idx for row in found]
        approvals = sorted({row.approval_id for row in found if row.approval_id is not None})

        def work(transaction: Transaction) -> tuple[int, int, Sealed]:
            refuse_archived(transaction.connection, tenant_id, indexes[0])  # sealed since it was looked for
            erased = erasure_store.erase(transaction.connection, tenant_id, indexes)
            forgotten = self._forget(transaction, tenant_id, approvals)
            told = {
                "keyId": caller.id,
                "person": caller.person,
                "reason": reason,
                "indexes": indexes,
                "count": erased,
                "approvals": approvals or None,
                "filter": None if asked is None else _told(asked),
            }
            return erased, forgotten, transaction.record(tenant_id, "arguments.erased", told)

        erased, forgotten, sealed = self._writer.write(work)
        return models.ArgumentsErased(
            erased=erased,
            approvals=forgotten,
            audit=models.AuditReference(index=sealed.index, leaf_hash=sealed.leaf_hash),
            next=following,
            overwritten=empty_wal(self._reader),
        )


def _told(asked: models.ArgumentsEraseMatching) -> dict[str, Any]:
    names = {"agent_id", "requester_id", "on_behalf_of", "before"}
    return asked.model_dump(mode="json", by_alias=True, exclude_none=True, include=names)
