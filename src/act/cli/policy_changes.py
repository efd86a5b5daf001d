"""What writing a policy would change on the server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

from act.models import Policy, PolicyChange, PolicyDraft, rfc3339
from act.policies.compare import differences
from act.policies.draft import Bound, bind, document

if TYPE_CHECKING:
    from act.client.act import Act

_BESIDE = ("id", "version", "warnings", "createdAt", "updatedAt", "revision")
"""What storing adds to a document."""


@dataclass(frozen=True)
class Change:
    """`id` and `version` are those of the policy that is there; None when it is new."""

    kind: Literal["new", "changed", "same"]
    name: str
    id: str | None
    version: int | None
    places: Sequence[PolicyChange]

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "id": self.id,
            "version": self.version,
            "changes": [place.model_dump(mode="json") for place in self.places],
        }


def changes_of(act: Act, drafts: Sequence[PolicyDraft], against: str | None = None) -> list[Change]:
    """What each draft would change. `against` is the id of the policy to compare all of them with.

    Raises:
        click.ClickException: two policies there have the name of a draft without an id.
    """
    there = [act.policies.get(against)] if against is not None else list(act.policies.list())
    return [_change(act, draft, there[0] if against is not None else _of(draft, there)) for draft in drafts]


def _of(draft: PolicyDraft, there: Iterable[Policy]) -> Policy | None:
    """The policy of the same id, or else of the same name."""
    there = list(there)
    if draft.id is not None:
        for policy in there:
            if policy.id == draft.id:
                return policy
    named = [policy for policy in there if policy.name == draft.name]
    if len(named) > 1:
        ids = ", ".join(policy.id for policy in named)
        raise click.ClickException(
            f"Several policies are called '{draft.name}' ({ids}); give it an id or use --against."
        )
    return named[0] if named else None


def _change(act: Act, draft: PolicyDraft, before: Policy | None) -> Change:
    after = _wire(draft, _bound(act, draft, before))
    if before is None:
        return Change("new", draft.name, None, None, differences({}, after))
    members = before.model_dump(mode="json", by_alias=True)
    found = differences({name: value for name, value in members.items() if name not in _BESIDE}, after)
    return Change("changed" if found else "same", draft.name, before.id, before.version, found)


def _bound(act: Act, draft: PolicyDraft, before: Policy | None) -> Bound:
    """As the server would bind it: an allow policy that names nobody stays bound as it was."""
    if draft.applies_to is not None or draft.effect == "deny":
        return bind(draft, [], require_binding=False)
    if before is not None and before.effect == "allow":
        return Bound(before.binding, before.applies_to)
    written = draft.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    told = act.policies.validate(written)
    if not told.valid or told.binding is None:
        said = "; ".join(f"{fault.pointer}: {fault.message}" for fault in told.errors)
        raise click.ClickException(f"The server would refuse '{draft.name}': {said}")
    return Bound(told.binding, told.applies_to)


def _wire(draft: PolicyDraft, bound: Bound) -> dict[str, Any]:
    stored = document(draft, bound)
    moments = {
        "validFrom": None if draft.valid_from is None else rfc3339(draft.valid_from),
        "validUntil": None if draft.valid_until is None else rfc3339(draft.valid_until),
    }
    renamed = {"appliesTo": stored.pop("applies_to"), "when": stored.pop("condition")}
    del stored["valid_from"], stored["valid_until"]
    return stored | renamed | moments
