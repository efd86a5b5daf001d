"""What a ruling takes from the limits of its policies, and the words about what is left of them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from act.enforcement.ruling import Limit, Ruling
from act.limits.book import Demand, Exceeded
from act.limits.counters import Room, Series, Spend
from act.limits.leases import LeaseKey, Wanted
from act.models import Decision, ReasonCode
from act.policies.budgets import BudgetTerms, shown, written
from act.policies.constraints import ConcurrencyTerms, Counted, QuotaTerms
from act.policies.rates import RateTerms

Constraint = Literal["rateLimit", "maxRequests", "budget"]

_NOTHING = Demand()
_made = tuple.__new__
_UNITS = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}


def demand_of(tenant_id: str, limits: Sequence[Limit], longest: float) -> Demand:
    """What the limits of a ruling ask to be reserved.

    Args:
        longest: seconds after which a lease ends at the latest.
    """
    if not limits:
        return _NOTHING
    places: list[Wanted] = []
    spends: list[Spend] = []
    for limit in limits:
        terms, policy_id = limit.terms, limit.policy.id
        if isinstance(terms, ConcurrencyTerms):
            key = LeaseKey(tenant_id, policy_id, limit.holder)
            places.append(Wanted(key, terms.limit, min(terms.lease_seconds, longest)))
        else:
            seconds = None if isinstance(terms, QuotaTerms) else terms.seconds
            series = _made(Series, (tenant_id, policy_id, terms.name, seconds))
            spends.append(_made(Spend, (series, limit.holder, terms.limit, limit.amount, limit)))
    return _made(Demand, (places, spends))


def refusal(ruling: Ruling, exceeded: Exceeded) -> tuple[ReasonCode, str]:
    """Why nothing was reserved."""
    if exceeded.place is not None:
        place = exceeded.place
        name = next(limit.policy.name for limit in ruling.limits if limit.policy.id == place.key.policy_id)
        tasks = "1 task runs" if place.limit == 1 else f"{place.limit} tasks run"
        reason = f"'{name}' allows no more: {tasks} already. Report the outcome of one, or wait."
        return ReasonCode.CONCURRENCY_EXCEEDED, reason
    assert exceeded.room is not None
    limit: Limit = exceeded.room.spend.cause
    again = "" if exceeded.retry_after is None else f" There is room in {math.ceil(exceeded.retry_after)} s."
    name, terms = limit.policy.name, limit.terms
    if isinstance(terms, RateTerms):
        return ReasonCode.RATE_LIMITED, f"'{name}' allows {terms.limit} per {_UNITS[terms.seconds]}.{again}"
    if isinstance(terms, BudgetTerms):
        unit = f" {terms.unit}" if terms.unit else ""
        left, wanted = shown(max(exceeded.room.left, 0)), shown(limit.amount)
        reason = f"'{name}' has {left}{unit} left of {shown(terms.limit)} per {terms.per}; this takes {wanted}.{again}"
        return ReasonCode.BUDGET_EXCEEDED, reason
    requests = "1 request" if terms.limit == 1 else f"{terms.limit} requests"
    return ReasonCode.QUOTA_EXCEEDED, f"'{name}' allows {requests} with a token, and they are used up."


def left_of(rooms: Sequence[Room]) -> list[dict[str, Any]]:
    """What is left of each counted limit, as an answer tells it: an `act.models.LimitLeft` in JSON."""
    found: list[dict[str, Any]] = []
    for spend, left, more_in, _ in rooms:
        limit: Limit = spend.cause
        terms = limit.terms
        money = isinstance(terms, BudgetTerms)
        left = max(left, 0)
        found.append(
            {
                "policyId": limit.policy.id,
                "constraint": _constraint(terms),
                "limit": shown(spend.limit) if money else spend.limit,
                "remaining": shown(left) if money else left,
                "window": spend.series.seconds,
                "reset": None if more_in is None else math.ceil(more_in),
                "unit": terms.unit if isinstance(terms, BudgetTerms) else None,
            }
        )
    return found


def counted(rooms: Sequence[Room]) -> list[dict[str, Any]]:
    """What an allowed decision was counted under and what was left then, as its record tells it.

    Amounts are texts: a record holds no fractions.
    """
    found: list[dict[str, Any]] = []
    for spend, left, more_in, _ in rooms:
        limit: Limit = spend.cause
        terms, window = limit.terms, spend.series.seconds
        as_text = written if isinstance(terms, BudgetTerms) else str
        told: dict[str, Any] = {
            "policyId": limit.policy.id,
            "constraint": _constraint(terms),
            "amount": as_text(spend.amount),
            "limit": as_text(spend.limit),
            "remaining": as_text(max(left, 0)),
        }
        if window is not None:
            told["window"] = window
        if more_in is not None:
            told["reset"] = math.ceil(more_in)
        if isinstance(terms, BudgetTerms) and terms.unit:
            told["unit"] = terms.unit
        found.append(told)
    return found


def uncounted(limits: Sequence[Limit], decision: Decision) -> bool:
    """Whether one of the limits is not among those that the decision was counted under."""
    counted = {(left.policy_id, left.constraint) for left in decision.limits}
    for limit in limits:
        if isinstance(limit.terms, ConcurrencyTerms):
            if decision.lease is None:
                return True
        elif (limit.policy.id, _constraint(limit.terms)) not in counted:
            return True
    return False


def _constraint(terms: ConcurrencyTerms | Counted) -> Constraint:
    assert not isinstance(terms, ConcurrencyTerms), "places are held, not counted"
    if isinstance(terms, RateTerms):
        return "rateLimit"
    return "maxRequests" if isinstance(terms, QuotaTerms) else "budget"
