"""Constraints of allow policies, normalized: what must hold besides the match (2-semantics, "Constraints")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from act import models
from act.policies.amounts import Kind
from act.policies.audience import Audience
from act.policies.budgets import BudgetTerms, millionths
from act.policies.demands import ApprovalTerms, Demand
from act.policies.domains import Domains, parse_domains
from act.policies.hours import Hours, parse_hours
from act.policies.rates import RateTerms, parse_rates

DEFAULT_LEASE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class ConcurrencyTerms:
    """At most `limit` leases at once, each ending by itself after `lease_seconds`."""

    limit: int
    lease_seconds: int
    name: str = "leases"


@dataclass(frozen=True, slots=True)
class QuotaTerms:
    """At most `limit` requests with one token and all that was delegated from it."""

    limit: int
    name: str = "quota"


Counted = RateTerms | QuotaTerms | BudgetTerms
"""What is counted, and never given back once it was used."""


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
    rates: tuple[RateTerms, ...] = ()
    quota: QuotaTerms | None = None
    budget: BudgetTerms | None = None
    limits: tuple[ConcurrencyTerms | Counted, ...] = field(init=False, repr=False, compare=False)
    held: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """What decisions ask every time: `limits` is all that has to be reserved; `held` says whether there is more
        than that and people, which has to be held against the call.
        """
        single = [each for each in (self.concurrency, self.quota, self.budget) if each is not None]
        object.__setattr__(self, "limits", (*single, *self.rates))
        held = (self.hours, self.domains, self.delegation)
        object.__setattr__(self, "held", bool(self.amounts) or any(each is not None for each in held))


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
        () if written.rate_limit is None else _readable(parse_rates(written.rate_limit), list),
        None if written.max_requests is None else QuotaTerms(written.max_requests),
        None if written.budget is None else _budget(written.budget),
    )
    return NONE if found == NONE else found


def from_stored(stored: Mapping[str, Any]) -> Constraints:
    """Read back what was stored; anything else is an error, never 'no constraint'."""
    return from_wire(models.Constraints.model_validate(dict(stored)))


def _approval(written: models.Constraints) -> ApprovalTerms | None:
    rule = written.requires_approval
    if not rule:
        return None
    if not isinstance(rule, models.ApprovalRule):
        rule = models.ApprovalRule()
    roles = None if rule.from_ is None else frozenset(rule.from_)
    return ApprovalTerms((Demand(rule.approvers, roles),), rule.expires_in)


def _delegation(written: models.Constraints) -> DelegationTerms | None:
    rule = written.requires_delegation
    if isinstance(rule, models.DelegationRule):
        return DelegationTerms(audience_of(rule.from_))
    return DelegationTerms(Audience(everyone=True)) if rule else None


def _budget(written: models.Budget) -> BudgetTerms:
    limit = millionths(written.max)
    if limit is None:
        raise ValueError("A stored budget cannot be read.")
    return BudgetTerms(written.argument, limit, written.per, written.unit)


def audience_of(written: models.Delegators) -> Audience:
    return Audience(roles=frozenset(written.roles), agent_ids=frozenset(written.agent_ids))


def _readable(parsed: Any, faulty: type) -> Any:
    if isinstance(parsed, faulty):
        raise ValueError(f"A stored constraint cannot be read: {parsed}")
    return parsed
