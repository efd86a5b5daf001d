"""What a token is narrowed to: actions and resources, and policies (RFC 9396; 2-semantics, "Tokens"). Pure.

A token without a scope is not narrowed. A scope never gives a right; the live policies do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from act.policies.globs import Matcher, compile_pattern, pattern_fault, witness
from act.strict_json import MAX_FAULTS, Fault

TYPE = "act"

Wanted = Sequence[Mapping[str, Sequence[str]]]
"""A scope on the wire."""


@dataclass(frozen=True, slots=True)
class Part:
    """Any of the actions on any of the resources."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    action_matchers: tuple[Matcher, ...] = field(repr=False, compare=False, default=())
    resource_matchers: tuple[Matcher, ...] = field(repr=False, compare=False, default=())

    def covers(self, action: str, resource: str) -> bool:
        # Plain loops: this is asked of every link of a chain, for every request.
        for fits in self.action_matchers:
            if fits(action):
                break
        else:
            return False
        for fits in self.resource_matchers:  # noqa: SIM110 - as above
            if fits(resource):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Scope:
    """Covered is what one of the parts covers and, where `policy_ids` is not None, what one of them allows."""

    parts: tuple[Part, ...]
    policy_ids: frozenset[str] | None = None

    def covers(self, action: str, resource: str) -> bool:
        for part in self.parts:  # noqa: SIM110 - as above
            if part.covers(action, resource):
                return True
        return False

    def to_wire(self) -> list[dict[str, Any]]:
        """As in requests and answers."""
        return [{"actions": list(part.actions), "resources": list(part.resources)} for part in self.parts]

    def to_details(self) -> list[dict[str, Any]]:
        """As the claim `authorization_details` (RFC 9396, section 2)."""
        policies = {} if self.policy_ids is None else {"policyIds": sorted(self.policy_ids)}
        return [{"type": TYPE, **part, **policies} for part in self.to_wire()]


def scope_of(parts: Iterable[tuple[Sequence[str], Sequence[str]]], policy_ids: Iterable[str] | None = None) -> Scope:
    """A scope of pairs of action and resource patterns that have no fault."""
    return Scope(
        tuple(
            Part(
                tuple(actions),
                tuple(resources),
                tuple(compile_pattern(pattern) for pattern in actions),
                tuple(compile_pattern(pattern) for pattern in resources),
            )
            for actions, resources in parts
        ),
        None if policy_ids is None else frozenset(policy_ids),
    )


def from_details(details: Any) -> Scope | None:
    """The scope of a claim, or None when it is not exactly one that ACT writes."""
    if type(details) is not list or not details:
        return None
    policy_ids: list[list[str] | None] = []
    parts = []
    for detail in details:
        if type(detail) is not dict or detail.get("type") != TYPE:
            return None
        if detail.keys() - {"policyIds"} != {"type", "actions", "resources"}:
            return None
        actions, resources = _patterns(detail["actions"]), _patterns(detail["resources"])
        policies = _texts(detail["policyIds"]) if "policyIds" in detail else None
        if actions is None or resources is None or ("policyIds" in detail and policies is None):
            return None
        parts.append((actions, resources))
        policy_ids.append(policies)
    if any(policies != policy_ids[0] for policies in policy_ids):
        return None
    return scope_of(parts, policy_ids[0])


def excess(wanted: Wanted, scope: Scope | None) -> list[Fault]:
    """What of a scope on the wire goes beyond another scope; pointers are into the list.

    Exact (2-semantics, "Patterns"): a pair of patterns is covered by a union exactly when one member covers it.
    """
    if scope is None:
        return []
    return uncovered(
        wanted,
        [(part.action_matchers, part.resource_matchers) for part in scope.parts],
        lambda action: f"The parent token may not do '{action}' at all.",
        lambda action, resource: f"The parent token may not '{action}' all of '{resource}'.",
    )


def uncovered(
    wanted: Wanted,
    parts: Sequence[tuple[Sequence[Matcher], Sequence[Matcher]]],
    no_action: Callable[[str], str],
    no_pair: Callable[[str, str], str],
) -> list[Fault]:
    """What of a scope on the wire none of `parts` (matchers of actions, and of resources) covers.

    Every pattern is compared once with every other, not once for each pair: who asks chooses how many there are. At
    most `MAX_FAULTS` are told.

    Args:
        no_action: the sentence for an action that no part covers on any resource.
        no_pair: the sentence for an action and a resource.
    """
    actions, resources = [part[0] for part in parts], [part[1] for part in parts]
    faults: dict[Fault, None] = {}
    for at, item in enumerate(wanted):
        holding = [_containing(resource, resources) for resource in item["resources"]]
        for number, action in enumerate(item["actions"]):
            able = _containing(action, actions)
            if not able:
                faults[Fault(f"/{at}/actions/{number}", no_action(action))] = None
                continue
            for place, resource in enumerate(item["resources"]):
                if able.isdisjoint(holding[place]):
                    faults[Fault(f"/{at}/resources/{place}", no_pair(action, resource))] = None
            if len(faults) >= MAX_FAULTS:
                return list(faults)[:MAX_FAULTS]
    return list(faults)


def _containing(pattern: str, unions: Sequence[Sequence[Matcher]]) -> set[int]:
    """The places of those unions of patterns that contain a pattern (`act.policies.globs.contains`)."""
    text = witness(pattern)
    return {at for at, union in enumerate(unions) if any(matches(text) for matches in union)}


def _texts(value: Any) -> list[str] | None:
    if type(value) is not list or not value or not all(type(item) is str and item for item in value):
        return None
    return value


def _patterns(value: Any) -> list[str] | None:
    patterns = _texts(value)
    return None if patterns is None or any(pattern_fault(pattern) for pattern in patterns) else patterns
