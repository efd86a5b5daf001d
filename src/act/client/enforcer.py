"""What a guard needs of `Act` and `AsyncAct` (or of `FakeAct`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from act.client.batch import Asking, DecidingAll, Decisions
from act.client.calls import Outcome
from act.client.deciding import Deciding
from act.client.proof import ProofKey
from act.models import Approval, Decision, IssuedToken, OutcomeRecorded, TokenRevoked

if TYPE_CHECKING:
    from act.client.async_guard import AsyncGuard
    from act.client.guard import Guard


class ApprovalReader(Protocol):
    def get(self, id: str, wait: int = 0) -> Approval: ...


class TokenIssuer(Protocol):
    """The arguments are those of `groups.Tokens`."""

    def issue(self, *args: Any, **kwargs: Any) -> IssuedToken: ...

    def rotate(self, *args: Any, **kwargs: Any) -> IssuedToken: ...

    def revoke(self, id: str) -> TokenRevoked: ...


class Delegator(Protocol):
    """The arguments are those of `groups.Delegations`."""

    def create(self, *args: Any, **kwargs: Any) -> IssuedToken: ...


class Enforcer(Protocol):
    @property
    def approvals(self) -> ApprovalReader: ...

    @property
    def tokens(self) -> TokenIssuer: ...

    @property
    def delegations(self) -> Delegator: ...

    def enforce(
        self,
        token: str | None,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
        key: ProofKey | None = None,
    ) -> Decision: ...

    def enforce_batch(self, asked: Iterable[Asking]) -> Decisions: ...

    def report_outcome(
        self,
        decision_id: str,
        status: Outcome,
        labels: Iterable[str] | None = None,
        created: Iterable[str] | None = None,
    ) -> OutcomeRecorded: ...

    def guard(self, token: IssuedToken, *, wait: float = 900.0, key: ProofKey | None = None) -> Guard: ...


class AsyncApprovalReader(Protocol):
    async def get(self, id: str, wait: int = 0) -> Approval: ...


class AsyncTokenIssuer(Protocol):
    async def issue(self, *args: Any, **kwargs: Any) -> IssuedToken: ...

    async def rotate(self, *args: Any, **kwargs: Any) -> IssuedToken: ...

    async def revoke(self, id: str) -> TokenRevoked: ...


class AsyncDelegator(Protocol):
    async def create(self, *args: Any, **kwargs: Any) -> IssuedToken: ...


class AsyncEnforcer(Protocol):
    @property
    def approvals(self) -> AsyncApprovalReader: ...

    @property
    def tokens(self) -> AsyncTokenIssuer: ...

    @property
    def delegations(self) -> AsyncDelegator: ...

    def enforce(
        self,
        token: str | None,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
        key: ProofKey | None = None,
    ) -> Deciding: ...

    def enforce_batch(self, asked: Iterable[Asking]) -> DecidingAll: ...

    async def report_outcome(
        self,
        decision_id: str,
        status: Outcome,
        labels: Iterable[str] | None = None,
        created: Iterable[str] | None = None,
    ) -> OutcomeRecorded: ...

    def guard(self, token: IssuedToken, *, wait: float = 900.0, key: ProofKey | None = None) -> AsyncGuard: ...
