"""The policies of one audience, arranged by action and then by resource. Never changed once made.

A change makes a new shelf out of the old one: what holds the policies that changed is copied, everything else is
shared, so that it takes little time however many policies there are.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from act.policies.globs import Matcher, compile_pattern
from act.policies.policy import CompiledPolicy, Near

LOOKED_AT = 20
"""How many allow policies are looked at to find some that came close."""

by_id = attrgetter("id")
T = TypeVar("T")
Ordered = TypeVar("Ordered", CompiledPolicy, Near)
Things = Sequence[tuple[CompiledPolicy, T]]


class _Node(NamedTuple, Generic[T]):
    """The things whose globs begin with one prefix. `above` is the longest other prefix that begins it."""

    above: str | None
    certain: list[T]  # the glob is the prefix and a star
    tried: list[tuple[Matcher, T]]


class Resources(Generic[T]):
    """Things by the resources of their policies: literal ones by name, globs by what comes before their first star.

    Of the sorted prefixes, the last one that is not after a resource begins with every prefix that the resource
    begins with (whatever sorts between a prefix and a text that begins with it begins with it too), so one bisection
    and the way up through the prefixes above find them all.
    """

    __slots__ = ("_exact", "_nodes", "_prefixes")

    def __init__(self) -> None:
        self._exact: dict[str, list[T]] = _NONE
        self._nodes: dict[str, _Node[T]] = _NONE
        self._prefixes: list[str] = _NO_PREFIXES

    @property
    def empty(self) -> bool:
        return not self._exact and not self._nodes

    def replace(self, gone: Things[T], come: Things[T]) -> Resources[T]:
        """The same without the things `gone`, which are told by identity, and with those that `come`."""
        leaving = {id(thing) for _, thing in gone}
        exact: dict[str, list[T]] = {}
        nodes: dict[str, _Node[T]] = {}
        for things, stays in ((gone, False), (come, True)):
            for policy, thing in things:
                for pattern, matches in zip(policy.resources, policy.resource_matchers, strict=True):
                    prefix, star, rest = pattern.partition("*")
                    if not star:
                        if pattern not in exact:
                            exact[pattern] = [each for each in self._exact.get(pattern, ()) if id(each) not in leaving]
                        if stays:
                            exact[pattern].append(thing)
                        continue
                    if prefix not in nodes:
                        nodes[prefix] = _without(leaving, self._nodes.get(prefix, _NO_NODE))
                    if stays and rest.strip("*"):
                        nodes[prefix].tried.append((matches, thing))
                    elif stays:
                        nodes[prefix].certain.append(thing)
        made: Resources[T] = Resources()
        made._exact = {**self._exact, **exact} if exact else self._exact
        for name in [name for name, things in exact.items() if not things]:
            del made._exact[name]
        made._prefixes, made._nodes = self._prefixes, self._nodes
        if nodes:
            made._prefixes, made._nodes = list(self._prefixes), dict(self._nodes)
            for prefix in sorted(nodes):
                made._place(prefix, nodes[prefix])
        return made

    def _place(self, prefix: str, node: _Node[T]) -> None:
        """Put the node in its place, or take away the one that is there when this one has nothing left."""
        at = bisect_left(self._prefixes, prefix)
        there = self._nodes.pop(prefix, None)
        if not node.certain and not node.tried:
            if there is not None:
                del self._prefixes[at]
                self._put_under(there.above, prefix, prefix, at)
            return
        above = self._above(prefix, at) if there is None else there.above
        if there is None:
            self._put_under(prefix, above, prefix, at)
            self._prefixes.insert(at, prefix)
        self._nodes[prefix] = node._replace(above=above)

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
                self._nodes[self._prefixes[at]] = below._replace(above=above)
            at += 1

    def find(self, resource: str, found: list[T]) -> None:
        """Add those that cover the resource to `found`; one may come more than once."""
        exact, prefixes = self._exact, self._prefixes
        if exact and resource in exact:
            found += exact[resource]
        at = bisect_right(prefixes, resource)
        prefix = prefixes[at - 1] if at else None
        while prefix is not None:
            above, certain, tried = self._nodes[prefix]
            if resource.startswith(prefix):
                found += certain
                if tried:
                    found += [thing for matches, thing in tried if matches(resource)]
            prefix = above


_NONE: dict[str, Any] = {}  # shared by all that have nothing; nothing is ever put into it
_NO_PREFIXES: list[str] = []
_NO_NODE: _Node[Any] = _Node(None, [], [])


def _without(leaving: set[int], node: _Node[T]) -> _Node[T]:
    certain = [thing for thing in node.certain if id(thing) not in leaving]
    return _Node(node.above, certain, [(matches, thing) for matches, thing in node.tried if id(thing) not in leaving])


class _Table:
    """The policies with one action; and `elsewhere`, the first of them as they come close on other resources."""

    __slots__ = ("_allowing", "covering", "elsewhere")

    def __init__(self) -> None:
        self.covering: Resources[CompiledPolicy] = Resources()
        self._allowing: list[Near] = []
        self.elsewhere: list[Near] = []

    def replace(self, gone: Sequence[CompiledPolicy], come: Sequence[CompiledPolicy]) -> _Table:
        made = _Table()
        made.covering = self.covering.replace(
            [(policy, policy) for policy in gone], [(policy, policy) for policy in come]
        )
        made._allowing = _replaced(
            self._allowing,
            [policy.elsewhere for policy in filter(_could_allow, gone)],
            [policy.elsewhere for policy in filter(_could_allow, come)],
        )
        made.elsewhere = made._allowing[:LOOKED_AT]
        return made


_NO_TABLE = _Table()


def _could_allow(policy: CompiledPolicy) -> bool:
    return policy.effect == "allow" and policy.usable and not policy.shadow


def _replaced(ordered: Sequence[Ordered], gone: Sequence[Ordered], come: Sequence[Ordered]) -> list[Ordered]:
    """A copy, in the order of ids, without the ones `gone` and with those that `come`."""
    made = list(ordered)
    for each in gone:
        del made[bisect_left(made, each.id, key=by_id)]
    for each in sorted(come, key=by_id):
        insort(made, each, key=by_id)
    return made


class Shelf:
    """The policies of one audience, in the order of ids: a table for each action, and the ways to come close."""

    __slots__ = ("_by_action", "_by_pattern", "_other_actions", "policies")

    def __init__(self) -> None:
        self.policies: Sequence[CompiledPolicy] = ()
        self._by_action: dict[str, _Table] = {}
        self._by_pattern: dict[str, tuple[Matcher, _Table]] = {}
        self._other_actions: Resources[Near] = Resources()

    def replace(self, gone: Sequence[CompiledPolicy], come: Sequence[CompiledPolicy]) -> Shelf:
        """A shelf without the policies `gone`, which are all in this one, and with those that `come`."""
        made = Shelf()
        made.policies = _replaced(self.policies, gone, come)
        made._other_actions = self._other_actions.replace(
            [(policy, policy.other_action) for policy in filter(_could_allow, gone)],
            [(policy, policy.other_action) for policy in filter(_could_allow, come)],
        )
        touched: dict[str, tuple[list[CompiledPolicy], list[CompiledPolicy]]] = {}
        for which, policies in enumerate((gone, come)):
            for policy in policies:
                for action in dict.fromkeys(policy.actions):
                    touched.setdefault(action, ([], []))[which].append(policy)
        made._by_action, made._by_pattern = dict(self._by_action), dict(self._by_pattern)
        for action, changed in touched.items():
            if "*" in action:
                matches, table = self._by_pattern.get(action) or (compile_pattern(action), _NO_TABLE)
                made._by_pattern[action] = (matches, table.replace(*changed))
                if made._by_pattern[action][1].covering.empty:
                    del made._by_pattern[action]
            else:
                made._by_action[action] = self._by_action.get(action, _NO_TABLE).replace(*changed)
                if made._by_action[action].covering.empty:
                    del made._by_action[action]
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
