"""The claims of a capability token (RFC 7519, RFC 9068; 2-semantics, "Tokens"), read strictly.

A claim that is missing, of another type or unknown refuses the token: what this version does not understand, it
cannot enforce.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from act.models import ReasonCode
from act.tokens.chain import MAX_DEPTH
from act.tokens.refusal import Refusal
from act.tokens.scope import Scope, from_details

VERSION = 1
LEEWAY = 30
MAX_DATE = 2**53


class Claims(NamedTuple):
    """Dates are seconds since the epoch. `node` is the token's place in the delegation tree, `path` the way to it.

    `subject` is the user on whose behalf the agent acts, or the agent. `actors` are the agents from the root to the
    one that holds the token. `confirmation` is the public key (JWK) whose holder alone can use the token.
    """

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
    actors: tuple[str, ...]
    path: tuple[str, ...] = ()
    grants: tuple[str, ...] = ("use", "delegate")
    hand_to: Mapping[str, Any] | None = None
    max_depth: int = MAX_DEPTH
    scope: Scope | None = None
    task_id: str | None = None
    facts: Mapping[str, Any] = {}
    confirmation: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        return f"Claims({self.token_id} of {self.agent_id})"  # facts are nobody's business

    @property
    def on_behalf_of(self) -> str | None:
        return None if self.subject == self.agent_id else self.subject

    @property
    def root(self) -> str:
        """The node of the token that the chain began with."""
        return self.path[0] if self.path else self.node

    def to_payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = {
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
            "dlg": {
                "node": self.node,
                "path": list(self.path),
                "depth": len(self.path),
                "maxDepth": self.max_depth,
                "grants": list(self.grants),
                "to": self.hand_to,
            },
            "ver": VERSION,
        }
        if self.path:
            payload["act"] = _nested(self.actors)
        if self.scope is not None:
            payload["authorization_details"] = self.scope.to_details()
        if self.task_id is not None:
            payload["task"] = {"id": self.task_id, "facts": self.facts}
        if self.confirmation is not None:
            payload["cnf"] = {"jwk": self.confirmation}
        return payload


_TEXTS = ("iss", "aud", "jti", "tid", "sub", "client_id")
_INTEGERS = ("iat", "nbf", "exp", "sq")
_NAMES = frozenset((*_TEXTS, *_INTEGERS, "dlg", "ver"))
_OPTIONAL = frozenset(("act", "authorization_details", "task", "cnf"))
_DELEGATION = {"node", "path", "depth", "maxDepth", "grants", "to"}


def parse(payload: Mapping[str, Any]) -> Claims | Refusal:
    """The claims of a payload whose signature is already verified."""
    if payload.keys() != _NAMES and payload.keys() - _OPTIONAL != _NAMES:
        odd = sorted((payload.keys() - _OPTIONAL) ^ _NAMES)
        return _malformed(f"The claims are not those of version {VERSION}: {', '.join(odd)[:200]}.")
    for name in _TEXTS:
        value = payload[name]
        if type(value) is not str or not value:
            return _malformed(f"The claim {name} is not a text.")
    for name in _INTEGERS:
        value = payload[name]
        if type(value) is not int or not 0 <= value <= MAX_DATE:
            return _malformed(f"The claim {name} is not a non-negative integer.")
    if not _is_count(payload["ver"], MAX_DATE) or payload["ver"] != VERSION:
        return _malformed("The claim ver names another version.")
    dlg = payload["dlg"]
    if not _is_delegation(dlg):
        return _malformed("The claim dlg is not that of a token of this version.")
    actors = _actors(payload.get("act"), payload["client_id"]) if dlg["path"] else (payload["client_id"],)
    if actors is None or len(actors) != len(dlg["path"]) + 1 or ("act" in payload) is not bool(dlg["path"]):
        return _malformed("The claim act is not the chain of agents.")
    scope = from_details(payload["authorization_details"]) if "authorization_details" in payload else None
    if scope is None and "authorization_details" in payload:
        return _malformed("The claim authorization_details is not a scope.")
    if "task" in payload and not _is_task(payload["task"]):
        return _malformed("The claim task is not an id and facts.")
    if "cnf" in payload and not _is_confirmation(payload["cnf"]):
        return _malformed("The claim cnf is not a public key.")
    task = payload.get("task")
    return Claims(
        payload["iss"],
        payload["aud"],
        payload["jti"],
        payload["iat"],
        payload["nbf"],
        payload["exp"],
        payload["tid"],
        payload["sub"],
        payload["client_id"],
        payload["sq"],
        dlg["node"],
        actors,
        tuple(dlg["path"]),
        tuple(dlg["grants"]),
        dlg["to"],
        dlg["maxDepth"],
        scope,
        task["id"] if task else None,
        task["facts"] if task else {},
        payload["cnf"]["jwk"] if "cnf" in payload else None,
    )


def _is_text(value: Any) -> bool:
    return type(value) is str and bool(value)


def _is_count(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _is_delegation(value: Any) -> bool:
    if type(value) is not dict or value.keys() != _DELEGATION:
        return False
    node, path, depth = value["node"], value["path"], value["depth"]
    if not _is_text(node) or type(path) is not list or not all(_is_text(item) for item in path):
        return False
    if len({*path, node}) != len(path) + 1 or len(path) > MAX_DEPTH:
        return False
    if type(depth) is not int or depth != len(path) or not _is_count(value["maxDepth"], MAX_DEPTH):
        return False
    if value["grants"] not in (["use"], ["delegate"], ["use", "delegate"]):
        return False
    return value["to"] is None or _is_delegators(value["to"])


def _is_delegators(value: Any) -> bool:
    if type(value) is not dict or value.keys() != {"roles", "agentIds"}:
        return False
    lists = (value["roles"], value["agentIds"])
    return all(type(names) is list and all(_is_text(name) for name in names) for names in lists)


def _is_task(value: Any) -> bool:
    return (
        type(value) is dict
        and value.keys() == {"id", "facts"}
        and _is_text(value["id"])
        and type(value["facts"]) is dict
    )


def _is_confirmation(value: Any) -> bool:
    return type(value) is dict and value.keys() == {"jwk"} and type(value["jwk"]) is dict


def _nested(actors: tuple[str, ...]) -> dict[str, Any]:
    """RFC 8693, section 4.1: the current actor outermost, each inside it the one before."""
    claim: dict[str, Any] = {"sub": actors[0]}
    for agent_id in actors[1:]:
        claim = {"sub": agent_id, "act": claim}
    return claim


def _actors(claim: Any, agent_id: str) -> tuple[str, ...] | None:
    """The agents of the claim, root first; None when it is not one, or is another agent's."""
    found: list[str] = []
    while claim is not None:
        if type(claim) is not dict or not {"sub"} <= claim.keys() <= {"sub", "act"} or not _is_text(claim["sub"]):
            return None
        found.append(claim["sub"])
        if len(found) > MAX_DEPTH + 1:
            return None
        claim = claim.get("act")
    return tuple(reversed(found)) if found and found[0] == agent_id else None


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
