"""What a token says of itself: for showing, for naming its tenant in a proof, for knowing when it ends. Pure.

Nothing here is verified, and nothing is decided by it: only the server can judge a token.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Claimed:
    """The claims of a token that the SDK has a use for; None for what cannot be read. Dates as in the token.

    `scope` is as `tokens.issue` takes it, and `jwk` the key that the token is bound to.
    """

    token_id: str | None = None
    agent_id: str | None = None
    tenant_id: str | None = None
    issued_at: int | None = None
    expires_at: int | None = None
    delegated: bool = False
    on_behalf_of: str | None = None
    scope: list[dict[str, Any]] | None = field(default=None, repr=False)
    policy_ids: list[str] | None = field(default=None, repr=False)
    jwk: Mapping[str, Any] | None = field(default=None, repr=False)


def claimed(token: str | None) -> Claimed:
    """What can be read in a token; nothing in what is none."""
    payload = _payload(token)
    agent, subject = _text(payload.get("client_id")), _text(payload.get("sub"))
    details = payload.get("authorization_details")
    parts = [part for part in details if isinstance(part, dict)] if isinstance(details, list) else []
    dlg, cnf = payload.get("dlg"), payload.get("cnf")
    return Claimed(
        token_id=_text(payload.get("jti")),
        agent_id=agent,
        tenant_id=_text(payload.get("tid")),
        issued_at=_date(payload.get("iat")),
        expires_at=_date(payload.get("exp")),
        delegated=bool(isinstance(dlg, dict) and dlg.get("path")),
        on_behalf_of=subject if subject != agent else None,
        scope=[{name: part.get(name) for name in ("actions", "resources")} for part in parts] or None,
        policy_ids=parts[0].get("policyIds") if parts else None,
        jwk=cnf.get("jwk") if isinstance(cnf, dict) else None,
    )


def _payload(token: str | None) -> Mapping[str, Any]:
    try:
        part = (token or "").split(".")[1]
        payload = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _date(value: Any) -> int | None:
    return value if type(value) is int else None
