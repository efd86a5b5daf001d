"""Demands of several policies add up to all of them, in one normal form that says no more than that."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from act.policies.demands import ApprovalTerms, Demand, covered, folded, least, strictest

ROLES = ("finance", "legal", "board")
ROLE_SETS = st.none() | st.frozensets(st.sampled_from(ROLES), min_size=1)
DEMANDS = st.builds(Demand, st.integers(1, 3), ROLE_SETS)
TERMS = st.builds(lambda demand, seconds: ApprovalTerms((demand,), seconds), DEMANDS, st.integers(1, 86400))

# Four people: everybody who could make a difference between demands of so few roles.
PEOPLE = [frozenset(roles) for size in range(4) for roles in combinations(ROLES, size)]
CROWDS = st.lists(st.sampled_from(PEOPLE), max_size=6)


def meets(crowd: list[frozenset[str]], demands: tuple[Demand, ...] | list[Demand]) -> bool:
    """What a demand says, counted by hand."""
    return all(
        len([person for person in crowd if demand.roles is None or person & demand.roles]) >= demand.approvers
        for demand in demands
    )


@given(st.lists(DEMANDS, min_size=1, max_size=6), CROWDS)
def test_folding_changes_nothing_of_what_is_meant(demands: list[Demand], crowd: list[frozenset[str]]) -> None:
    assert meets(crowd, folded(demands)) is meets(crowd, demands)


@given(st.lists(DEMANDS, min_size=1, max_size=6))
def test_the_normal_form_is_one_and_short(demands: list[Demand]) -> None:
    normal = folded(demands)
    assert normal
    assert normal == folded(reversed(demands)) == folded([*normal, *demands])
    assert not any(one.covers(other) for one in normal for other in normal if one != other)


@given(st.lists(TERMS, min_size=1, max_size=5), TERMS)
def test_accumulated_approvals_are_as_strict_as_each(terms: list[ApprovalTerms], another: ApprovalTerms) -> None:
    together = strictest([*terms, another])
    for one in [*terms, another]:
        assert together.approvers >= one.approvers
        assert together.expires_in <= one.expires_in
        assert covered(one.demands, together.demands)
    assert together == strictest([another, *reversed(terms)]) == strictest([strictest(terms), another])


@given(st.lists(DEMANDS, min_size=1, max_size=4), st.lists(DEMANDS, min_size=1, max_size=4), CROWDS)
def test_what_is_covered_is_met_by_the_same_people(
    wanted: list[Demand], asked: list[Demand], crowd: list[frozenset[str]]
) -> None:
    if covered(wanted, asked) and meets(crowd, asked):
        assert meets(crowd, wanted)


def test_examples() -> None:
    finance, legal = frozenset(["finance"]), frozenset(["legal"])
    both = folded([Demand(2, finance), Demand(1, legal)])
    assert both == (Demand(2, finance), Demand(1, legal))
    assert least(both) == 2
    assert folded([Demand(1), Demand(2, finance), Demand(1, finance), Demand(1, finance | legal)]) == (
        Demand(2, finance),
    )
    assert folded([Demand(3), Demand(1, legal)]) == (Demand(3), Demand(1, legal))
    assert not Demand(1, finance).covers(Demand(1, legal))
    assert not Demand(5).covers(Demand(1, legal))
    assert not Demand(1, finance | legal).covers(Demand(1, legal))
