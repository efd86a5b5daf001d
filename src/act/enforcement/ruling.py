"""What the policies say to one call, and how what they say to several agents becomes one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from act.models import ReasonCode
from act.policies.constraints import ConcurrencyTerms, Counted
from act.policies.demands import ApprovalTerms, strictest
from act.policies.policy import CompiledPolicy, Near


class Limit(NamedTuple):
    """A limit to be reserved, counted per policy and `holder`: what stands at the root of the delegation.

    That is the agent; for what is counted per token or task, these. `amount` is what this call takes.
    """

    policy: CompiledPolicy
    holder: str
    terms: ConcurrencyTerms | Counted
    amount: int = 1


class Shadow(NamedTuple):
    """What the answer would have been if the shadow policies that match were enforced."""

    code: ReasonCode
    policies: tuple[CompiledPolicy, ...]


class Ruling(NamedTuple):
    """What the policies say. `permitted` means: nothing but `limits` and `approval` stands in the way.

    `obligations` are for the tool to keep, as (name, number).
    """

    permitted: bool
    code: ReasonCode
    reason: str
    policies: tuple[CompiledPolicy, ...] = ()
    near: tuple[Near, ...] = ()
    limits: tuple[Limit, ...] = ()
    approval: ApprovalTerms | None = None
    approval_policies: tuple[CompiledPolicy, ...] = ()
    obligations: tuple[tuple[str, int], ...] = ()
    shadow: Shadow | None = None


def by_itself(policy: CompiledPolicy) -> Ruling:
    """What is said when one policy decides, in no doubt and under no constraint. It is the same for all calls."""
    if policy.ruling is None:
        allows = policy.effect == "allow"
        code = ReasonCode.ALLOWED if allows else ReasonCode.POLICY_DENIED
        reason = f"{'Allowed' if allows else 'Denied'} by policy {policy.label}."
        object.__setattr__(policy, "ruling", Ruling(allows, code, reason, (policy,)))
    made: Ruling = policy.ruling
    return made


class Side(NamedTuple):
    """What is said to one agent: as enforced, as it would be with the shadow policies that match, and these."""

    ruling: Ruling
    would: Ruling | None = None
    shadows: tuple[CompiledPolicy, ...] = ()

    @property
    def if_enforced(self) -> Ruling:
        return self.ruling if self.would is None else self.would

    def told(self) -> Ruling:
        """The ruling, which tells of the shadow policies."""
        if self.would is None:
            return self.ruling
        code = ReasonCode.APPROVAL_REQUIRED if self.would.permitted and self.would.approval else self.would.code
        return self.ruling._replace(shadow=Shadow(code, self.shadows))


def both(one: Ruling, other: Ruling, reason: str) -> Ruling:
    """What both permit, under the constraints of both. A limit that both hold is one limit."""
    return Ruling(
        True,
        ReasonCode.ALLOWED,
        reason,
        union(one.policies, other.policies),
        limits=tuple(
            {
                (limit.policy.id, limit.holder, limit.terms.name): limit for limit in (*one.limits, *other.limits)
            }.values()
        ),
        approval=strictest_of((one.approval, other.approval)),
        approval_policies=union(one.approval_policies, other.approval_policies),
        obligations=smallest((*one.obligations, *other.obligations)),
    )


def all_of(rulings: Sequence[Ruling], reason: str) -> Ruling:
    """What all of them permit, under the constraints of all."""
    if not [ruling for ruling in rulings if ruling.limits or ruling.approval or ruling.obligations]:
        # The usual case: there is nothing but policies to be joined.
        return Ruling(True, ReasonCode.ALLOWED, reason, union(*[ruling.policies for ruling in rulings]))
    joined = rulings[0]._replace(reason=reason)
    for ruling in rulings[1:]:
        joined = both(joined, ruling, reason)
    return joined


def strictest_of(terms: Iterable[ApprovalTerms | None]) -> ApprovalTerms | None:
    wanted = [term for term in terms if term is not None]
    return strictest(wanted) if wanted else None


def smallest(pairs: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Each name once, with the smallest of its numbers."""
    found: dict[str, int] = {}
    for name, number in pairs:
        found[name] = min(number, found.get(name, number))
    return tuple(sorted(found.items()))


def union(*several: Sequence[CompiledPolicy]) -> tuple[CompiledPolicy, ...]:
    return tuple({policy.id: policy for policies in several for policy in policies}.values())
