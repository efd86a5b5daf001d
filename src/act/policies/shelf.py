"""The policies of one audience, arranged by resource and then by action. Never changed once made.

A change makes a new shelf out of the old one: what holds the policies that changed is copied, everything else is
shared, so that it takes little time however many policies there are.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from operator import attrgetter
from sys import intern
from typing import Final, TypeVar

from act.policies.globs import Matcher, compile_pattern
from act.policies.policy import CompiledPolicy, Near

LOOKED_AT = 20
"""How many allow policies are looked at to find some that came close."""

by_id = attrgetter("id")
Ordered = TypeVar("Ordered", CompiledPolicy, Near)
T = TypeVar("T")
Policies = tuple[CompiledPolicy, ...]
Nears = tuple[Near, ...]
Change = tuple[list[T], list[T]]  # those that go, those that come
Tried = tuple[Matcher, CompiledPolicy]

_after: Final = bisect_right
# Shared by all that have nothing; nothing is ever put into them.
_NOBODY: Final[Policies] = ()
_NO_NEAR: Final[Nears] = ()
_NO_POLICIES: Final[dict[str, Policies]] = {}
_NO_TRIED: Final[dict[str, list[Tried]]] = {}
_NO_PATTERNS: Final[list[str]] = []
_NO_TRIED_NEAR: Final[list[tuple[Matcher, Near]]] = []


class _Node:
    """The policies with one literal resource, or with globs that begin with one prefix.

    `above` is the longest other prefix that begins this one. By action as it is written: `certain` are those whose
    glob is the prefix and a star, `tried` have more in it. `near` and `tried_near` are those of them that could allow,
    as they come close to another action.
    """

    __slots__ = ("above", "certain", "near", "tried", "tried_near")

    def __init__(
        self,
        above: str | None = None,
        certain: dict[str, Policies] = _NO_POLICIES,
        near: Nears = _NO_NEAR,
        tried: dict[str, list[Tried]] = _NO_TRIED,
        tried_near: list[tuple[Matcher, Near]] = _NO_TRIED_NEAR,
    ) -> None:
        self.above = above
        self.certain = certain
        self.near = near
        self.tried = tried
        self.tried_near = tried_near

    @property
    def empty(self) -> bool:
        return not self.certain and not self.tried

    def under(self, above: str | None) -> _Node:
        return _Node(above, self.certain, self.near, self.tried, self.tried_near)

    def with_certain(self, gone: list[CompiledPolicy], come: list[CompiledPolicy]) -> _Node:
        certain = dict(self.certain)
        for action, changed in _by_action(gone, come).items():
            made = tuple(_replaced(certain.pop(action, _NOBODY), *changed))
            if made:
                certain[action] = made
        near = _replaced(
            self.near,
            [policy.other_action for policy in gone if _could_allow(policy)],
            [policy.other_action for policy in come if _could_allow(policy)],
        )
        return _Node(self.above, certain or _NO_POLICIES, tuple(near), self.tried, self.tried_near)

    def with_tried(self, gone: list[Tried], come: list[Tried]) -> _Node:
        leaving = {policy.id for _, policy in gone}
        tried = dict(self.tried)
        for action in {action for _, policy in (*gone, *come) for action in policy.actions}:
            made = [each for each in tried.pop(action, ()) if each[1].id not in leaving]
            made += [each for each in come if action in each[1].actions]
            if made:
                tried[action] = made
        near = [each for each in self.tried_near if each[1].id not in leaving]
        near += [(matches, policy.other_action) for matches, policy in come if _could_allow(policy)]
        near.sort(key=_id_of_tried)
        return _Node(self.above, self.certain, self.near, tried or _NO_TRIED, near or _NO_TRIED_NEAR)

    def others(self, action: str, patterns: list[str], resource: str) -> Policies:
        """Those that match and are not `certain` for the action itself; `patterns` are those that match the action."""
        found = _NOBODY
        for spelled in [action, *patterns] if self.tried else _NO_PATTERNS:
            if spelled in self.tried:
                found += tuple([policy for matches, policy in self.tried[spelled] if matches(resource)])
        for pattern in patterns:
            found += self.certain.get(pattern, _NOBODY)
        return found

    def cover(self, resource: str, close: list[Nears]) -> None:
        """Add those that cover the resource and could allow, in the order of ids."""
        if self.near:
            close.append(self.near)
        if self.tried_near:
            near = tuple([near for matches, near in self.tried_near if matches(resource)])
            if near:
                close.append(near)


def _id_of_tried(tried: tuple[Matcher, Near]) -> str:
    return tried[1].id


def _by_action(gone: Sequence[CompiledPolicy], come: Sequence[CompiledPolicy]) -> dict[str, Change[CompiledPolicy]]:
    changed: dict[str, Change[CompiledPolicy]] = {}
    for policy in gone:
        for action in dict.fromkeys(policy.actions):
            changed.setdefault(action, ([], []))[0].append(policy)
    for policy in come:
        for action in dict.fromkeys(policy.actions):
            changed.setdefault(action, ([], []))[1].append(policy)
    return changed


def _could_allow(policy: CompiledPolicy) -> bool:
    return policy.effect == "allow" and policy.usable and not policy.shadow


def _replaced(ordered: Sequence[Ordered], gone: Sequence[Ordered], come: Sequence[Ordered]) -> list[Ordered]:
    """A copy, in the order of ids, without the ones `gone` and with those that `come`."""
    if not ordered:
        return sorted(come, key=by_id)
    made = list(ordered)
    for each in gone:
        del made[bisect_left(made, each.id, key=by_id)]
    for each in sorted(come, key=by_id):
        insort(made, each, key=by_id)
    return made


_NO_NODE: Final = _Node()


class Shelf:
    """The policies of one audience, in the order of ids; and how they come close to calls of other resources.

    Of the sorted prefixes, the last one that is not after a resource begins with every prefix that the resource
    begins with (whatever sorts between a prefix and a text that begins with it begins with it too), so one bisection
    and the way up through the prefixes above find them all.
    """

    __slots__ = ("_allowing", "_elsewhere", "_exact", "_nodes", "_patterns", "_prefixes", "policies")

    def __init__(self) -> None:
        self._exact: dict[str, _Node] = {}
        self._prefixes: list[str] = []
        self._nodes: dict[str, _Node] = {}
        self._patterns: dict[str, tuple[Matcher, int]] = {}
        """The actions that are patterns, and how many policies have each."""
        self._allowing: dict[str, list[Near]] = {}
        """By action as it is written, the policies that could allow it."""
        self._elsewhere: dict[str, Nears] = {}
        """The first `LOOKED_AT` of them, as they come close on other resources."""
        self.policies: Sequence[CompiledPolicy] = ()

    def replace(self, gone: Sequence[CompiledPolicy], come: Sequence[CompiledPolicy]) -> Shelf:
        """A shelf without the policies `gone`, which are all in this one, and with those that `come`."""
        made = Shelf()
        made.policies = _replaced(self.policies, gone, come)
        made._patterns = dict(self._patterns)
        made._allowing, made._elsewhere = dict(self._allowing), dict(self._elsewhere)
        made._exact, made._prefixes, made._nodes = dict(self._exact), list(self._prefixes), dict(self._nodes)
        for action, changed in _by_action(gone, come).items():
            made._put_action(action, *changed)
        made._put_resources(gone, come)
        return made

    def _put_action(self, action: str, gone: list[CompiledPolicy], come: list[CompiledPolicy]) -> None:
        if "*" in action:
            matches, users = self._patterns.get(action) or (compile_pattern(action), 0)
            self._patterns[action] = (matches, users + len(come) - len(gone))
            if self._patterns[action][1] == 0:
                del self._patterns[action]
        allowing = _replaced(
            self._allowing.pop(action, ()),
            [policy.elsewhere for policy in gone if _could_allow(policy)],
            [policy.elsewhere for policy in come if _could_allow(policy)],
        )
        self._elsewhere.pop(action, None)
        if allowing:
            self._allowing[action], self._elsewhere[action] = allowing, tuple(allowing[:LOOKED_AT])

    def _put_resources(self, gone: Sequence[CompiledPolicy], come: Sequence[CompiledPolicy]) -> None:
        exact: dict[str, Change[CompiledPolicy]] = {}
        certain: dict[str, Change[CompiledPolicy]] = {}
        tried: dict[str, Change[Tried]] = {}
        for stays, policies in enumerate((gone, come)):
            for policy in policies:
                for pattern, matches in dict(zip(policy.resources, policy.resource_matchers, strict=True)).items():
                    prefix, star, rest = pattern.partition("*")
                    if rest.strip("*"):
                        tried.setdefault(prefix, ([], []))[stays].append((matches, policy))
                        continue
                    those = (certain if star else exact).setdefault(prefix, ([], []))[stays]
                    if not those or those[-1] is not policy:  # two spellings of one glob are one place
                        those.append(policy)
        for resource, each in exact.items():
            node = self._exact.pop(resource, _NO_NODE).with_certain(*each)
            if not node.empty:
                self._exact[resource] = node
        for prefix in sorted({**certain, **tried}):
            node = self._nodes.get(prefix, _NO_NODE)
            if prefix in certain:
                node = node.with_certain(*certain[prefix])
            if prefix in tried:
                node = node.with_tried(*tried[prefix])
            self._place(intern(prefix), node)

    def _place(self, prefix: str, node: _Node) -> None:
        """Put the node in its place, or take away the one that is there when this one has nothing left."""
        at = bisect_left(self._prefixes, prefix)
        there = self._nodes.pop(prefix, None)
        if node.empty:
            if there is not None:
                del self._prefixes[at]
                self._put_under(there.above, prefix, prefix, at)
            return
        above = self._above(prefix, at) if there is None else there.above
        if there is None:
            self._put_under(prefix, above, prefix, at)
            self._prefixes.insert(at, prefix)
        self._nodes[prefix] = node.under(above)

    def _above(self, prefix: str, at: int) -> str | None:
        """The longest prefix that begins this one, which would stand `at`."""
        above = self._prefixes[at - 1] if at else None
        while above is not None and not prefix.startswith(above):
            above = self._nodes[above].above
        return above

    def _put_under(self, above: str | None, before: str | None, prefix: str, at: int) -> None:
        """From `at` on, what begins with `prefix` and stood under `before` stands under `above`."""
        while at < len(self._prefixes) and self._prefixes[at].startswith(prefix):
            below = self._nodes[self._prefixes[at]]
            if below.above == before:
                self._nodes[self._prefixes[at]] = below.under(above)
            at += 1

    def find(self, action: str, resource: str, close: list[Nears]) -> Policies:
        """Those that match; one may come more than once.

        When there is none, `close` gets the first that could allow the action, and all that could the resource: some
        tuples, each in the order of ids. Otherwise there may be anything in it.
        """
        found = _NOBODY
        patterns = self._patterns_of(action) if self._patterns else _NO_PATTERNS
        if self._exact and resource in self._exact:
            node = self._exact[resource]
            found = node.certain.get(action, _NOBODY)
            if patterns:
                found += node.others(action, patterns, resource)
            if not found:
                node.cover(resource, close)
        at = _after(self._prefixes, resource)
        prefix = self._prefixes[at - 1] if at else None
        while prefix is not None:
            node = self._nodes[prefix]
            if resource.startswith(prefix):
                more = node.certain.get(action, _NOBODY)
                if node.tried or patterns:
                    more += node.others(action, patterns, resource)
                if not found:
                    found = more
                    if not more:
                        node.cover(resource, close)
                elif more:
                    found += more
            prefix = node.above
        if not found:
            self._add_elsewhere(action, patterns, close)
        return found

    def find_near(self, action: str, resource: str, close: list[Nears]) -> None:
        """What `find` adds when there is none that matches."""
        if self._exact and resource in self._exact:
            self._exact[resource].cover(resource, close)
        at = _after(self._prefixes, resource)
        prefix = self._prefixes[at - 1] if at else None
        while prefix is not None:
            node = self._nodes[prefix]
            if resource.startswith(prefix):
                node.cover(resource, close)
            prefix = node.above
        self._add_elsewhere(action, self._patterns_of(action) if self._patterns else _NO_PATTERNS, close)

    def _patterns_of(self, action: str) -> list[str]:
        return [pattern for pattern, (matches, _) in self._patterns.items() if matches(action)]

    def _add_elsewhere(self, action: str, patterns: list[str], close: list[Nears]) -> None:
        first = self._elsewhere.get(action)
        if first is not None:
            close.append(first)
        for pattern in patterns:
            if pattern in self._elsewhere:
                close.append(self._elsewhere[pattern])
