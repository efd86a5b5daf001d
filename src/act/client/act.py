"""`Act`: the client for programs that wait for answers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx2

from act.client import calls
from act.client.batch import Asking, Decisions, carry_out, planned
from act.client.credential import Credentials
from act.client.deciding import Question, new_id
from act.client.errors import ActError
from act.client.groups import Agents, ApiKeys, Approvals, Audit, Delegations, Keys, Policies, Tenants, Tokens, Webhooks
from act.client.guard import Guard
from act.client.narrowing import Scope
from act.client.proof import ProofKey
from act.client.transport import Shared, SyncTransport, checked_url, headers_for, is_loopback, trust_for
from act.models import Decision, Health, IssuedToken, OutcomeRecorded

DEFAULT_URL: Final = "http://127.0.0.1:8377"


class Act:
    """A connection to ACT, safe to share between threads; close it or use it in `with`.

    Args:
        base_url: where ACT is; `ACT_BASE_URL` or the local default when None.
        api_key: `ACT_API_KEY` when None.
        timeout: seconds for one try as a whole.
        retries: how often a call is repeated that may end otherwise; nothing is done twice by it. With both as they
            are, a server that does not answer is a denial after some 6 seconds.
        tenant_id: if given, tokens of any other tenant are refused.
        transport: how requests travel, instead of plain httpx2 (own TLS settings, a proxy); closed with the client.

    Raises:
        ValueError: the URL or the key cannot be one.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 2.0,
        retries: int = 2,
        tenant_id: str | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._url, headers = settings(base_url, api_key)
        client = httpx2.Client(
            base_url=self._url,
            headers=headers,
            timeout=timeout,
            transport=transport,
            verify=trust_for(self._url),
            trust_env=not is_loopback(self._url),
        )
        self._transport = SyncTransport(client, timeout=timeout, retries=retries)
        self._tenant_id = tenant_id
        self._again = partial(Act, self._url, timeout=timeout, retries=retries, tenant_id=tenant_id)
        self._travel = transport
        self._credentials = Credentials()
        self.agents = Agents(self._transport)
        self.policies = Policies(self._transport)
        self.tokens = Tokens(self._transport)
        self.delegations = Delegations(self._transport)
        self.approvals = Approvals(self._transport)
        self.audit = Audit(self._transport)
        self.api_keys = ApiKeys(self._transport)
        self.keys = Keys(self._transport)
        self.tenants = Tenants(self._transport)
        self.webhooks = Webhooks(self._transport)

    @classmethod
    def embedded(
        cls, path: str | Path, api_key: str | None = None, *, timeout: float = 10.0, tenant_id: str | None = None
    ) -> Self:
        """ACT itself in this process, on the SQLite file `path`, without a network. Needs the extra `server`.

        Without `api_key` it is called with an admin key of its own, which is kept beside the file. One process at a
        time may have the file open. A key cannot approve what it asked: see `with_key`.

        Raises:
            Exception: what `act.client.embedded.open_service` lists.
        """
        from act.client.embedded import URL, EmbeddedTransport, open_service

        service = open_service(path, api_key)
        return cls(
            URL, service.api_key, timeout=timeout, retries=0, tenant_id=tenant_id, transport=EmbeddedTransport(service)
        )

    def with_key(self, api_key: str) -> Act:
        """The same connection for another caller, for instance a person who approves what this key asked.

        Over a `transport` of its own it shares that, and so must be used before this client is closed.
        """
        travel = Shared(self._travel) if self._travel else None
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
    ) -> Decision:
        """May the agent that holds `token` do this? Fails closed.

        Whatever goes wrong on the way (no connection, time-out, a problem, an answer that is not a decision on
        exactly this request) is a denial with the reason code `unreachable`, an empty token one with `no_token`.

        Args:
            arguments: what the tool would be called with; an approval is bound to them.
            requester: id or name of the agent that asked for the call, when it is another.
            requester_token: that agent's own token; it has to be good as well.
            request_id: 1 to 128 characters; the same again within 2 minutes gives the same decision.
            min_revision: the `revision` of a change; no decision is made on an older state.
            dry_run: decide and explain, spend nothing.
            raise_on_error: raise the `ActError` instead of denying.
            key: what `token` is bound to, if it is; proves that it is here.
            requester_key: the same for `requester_token`.

        Raises:
            ValueError: an argument is not JSON; names it by its pointer.
        """
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
        if not token:
            return question.no_token()
        try:
            asked = question.proved(key, requester_key, time.time())
            decision = self._transport.send(asked.call())
            if request_id is None and asked.lost(decision):
                question = replace(question, request_id=new_id())
                decision = self._transport.send(question.proved(key, requester_key, time.time()).call())
            return decision
        except ActError as error:
            if raise_on_error:
                raise
            return question.unreachable(error)

    def enforce_batch(self, asked: Iterable[Asking], *, raise_on_error: bool = False) -> Decisions:
        """Many questions, decided in their order; the decisions in the same order. Fails closed as `enforce`.

        Each question is decided for itself: what is allowed does not depend on what comes after it. A question that
        ACT could not decide is denied `unreachable`; a call that has no answer denies every question in it and after
        it. One call holds up to 100 questions.

        Args:
            asked: the arguments of `enforce`, one dictionary for each question.
            raise_on_error: raise the `ActError` of a call without an answer instead of denying.

        Raises:
            ValueError: something is not JSON; names it by its pointer. Nothing was asked.

        Example:
            read, send = act.enforce_batch([
                {"token": token, "action": "read", "resource": "file://a"},
                {"token": token, "action": "send", "resource": "mail://b", "arguments": {"to": "b"}},
            ])
        """
        return carry_out(planned(asked, self._tenant_id, raise_on_error), self._transport.send)

    def report_outcome(
        self,
        decision_id: str,
        status: calls.Outcome,
        labels: Iterable[str] | None = None,
        created: Iterable[str] | None = None,
    ) -> OutcomeRecorded:
        """Say what became of an allowed action; ends its lease.

        Args:
            labels: of what was read, such as `untrusted`; they stay in the session of the decision. Without them those
                that the tenant has as its default; an empty list says that nothing was read.
            created: resources that were made; they stay there too.
        """
        return self._transport.send(calls.report_outcome(decision_id, status, labels, created))

    def guard(
        self,
        token: str | IssuedToken | None,
        *,
        wait: float = 900.0,
        key: ProofKey | None = None,
        refresh: bool | None = None,
    ) -> Guard:
        """What stands between one agent and its tools.

        Args:
            wait: how long it waits for a person, in seconds.
            key: what the token is bound to; every question then carries a proof that the key is here.
            refresh: take a new token in the place of this one before it ends (see docs/tokens.md). By default for an
                `IssuedToken`, and not for a string: another process may hold the same one, and two that refresh one
                token are taken for a thief and a victim. All guards of one token of this client share what they hold.

        Raises:
            ValueError: the token is not bound to `key`.
        """
        return Guard(self, self._credentials.of(token, key, refresh), wait=wait)

    def guard_for(
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
    ) -> Guard:
        """Issue a token, as `tokens.issue`, and guard an agent with it. Needs a key for `tokens`.

        Args:
            bound: bind the token to a key that is made here and never leaves this process, so that the token alone is
                worth nothing. Needs the extra `proof`.
        """
        key = ProofKey.generate() if bound else None
        issued = self.tokens.issue(
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

    def health(self) -> Health:
        """Whether ACT is ready to decide, with what it checked."""
        return self._transport.send(calls.ready())

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"


def settings(base_url: str | None, api_key: str | None) -> tuple[str, dict[str, str]]:
    """The URL and the headers of every call, from the arguments or the environment."""
    url = base_url or os.environ.get("ACT_BASE_URL") or DEFAULT_URL
    return checked_url(url), headers_for(api_key or os.environ.get("ACT_API_KEY"))
