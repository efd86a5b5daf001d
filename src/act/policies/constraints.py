"""Constraints of allow policies, normalized: what must hold besides the match (2-semantics, "Constraints")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from act import models
from act.policies.amounts import Kind
from act.policies.audience import Audience
from act.policies.domains import Domains, parse_domains
from act.policies.hours import Hours, parse_hours

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
class DelegationTerms:
    """The agent must act under a delegation, by one of `by`."""

    by: Audience


@dataclass(frozen=True, slots=True)
class Constraints:
    """`amounts` holds `maxRows` and `maxDataPoints`, each checked where a call carries the number, and told on."""

    approval: ApprovalTerms | None = None
    concurrency: ConcurrencyTerms | None = None
    hours: Hours | None = None
    domains: Domains | None = None
    amounts: tuple[tuple[Kind, int], ...] = ()
    delegation: DelegationTerms | None = None


NONE = Constraints()


def from_wire(written: models.Constraints | None) -> Constraints:
    """The one normal form of what an author may write in several ways.

    Raises:
        ValueError: a part that was accepted once is not readable any more.
    """
    if written is None:
        return NONE
    concurrency = None
    if written.max_concurrent_tasks is not None:
        concurrency = ConcurrencyTerms(written.max_concurrent_tasks, written.lease_seconds or DEFAULT_LEASE_SECONDS)
    amounts: dict[Kind, int | None] = {"maxRows": written.max_rows, "maxDataPoints": written.max_data_points}
    found = Constraints(
        _approval(written),
        concurrency,
        None if written.allowed_hours is None else _readable(parse_hours(written.allowed_hours), str),
        None if written.allowed_domains is None else _readable(parse_domains(written.allowed_domains), list),
        tuple((kind, limit) for kind, limit in amounts.items() if limit is not None),
        _delegation(written),
    )
    return NONE if found == NONE else found


def from_stored(stored: Mapping[str, Any]) -> Constraints:
    """Read back what was stored; anything else is an error, never 'no constraint'."""
    return from_wire(models.Constraints.model_validate(dict(stored)))


def strictest(terms: Sequence[ApprovalTerms]) -> ApprovalTerms:
    """Accumulated approval: as many people as any policy wants, in as little time as any policy gives."""
    return ApprovalTerms(max(t.approvers for t in terms), min(t.expires_in for t in terms))


def _approval(written: models.Constraints) -> ApprovalTerms | None:
    rule = written.requires_approval
    if isinstance(rule, models.ApprovalRule):
        return ApprovalTerms(rule.approvers, rule.expires_in)
    if rule:
        usual = models.ApprovalRule()
        return ApprovalTerms(usual.approvers, usual.expires_in)
    return None


def _delegation(written: models.Constraints) -> DelegationTerms | None:
    rule = written.requires_delegation
    if isinstance(rule, models.DelegationRule):
        return DelegationTerms(audience_of(rule.from_))
    return DelegationTerms(Audience(everyone=True)) if rule else None


def audience_of(written: models.Delegators) -> Audience:
    return Audience(roles=frozenset(written.roles), agent_ids=frozenset(written.agent_ids))


def _readable(parsed: Any, faulty: type) -> Any:
    if isinstance(parsed, faulty):
        raise ValueError(f"A stored constraint cannot be read: {parsed}")
    return parsed
