"""How many people a policy wants to ask, and who they must be (2-semantics, "Constraints": `requiresApproval`). Pure.

Demands accumulate: what every policy wants must be there. They are kept in one normal form, in which no demand is met
whenever another one is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """`approvers` distinct people, each with one of `roles`; None is whoever may approve. No roles at all is nobody."""

    approvers: int
    roles: frozenset[str] | None = None

    def admits(self, roles: frozenset[str]) -> bool:
        """Whether somebody with these roles counts."""
        return self.roles is None or not self.roles.isdisjoint(roles)

    def covers(self, other: Demand) -> bool:
        """Whether people who meet this demand meet the other as well."""
        if self.approvers < other.approvers:
            return False
        return other.roles is None or (self.roles is not None and self.roles <= other.roles)

    @property
    def names(self) -> list[str]:
        """The roles in an order of their own."""
        return sorted(self.roles or ())


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """All of `demands`, within `expires_in` seconds. `demands` are in normal form: see `folded`."""

    demands: tuple[Demand, ...]
    expires_in: int

    @property
    def approvers(self) -> int:
        """People needed at least: one who has several roles counts in several demands."""
        return least(self.demands)


def least(demands: Sequence[Demand]) -> int:
    """People needed at least."""
    return max((demand.approvers for demand in demands), default=1)


def folded(demands: Iterable[Demand]) -> tuple[Demand, ...]:
    """The normal form: each demand once, without those that another one covers, in one order."""
    several = set(demands)
    kept = [one for one in several if not any(other != one and other.covers(one) for other in several)]
    return tuple(sorted(kept, key=lambda demand: (demand.roles is not None, demand.names, demand.approvers)))


def covered(wanted: Sequence[Demand], asked: Sequence[Demand]) -> bool:
    """Whether people who meet all of `asked` meet all of `wanted`."""
    return all(any(demand.covers(want) for demand in asked) for want in wanted)


def strictest(terms: Sequence[ApprovalTerms]) -> ApprovalTerms:
    """Accumulated approval: everybody whom any policy wants, in as little time as any policy gives."""
    demands = folded(demand for each in terms for demand in each.demands)
    return ApprovalTerms(demands, min(each.expires_in for each in terms))
