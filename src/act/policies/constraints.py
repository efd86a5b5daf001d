"""Constraints of allow policies, normalized: what must hold besides the match (2-semantics, "Constraints")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from act import models

DEFAULT_LEASE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """`approvers` distinct people within `expires_in` seconds."""

    approvers: int
    expires_in: int


@dataclass(frozen=True, slots=True)
class ConcurrencyTerms:
    """At most `limit` leases at once, each ending by itself after `lease_seconds`."""

    limit: int
    lease_seconds: int


@dataclass(frozen=True, slots=True)
class Constraints:
    approval: ApprovalTerms | None = None
    concurrency: ConcurrencyTerms | None = None


NONE = Constraints()


def from_wire(written: models.Constraints | None) -> Constraints:
    """The one normal form of what an author may write in several ways."""
    if written is None:
        return NONE
    approval = None
    if isinstance(written.requires_approval, models.ApprovalRule):
        approval = ApprovalTerms(written.requires_approval.approvers, written.requires_approval.expires_in)
    elif written.requires_approval:
        rule = models.ApprovalRule()
        approval = ApprovalTerms(rule.approvers, rule.expires_in)
    concurrency = None
    if written.max_concurrent_tasks is not None:
        concurrency = ConcurrencyTerms(written.max_concurrent_tasks, written.lease_seconds or DEFAULT_LEASE_SECONDS)
    return Constraints(approval, concurrency)


def from_stored(stored: Mapping[str, Any]) -> Constraints:
    """Read back what `to_stored` wrote; anything else is an error, never 'no constraint'."""
    return from_wire(models.Constraints.model_validate(dict(stored)))


def strictest(terms: list[ApprovalTerms]) -> ApprovalTerms:
    """Accumulated approval: as many people as any policy wants, in as little time as any policy gives."""
    return ApprovalTerms(max(t.approvers for t in terms), min(t.expires_in for t in terms))
