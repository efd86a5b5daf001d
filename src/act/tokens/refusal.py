"""Why a token is not accepted: a value, so that no check can be skipped by catching too much."""

from __future__ import annotations

from dataclasses import dataclass

from act.models import ReasonCode


@dataclass(frozen=True, slots=True)
class Refusal:
    code: ReasonCode
    reason: str
