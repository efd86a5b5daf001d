"""A decision as it leaves: its bytes, and the little of it that is asked for afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from act.enforcement.rate_headers import rate_headers
from act.models import Decision, Verdict


class Answered(NamedTuple):
    """`body` is the JSON of an `act.models.Decision`; `headers` say a part of it again.

    What is kept for retries is the body alone: objects would take four times the memory.
    """

    body: bytes
    verdict: Verdict
    decision_id: str
    dry_run: bool = False
    headers: Mapping[str, str] = {}

    @property
    def replayable(self) -> bool:
        """Whether the same request gets this answer again: who still waits for a person has got none."""
        return self.verdict is not Verdict.PENDING_APPROVAL and not self.dry_run

    @property
    def decision(self) -> Decision:
        return Decision.model_validate_json(self.body)


def again(decision: Decision) -> Answered:
    """An earlier decision as the answer to a retry."""
    assert decision.decision_id is not None
    headers = rate_headers([left.model_dump(mode="json") for left in decision.limits], decision.retry_after)
    body = decision.model_copy(update={"replayed": True}).model_dump_json().encode()
    return Answered(body, decision.decision, decision.decision_id, headers=headers)
