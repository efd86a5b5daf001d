"""The claims of a capability token (RFC 7519, RFC 9068; 2-semantics, "Tokens"), read strictly.

A claim that is missing, of another type or unknown refuses the token: what this version does not understand, it
cannot enforce.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from act.models import ReasonCode
from act.tokens.refusal import Refusal

VERSION = 1
LEEWAY = 30
MAX_DATE = 2**53


@dataclass(frozen=True, slots=True)
class Claims:
    """Dates are seconds since the epoch. `node` is the token's place in the delegation tree."""

    issuer: str
    audience: str
    token_id: str
    issued_at: int
    not_before: int
    expires_at: int
    tenant_id: str
    subject: str
    agent_id: str
    sequence: int
    node: str

    def to_payload(self) -> dict[str, Any]:
        return {
            "iss": self.issuer,
            "aud": self.audience,
            "jti": self.token_id,
            "iat": self.issued_at,
            "nbf": self.not_before,
            "exp": self.expires_at,
            "tid": self.tenant_id,
            "sub": self.subject,
            "client_id": self.agent_id,
            "sq": self.sequence,
            "dlg": {"node": self.node, "path": [], "depth": 0},
            "ver": VERSION,
        }


_TEXTS = ("iss", "aud", "jti", "tid", "sub", "client_id")
_INTEGERS = ("iat", "nbf", "exp", "sq")
_NAMES = frozenset((*_TEXTS, *_INTEGERS, "dlg", "ver"))


def parse(payload: Mapping[str, Any]) -> Claims | Refusal:
    """The claims of a payload whose signature is already verified."""
    if payload.keys() != _NAMES:
        odd = sorted(payload.keys() ^ _NAMES)
        return _malformed(f"The claims are not those of version {VERSION}: {', '.join(odd)[:200]}.")
    for name in _TEXTS:
        if type(payload[name]) is not str or not payload[name]:
            return _malformed(f"The claim {name} is not a text.")
    for name in _INTEGERS:
        if type(payload[name]) is not int or not 0 <= payload[name] <= MAX_DATE:
            return _malformed(f"The claim {name} is not a non-negative integer.")
    if payload["ver"] is not VERSION and (type(payload["ver"]) is not int or payload["ver"] != VERSION):
        return _malformed("The claim ver names another version.")
    node = _node(payload["dlg"])
    if node is None:
        return _malformed("The claim dlg is not that of a root token.")
    return Claims(
        issuer=payload["iss"],
        audience=payload["aud"],
        token_id=payload["jti"],
        issued_at=payload["iat"],
        not_before=payload["nbf"],
        expires_at=payload["exp"],
        tenant_id=payload["tid"],
        subject=payload["sub"],
        agent_id=payload["client_id"],
        sequence=payload["sq"],
        node=node,
    )


def _node(delegation: Any) -> str | None:
    if type(delegation) is not dict or delegation.keys() != {"node", "path", "depth"}:
        return None
    node, path, depth = delegation["node"], delegation["path"], delegation["depth"]
    if type(node) is not str or not node or path != [] or type(depth) is not int or depth != 0:
        return None
    return node


def _malformed(reason: str) -> Refusal:
    return Refusal(ReasonCode.TOKEN_MALFORMED, reason)


def check_issuer(claims: Claims, issuer: str, audience: str) -> Refusal | None:
    if claims.issuer != issuer:
        return Refusal(ReasonCode.TOKEN_ISSUER_MISMATCH, "The token was issued by another server.")
    if claims.audience != audience:
        return Refusal(ReasonCode.TOKEN_AUDIENCE_MISMATCH, "The token is meant for another server.")
    return None


def check_dates(claims: Claims, now: float, max_ttl: int) -> Refusal | None:
    """Dates against the clock (seconds since the epoch).

    The leeway is for the clock of the node that issued the token; nothing is allowed after the expiry.
    """
    if claims.not_before > now + LEEWAY or claims.issued_at > now + LEEWAY:
        return Refusal(ReasonCode.TOKEN_NOT_YET_VALID, "The token is not valid yet.")
    if claims.expires_at - claims.issued_at > max_ttl or claims.expires_at <= claims.issued_at:
        return Refusal(ReasonCode.TOKEN_TTL_EXCEEDED, f"The token lives longer than the {max_ttl} s that are allowed.")
    return None


def check_expiry(claims: Claims, now: float) -> Refusal | None:
    if claims.expires_at <= now:
        return Refusal(ReasonCode.TOKEN_EXPIRED, "The token has expired; ask for a new one.")
    return None
