"""Audit records and checkpoints."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from act.models.base import Answer, Moment, Reason, Request
from act.models.decisions import AuditReference
from act.models.tenants import SHORTEST_RETENTION

RecordKind = Literal[
    "agent.created",
    "agent.deleted",
    "agent.resumed",
    "agent.suspended",
    "agent.tokens_revoked",
    "agent.updated",
    "api_key.created",
    "api_key.revoked",
    "approval.approved",
    "approval.expired",
    "approval.rejected",
    "arguments.erased",
    "audit.archived",
    "decision",
    "decision.outcome",
    "delegation.created",
    "delegation.refused",
    "key.created",
    "key.retired",
    "key.revoked",
    "key.rotated",
    "lease.timed_out",
    "policy.created",
    "policy.deleted",
    "policy.restored",
    "policy.updated",
    "tenant.created",
    "tenant.frozen",
    "tenant.unfrozen",
    "tenant.updated",
    "token.issued",
    "token.reuse_detected",
    "token.revoked",
    "token.rotated",
    "webhook.created",
    "webhook.deleted",
    "webhook.disabled",
    "webhook.resent",
    "webhook.secret_rotated",
    "webhook.tested",
    "webhook.updated",
]
"""What a record of the log may be about."""


class AuditRecord(Answer):
    """One leaf of the log: `record` is exactly what `leaf_hash` covers.

    `arguments` is what is kept of the arguments beside it, None when nothing is or it was erased. `salt`, only in
    exports, is that of the hash which proves them: `keptHash` of the record, or else `argumentsHash`.
    """

    index: int
    leaf_hash: str
    record: dict[str, Any]
    arguments: dict[str, Any] | None = None
    salt: str | None = None


class AuditArchive(Answer):
    """A file with the records from `first` to `end` (exclusive); those before `removed` are in no other place.

    `file` is its name below the folder of archives, `root_hash` that of the log of `end` records, which the checkpoint
    in it signs; hashes are hex. `first_at` and `last_at` are the earliest and the latest time of a record in it.
    """

    first: int
    end: int
    removed: int
    file: str
    bytes: int
    sha256: str
    root_hash: str
    first_at: str
    last_at: str
    sealed_at: Moment


class ArchiveRequest(Request):
    """Archive what is older than so many seconds; without it, what is older than the tenant's `auditRetention`."""

    older_than: Annotated[int, Field(ge=SHORTEST_RETENTION, le=100 * 366 * 86400)] | None = None


class ArchiveSealed(Answer):
    """What was archived by one call; None when nothing is old enough. With `has_more`, call again."""

    archive: AuditArchive | None
    has_more: bool


class ArgumentsErase(Request):
    """Why what was kept of the arguments of one decision is erased; for people, in the record."""

    reason: Reason


class ArgumentsEraseMatching(Request):
    """Whose arguments are erased: those of decisions to which all that is given applies. Something must be given.

    `begin` is the first index that is looked at.
    """

    agent_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    requester_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    on_behalf_of: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    before: Moment | None = None
    reason: Reason
    begin: Annotated[int, Field(ge=0, le=2**53)] = 0

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if all(each is None for each in (self.agent_id, self.requester_id, self.on_behalf_of, self.before)):
            raise ValueError("say whose: agentId, requesterId, onBehalfOf, before, or several of them")
        return self


class ArgumentsErased(Answer):
    """How much was erased by one call: beside `erased` records, and in `approvals` that were settled.

    `audit` is the record that says so; None when there was nothing to erase. With `next`, go on from that index.
    `overwritten` says that the database files hold no byte of it any more; else some may stand in the write-ahead log
    until it is written over.
    """

    erased: int
    approvals: int
    audit: AuditReference | None = None
    next: int | None = None
    overwritten: bool


class InclusionProof(Answer):
    """That a record is in the log of `size` records (RFC 6962, section 2.1.1). All hashes in hex."""

    index: int
    size: int
    leaf_hash: str
    root_hash: str
    hashes: list[str]


class ConsistencyProof(Answer):
    """That the log of `second` records begins with the first `first` (RFC 6962, section 2.1.2). All hashes in hex."""

    first: int
    second: int
    first_root_hash: str
    second_root_hash: str
    hashes: list[str]


class Checkpoint(Answer):
    """The log's head: `root_hash` is hex; `note` is the same as a C2SP signed note."""

    tenant_id: str
    size: int
    root_hash: str
    note: str
    verifier_key: str
