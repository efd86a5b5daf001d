"""How many approvals wait for people: an agent must not be able to bury them in questions."""

from __future__ import annotations

from typing import Final, TypeVar

from act.approvals.approval import Approval

K = TypeVar("K")

MOST_OF_AGENT: Final = 100
"""Pending at once for everything that one agent began, itself and by delegation."""
MOST_OF_TENANT: Final = 10_000


class Waiting:
    """The ids of what is pending, by tenant and by the agent at the root. Belongs to who holds the lock around it."""

    def __init__(self) -> None:
        self._of_tenant: dict[str, set[str]] = {}
        self._of_agent: dict[tuple[str, str], set[str]] = {}

    def put(self, approval: Approval) -> None:
        if approval.status != "pending":
            self.drop(approval)
            return
        self._of_tenant.setdefault(approval.tenant_id, set()).add(approval.id)
        self._of_agent.setdefault((approval.tenant_id, approval.root_agent_id), set()).add(approval.id)

    def drop(self, approval: Approval) -> None:
        _take(self._of_tenant, approval.tenant_id, approval.id)
        _take(self._of_agent, (approval.tenant_id, approval.root_agent_id), approval.id)

    def full(self, tenant_id: str, root_agent_id: str) -> str | None:
        """Why no further person is asked, if so."""
        if len(self._of_agent.get((tenant_id, root_agent_id), ())) >= MOST_OF_AGENT:
            return f"{MOST_OF_AGENT} approvals wait already for what this agent has begun."
        if len(self._of_tenant.get(tenant_id, ())) >= MOST_OF_TENANT:
            return f"{MOST_OF_TENANT} approvals of this tenant wait already."
        return None


def _take(sets: dict[K, set[str]], key: K, id: str) -> None:
    found = sets.get(key)
    if found is not None:
        found.discard(id)
        if not found:
            del sets[key]
