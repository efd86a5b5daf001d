"""A policy document on its way in: what it becomes when it is stored, to whom it is bound, and what to warn of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from act import models
from act.agents.agent import Agent
from act.policies.arguments import Arguments, compile_arguments
from act.policies.audience import Audience
from act.policies.binding import inferred_roles
from act.policies.constraints import audience_of
from act.policies.globs import never_an_action, never_canonical, witness
from act.policies.policy import CompiledPolicy, HandDown
from act.problems import unprocessable
from act.strict_json import Fault


@dataclass(frozen=True, slots=True)
class Bound:
    """To whom a draft is bound; `applies_to` is None for the whole tenant."""

    binding: models.Binding
    applies_to: dict[str, list[str]] | None

    @property
    def audience(self) -> Audience:
        """Everyone only where the binding says so in as many words; a missing audience is nobody."""
        if self.applies_to is None:
            return Audience(everyone=self.binding == "tenant")
        return Audience(roles=frozenset(self.applies_to["roles"]), agent_ids=frozenset(self.applies_to["agentIds"]))


def bind(draft: models.PolicyDraft, agents: Iterable[Agent], *, require_binding: bool) -> Bound:
    """2-semantics, "Who it applies to"; inference only ever narrows.

    Raises:
        ProblemError: 422 when a binding is required and missing.
    """
    if draft.applies_to is not None:
        roles, ids = sorted(set(draft.applies_to.roles)), sorted(set(draft.applies_to.agent_ids))
        return Bound("explicit", {"roles": roles, "agentIds": ids})
    if draft.effect == "deny":
        return Bound("tenant", None)
    if require_binding:
        raise unprocessable([Fault("/appliesTo", "Say whom the policy applies to: roles, agentIds or both.")])
    if roles := list(inferred_roles(draft.name, (role for agent in agents for role in agent.roles))):
        return Bound("inferred", {"roles": roles, "agentIds": []})
    return Bound("tenant", None)


def document(draft: models.PolicyDraft, bound: Bound) -> dict[str, Any]:
    """The stored form: in an allow policy, `arguments` shows the closed world that it is."""
    compiled = _compiled_arguments(draft)
    return {
        "name": draft.name,
        "description": draft.description,
        "effect": draft.effect,
        "actions": list(draft.actions),
        "resources": list(draft.resources),
        "binding": bound.binding,
        "applies_to": bound.applies_to,
        "arguments": None if compiled is None else compiled.stored,
        "condition": draft.when,
        "constraints": draft.constraints.model_dump(by_alias=True, exclude_none=True) if draft.constraints else {},
        "grants": sorted(set(draft.grants), reverse=True),
        "delegation": draft.delegation.model_dump(by_alias=True) if draft.delegation else None,
        "mode": draft.mode,
        "enabled": draft.enabled,
        "valid_from": draft.valid_from,
        "valid_until": draft.valid_until,
    }


def hand_down(written: models.HandDown | None) -> HandDown | None:
    """To whom a right may be handed down, as decisions see it."""
    return None if written is None else HandDown(audience_of(written.to), written.max_depth)


def warnings(
    draft: models.PolicyDraft, bound: Bound, agents: Sequence[Agent], others: Iterable[CompiledPolicy]
) -> list[models.Warned]:
    """What is accepted and probably not meant.

    Args:
        agents: of the tenant, not deleted.
        others: of the other policies that are live in the tenant, at least those that apply to everybody whom this
            one applies to.
    """
    return [
        models.Warned(code=code, message=message)
        for code, message in (
            *_about_audience(draft, bound, agents),
            *_about_patterns(draft),
            *_about_arguments(draft),
            *_about_denies(draft, bound, others),
        )
    ]


def _about_audience(draft: models.PolicyDraft, bound: Bound, agents: Sequence[Agent]) -> Iterable[tuple[str, str]]:
    audience = bound.audience
    if audience.everyone:
        if draft.effect == "allow":
            yield (
                "applies_to_everybody",
                "The policy names nobody in appliesTo, and its name begins with no role of an agent, "
                "so it applies to every agent of the tenant.",
            )
    elif not any(agent.id in audience.agent_ids or audience.roles.intersection(agent.roles) for agent in agents):
        yield (
            "applies_to_nobody",
            "No agent of the tenant has one of these roles or ids, so the policy applies to nobody now.",
        )


def _about_patterns(draft: models.PolicyDraft) -> Iterable[tuple[str, str]]:
    for position, pattern in enumerate(draft.actions):
        if why := never_an_action(pattern):
            yield "never_matches", f"No action can match /actions/{position}. {why}"
    for position, pattern in enumerate(draft.resources):
        if why := never_canonical(pattern):
            yield "never_matches", f"No resource can match /resources/{position} ({pattern}). {why}"


def _about_arguments(draft: models.PolicyDraft) -> Iterable[tuple[str, str]]:
    compiled = _compiled_arguments(draft)
    if draft.effect == "deny" and compiled is not None and compiled.optional_limited:
        named = ", ".join(compiled.optional_limited)
        yield (
            "optional_argument_in_deny",
            f"The arguments {named} are limited but not required, so the deny also matches calls without them.",
        )


def _about_denies(
    draft: models.PolicyDraft, bound: Bound, others: Iterable[CompiledPolicy]
) -> Iterable[tuple[str, str]]:
    if draft.effect == "deny":
        return
    actions, resources = [witness(each) for each in draft.actions], [witness(each) for each in draft.resources]
    for other in others:
        # There may be ten thousand; what rules out most of them comes first.
        if other.effect != "deny" or not other.plain or not all(other.matches_action(each) for each in actions):
            continue
        if all(other.matches_resource(each) for each in resources) and _applies_to_all(other.audience, bound.audience):
            yield (
                "shadowed_by_deny",
                f"The deny policy '{other.name}' covers everything this policy would allow, so it allows nothing.",
            )


def _applies_to_all(one: Audience, other: Audience) -> bool:
    """Whether everybody whom the other audience names is in this one."""
    if one.everyone or other.everyone:
        return one.everyone
    return other.roles <= one.roles and other.agent_ids <= one.agent_ids


def _compiled_arguments(draft: models.PolicyDraft) -> Arguments | None:
    if draft.arguments is None:
        return None
    compiled = compile_arguments(draft.arguments, draft.effect)
    if isinstance(compiled, list):
        raise unprocessable([Fault(f"/arguments{fault.pointer}", fault.message) for fault in compiled])
    return compiled
