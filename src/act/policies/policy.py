"""One policy, compiled: a frozen value that can say whether it matches an action on a resource."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from sys import intern
from typing import Any, Literal, NamedTuple

from act.policies.arguments import Arguments, compile_arguments
from act.policies.audience import Audience
from act.policies.conditions import Condition, ConditionFault, compile_condition
from act.policies.constraints import NONE, Constraints
from act.policies.globs import Matcher, compile_pattern
from act.policies.near import other_actions, other_resources

Effect = Literal["allow", "deny"]


@dataclass(frozen=True, slots=True)
class HandDown:
    """To whom a right may be handed down, and how many agents may follow (1: the next one only)."""

    to: Audience
    max_depth: int


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    # First what every decision looks at: it lies side by side where the class is compiled.
    timeless: bool = field(init=False, repr=False, compare=False)
    plain: bool = field(init=False, repr=False, compare=False)
    unguarded: bool = field(init=False, repr=False, compare=False)
    free: bool = field(init=False, repr=False, compare=False)
    ruling: Any = field(init=False, repr=False, compare=False)
    id: str
    name: str
    version: int
    effect: Effect
    audience: Audience
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    constraints: Constraints = NONE
    arguments: Arguments | None = None
    condition: Condition | None = None
    usable: bool = True
    hand_down: HandDown | None = None
    shadow: bool = False
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    action_matchers: tuple[Matcher, ...] = field(repr=False, compare=False, default=())
    resource_matchers: tuple[Matcher, ...] = field(repr=False, compare=False, default=())
    label: str = field(init=False, repr=False, compare=False)
    other_action: Near = field(init=False, repr=False, compare=False)
    elsewhere: Near = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """What decisions ask every time, found once: the words about it, and whether anything can be in the way.

        `timeless` is always in force; `plain` matches whenever action and resource do, and is enforced; `unguarded`
        allows for use, enforced and at any time, under no constraint; `free` is both. `other_action` and `elsewhere`
        are the policy as it comes close to a call that differs in the action or the resource. `ruling` is for
        `enforcement.ruling.by_itself`, which keeps there what it has made of the policy.
        """
        object.__setattr__(self, "label", f"'{self.name}' v{self.version}")
        object.__setattr__(self, "timeless", self.valid_from is None and self.valid_until is None)
        conditional = self.arguments is not None or self.condition is not None
        object.__setattr__(self, "plain", self.timeless and self.usable and not self.shadow and not conditional)
        bare = self.effect == "allow" and self.constraints is NONE
        object.__setattr__(self, "unguarded", bare and self.timeless and self.usable and not self.shadow)
        object.__setattr__(self, "free", self.unguarded and not conditional)
        object.__setattr__(self, "ruling", None)
        for name, pointer, message in (
            ("other_action", "/action", other_actions(self.actions)),
            ("elsewhere", "/resourceId", other_resources(self.resources)),
        ):
            object.__setattr__(self, name, Near(self.id, pointer, message, self, self.timeless))

    def in_force(self, now: datetime) -> bool:
        """Within the validity window `[valid_from, valid_until)`."""
        return (self.valid_from is None or self.valid_from <= now) and (
            self.valid_until is None or now < self.valid_until
        )

    def matches_action(self, action: str) -> bool:
        return any(matches(action) for matches in self.action_matchers)

    def matches_resource(self, resource: str) -> bool:
        return any(matches(resource) for matches in self.resource_matchers)


class Near(NamedTuple):
    """A policy that would have matched but for what `pointer` (into the enforce request) names.

    `id` is the policy's, and so is `timeless`: then it is in force without a look at the policy.
    """

    id: str
    pointer: str
    message: str
    policy: CompiledPolicy
    timeless: bool = False


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
    arguments: Mapping[str, Any] | None = None,
    when: str | None = None,
    usable: bool = True,
    hand_down: HandDown | None = None,
    shadow: bool = False,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
) -> CompiledPolicy:
    """Compile a policy that has no fault.

    Raises:
        ValueError: a part that was accepted once cannot be compiled any more.
    """
    return CompiledPolicy(
        id=id,
        name=name,
        version=version,
        effect=effect,
        audience=audience,
        actions=tuple([intern(action) for action in actions]),  # few words, which many policies share
        resources=tuple(resources),
        constraints=constraints,
        arguments=None if arguments is None else _arguments(arguments, effect),
        condition=None if when is None else _condition(when),
        usable=usable,
        hand_down=hand_down,
        shadow=shadow,
        valid_from=valid_from,
        valid_until=valid_until,
        action_matchers=tuple(compile_pattern(p) for p in actions),
        resource_matchers=tuple(compile_pattern(p) for p in resources),
    )


def _arguments(schema: Mapping[str, Any], effect: Effect) -> Arguments:
    compiled = compile_arguments(schema, effect)
    if isinstance(compiled, list):
        raise ValueError(f"A stored schema cannot be compiled: {compiled[0].message}")
    return compiled


def _condition(text: str) -> Condition:
    compiled = compile_condition(text)
    if isinstance(compiled, ConditionFault):
        raise ValueError(f"A stored condition cannot be compiled: {compiled.message}")
    return compiled
