"""Several policies written together, as people keep them in files: read with all faults, judged with all warnings.

A bundle is one policy document, a list of them, or `{"about": …, "policies": […]}`. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from act import models
from act.agents.agent import Agent
from act.policies import constraints
from act.policies.draft import Bound, bind, document, hand_down, warnings
from act.policies.policy import CompiledPolicy, compile_policy
from act.problems import ProblemError, faults_of_validation
from act.strict_json import Fault

_EVERYBODY = (
    "The policy names nobody in appliesTo. Unless its name begins with a role of an agent, it applies to every agent."
)


@dataclass(frozen=True, slots=True)
class Written:
    """A policy that has no fault, and where in its file it stands."""

    pointer: str
    draft: models.PolicyDraft
    file: str = ""

    @property
    def label(self) -> str:
        return f"{self.file}#{self.pointer}" if self.file else self.pointer


@dataclass(frozen=True, slots=True)
class Bundle:
    """`faults` concern the policies that are not among `policies`, or the bundle itself."""

    policies: list[Written] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def read_bundle(written: Any, file: str = "") -> Bundle:
    """The policies of a document, and everything that is wrong with the others."""
    found = Bundle()
    if isinstance(written, list):
        _read_all(written, "", file, found)
    elif isinstance(written, dict) and "policies" in written:
        found.faults.extend(
            Fault(f"/{name}", "Unknown field; a file of policies has `about` and `policies`.")
            for name in written
            if name not in ("about", "policies")
        )
        if isinstance(written["policies"], list):
            _read_all(written["policies"], "/policies", file, found)
        else:
            found.faults.append(Fault("/policies", "Write a list of policies."))
    else:
        _read(written, "", file, found)
    return found


def read_policies(written: Sequence[Any], pointer: str, file: str = "") -> Bundle:
    """As `read_bundle`, for a list that stands at `pointer` and may be empty."""
    found = Bundle()
    if written:
        _read_all(written, pointer, file, found)
    return found


def _read_all(written: Sequence[Any], pointer: str, file: str, found: Bundle) -> None:
    if not written:
        found.faults.append(Fault(pointer, "There is no policy in the list."))
    for at, one in enumerate(written):
        _read(one, f"{pointer}/{at}", file, found)


def _read(written: Any, pointer: str, file: str, found: Bundle) -> None:
    if not isinstance(written, dict):
        found.faults.append(Fault(pointer, "Write a policy: an object with at least name, actions and resources."))
        return
    try:
        draft = models.PolicyDraft.model_validate(written)
        # What is said of the effect and the arguments together comes to light only here.
        document(draft, bind(draft, [], require_binding=False))
    except ValidationError as error:
        found.faults.extend(_below(pointer, faults_of_validation(error, written)))
    except ProblemError as problem:
        found.faults.extend(_below(pointer, problem.faults))
    else:
        found.policies.append(Written(pointer, draft, file))


def _below(pointer: str, faults: Sequence[Fault]) -> list[Fault]:
    return [replace(fault, pointer=pointer + fault.pointer) for fault in faults]


def repeated_ids(policies: Sequence[Written]) -> list[tuple[Written, str]]:
    """Every policy whose id another one before it has, and a sentence about it."""
    first: dict[str, Written] = {}
    found = []
    for policy in policies:
        id = policy.draft.id
        if id is not None and first.setdefault(id, policy) is not policy:
            found.append((policy, f"The id '{id}' is that of {first[id].label} too."))
    return found


def compiled(policy: Written, id: str, agents: Sequence[Agent]) -> tuple[CompiledPolicy, Bound]:
    """The policy as decisions use it, bound as the server would bind it among `agents`."""
    draft = policy.draft
    bound = bind(draft, agents, require_binding=False)
    ready = compile_policy(
        id=id,
        name=draft.name,
        version=1,
        effect=draft.effect,
        audience=bound.audience,
        actions=draft.actions,
        resources=draft.resources,
        constraints=constraints.from_wire(draft.constraints),
        arguments=draft.arguments,
        when=draft.when,
        usable="use" in draft.grants,
        hand_down=hand_down(draft.delegation),
        shadow=draft.mode == "shadow",
        valid_from=draft.valid_from,
        valid_until=draft.valid_until,
    )
    return ready, bound


def all_warnings(policies: Sequence[Written]) -> list[tuple[Written, models.Warned]]:
    """What is probably not meant, for policies that live in one tenant whose agents are not known."""
    ready = [compiled(policy, f"#{at}", []) for at, policy in enumerate(policies)]
    found = []
    for policy, (own, bound) in zip(policies, ready, strict=True):
        others = [
            other
            for beside, (other, _) in zip(policies, ready, strict=True)
            if other is not own and beside.draft.enabled
        ]
        for warned in warnings(policy.draft, bound, [], others):
            if warned.code == "applies_to_everybody":
                found.append((policy, models.Warned(code=warned.code, message=_EVERYBODY)))
            elif warned.code != "applies_to_nobody":
                found.append((policy, warned))
    return found
