"""One policy, compiled: a frozen value that can say whether it matches an action on a resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from act.policies.constraints import NONE, Constraints
from act.policies.globs import Matcher, compile_pattern

Effect = Literal["allow", "deny"]


@dataclass(frozen=True, slots=True)
class Audience:
    """The agents a policy applies to: those with one of `roles`, those in `agent_ids`, or `everyone` of the tenant.

    An audience that names nobody is nobody: only `everyone` widens.
    """

    everyone: bool = False
    roles: frozenset[str] = frozenset()
    agent_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    id: str
    name: str
    version: int
    effect: Effect
    audience: Audience
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    constraints: Constraints = NONE
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    action_matchers: tuple[Matcher, ...] = field(repr=False, compare=False, default=())
    resource_matchers: tuple[Matcher, ...] = field(repr=False, compare=False, default=())

    def in_force(self, now: datetime) -> bool:
        """Within the validity window `[valid_from, valid_until)`."""
        return (self.valid_from is None or self.valid_from <= now) and (
            self.valid_until is None or now < self.valid_until
        )

    def matches_action(self, action: str) -> bool:
        return any(matches(action) for matches in self.action_matchers)

    def matches_resource(self, resource: str) -> bool:
        return any(matches(resource) for matches in self.resource_matchers)


def compile_policy(
    *,
    id: str,
    name: str,
    version: int,
    effect: Effect,
    audience: Audience,
    actions: Sequence[str],
    resources: Sequence[str],
    constraints: Constraints = NONE,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
) -> CompiledPolicy:
    """Compile a policy whose patterns have no fault."""
    return CompiledPolicy(
        id=id,
        name=name,
        version=version,
        effect=effect,
        audience=audience,
        actions=tuple(actions),
        resources=tuple(resources),
        constraints=constraints,
        valid_from=valid_from,
        valid_until=valid_until,
        action_matchers=tuple(compile_pattern(p) for p in actions),
        resource_matchers=tuple(compile_pattern(p) for p in resources),
    )
