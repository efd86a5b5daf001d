"""Audit records and checkpoints."""

from __future__ import annotations

from typing import Any

from act.models.base import Answer


class AuditRecord(Answer):
    """One leaf of the log: `record` is exactly what `leaf_hash` covers."""

    index: int
    leaf_hash: str
    record: dict[str, Any]


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
