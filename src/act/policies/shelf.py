"""The policies of one audience, arranged by action and then by resource. Never changed once made."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from typing import Any, Generic, TypeVar

from act.policies.globs import Matcher, compile_pattern
from act.policies.near import Near
from act.policies.policy import CompiledPolicy

LOOKED_AT = 20
"""How many allow policies are looked at to find some that came close."""

by_id = attrgetter("id")
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Node(Generic[T]):
    """The globs that begin with `prefix`. `parent` is that of the longest other prefix that begins it."""

    prefix: str
    parent: _Node[T] | None
    certain: list[T] = field(default_factory=list)  # the glob is the prefix and a star
    tried: list[tuple[Matcher, T]] = field(default_factory=list)


class Resources(Generic[T]):
    """Things by the resources of their policies: literal ones by name, globs by what comes before their first star.

    Of the sorted prefixes, the last one that is not after a resource begins with every prefix that the resource
    begins with (whatever sorts between a prefix and a text that begins with it begins with it too), so one bisection
    and the way up through the parents find them all.
    """

    __slots__ = ("_exact", "_nodes", "_prefixes")

    def __init__(self, things: Iterable[tuple[CompiledPolicy, T]]) -> None:
        exact: dict[str, list[T]] = {}
        nodes: dict[str, _Node[T]] = {}
        for policy, thing in things:
            for pattern, matches in zip(policy.resources, policy.resource_matchers, strict=True):
                prefix, star, rest = pattern.partition("*")
                if not star:
                    exact.setdefault(pattern, []).append(thing)
                    continue
                node = nodes.get(prefix) or nodes.setdefault(prefix, _Node(prefix, None))
                if rest.strip("*"):
                    node.tried.append((matches, thing))
                else:
                    node.certain.append(thing)
        self._exact = exact or _NONE
        self._prefixes = sorted(nodes)
        self._nodes = [nodes[prefix] for prefix in self._prefixes]
        above: list[_Node[T]] = []
        for node in self._nodes:
            while above and not node.prefix.startswith(above[-1].prefix):
                above.pop()
            node.parent = above[-1] if above else None
            above.append(node)

    def find(self, resource: str, found: list[T]) -> None:
        """Add those that cover the resource to `found`; one may come more than once."""
        if resource in self._exact:
            found += self._exact[resource]
        at = bisect_right(self._prefixes, resource)
        node = self._nodes[at - 1] if at else None
        while node is not None and not resource.startswith(node.prefix):
            node = node.parent
        while node is not None:
            found += node.certain
            if node.tried:
                found += [thing for matches, thing in node.tried if matches(resource)]
            node = node.parent


_NONE: dict[str, list[Any]] = {}


class _Table:
    """The policies with one action; and `elsewhere`, the first of them as they come close on other resources."""

    __slots__ = ("covering", "elsewhere")

    def __init__(self, policies: list[CompiledPolicy]) -> None:
        policies.sort(key=by_id)
        self.covering = Resources((policy, policy) for policy in policies)
        self.elsewhere = [
            Near(policy.id, "/resourceId", policy.other_resources, policy)
            for policy in islice(filter(_could_allow, policies), LOOKED_AT)
        ]


def _could_allow(policy: CompiledPolicy) -> bool:
    return policy.effect == "allow" and not policy.shadow


class Shelf:
    """The policies of one audience, in the order of ids: a table for each action, and the ways to come close."""

    __slots__ = ("_by_action", "_by_pattern", "_other_actions", "policies")

    def __init__(self) -> None:
        self.policies: tuple[CompiledPolicy, ...] = ()
        self._by_action: dict[str, _Table] = {}
        self._by_pattern: dict[str, tuple[Matcher, _Table]] = {}
        self._other_actions: Resources[Near] = Resources(())

    def replace(self, changed: Mapping[str, CompiledPolicy | None]) -> Shelf:
        """A shelf with these policies in the place of those with the same ids; None is without them.

        Tables of actions that none of the policies has, before or now, are shared.
        """
        policies = {policy.id: policy for policy in self.policies}
        touched: dict[str, list[CompiledPolicy]] = {}
        for id, policy in changed.items():
            for either in (policies.pop(id, None), policy):
                touched.update((action, []) for action in (either.actions if either else ()))
        policies.update((id, policy) for id, policy in changed.items() if policy is not None)
        for policy in policies.values():
            for action in policy.actions:
                if action in touched and (not touched[action] or touched[action][-1] is not policy):
                    touched[action].append(policy)
        made = Shelf()
        made.policies = tuple(sorted(policies.values(), key=by_id))
        made._other_actions = Resources(
            (policy, Near(policy.id, "/action", policy.other_actions, policy))
            for policy in filter(_could_allow, made.policies)
        )
        made._by_action, made._by_pattern = dict(self._by_action), dict(self._by_pattern)
        for action, having in touched.items():
            made._by_action.pop(action, None)
            made._by_pattern.pop(action, None)
            if having and "*" in action:
                made._by_pattern[action] = (compile_pattern(action), _Table(having))
            elif having:
                made._by_action[action] = _Table(having)
        return made

    def find(self, action: str, resource: str, found: list[CompiledPolicy]) -> None:
        """Add those that match to `found`; one may come more than once."""
        table = self._by_action.get(action)
        if table is not None:
            table.covering.find(resource, found)
        if self._by_pattern:
            for matches, table in self._by_pattern.values():
                if matches(action):
                    table.covering.find(resource, found)

    def find_near(self, action: str, resource: str, found: list[Near]) -> None:
        """Add the first enforced allow policies of each table with the action, and all that cover the resource."""
        table = self._by_action.get(action)
        if table is not None:
            found += table.elsewhere
        if self._by_pattern:
            for matches, table in self._by_pattern.values():
                if matches(action):
                    found += table.elsewhere
        self._other_actions.find(resource, found)
