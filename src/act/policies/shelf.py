"""The policies of one audience, arranged by action and then by resource. Never changed once made."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from act.policies.globs import Matcher, compile_pattern
from act.policies.policy import CompiledPolicy

by_id = attrgetter("id")


@dataclass(slots=True, eq=False)
class _Node:
    """The globs that begin with `prefix`. `parent` is that of the longest other prefix that begins it."""

    prefix: str
    parent: _Node | None
    certain: list[CompiledPolicy] = field(default_factory=list)  # the glob is the prefix and a star
    tried: list[tuple[Matcher, CompiledPolicy]] = field(default_factory=list)


class Table:
    """Policies by resource: literal resources by name, globs by what comes before their first star.

    Of the sorted prefixes, the last one that is not after a resource begins with every prefix that the resource
    begins with (whatever sorts between a prefix and a text that begins with it begins with it too), so one bisection
    and the way up through the parents find them all.
    """

    __slots__ = ("_exact", "_nodes", "_prefixes", "allowing", "policies")

    def __init__(self, policies: Iterable[CompiledPolicy]) -> None:
        self.policies = tuple(sorted(policies, key=by_id))
        allowing = tuple(policy for policy in self.policies if policy.effect == "allow")
        self.allowing = self.policies if len(allowing) == len(self.policies) else allowing
        exact: dict[str, list[CompiledPolicy]] = {}
        nodes: dict[str, _Node] = {}
        for policy in self.policies:
            for pattern, matches in zip(policy.resources, policy.resource_matchers, strict=True):
                prefix, star, rest = pattern.partition("*")
                if not star:
                    exact.setdefault(pattern, []).append(policy)
                    continue
                node = nodes.get(prefix) or nodes.setdefault(prefix, _Node(prefix, None))
                if rest.strip("*"):
                    node.tried.append((matches, policy))
                else:
                    node.certain.append(policy)
        self._exact = exact or _NONE
        self._prefixes = sorted(nodes)
        self._nodes = [nodes[prefix] for prefix in self._prefixes]
        above: list[_Node] = []
        for node in self._nodes:
            while above and not node.prefix.startswith(above[-1].prefix):
                above.pop()
            node.parent = above[-1] if above else None
            above.append(node)

    def find(self, resource: str, found: list[CompiledPolicy]) -> None:
        """Add those that cover the resource to `found`; one may come more than once."""
        if resource in self._exact:
            found += self._exact[resource]
        at = bisect_right(self._prefixes, resource)
        node = self._nodes[at - 1] if at else None
        while node is not None and not resource.startswith(node.prefix):
            node = node.parent
        while node is not None:
            found += node.certain
            for matches, policy in node.tried:
                if matches(resource):
                    found.append(policy)
            node = node.parent


_NONE: dict[str, list[CompiledPolicy]] = {}
_EMPTY = Table(())


class Shelf:
    """The policies of one audience: a table for each action, and one for all actions together."""

    __slots__ = ("_by_action", "_by_pattern", "all")

    def __init__(self) -> None:
        self.all = _EMPTY
        self._by_action: dict[str, Table] = {}
        self._by_pattern: dict[str, tuple[Matcher, Table]] = {}

    def replace(self, changed: Mapping[str, CompiledPolicy | None]) -> Shelf:
        """A shelf with these policies in the place of those with the same ids; None is without them.

        Tables of actions that none of the policies has, before or now, are shared.
        """
        policies = {policy.id: policy for policy in self.all.policies}
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
        made.all = Table(policies.values())
        made._by_action, made._by_pattern = dict(self._by_action), dict(self._by_pattern)
        for action, having in touched.items():
            made._by_action.pop(action, None)
            made._by_pattern.pop(action, None)
            if having and "*" in action:
                made._by_pattern[action] = (compile_pattern(action), Table(having))
            elif having:
                made._by_action[action] = Table(having)
        return made

    def find(self, action: str, resource: str, found: list[CompiledPolicy]) -> None:
        """Add those that match to `found`; one may come more than once."""
        table = self._by_action.get(action)
        if table is not None:
            table.find(resource, found)
        if self._by_pattern:
            for matches, table in self._by_pattern.values():
                if matches(action):
                    table.find(resource, found)

    def find_near(self, action: str, resource: str, limit: int, found: list[CompiledPolicy]) -> None:
        """Add the first `limit` allow policies of each table with the action, and all that cover the resource."""
        table = self._by_action.get(action)
        if table is not None:
            found += table.allowing[:limit]
        for matches, table in self._by_pattern.values():
            if matches(action):
                found += table.allowing[:limit]
        self.all.find(resource, found)
