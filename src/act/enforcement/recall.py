"""After a restart: the answers of the last two minutes, read back from the audit log (2-semantics, "Decisions").

A request that was allowed before is answered with the same decision, and takes no second place under a limit. What
was denied is decided anew; its id still belongs to its body. Whether an answer still stands is asked as ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection

from act.approvals.live import LiveApprovals
from act.audit.service import AuditService
from act.database.clock import Clock
from act.enforcement.replays import MAX_KEPT, WINDOW, Key, Replays
from act.models import (
    ApprovalReference,
    AuditRecord,
    AuditReference,
    DecidingPolicy,
    Decision,
    Lease,
    LimitLeft,
    ReasonCode,
    Verdict,
)
from act.policies.live import LivePolicies
from act.tenants.live import LiveTenants

MAX_READ: Final = 20_000
"""Records of one tenant that a start looks through, so that it takes seconds. What is older is decided anew."""

_HIDDEN: Final = "[secret]"


@dataclass(frozen=True, slots=True)
class Recalled:
    """One answer: `age` in seconds."""

    key: Key
    digest: bytes
    age: float
    decision: Decision | None


class Recall:
    """Reads once, before the first request."""

    def __init__(self, tenants: LiveTenants, policies: LivePolicies, approvals: LiveApprovals, clock: Clock) -> None:
        self._tenants = tenants
        self._policies = policies
        self._approvals = approvals
        self._clock = clock

    def into(self, replays: Replays, connection: Connection) -> None:
        """Let `replays` know the answers again, the latest `MAX_KEPT` of them."""
        now, monotonic, found = self._clock.now(), self._clock.monotonic(), list[Recalled]()
        for tenant in self._tenants:
            newest_first = islice(AuditService.backwards(connection, tenant.id), MAX_READ)
            found += self._recalled(tenant.id, _recent(newest_first, now), now)
        found.sort(key=lambda one: -one.age)
        for one in found[-MAX_KEPT:]:
            replays.recall(one.key, one.digest, monotonic - one.age, one.decision)

    def _recalled(self, tenant_id: str, newest_first: Iterable[AuditRecord], now: datetime) -> list[Recalled]:
        """The last answer of each request id, unless its action is over or it was none that is given twice."""
        found: list[Recalled] = []
        over: set[str] = set()
        seen: set[Key] = set()
        for logged in newest_first:
            record = logged.record
            if record["kind"] == "decision.outcome":
                over.add(record["decisionId"])
            if record["kind"] != "decision" or "requestDigest" not in record or _HIDDEN in record["requestId"]:
                continue
            key = Key(tenant_id, record["keyId"], record["requestId"])
            again = key in seen
            seen.add(key)
            # Since it was written, as `Replays` counts since it was answered: a commit may take its time.
            age = max(0.0, (now - datetime.fromisoformat(record["at"])).total_seconds())
            if again or age >= WINDOW or record["decisionId"] in over or not _replayed(record):
                continue
            decision = self._decision(tenant_id, logged) if record["decision"] == Verdict.ALLOWED else None
            found.append(Recalled(key, bytes.fromhex(record["requestDigest"]), age, decision))
        return found

    def _decision(self, tenant_id: str, logged: AuditRecord) -> Decision | None:
        """The decision as it was answered; None when what it rested on is not there any more, or not in the record."""
        record = logged.record
        if "cut" in record:
            return None
        policies = self._deciding(tenant_id, record["policies"])
        approval = None
        if (approval_id := record.get("approvalId")) is not None:
            known = self._approvals.get(approval_id)
            approval = None if known is None else ApprovalReference(id=known.id, expires_at=known.expires_at)
        if policies is None or (approval_id is not None and approval is None):
            return None
        evaluated_at = datetime.fromisoformat(record["evaluatedAt"])
        return Decision(
            request_id=record["requestId"],
            decision_id=record["decisionId"],
            decision=Verdict(record["decision"]),
            reason_code=ReasonCode(record["reasonCode"]),
            reason=record["reason"],
            agent_id=record["agentId"],
            tenant_id=tenant_id,
            policies=policies,
            obligations=record.get("obligations", {}),
            lease=_lease(record.get("leaseSeconds"), evaluated_at),
            limits=[_left(limit) for limit in record.get("limits", ())],
            approval=approval,
            audit=AuditReference(index=logged.index, leaf_hash=logged.leaf_hash),
            revision=record["revision"],
            evaluated_at=evaluated_at,
        )

    def _deciding(self, tenant_id: str, recorded: Iterable[dict[str, Any]]) -> list[DecidingPolicy] | None:
        index, found = self._policies.of_tenant(tenant_id).policies, []
        for one in recorded:
            policy = index.get(one["id"])
            if policy is None or policy.version != one["version"]:
                return None
            found.append(DecidingPolicy(id=policy.id, name=policy.name, version=policy.version, effect=policy.effect))
        return found


def _recent(newest_first: Iterable[AuditRecord], now: datetime) -> Iterable[AuditRecord]:
    for logged in newest_first:
        if (now - datetime.fromisoformat(logged.record["at"])).total_seconds() >= WINDOW:
            return
        yield logged


def _replayed(record: dict[str, Any]) -> bool:
    """Whether it is an answer that is given twice, were it still known."""
    return record["decision"] != Verdict.PENDING_APPROVAL and not record.get("dryRun")


def _lease(seconds: int | None, evaluated_at: datetime) -> Lease | None:
    # Whole seconds are recorded, so it is never longer than the lease that is held.
    return None if seconds is None else Lease(expires_at=evaluated_at + timedelta(seconds=seconds))


def _left(limit: dict[str, Any]) -> LimitLeft:
    numbers = {name: _number(limit[name]) for name in ("limit", "remaining")}
    return LimitLeft.model_validate(limit | numbers)


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)
