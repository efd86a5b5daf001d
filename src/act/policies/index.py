"""The policies of one tenant, arranged so that a decision looks only at those that can matter.

An index is never changed: a policy change makes a new one, which replaces the old one by one assignment and shares
with it everything that the change does not touch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from act.agents.agent import Agent
from act.policies.audience import Audience
from act.policies.policy import CompiledPolicy
from act.policies.shelf import Nears, Policies, Shelf, by_id

_EVERYONE, _ROLE, _AGENT = range(3)
_Address = tuple[int, str]
_Shelves = tuple[dict[str, Shelf], dict[str, Shelf], dict[str, Shelf]]


class PolicyIndex:
    """Immutable once made. What it finds is in the order of ids, and but for `near` nothing comes twice."""

    __slots__ = ("_shelves", "policies")

    policies: MappingProxyType[str, CompiledPolicy]
    _shelves: _Shelves

    def __init__(self, policies: Iterable[CompiledPolicy] = ()) -> None:
        self._make({}, ({}, {}, {}), {policy.id: policy for policy in policies})

    def replace(self, changed: Mapping[str, CompiledPolicy | None]) -> PolicyIndex:
        """An index with these policies, by id, in the place of those with the same ids; None removes one.

        Only the shelves of audiences that one of the policies has, before or now, are made anew.
        """
        everyone, by_role, by_agent = self._shelves
        made = PolicyIndex.__new__(PolicyIndex)
        made._make(self.policies.copy(), (dict(everyone), dict(by_role), dict(by_agent)), changed)
        return made

    def _make(
        self,
        policies: dict[str, CompiledPolicy],
        shelves: _Shelves,
        changed: Mapping[str, CompiledPolicy | None],
    ) -> None:
        gone: defaultdict[_Address, list[CompiledPolicy]] = defaultdict(list)
        come: defaultdict[_Address, list[CompiledPolicy]] = defaultdict(list)
        for id, policy in changed.items():
            if before := policies.pop(id, None):
                for address in _addresses(before.audience):
                    gone[address].append(before)
            if policy is not None:
                policies[id] = policy
                for address in _addresses(policy.audience):
                    come[address].append(policy)
        for address in {**gone, **come}:
            kind, name = address
            shelf = shelves[kind].pop(name, _EMPTY).replace(gone[address], come[address])
            if shelf.policies:
                shelves[kind][name] = shelf
        self.policies = MappingProxyType(policies)
        self._shelves = shelves

    def matching(self, agent: Agent, action: str, resource: str, close: list[Nears] | None = None) -> Policies:
        """The policies that apply to the agent and match action and resource.

        When there is none, `close` gets what `near` finds: one look is enough for both.
        """
        everyone, by_role, by_agent = self._shelves
        close = [] if close is None else close
        found: Policies = ()
        if everyone:
            found = everyone[""].find(action, resource, close)
        for role in agent.roles:
            shelf = by_role.get(role)
            if shelf is not None:
                more = shelf.find(action, resource, close)
                found = found + more if found else more
        if by_agent and agent.id in by_agent:
            found += by_agent[agent.id].find(action, resource, close)
        return found if len(found) < 2 else _in_order(found)

    def applying(self, agent: Agent) -> list[CompiledPolicy]:
        """All policies that apply to the agent."""
        return _sorted([policy for shelf in self._of(agent) for policy in shelf.policies])

    def near(self, agent: Agent, action: str, resource: str) -> list[Nears]:
        """Enforced allow policies that apply to the agent and match action or resource: tuples in the order of ids.

        All those that match the resource are among them, and of each audience's for the action at least the first
        `LOOKED_AT`. One may be in several of them; and one that matches both, which whoever asks knows from `matching`,
        is told as if it did not match one of them.
        """
        everyone, by_role, by_agent = self._shelves
        found: list[Nears] = []
        if everyone:
            everyone[""].find_near(action, resource, found)
        for role in agent.roles:
            shelf = by_role.get(role)
            if shelf is not None:
                shelf.find_near(action, resource, found)
        if by_agent and agent.id in by_agent:
            by_agent[agent.id].find_near(action, resource, found)
        return found

    def reaching(self, audience: Audience) -> Iterable[CompiledPolicy]:
        """Some policies; among them are all those that apply to everybody in the audience."""
        if audience.everyone:
            shelves = list(self._shelves[_EVERYONE].values())
        elif addresses := _addresses(audience):
            # Whoever applies to all of them applies to the first: no other shelf has to be looked at.
            kind, name = addresses[0]
            shelves = [*self._shelves[_EVERYONE].values(), self._shelves[kind].get(name, _EMPTY)]
        else:
            return self.policies.values()
        return [policy for shelf in shelves for policy in shelf.policies]

    def _of(self, agent: Agent) -> list[Shelf]:
        everyone, by_role, by_agent = self._shelves
        shelves = [*everyone.values(), *(by_role[role] for role in agent.roles if role in by_role)]
        if agent.id in by_agent:
            shelves.append(by_agent[agent.id])
        return shelves


_EMPTY = Shelf()


def _addresses(audience: Audience) -> list[_Address]:
    if audience.everyone:
        return [(_EVERYONE, "")]
    return [*((_ROLE, role) for role in audience.roles), *((_AGENT, id) for id in audience.agent_ids)]


def _in_order(found: Policies) -> Policies:
    if len(found) == 2:
        one, other = found
        if one.id < other.id:
            return found
        return (other, one) if other.id < one.id else (one,)
    return tuple(_sorted(found))


def _sorted(found: Iterable[CompiledPolicy]) -> list[CompiledPolicy]:
    return sorted({policy.id: policy for policy in found}.values(), key=by_id)
