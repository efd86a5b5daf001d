"""Why a token is not accepted: a value, so that no check can be skipped by catching too much."""

from __future__ import annotations

from dataclasses import dataclass

from act.models import ReasonCode


@dataclass(frozen=True, slots=True)
class Refusal:
    """`agent_id` and `token_id` are known when the signature held: then the record can say whose token it was.

    `reused_node` is to be revoked, because a token of it was used that another had replaced (RFC 9700, section 4.14).
    """

    code: ReasonCode
    reason: str
    agent_id: str | None = None
    token_id: str | None = None
    reused_node: str | None = None
