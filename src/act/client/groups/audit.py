"""The audit log: what happened."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic.alias_generators import to_camel

from act.client.call import Call, get, path, post
from act.client.errors import UnexpectedAnswer
from act.client.groups.group import AsyncGroup, Group
from act.models import (
    ArchiveSealed,
    ArgumentsErased,
    AuditArchive,
    AuditRecord,
    Checkpoint,
    ConsistencyProof,
    InclusionProof,
    Page,
    rfc3339,
)

T = TypeVar("T")

SEALING = 120.0
"""Seconds that an archive may take."""


def list_audit(filters: Mapping[str, Any], cursor: str | None = None) -> Call[Page[AuditRecord]]:
    """`filters` in snake_case, as in 3-api: agent, requester, action, resource, decision, reason_code and so on."""
    given = {to_camel(name): _text(value) for name, value in filters.items()}
    return get(path("audit"), Page[AuditRecord], {**given, "cursor": cursor})


def get_audit(index: int) -> Call[AuditRecord]:
    return get(path("audit", str(index)), AuditRecord)


def erase_arguments(index: int, reason: str) -> Call[ArgumentsErased]:
    """Idempotent: it is made again at every try."""
    at = path("audit", str(index), "erase")
    return Call("POST", at, ArgumentsErased.model_validate_json, body={"reason": reason}, idempotent=True)


def erase_matching(whose: Mapping[str, Any], reason: str, begin: int) -> Call[ArgumentsErased]:
    """`whose` in snake_case: agent_id, requester_id, on_behalf_of, before. Idempotent, as `erase_arguments`."""
    given = {to_camel(name): text for name, value in whose.items() if (text := _text(value)) is not None}
    body = given | {"reason": reason, "begin": begin}
    return Call("POST", path("audit", "erase"), ArgumentsErased.model_validate_json, body=body, idempotent=True)


def list_archives(cursor: str | None = None) -> Call[Page[AuditArchive]]:
    return get(path("audit", "archives"), Page[AuditArchive], {"cursor": cursor})


def seal_archive(older_than: int | None) -> Call[ArchiveSealed]:
    made = post(path("audit", "archives"), ArchiveSealed, {"olderThan": older_than})
    return replace(made, wait=SEALING)


def export_audit(parse: Callable[[bytes], T], begin: int | None = None) -> Call[T]:
    """A streamed answer: `parse` reads one line of it."""
    params = {"format": "jsonl"} if begin is None else {"format": "jsonl", "begin": str(begin)}
    return Call("GET", path("audit", "export"), parse, params=params, idempotent=True)


def export_line(line: bytes) -> AuditRecord | Checkpoint | None:
    """One line of an export: a record, or the checkpoint that closes it; None for what was before the first record."""
    found = json.loads(line)
    if isinstance(found, dict) and "begin" in found:
        return None
    if isinstance(found, dict) and "checkpoint" in found:
        return Checkpoint.model_validate(found["checkpoint"])
    return AuditRecord.model_validate(found)


def checkpoint() -> Call[Checkpoint]:
    return get(path("audit", "checkpoint"), Checkpoint)


def inclusion_proof(index: int, size: int | None) -> Call[InclusionProof]:
    asked = {"index": str(index), "size": None if size is None else str(size)}
    return get(path("audit", "proof", "inclusion"), InclusionProof, asked)


def consistency_proof(first: int, second: int | None) -> Call[ConsistencyProof]:
    asked = {"first": str(first), "second": None if second is None else str(second)}
    return get(path("audit", "proof", "consistency"), ConsistencyProof, asked)


def _cut_off() -> UnexpectedAnswer:
    """The error of an export that does not end as one."""
    return UnexpectedAnswer("The export ends without its checkpoint, so records are missing; export it again.")


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return rfc3339(value) if isinstance(value, datetime) else str(value)


class Audit(Group):
    """What happened."""

    def list(
        self,
        *,
        agent: str | None = None,
        requester: str | None = None,
        action: str | None = None,
        resource: str | None = None,
        decision: str | None = None,
        reason_code: str | None = None,
        request_id: str | None = None,
        decision_id: str | None = None,
        task: str | None = None,
        conversation: str | None = None,
        kind: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        begin: int | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
    ) -> Iterator[AuditRecord]:
        """Records of the database that match all filters.

        `resource` is a glob, `begin` the first index that is looked at, `limit` the size of one page (at most 200).
        """
        filters = {name: value for name, value in locals().items() if name != "self"}
        return self._all(lambda cursor: list_audit(filters, cursor=cursor))

    def get(self, index: int) -> AuditRecord:
        return self._send(get_audit(index))

    def erase(self, index: int, reason: str) -> ArgumentsErased:
        """Erase what was kept of the arguments of one decision, also in its approval. The log stays valid."""
        return self._send(erase_arguments(index, reason))

    def erase_matching(
        self,
        reason: str,
        *,
        agent_id: str | None = None,
        requester_id: str | None = None,
        on_behalf_of: str | None = None,
        before: datetime | str | None = None,
    ) -> Iterator[ArgumentsErased]:
        """Erase what was kept of the arguments of decisions to which all that is given applies, call by call.

        Nothing is done until the iterator is asked, and all of it only when it has ended.
        """
        whose = {"agent_id": agent_id, "requester_id": requester_id, "on_behalf_of": on_behalf_of, "before": before}
        begin: int | None = 0
        while begin is not None:
            erased = self._send(erase_matching(whose, reason, begin))
            yield erased
            begin = erased.next

    def export(self) -> Iterator[AuditRecord]:
        """The log as the database holds it, streamed. Raises `UnexpectedAnswer` without the checkpoint at its end."""
        closed = False
        for line in self._transport.lines(export_audit(export_line)):
            if isinstance(line, AuditRecord):
                yield line
            closed = isinstance(line, Checkpoint)
        if not closed:
            raise _cut_off()

    def export_lines(self, begin: int | None = None) -> Iterator[bytes]:
        """The lines of the export exactly as they were hashed, for `actctl audit verify`; nothing is checked."""
        return self._transport.lines(export_audit(bytes, begin))

    def archives(self) -> Iterator[AuditArchive]:
        """The files that hold the oldest records, in the order of the log."""
        return self._all(list_archives)

    def archive(self, older_than: int | None = None) -> ArchiveSealed:
        """Seal the oldest records, those older than so many seconds, or than the tenant's retention, into a file."""
        return self._send(seal_archive(older_than))

    def checkpoint(self) -> Checkpoint:
        """The signed head of the log."""
        return self._send(checkpoint())

    def inclusion(self, index: int, size: int | None = None) -> InclusionProof:
        """That a record is among the first `size`, or among all. Check it with what you kept, not with its own root."""
        return self._send(inclusion_proof(index, size))

    def consistency(self, first: int, second: int | None = None) -> ConsistencyProof:
        """That the log of `second` records, or the whole log, begins with the `first`."""
        return self._send(consistency_proof(first, second))


class AsyncAudit(AsyncGroup):
    """What happened."""

    def list(
        self,
        *,
        agent: str | None = None,
        requester: str | None = None,
        action: str | None = None,
        resource: str | None = None,
        decision: str | None = None,
        reason_code: str | None = None,
        request_id: str | None = None,
        decision_id: str | None = None,
        task: str | None = None,
        conversation: str | None = None,
        kind: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        begin: int | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
    ) -> AsyncIterator[AuditRecord]:
        filters = {name: value for name, value in locals().items() if name != "self"}
        return self._all(lambda cursor: list_audit(filters, cursor=cursor))

    async def get(self, index: int) -> AuditRecord:
        return await self._send(get_audit(index))

    async def erase(self, index: int, reason: str) -> ArgumentsErased:
        return await self._send(erase_arguments(index, reason))

    async def erase_matching(
        self,
        reason: str,
        *,
        agent_id: str | None = None,
        requester_id: str | None = None,
        on_behalf_of: str | None = None,
        before: datetime | str | None = None,
    ) -> AsyncIterator[ArgumentsErased]:
        whose = {"agent_id": agent_id, "requester_id": requester_id, "on_behalf_of": on_behalf_of, "before": before}
        begin: int | None = 0
        while begin is not None:
            erased = await self._send(erase_matching(whose, reason, begin))
            yield erased
            begin = erased.next

    async def export(self) -> AsyncIterator[AuditRecord]:
        closed = False
        async for line in self._transport.lines(export_audit(export_line)):
            if isinstance(line, AuditRecord):
                yield line
            closed = isinstance(line, Checkpoint)
        if not closed:
            raise _cut_off()

    def export_lines(self, begin: int | None = None) -> AsyncIterator[bytes]:
        return self._transport.lines(export_audit(bytes, begin))

    def archives(self) -> AsyncIterator[AuditArchive]:
        """The files that hold the oldest records, in the order of the log."""
        return self._all(list_archives)

    async def archive(self, older_than: int | None = None) -> ArchiveSealed:
        """Seal the oldest records, those older than so many seconds, or than the tenant's retention, into a file."""
        return await self._send(seal_archive(older_than))

    async def checkpoint(self) -> Checkpoint:
        return await self._send(checkpoint())

    async def inclusion(self, index: int, size: int | None = None) -> InclusionProof:
        """That a record is among the first `size`, or among all. Check it with what you kept, not with its own root."""
        return await self._send(inclusion_proof(index, size))

    async def consistency(self, first: int, second: int | None = None) -> ConsistencyProof:
        """That the log of `second` records, or the whole log, begins with the `first`."""
        return await self._send(consistency_proof(first, second))
