"""Every method sends what 3-api says, and the asynchronous client has every method of the other."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from act import Act, ActError, AsyncAct, UnexpectedAnswer
from act.client import groups
from act.models import AppliesTo, PolicyDraft, Scope

from .test_retries import AGENT
from .wire import KEY, Reply, Server, approval

CASES: list[tuple[Callable[[Act], Any], str, str, Any]] = [
    (lambda a: a.agents.create("n", roles=["r"]), "POST", "/v1/agents",
     {"name": "n", "description": "", "roles": ["r"]}),
    (lambda a: list(a.agents.list()), "GET", "/v1/agents", None),
    (lambda a: a.agents.get("a/../b c"), "GET", "/v1/agents/a%2F..%2Fb%20c", None),
    (lambda a: a.agents.update("x", description="d"), "PATCH", "/v1/agents/x", {"description": "d"}),
    (lambda a: a.agents.delete("x"), "DELETE", "/v1/agents/x", None),
    (lambda a: a.agents.suspend("x"), "POST", "/v1/agents/x/suspend", None),
    (lambda a: a.agents.resume("x"), "POST", "/v1/agents/x/resume", None),
    (lambda a: a.agents.revoke_tokens("x"), "POST", "/v1/agents/x/revoke-tokens", None),
    (lambda a: a.policies.create({"name": "p", "appliesTo": {"roles": ["r"]}}), "POST", "/v1/policies",
     {"name": "p", "appliesTo": {"roles": ["r"]}}),
    (lambda a: a.policies.create(name="p", applies_to={"agent_ids": ["x"]}, constraints={"requires_approval": True},
                                 valid_until=datetime(2027, 1, 1, tzinfo=UTC)), "POST", "/v1/policies",
     {"name": "p", "appliesTo": {"agentIds": ["x"]}, "constraints": {"requiresApproval": True},
      "validUntil": "2027-01-01T00:00:00.000Z"}),
    (lambda a: a.policies.replace("p", PolicyDraft(name="p", actions=["a"], resources=["r"],
                                                   appliesTo=AppliesTo(roles=["x"]))), "PUT", "/v1/policies/p",
     {"name": "p", "actions": ["a"], "resources": ["r"], "appliesTo": {"roles": ["x"]}}),
    (lambda a: list(a.policies.list()), "GET", "/v1/policies", None),
    (lambda a: a.policies.get("p"), "GET", "/v1/policies/p", None),
    (lambda a: a.policies.delete("p"), "DELETE", "/v1/policies/p", None),
    (lambda a: list(a.policies.versions("p")), "GET", "/v1/policies/p/versions", None),
    (lambda a: a.tokens.issue("x", expires_in=60), "POST", "/v1/tokens", {"agentId": "x", "expiresIn": 60}),
    (lambda a: a.tokens.issue("x", renew_for=600), "POST", "/v1/tokens", {"agentId": "x", "renewFor": 600}),
    (lambda a: a.tokens.issue("x", policy_ids=iter(["p"]), actions=["a"], resources=["r"], task="t", facts={"to": []},
                              on_behalf_of="ann", cnf={"kty": "OKP"}), "POST", "/v1/tokens",
     {"agentId": "x", "policyIds": ["p"], "scope": [{"actions": ["a"], "resources": ["r"]}],
      "task": {"id": "t", "facts": {"to": []}}, "onBehalfOf": "ann", "cnf": {"jwk": {"kty": "OKP"}}}),
    (lambda a: a.tokens.issue("x", scope=iter([{"actions": ("a",), "resources": ["r"]}]), task="t"), "POST",
     "/v1/tokens", {"agentId": "x", "scope": [{"actions": ["a"], "resources": ["r"]}], "task": {"id": "t"}}),
    (lambda a: a.tokens.rotate("t"), "POST", "/v1/tokens/t/rotate", {}),
    (lambda a: a.tokens.rotate("t", expires_in=9, grace=0, token="s"), "POST", "/v1/tokens/t/rotate",
     {"expiresIn": 9, "grace": 0, "token": "s"}),
    (lambda a: a.tokens.introspect("s"), "POST", "/v1/tokens/introspect", {"token": "s"}),
    (lambda a: a.delegations.create("s", "B", actions=["a"], resources=["r"]), "POST", "/v1/delegations",
     {"parentToken": "s", "toAgentId": "B", "scope": [{"actions": ["a"], "resources": ["r"]}]}),
    (lambda a: a.delegations.create("s", "B", actions=["a"], resources=["r"], expires_in=9, renew_for=60), "POST",
     "/v1/delegations",
     {"parentToken": "s", "toAgentId": "B", "scope": [{"actions": ["a"], "resources": ["r"]}], "expiresIn": 9,
      "renewFor": 60}),
    (lambda a: a.guard_for("x", expires_in=9, renew_for=60, bound=False), "POST", "/v1/tokens",
     {"agentId": "x", "expiresIn": 9, "renewFor": 60}),
    (lambda a: a.delegations.create("s", "B", scope=[{"actions": ["a"], "resources": ["r"]}], expires_in=9,
                                    grants=("use", "delegate"), hand_to={"roles": ["x"], "agent_ids": ("y",)},
                                    max_depth=2, task="t", facts={"n": 1}, cnf={"kty": "OKP"}), "POST",
     "/v1/delegations",
     {"parentToken": "s", "toAgentId": "B", "scope": [{"actions": ["a"], "resources": ["r"]}], "expiresIn": 9,
      "grants": ["use", "delegate"], "to": {"roles": ["x"], "agentIds": ["y"]}, "maxDepth": 2,
      "task": {"id": "t", "facts": {"n": 1}}, "cnf": {"jwk": {"kty": "OKP"}}}),
    (lambda a: a.delegations.tree("t"), "GET", "/v1/delegations/t/tree", None),
    (lambda a: list(a.tokens.list("x")), "GET", "/v1/tokens?agentId=x", None),
    (lambda a: a.tokens.get("t"), "GET", "/v1/tokens/t", None),
    (lambda a: a.tokens.revoke("t"), "POST", "/v1/tokens/t/revoke", None),
    (lambda a: list(a.approvals.list("pending")), "GET", "/v1/approvals?status=pending", None),
    (lambda a: a.approvals.get("p", wait=2), "GET", "/v1/approvals/p?wait=2", None),
    (lambda a: a.approvals.approve("p"), "POST", "/v1/approvals/p/approve", {}),
    (lambda a: a.approvals.reject("p", "no"), "POST", "/v1/approvals/p/reject", {"reason": "no"}),
    (lambda a: a.report_outcome("d", "failed"), "POST", "/v1/decisions/d/outcome", {"status": "failed"}),
    (lambda a: a.report_outcome("d", "succeeded", ["l"], iter(["r"])), "POST", "/v1/decisions/d/outcome",
     {"status": "succeeded", "labels": ["l"], "created": ["r"]}),
    (lambda a: a.report_outcome("d", "succeeded", []), "POST", "/v1/decisions/d/outcome",
     {"status": "succeeded", "labels": []}),
    (lambda a: a.api_keys.create("k", [Scope.ENFORCE]), "POST", "/v1/api-keys", {"name": "k", "scopes": ["enforce"]}),
    (lambda a: a.api_keys.create("k", ["approve"], roles=("finance",), person="ann@example.com"), "POST",
     "/v1/api-keys", {"name": "k", "scopes": ["approve"], "roles": ["finance"], "person": "ann@example.com"}),
    (lambda a: list(a.api_keys.list()), "GET", "/v1/api-keys", None),
    (lambda a: list(a.keys.list()), "GET", "/v1/keys", None),
    (lambda a: a.keys.rotate(), "POST", "/v1/keys/rotate", {}),
    (lambda a: a.keys.rotate("ES256"), "POST", "/v1/keys/rotate", {"algorithm": "ES256"}),
    (lambda a: a.keys.revoke("k"), "POST", "/v1/keys/k/revoke", None),
    (lambda a: a.api_keys.revoke("k"), "DELETE", "/v1/api-keys/k", None),
    (lambda a: list(a.audit.list(reason_code="allowed", since=datetime(2026, 1, 1, tzinfo=UTC), order="desc")),
     "GET", "/v1/audit?reasonCode=allowed&since=2026-01-01T00%3A00%3A00.000Z&order=desc", None),
    (lambda a: a.audit.get(3), "GET", "/v1/audit/3", None),
    (lambda a: list(a.audit.export()), "GET", "/v1/audit/export?format=jsonl", None),
    (lambda a: a.audit.checkpoint(), "GET", "/v1/audit/checkpoint", None),
    (lambda a: a.tenants.get("t"), "GET", "/v1/tenants/t", None),
    (lambda a: a.tenants.update("t", max_token_ttl=60), "PATCH", "/v1/tenants/t", {"maxTokenTtl": 60}),
    (lambda a: a.tenants.update("t", default_labels=iter(["a"])), "PATCH", "/v1/tenants/t", {"defaultLabels": ["a"]}),
    (lambda a: a.tenants.update("t", default_labels=[]), "PATCH", "/v1/tenants/t", {"defaultLabels": []}),
    (lambda a: a.tenants.update("t", audit_retention=86400), "PATCH", "/v1/tenants/t", {"auditRetention": 86400}),
    (lambda a: a.tenants.update("t", audit_retention="forever"), "PATCH", "/v1/tenants/t", {"auditRetention": None}),
    (lambda a: list(a.audit.archives()), "GET", "/v1/audit/archives", None),
    (lambda a: a.audit.archive(), "POST", "/v1/audit/archives", {}),
    (lambda a: a.audit.archive(86400), "POST", "/v1/audit/archives", {"olderThan": 86400}),
    (lambda a: list(a.audit.list(begin=7)), "GET", "/v1/audit?begin=7", None),
    (lambda a: list(a.audit.export_lines(7)), "GET", "/v1/audit/export?format=jsonl&begin=7", None),
    (lambda a: a.tenants.freeze("t"), "POST", "/v1/tenants/t/freeze", {}),
    (lambda a: a.tenants.freeze("t", "why"), "POST", "/v1/tenants/t/freeze", {"reason": "why"}),
    (lambda a: a.tenants.unfreeze("t"), "POST", "/v1/tenants/t/unfreeze", {}),
    (lambda a: a.webhooks.create("https://x.example/"), "POST", "/v1/webhooks", {"url": "https://x.example/"}),
    (lambda a: a.webhooks.create("u", iter(["approval.expired"]), description="d", include_arguments=True), "POST",
     "/v1/webhooks", {"url": "u", "events": ["approval.expired"], "description": "d", "includeArguments": True}),
    (lambda a: list(a.webhooks.list()), "GET", "/v1/webhooks", None),
    (lambda a: a.webhooks.get("w"), "GET", "/v1/webhooks/w", None),
    (lambda a: a.webhooks.update("w", enabled=False, include_arguments=True), "PATCH", "/v1/webhooks/w",
     {"enabled": False, "includeArguments": True}),
    (lambda a: a.webhooks.delete("w"), "DELETE", "/v1/webhooks/w", None),
    (lambda a: a.webhooks.rotate_secret("w"), "POST", "/v1/webhooks/w/rotate-secret", None),
    (lambda a: a.webhooks.test("w"), "POST", "/v1/webhooks/w/test", None),
    (lambda a: list(a.webhooks.deliveries("w")), "GET", "/v1/webhooks/w/deliveries", None),
    (lambda a: a.webhooks.resend("w", "d"), "POST", "/v1/webhooks/w/deliveries/d/resend", None),
    (lambda a: a.health(), "GET", "/readyz", None),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1]} {case[2]}")
def test_what_is_sent(server: Server, case: tuple[Callable[[Act], Any], str, str, Any]) -> None:
    call, method, path, body = case
    server.answers(Reply(418))
    with Act(server.url, KEY, retries=0) as act, pytest.raises(ActError):
        call(act)
    seen = server.seen[0]
    assert (seen.method, seen.path, seen.json if seen.body else None) == (method, path, body)
    # What is the same when done twice needs no key, whatever the server keeps.
    repeatable = method == "GET" or path.endswith(("/freeze", "/outcome", "/revoke", "/introspect"))
    repeatable = (repeatable and "/keys/" not in path) or "token" in (body or {})
    assert ("idempotency-key" in seen.headers) is not repeatable
    assert ("content-type" in seen.headers) is bool(seen.body)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"actions": ["a"]}, ValueError),
        ({"resources": ["r"]}, ValueError),
        ({"actions": ["a"], "resources": ["r"], "scope": []}, ValueError),
        ({"actions": "a", "resources": ["r"]}, TypeError),
        ({"scope": [{"actions": "read", "resources": ["r"]}]}, TypeError),
        ({"policy_ids": "pol_1"}, TypeError),
        ({"facts": {"a": 1}}, ValueError),
    ],
)
def test_what_would_mean_something_else_is_not_sent(
    act: Act, server: Server, wrong: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        act.tokens.issue("x", **wrong)
    assert server.seen == []


@pytest.mark.parametrize("id", ["", ".", ".."])
def test_an_id_cannot_change_the_path(act: Act, server: Server, id: str) -> None:
    with pytest.raises(ValueError):
        act.agents.delete(id)
    assert server.seen == []


@pytest.mark.parametrize(
    "name",
    ["Agents", "Policies", "Tokens", "Delegations", "Approvals", "Audit", "Keys", "ApiKeys", "Tenants", "Webhooks"],
)
def test_both_clients_have_the_same_methods(name: str) -> None:
    def shape(name: str) -> dict[str, Any]:
        methods = inspect.getmembers(getattr(groups, name), inspect.isfunction)
        return {method: inspect.signature(found).parameters for method, found in methods if method[0] != "_"}

    assert shape(name) == shape(f"Async{name}")


CHECKPOINT = {"tenantId": "t", "size": 3, "rootHash": "00", "note": "", "verifierKey": ""}


def pages(seen: Any) -> Reply:
    if "cursor=two" in seen.path:
        return Reply(200, {"items": [AGENT | {"id": "agt_2"}], "hasMore": False})
    return Reply(200, {"items": [AGENT], "hasMore": True, "nextCursor": "two"})


def test_lists_turn_their_pages(act: Act, server: Server) -> None:
    server.answers(pages)
    assert [agent.id for agent in act.agents.list()] == ["agt_1", "agt_2"]

    async def work() -> list[str]:
        async with AsyncAct(server.url, KEY) as act:
            return [agent.id async for agent in act.agents.list()]

    assert asyncio.run(work()) == ["agt_1", "agt_2"]


def test_a_list_without_end_is_refused(act: Act, server: Server) -> None:
    server.answers(Reply(200, {"items": [], "hasMore": True, "nextCursor": "two"}))
    with pytest.raises(UnexpectedAnswer):
        list(act.agents.list())
    assert len(server.seen) == 2


def test_delete_answers_nothing(act: Act, server: Server) -> None:
    server.answers(Reply(204))
    act.agents.delete("x")


def test_export_is_read_line_by_line(act: Act, server: Server) -> None:
    lines = [f'{{"index":{n},"leafHash":"00","record":{{"t":"a\u2028b"}}}}' for n in range(3)]
    lines.insert(0, json.dumps({"begin": {"index": 7, "roots": []}}))
    lines.append(json.dumps({"checkpoint": CHECKPOINT}))
    server.answers(Reply(200, "\n".join(lines) + "\n"))
    assert len(list(act.audit.export_lines())) == 5
    assert [(line.index, line.record["t"]) for line in act.audit.export()] == [(n, "a\u2028b") for n in range(3)]

    async def work() -> list[int]:
        async with AsyncAct(server.url, KEY) as act:
            return [line.index async for line in act.audit.export()]

    assert asyncio.run(work()) == [0, 1, 2]


def test_an_export_that_breaks_off_is_an_error(act: Act, server: Server) -> None:
    record = '{"index":0,"leafHash":"00","record":{}}\n'
    for broken in (record + '{"index":1,"le', record, ""):
        server.answers(Reply(200, broken))
        with pytest.raises(UnexpectedAnswer):
            list(act.audit.export())


def test_a_server_that_is_not_ready_says_so(act: Act, server: Server) -> None:
    server.answers(Reply(503, {"status": "unavailable", "version": "1", "checks": {"database": "locked"}}))
    assert act.health().status == "unavailable"


def test_a_long_poll_may_take_longer_than_the_time_out(server: Server) -> None:
    reply = approval("approved")
    server.answers(Reply(200, reply.body, delay=0.6))
    with Act(server.url, KEY, timeout=0.2, retries=0) as act:
        assert act.approvals.get("apr_1", wait=30).status == "approved"
