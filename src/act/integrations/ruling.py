"""The words of every integration: the parties, the call, and the ruling with the text that a model reads."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from act.models import Decision, ReasonCode, Verdict


class UnprotectedAgent(RuntimeError):
    """An agent that could act for a protected one is not under the guard itself."""


@dataclass(frozen=True)
class Party:
    """One agent as the guard knows it. Without a token it stands for a person (or is the framework's own plumbing)."""

    name: str
    token: str | None = field(default=None, repr=False)


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


def agent_id_of(token: str) -> str | None:
    """The `client_id` that a token claims, unverified: it only names who asked, and the server checks the token."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (AttributeError, IndexError, ValueError, RecursionError):
        return None
    claimed = claims.get("client_id") if isinstance(claims, dict) else None
    return claimed if isinstance(claimed, str) and claimed else None


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
