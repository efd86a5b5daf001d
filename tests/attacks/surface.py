"""Every route of the server: who may call it, and a call that succeeds. A test holds this against openapi.json."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.support import Api

PUBLIC = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/.well-known/jwks.json")}
SCOPES = ("admin", "agents", "policies", "tokens", "enforce", "approve", "audit", "analysis")


@dataclass(frozen=True)
class World:
    """One of everything in a tenant, by the names of the path parameters."""

    agent_id: str
    other_agent_id: str
    policy_id: str
    token: str
    token_id: str
    decision_id: str
    approval_id: str
    key_id: str
    signing_key_id: str
    tenant_id: str
    webhook_id: str
    delivery_id: str
    index: int
    tile: str

    def path(self, route: Route) -> str:
        return route.path.format_map({name: str(value) for name, value in vars(self).items()}) + route.query


def new_world(api: Api) -> World:
    """Make one of everything; the approval was asked for by another key than that of `api`."""
    agent = api.agent()
    policy = api.policy(["run"], appliesTo={"agentIds": [agent]})
    api.policy(["ask"], appliesTo={"agentIds": [agent]}, constraints={"requiresApproval": True})
    other = api.agent()
    down = {"grants": ["delegate"], "delegation": {"to": {"agentIds": [other]}}}
    api.policy(["run"], appliesTo={"agentIds": [agent]}, **down)
    issued, key = api.post("/v1/tokens", {"agentId": agent}), api.key("enforce")
    allowed = api.enforce(issued["token"], "run", "x")
    with Api(str(api.client.base_url), key["key"]) as caller:
        asked = caller.enforce(issued["token"], "ask", "x")
    return World(
        agent_id=agent,
        other_agent_id=other,
        policy_id=policy["id"],
        token=issued["token"],
        token_id=issued["tokenId"],
        decision_id=allowed["decisionId"],
        approval_id=asked["approval"]["id"],
        key_id=key["id"],
        signing_key_id=next(key["kid"] for key in api.get("/v1/keys?limit=200")["items"] if key["status"] == "next"),
        tenant_id=allowed["tenantId"],
        webhook_id=(webhook := _webhook(api)),
        delivery_id=api.post(f"/v1/webhooks/{webhook}/test", status=202)["id"],
        index=asked["audit"]["index"],
        tile="0/000.p/1",
    )


def _webhook(api: Api) -> str:
    """The tenant's enabled webhook, made if there is none: it may have twenty and no more. Nobody listens there."""
    there = (webhook["id"] for webhook in api.get("/v1/webhooks")["items"] if webhook["enabled"])
    return str(next(there, None) or api.post("/v1/webhooks", _HOOK)["id"])


_HOOK = {"url": "http://127.0.0.1:9/"}


@dataclass(frozen=True)
class Route:
    """`scopes` open it, and `admin` always does; `body` makes one that is accepted."""

    method: str
    path: str
    scopes: frozenset[str]
    status: int = 200
    body: Callable[[World], Any] | None = None
    query: str = ""

    @property
    def names_an_object(self) -> bool:
        return "{" in self.path

    @property
    def decides(self) -> bool:
        """Whether its problems say `denied`, too."""
        return self.path.startswith("/v1/enforce")

    @property
    def changes(self) -> bool:
        # No test is old enough for something to archive.
        return self.method != "GET" and not self.path.endswith(("/validate", "/introspect", "/archives"))

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def _policy(world: World) -> Any:
    return {
        "name": f"p-{uuid4().hex}",
        "actions": ["x"],
        "resources": ["y"],
        "appliesTo": {"agentIds": [world.agent_id]},
    }


def _enforce(world: World) -> Any:
    return {"requestId": uuid4().hex, "capabilityToken": world.token, "action": "run", "resourceId": "x"}


def _batch(world: World) -> Any:
    return {"requests": [_enforce(world), _enforce(world)]}


def _delegation(world: World) -> Any:
    scope = [{"actions": ["run"], "resources": ["x"]}]
    return {"parentToken": world.token, "toAgentId": world.other_agent_id, "scope": scope}


def _routes() -> list[Route]:
    agents, policies, tokens = frozenset({"agents"}), frozenset({"policies"}), frozenset({"tokens"})
    enforce, approve, audit, admin = (
        frozenset({"enforce"}),
        frozenset({"approve"}),
        frozenset({"audit"}),
        frozenset[str](),
    )
    return [
        Route("GET", "/v1/agents", agents),
        Route("POST", "/v1/agents", agents, 201, lambda _: {"name": uuid4().hex}),
        Route("GET", "/v1/agents/{agent_id}", agents),
        Route("PATCH", "/v1/agents/{agent_id}", agents, 200, lambda _: {"description": "changed"}),
        Route("DELETE", "/v1/agents/{agent_id}", agents, 204),
        Route("POST", "/v1/agents/{agent_id}/suspend", agents),
        Route("POST", "/v1/agents/{agent_id}/resume", agents),
        Route("POST", "/v1/agents/{agent_id}/revoke-tokens", agents),
        Route("GET", "/v1/policies", policies),
        Route("POST", "/v1/policies", policies, 201, _policy),
        Route("GET", "/v1/policies/{policy_id}", policies),
        Route("PUT", "/v1/policies/{policy_id}", policies, 200, _policy),
        Route("DELETE", "/v1/policies/{policy_id}", policies, 204),
        Route("GET", "/v1/policies/{policy_id}/versions", policies),
        Route("GET", "/v1/policies/{policy_id}/compare", policies, query="?from=1&to=1"),
        Route("POST", "/v1/policies/{policy_id}/restore", policies, 200, lambda _: {"version": 1}),
        Route("POST", "/v1/policies/validate", policies, 200, _policy),
        Route("GET", "/v1/agents/{agent_id}/permissions", agents | policies),
        Route("GET", "/v1/tokens", tokens),
        Route("POST", "/v1/tokens", tokens, 201, lambda world: {"agentId": world.agent_id}),
        Route("GET", "/v1/tokens/{token_id}", tokens),
        Route("POST", "/v1/tokens/{token_id}/revoke", tokens),
        Route("POST", "/v1/tokens/{token_id}/rotate", tokens | enforce, 201, lambda world: {"token": world.token}),
        Route("POST", "/v1/tokens/introspect", tokens, 200, lambda world: {"token": world.token}),
        Route("POST", "/v1/delegations", tokens | enforce, 201, _delegation),
        Route("GET", "/v1/delegations/{token_id}/tree", tokens),
        Route("POST", "/v1/enforce", enforce, 200, _enforce),
        Route("POST", "/v1/enforce/batch", enforce, 200, _batch),
        Route("POST", "/v1/decisions/{decision_id}/outcome", enforce, 200, lambda _: {"status": "succeeded"}),
        Route("GET", "/v1/approvals", approve),
        Route("GET", "/v1/approvals/{approval_id}", approve | enforce),
        Route("POST", "/v1/approvals/{approval_id}/approve", approve, 200, lambda _: {}),
        Route("POST", "/v1/approvals/{approval_id}/reject", approve, 200, lambda _: {"reason": "no"}),
        Route("GET", "/v1/audit", audit),
        Route("GET", "/v1/audit/checkpoint", audit),
        Route("GET", "/v1/audit/export", audit),
        Route("GET", "/v1/audit/archives", audit),
        Route("POST", "/v1/audit/archives", admin, 201, lambda _: {"olderThan": 86400}),
        Route("GET", "/v1/events", audit, query="?limit=0"),
        Route("GET", "/v1/audit/proof/inclusion", audit, query="?index=0"),
        Route("GET", "/v1/audit/proof/consistency", audit, query="?first=1"),
        Route("GET", "/v1/audit/tile/{tile}", audit),
        Route("GET", "/v1/audit/{index}", audit),
        Route("POST", "/v1/audit/{index}/erase", admin, 200, lambda _: {"reason": "a test"}),
        Route("POST", "/v1/audit/erase", admin, 200, lambda world: {"agentId": world.agent_id, "reason": "a test"}),
        Route("GET", "/v1/api-keys", admin),
        Route("POST", "/v1/api-keys", admin, 201, lambda _: {"name": "new", "scopes": ["audit"]}),
        Route("DELETE", "/v1/api-keys/{key_id}", admin),
        Route("GET", "/v1/keys", admin),
        Route("POST", "/v1/keys/rotate", admin, 200, lambda _: {}),
        Route("POST", "/v1/keys/{signing_key_id}/revoke", admin),
        Route("GET", "/v1/tenants/{tenant_id}", admin),
        Route("PATCH", "/v1/tenants/{tenant_id}", admin, 200, lambda _: {"maxTokenTtl": 86400}),
        Route("POST", "/v1/tenants/{tenant_id}/freeze", admin, 200, lambda _: {"reason": "a test"}),
        Route("POST", "/v1/tenants/{tenant_id}/unfreeze", admin),
        Route("GET", "/v1/webhooks", admin),
        Route("POST", "/v1/webhooks", admin, 201, lambda _: _HOOK),
        Route("GET", "/v1/webhooks/{webhook_id}", admin),
        Route("PATCH", "/v1/webhooks/{webhook_id}", admin, 200, lambda _: {"description": "changed"}),
        Route("DELETE", "/v1/webhooks/{webhook_id}", admin, 204),
        Route("POST", "/v1/webhooks/{webhook_id}/rotate-secret", admin),
        Route("POST", "/v1/webhooks/{webhook_id}/test", admin, 202),
        Route("GET", "/v1/webhooks/{webhook_id}/deliveries", admin),
        Route("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/resend", admin, 202),
    ]


ROUTES = _routes()
