"""The groups of the API, a module each: its calls (3-api, "Calls"), the group of `Act` and the one of `AsyncAct`.

A call is built by a function without any I/O. What a method does, takes and raises stands in the group of `Act`; the
one of `AsyncAct` has the same methods.
"""

from __future__ import annotations

from act.client.groups.agents import Agents, AsyncAgents
from act.client.groups.api_keys import ApiKeys, AsyncApiKeys
from act.client.groups.approvals import Approvals, AsyncApprovals
from act.client.groups.audit import AsyncAudit, Audit
from act.client.groups.delegations import AsyncDelegations, Delegations
from act.client.groups.keys import AsyncKeys, Keys
from act.client.groups.policies import AsyncPolicies, Policies
from act.client.groups.tenants import AsyncTenants, Tenants
from act.client.groups.tokens import AsyncTokens, Tokens
from act.client.groups.webhooks import AsyncWebhooks, Webhooks

__all__ = [
    "Agents",
    "ApiKeys",
    "Approvals",
    "AsyncAgents",
    "AsyncApiKeys",
    "AsyncApprovals",
    "AsyncAudit",
    "AsyncDelegations",
    "AsyncKeys",
    "AsyncPolicies",
    "AsyncTenants",
    "AsyncTokens",
    "AsyncWebhooks",
    "Audit",
    "Delegations",
    "Keys",
    "Policies",
    "Tenants",
    "Tokens",
    "Webhooks",
]
