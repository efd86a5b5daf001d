"""Audit records and checkpoints."""

from __future__ import annotations

from typing import Any

from act.models.base import Answer


class AuditRecord(Answer):
    """One leaf of the log: `record` is exactly what `leaf_hash` covers."""

    index: int
    leaf_hash: str
    record: dict[str, Any]


class Checkpoint(Answer):
    """The log's head: `root_hash` is hex; `note` is the same as a C2SP signed note."""

    tenant_id: str
    size: int
    root_hash: str
    note: str
    verifier_key: str
