"""The words of every integration: the parties, the call, and the ruling with the text that a model reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from act.client.claims import claimed
from act.client.credential import Held
from act.client.guard import Guard
from act.integrations.names import listed, meant
from act.models import Decision, ReasonCode, Verdict


class UnprotectedAgent(RuntimeError):
    """An agent that could act for a protected one is not under the guard itself."""


@dataclass(frozen=True)
class Party:
    """One agent as the guard knows it. Without a token it stands for a person (or is the framework's own plumbing).

    A token that is bound to a key, or that is renewed, comes as the `act.Guard` that holds it. `spare` are the names
    for which the guard has tokens, and that no agent has had so far: one of them may be meant.
    """

    name: str
    token: str | Guard | None = field(default=None, repr=False)
    spare: tuple[str, ...] = field(default=(), repr=False)

    @property
    def meant(self) -> str | None:
        """The name that may be meant by the name of this agent, which has no token under its own."""
        return None if self.token is not None or not self.spare else meant(self.name, self.spare)

    @property
    def is_person(self) -> bool:
        """Whether it stands for a person, who may speak. In doubt whether a name is misspelt it does not."""
        return self.token is None and self.meant is None

    def check(self) -> None:
        """Raise `TypeError` for a token that is neither a text nor a guard (an `AsyncGuard` is none either)."""
        if not isinstance(self.token, str | Guard | None):
            kind = type(self.token).__name__
            raise TypeError(f"The token of {self.name} is a text or an act.Guard, and not an object of class {kind}.")

    def held(self) -> Held | None:
        """The token to ask with now, and the key that it is bound to. Of a guard it may be renewed, which takes time.

        Raises:
            TypeError: as `check`.
        """
        self.check()
        if isinstance(self.token, Guard):
            return self.token.held()
        return None if self.token is None else Held(self.token, None, claimed(self.token))


@dataclass(frozen=True)
class Call:
    """What would be done. `arguments` is sent whole; `context` is added to what the enforcer always says."""

    action: str
    resource: str
    arguments: Mapping[str, Any]
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ruling:
    """What an integration acts on: run the call only if `allowed`; otherwise the model reads `text`."""

    code: ReasonCode
    reason: str
    allowed: bool = False
    decision_id: str | None = None
    leased: bool = False
    approval_id: str | None = None
    decision: Decision | None = field(default=None, repr=False)

    @property
    def text(self) -> str:
        """The denial as the model reads it: `ACT denied: <reason code>: <reason>`."""
        said = f"ACT denied: {self.code.value}: {self.reason}"
        if self.approval_id is None:
            return said
        return (
            f"{said} Approval {self.approval_id} is pending; nothing was done. "
            "Ask again with exactly the same arguments after a person has approved it."
        )


def without_token(asker: Party, executor: Party) -> Ruling | None:
    """The ruling on a call whose asker has no token, or whose executor may have one by a name that is misspelt.

    Without the token of the executor its own limits would not count, so a doubt is enough.
    """
    for party in (asker, executor):
        if party.meant is not None:
            return Ruling(
                ReasonCode.NO_TOKEN,
                f"{party.name} has no capability token, but the guard has one for {party.meant!r}, "
                "and no agent has that name: one of the two may be misspelt.",
            )
    if asker.token is not None:
        return None
    said = f"{asker.name} asked for this and has no capability token, so it may only speak."
    known = f" The guard has tokens for {listed(asker.spare)}, and no agent has such a name." if asker.spare else ""
    return Ruling(ReasonCode.NO_TOKEN, said + known)


def agent_id_of(token: str) -> str | None:
    """The `client_id` that a token claims, unverified: it only names who asked, and the server checks the token."""
    return claimed(token).agent_id or None


def ruling_from(decision: Decision) -> Ruling:
    """What a decision of ACT means here: allowed only when it says so in so many words, and not in a dry run."""
    pending = decision.decision is Verdict.PENDING_APPROVAL
    return Ruling(
        decision.reason_code,
        decision.reason,
        allowed=bool(decision),
        decision_id=decision.decision_id,
        leased=decision.lease is not None,
        approval_id=decision.approval.id if pending and decision.approval is not None else None,
        decision=decision,
    )
