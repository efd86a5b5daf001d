"""`POST /v1/decisions/{id}/outcome`: what became of an allowed action; it ends the lease and feeds the session."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Depends

from act import models
from act.audit.service import AuditService
from act.audit.transaction import Sealed, Transaction
from act.audit.units import WriteFailed
from act.audit.writer import Writer
from act.enforcement import store
from act.enforcement.replays import Replays
from act.enforcement.route import Arrived, PlainRoute, validated
from act.limits.service import LimitService
from act.models import Scope
from act.problems import conflict, not_found, overloaded
from act.sessions.service import SessionService
from act.sessions.session import session_key
from act.tenants.access import Access
from act.tenants.live import LiveTenants
from act.tenants.tenant import ApiKey

PATH: Final = re.compile(r"/v1/decisions/([^/]+)/outcome")

# What the record of an outcome repeats of its decision.
_COPIED = ("agentId", "action", "resourceId", "taskId", "rootNode", "conversationId", "traceparent")


class _Reported(Exception):
    """The outcome is known already."""

    def __init__(self, sealed: Sealed) -> None:
        super().__init__()
        self.sealed = sealed


class OutcomeService:
    def __init__(
        self,
        writer: Writer,
        audit: AuditService,
        limits: LimitService,
        tenants: LiveTenants,
        sessions: SessionService,
        replays: Replays,
    ) -> None:
        self._writer = writer
        self._audit = audit
        self._limits = limits
        self._tenants = tenants
        self._sessions = sessions
        self._replays = replays

    async def report(self, caller: ApiKey, decision_id: str, body: models.OutcomeReport) -> models.OutcomeRecorded:
        """Record how an allowed action ended, and what it adds to its session. Saying the same again changes nothing.

        Who says nothing of labels is taken to have read what the tenant's default labels say.

        Raises:
            ProblemError: 404 for an unknown decision, 410 for one that may be in an archive, 409 for one that allowed
                nothing or ended otherwise, and for a session that has no room; 503 when it cannot be written. Then
                nothing is recorded, and the lease goes on.
        """
        labels = None if body.labels is None else sorted(set(body.labels))
        created = list(dict.fromkeys(body.created))
        digest = _digest(body.status, labels, created)

        def work(transaction: Transaction) -> Sealed:
            driver = transaction.driver
            decision = self._audit.of_decision(driver, caller.tenant_id, decision_id)
            if decision is None:
                self._audit.refuse_archived(transaction.connection, caller.tenant_id, decision_id)
            if decision is None or caller.agent_id not in (None, decision.get("agentId")):
                raise not_found("decision", decision_id)
            if decision["decision"] != "allowed" or decision.get("dryRun"):
                raise conflict("decision_not_allowed", "Only the outcome of an allowed decision can be reported.")
            if known := store.find(driver, caller.tenant_id, decision_id):
                if known.status != body.status:
                    raise conflict("outcome_reported", f"The outcome was reported as '{known.status}' already.")
                if known.digest != digest:
                    detail = "The outcome was reported already, with other labels or created resources."
                    raise conflict("outcome_reported", detail)
                raise _Reported(known.sealed)
            self._limits.end(transaction, decision_id)
            told: dict[str, Any] = {"keyId": caller.id, "decisionId": decision_id, "status": body.status}
            told |= {name: decision[name] for name in _COPIED if name in decision}
            told |= self._tell(transaction, caller.tenant_id, decision, labels, created)
            sealed = transaction.record(caller.tenant_id, "decision.outcome", told)
            store.add(driver, caller.tenant_id, decision_id, store.Known(body.status, digest, sealed))
            return sealed

        repeated = False
        try:
            sealed = await self._writer.commit(work)
        except _Reported as reported:
            sealed, repeated = reported.sealed, True
        except WriteFailed as error:
            raise overloaded(f"{error} Nothing was changed; try again.") from error
        self._limits.release(decision_id)
        self._replays.spent(decision_id)
        return models.OutcomeRecorded(
            decision_id=decision_id,
            status=body.status,
            audit=models.AuditReference(index=sealed.index, leaf_hash=sealed.leaf_hash),
            repeated=repeated,
        )

    def timed_out(self, transaction: Transaction, tenant_id: str, decision_id: str) -> dict[str, Any]:
        """What the session is told when nobody reported how an action ended: it may have read anything.

        Answers the fields that the record of it has to have.
        """
        decision = self._audit.of_decision(transaction.driver, tenant_id, decision_id)
        return {} if decision is None else self._tell(transaction, tenant_id, decision, None, [])

    def _tell(
        self,
        transaction: Transaction,
        tenant_id: str,
        decision: dict[str, Any],
        labels: list[str] | None,
        created: list[str],
    ) -> dict[str, Any]:
        key = session_key(decision.get("taskId"), decision["rootNode"])
        defaults = self._tenants.get(tenant_id).default_labels if labels is None else ()
        revision = self._sessions.add(transaction, tenant_id, key, labels or (), created, defaults)
        return {
            "labels": list(defaults) if labels is None else labels,
            "labelsByDefault": True if labels is None else None,
            "created": created or None,
            "revision": revision,
        }


def _digest(status: str, labels: list[str] | None, created: list[str]) -> bytes:
    """What tells one report from another: what was sent, so that another default makes no other report of it."""
    return hashlib.sha256(json.dumps([status, labels, created]).encode()).digest()


class OutcomeRoute(PlainRoute):
    """The same call as that of `routes`, for those without an `Idempotency-Key`: one comes after every action."""

    def __init__(self, service: OutcomeService, access: Access) -> None:
        super().__init__(access)
        self._service = service

    async def _answered(self, arrived: Arrived) -> tuple[bytes, Mapping[str, str]]:
        found = PATH.fullmatch(arrived.path)
        assert found is not None
        report = validated(models.OutcomeReport, arrived.document)
        recorded = await self._service.report(arrived.caller, found[1], report)
        return recorded.model_dump_json(by_alias=True).encode(), {}


def routes(service: OutcomeService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/v1/decisions", tags=["decisions"])
    needed = Depends(access.requires(Scope.ENFORCE))

    @router.post("/{decision_id}/outcome")
    async def report_outcome(
        decision_id: str, body: models.OutcomeReport, caller: ApiKey = needed
    ) -> models.OutcomeRecorded:
        return await service.report(caller, decision_id, body)

    return router
