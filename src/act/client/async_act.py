"""`AsyncAct`: the client for asyncio programs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from act.client import calls
from act.client.act import settings
from act.client.async_guard import AsyncGuard
from act.client.batch import Asking, DecidingAll, carry_out_async, planned
from act.client.credential import Credentials
from act.client.deciding import Deciding, Question, new_id
from act.client.errors import ActError
from act.client.groups import (
    AsyncAgents,
    AsyncApiKeys,
    AsyncApprovals,
    AsyncAudit,
    AsyncDelegations,
    AsyncKeys,
    AsyncPolicies,
    AsyncTenants,
    AsyncTokens,
    AsyncWebhooks,
)
from act.client.narrowing import Scope
from act.client.proof import ProofKey
from act.client.transport import AsyncShared, AsyncTransport, is_loopback, trust_for
from act.models import Decision, Health, IssuedToken, OutcomeRecorded


class AsyncAct:
    """A connection to ACT for one event loop; close it with `aclose()` or use it in `async with`.

    Arguments and errors are those of `Act`.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 2.0,
        retries: int = 2,
        tenant_id: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._url, headers = settings(base_url, api_key)
        client = httpx2.AsyncClient(
            base_url=self._url,
            headers=headers,
            timeout=timeout,
            transport=transport,
            verify=trust_for(self._url),
            trust_env=not is_loopback(self._url),
        )
        self._transport = AsyncTransport(client, timeout=timeout, retries=retries)
        self._tenant_id = tenant_id
        self._again = partial(AsyncAct, self._url, timeout=timeout, retries=retries, tenant_id=tenant_id)
        self._travel = transport
        self._credentials = Credentials()
        self.agents = AsyncAgents(self._transport)
        self.policies = AsyncPolicies(self._transport)
        self.tokens = AsyncTokens(self._transport)
        self.delegations = AsyncDelegations(self._transport)
        self.approvals = AsyncApprovals(self._transport)
        self.audit = AsyncAudit(self._transport)
        self.api_keys = AsyncApiKeys(self._transport)
        self.keys = AsyncKeys(self._transport)
        self.tenants = AsyncTenants(self._transport)
        self.webhooks = AsyncWebhooks(self._transport)

    @classmethod
    def embedded(
        cls, path: str | Path, api_key: str | None = None, *, timeout: float = 10.0, tenant_id: str | None = None
    ) -> Self:
        """As `Act.embedded`. Opening blocks until the file is read."""
        from act.client.embedded import URL, AsyncEmbeddedTransport, open_service

        service = open_service(path, api_key)
        travel = AsyncEmbeddedTransport(service)
        return cls(URL, service.api_key, timeout=timeout, retries=0, tenant_id=tenant_id, transport=travel)

    def with_key(self, api_key: str) -> AsyncAct:
        """As `Act.with_key`."""
        travel = AsyncShared(self._travel) if self._travel else None
        return self._again(api_key=api_key, transport=travel)

    def enforce(
        self,
        token: str | None,
        action: str,
        resource: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        requester: str | None = None,
        requester_token: str | None = None,
        request_id: str | None = None,
        min_revision: int | None = None,
        dry_run: bool = False,
        raise_on_error: bool = False,
        key: ProofKey | None = None,
        requester_key: ProofKey | None = None,
    ) -> Deciding:
        """As `Act.enforce`, to be awaited. In a condition the un-awaited answer raises `TypeError`."""
        question = Question(
            request_id or new_id(),
            token,
            action,
            resource,
            arguments,
            context,
            requester,
            self._tenant_id,
            dry_run,
            requester_token,
            min_revision,
        )
        return Deciding(self._decide(question, raise_on_error, key, requester_key, request_id is None))

    async def _decide(
        self,
        question: Question,
        raise_on_error: bool,
        key: ProofKey | None,
        requester_key: ProofKey | None,
        free: bool,
    ) -> Decision:
        """`free`: the request id may be another one."""
        if not question.token:
            return question.no_token()
        try:
            asked = question.proved(key, requester_key, time.time())
            decision = await self._transport.send(asked.call())
            if free and asked.lost(decision):
                question = replace(question, request_id=new_id())
                decision = await self._transport.send(question.proved(key, requester_key, time.time()).call())
            return decision
        except ActError as error:
            if raise_on_error:
                raise
            return question.unreachable(error)

    def enforce_batch(self, asked: Iterable[Asking], *, raise_on_error: bool = False) -> DecidingAll:
        """As `Act.enforce_batch`, to be awaited."""
        return DecidingAll(carry_out_async(planned(asked, self._tenant_id, raise_on_error), self._transport.send))

    async def report_outcome(
        self,
        decision_id: str,
        status: calls.Outcome,
        labels: Iterable[str] | None = None,
        created: Iterable[str] | None = None,
    ) -> OutcomeRecorded:
        """Say what became of an allowed action; ends its lease. See `Act.report_outcome`."""
        return await self._transport.send(calls.report_outcome(decision_id, status, labels, created))

    def guard(
        self,
        token: str | IssuedToken | None,
        *,
        wait: float = 900.0,
        key: ProofKey | None = None,
        refresh: bool | None = None,
    ) -> AsyncGuard:
        """What stands between one agent and its tools. See `Act.guard`."""
        return AsyncGuard(self, self._credentials.of(token, key, refresh), wait=wait)

    async def guard_for(
        self,
        agent_id: str,
        *,
        expires_in: int | None = None,
        renew_for: int | None = None,
        policy_ids: Iterable[str] | None = None,
        scope: Scope | None = None,
        actions: Iterable[str] | None = None,
        resources: Iterable[str] | None = None,
        task: str | None = None,
        facts: Mapping[str, Any] | None = None,
        on_behalf_of: str | None = None,
        bound: bool = True,
        wait: float = 900.0,
    ) -> AsyncGuard:
        """Issue a token, bound to a key that is made here, and guard an agent with it. See `Act.guard_for`."""
        key = ProofKey.generate() if bound else None
        issued = await self.tokens.issue(
            agent_id,
            expires_in=expires_in,
            renew_for=renew_for,
            policy_ids=policy_ids,
            scope=scope,
            actions=actions,
            resources=resources,
            task=task,
            facts=facts,
            on_behalf_of=on_behalf_of,
            cnf=key.public_jwk if key else None,
        )
        return self.guard(issued, wait=wait, key=key)

    async def health(self) -> Health:
        """Whether ACT is ready to decide, with what it checked."""
        return await self._transport.send(calls.ready())

    async def aclose(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"
