"""Asking and reading the answer, fail closed, without I/O: what `enforce` means in every client.

A `Decision` made in the SDK, without a server, denies and has no `decision_id`.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NoReturn, TypedDict, TypeVar
from uuid import uuid4

from act.client import calls
from act.client.call import Call, encoded
from act.client.claims import claimed
from act.client.errors import ActError
from act.client.proof import ProofKey
from act.models import Decision, ReasonCode, Verdict
from act.strict_json import faults_of, loads

T = TypeVar("T")


class Ask(TypedDict):
    """What a question may carry beside token, action and resource."""

    arguments: Mapping[str, Any] | None
    context: Mapping[str, Any] | None
    requester: str | None


@dataclass(frozen=True, slots=True)
class Question:
    """One request for a decision, as in `EnforceRequest`. The repr shows neither the token nor the arguments."""

    request_id: str
    token: str | None = field(repr=False)
    action: str
    resource: str
    arguments: Mapping[str, Any] | None = field(default=None, repr=False)
    context: Mapping[str, Any] | None = field(default=None, repr=False)
    requester: str | None = None
    tenant_id: str | None = None
    dry_run: bool = False
    requester_token: str | None = field(default=None, repr=False)
    min_revision: int | None = None
    proof: str | None = field(default=None, repr=False)
    requester_proof: str | None = field(default=None, repr=False)

    def proved(self, key: ProofKey | None, requester_key: ProofKey | None, now: float) -> Question:
        """The same with proofs of possession by the keys that its tokens are bound to; `now` as in `ProofKey.sign`.

        Raises:
            ValueError: the arguments are not JSON; names every fault by its pointer.
        """
        proof, requester_proof = (
            self._proof(key, self.token, now),
            self._proof(requester_key, self.requester_token, now),
        )
        return replace(self, proof=proof, requester_proof=requester_proof)

    def _proof(self, key: ProofKey | None, token: str | None, now: float) -> str | None:
        if key is None or not token:
            return None
        encoded({"arguments": self.arguments})
        tenant = claimed(token).tenant_id or ""
        return key.sign(token, self.action, self.resource, self.arguments or {}, self.request_id, tenant, now)

    def lost(self, decision: Decision) -> bool:
        """Whether `decision` tells of an answer that was lost.

        The server repeats an answer without asking for the proof again, except that a person has to be asked: then the
        repeated request looks like a stolen one. A new one, with a new id and proof, gets that answer.
        """
        return self.proof is not None and decision.reason_code is ReasonCode.PROOF_REPLAYED

    def body(self) -> dict[str, Any]:
        """The question as it is sent."""
        body: dict[str, Any] = {
            "requestId": self.request_id,
            "capabilityToken": self.token,
            "action": self.action,
            "resourceId": self.resource,
            "tenantId": self.tenant_id,
            "context": self.context,
            "arguments": self.arguments,
            "requester": self.requester,
            "requesterToken": self.requester_token,
            "minRevision": self.min_revision,
            "proof": self.proof,
            "requesterProof": self.requester_proof,
            "dryRun": self.dry_run or None,
        }
        return {name: value for name, value in body.items() if value is not None}

    def call(self) -> Call[Decision]:
        """The call to make; `self.token` must not be empty."""
        return calls.enforce(self.body(), self.read)

    def read(self, body: bytes) -> Decision:
        """The decision in an answer.

        Raises:
            ValueError: as `checked`.
        """
        return self.checked(loads(body))

    def checked(self, document: Any) -> Decision:
        """The decision that a document is.

        Raises:
            ValueError: it is not a decision, not the one asked for, or contradicts itself.
        """
        decision = Decision.model_validate(document)
        if decision.request_id != self.request_id:
            raise ValueError("it belongs to another request.")
        if decision.dry_run is not self.dry_run:
            raise ValueError("it mixes up a dry run and a real one.")
        if self.tenant_id is not None and decision.tenant_id not in (None, self.tenant_id):
            raise ValueError("it belongs to another tenant.")
        if self.min_revision is not None and (decision.revision is None or decision.revision < self.min_revision):
            raise ValueError("it stands on an older state than the question insists on.")
        if _word_for(decision.reason_code) is not decision.decision:
            raise ValueError(f"'{decision.decision}' and reason code '{decision.reason_code}' contradict each other.")
        if decision.decision is not Verdict.DENIED and not self.dry_run and decision.decision_id is None:
            raise ValueError("it has no decision id.")
        if decision.decision is Verdict.PENDING_APPROVAL and not self.dry_run and decision.approval is None:
            raise ValueError("it waits for an approval and does not say which.")
        return decision

    def no_token(self) -> Decision:
        """The denial when there is nothing to ask with."""
        reason = "There is no capability token; issue one for the agent and bind it with guard.bind() or pass it."
        return denied(ReasonCode.NO_TOKEN, reason, self.request_id, dry_run=self.dry_run)

    def unreachable(self, error: ActError) -> Decision:
        """The denial when no usable answer came."""
        return denied(
            ReasonCode.UNREACHABLE, f"ACT did not decide, so nothing may run. {error}", self.request_id, self.dry_run
        )


def kept(arguments: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A copy that stays as it is while someone waits. What is not JSON is not copied: it will be refused anyway."""
    return arguments if arguments is None or any(faults_of(arguments)) else deepcopy(arguments)


def new_id() -> str:
    """A request id that nobody else has."""
    return uuid4().hex


def denied(code: ReasonCode, reason: str, request_id: str | None = None, dry_run: bool = False) -> Decision:
    """A denial that no server gave."""
    return Decision(
        request_id=request_id or new_id(),
        decision=Verdict.DENIED,
        reason_code=code,
        reason=reason,
        evaluated_at=datetime.now(UTC),
        dry_run=dry_run,
    )


def _word_for(code: ReasonCode) -> Verdict:
    if code is ReasonCode.ALLOWED:
        return Verdict.ALLOWED
    return Verdict.PENDING_APPROVAL if code is ReasonCode.APPROVAL_REQUIRED else Verdict.DENIED


class Awaited(Coroutine[Any, Any, T]):
    """Something that has to be awaited. A bare coroutine is true in a condition; this refuses to be one."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work

    def __bool__(self) -> NoReturn:
        self._work.close()
        raise TypeError("This is not a decision yet; await it.")

    def __await__(self) -> Generator[Any, Any, T]:
        return self._work.__await__()

    def send(self, value: Any) -> Any:
        return self._work.send(value)

    def throw(self, *error: Any) -> Any:
        return self._work.throw(*error)

    def close(self) -> None:
        self._work.close()


class Deciding(Awaited[Decision]):
    """A decision that has to be awaited."""
