"""The calls that belong to no group (3-api, "Calls"): decisions, their outcomes, the state of the server. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from act.client.call import Call, path
from act.models import Decision, Health, OutcomeRecorded

Outcome = Literal["succeeded", "failed", "cancelled"]


def enforce(body: Mapping[str, Any], parse: Callable[[bytes], Decision]) -> Call[Decision]:
    """Idempotent by its `requestId`, which stays the same across retries (2-semantics, "Decisions")."""
    return Call("POST", path("enforce"), parse, body=body, idempotent=True)


def report_outcome(
    decision_id: str, status: Outcome, labels: Iterable[str] | None, created: Iterable[str] | None
) -> Call[OutcomeRecorded]:
    """Idempotent: the server records the same report once.

    Without `labels` the tenant's default labels count; an empty list is sent as one.
    """
    body: dict[str, Any] = {"status": status}
    for name, given in (("labels", labels), ("created", created)):
        if isinstance(given, str):
            raise TypeError(f"{name} is a list of texts, not one text.")
    if labels is not None:
        body["labels"] = list(labels)
    if made := list(created or ()):
        body["created"] = made
    at = path("decisions", decision_id, "outcome")
    return Call("POST", at, OutcomeRecorded.model_validate_json, body=body, idempotent=True)


def ready() -> Call[Health]:
    """A server that is not ready says so with 503 and the same document."""
    return Call("GET", "/readyz", Health.model_validate_json, idempotent=True, answers=frozenset({503}))
