"""Approvals: what people are asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from act.client.call import Call, get, path, post
from act.client.groups.group import AsyncGroup, Group
from act.models import Approval, ApprovalStatus, Page


def list_approvals(status: str | None = None, cursor: str | None = None) -> Call[Page[Approval]]:
    return get(path("approvals"), Page[Approval], {"status": status, "cursor": cursor})


def get_approval(id: str, wait: int = 0) -> Call[Approval]:
    return get(path("approvals", id), Approval, wait=wait)


def approve(id: str, reason: str | None) -> Call[Approval]:
    return post(path("approvals", id, "approve"), Approval, {"reason": reason})


def reject(id: str, reason: str) -> Call[Approval]:
    return post(path("approvals", id, "reject"), Approval, {"reason": reason})


class Approvals(Group):
    """What people are asked."""

    def list(self, status: ApprovalStatus | None = None) -> Iterator[Approval]:
        return self._all(lambda cursor: list_approvals(status, cursor=cursor))

    def get(self, id: str, wait: int = 0) -> Approval:
        """The approval; with `wait` (0 to 60 seconds) the answer comes when it is no longer pending, or then."""
        return self._send(get_approval(id, wait))

    def approve(self, id: str, reason: str | None = None) -> Approval:
        """Say yes, as the person the API key belongs to."""
        return self._send(approve(id, reason))

    def reject(self, id: str, reason: str) -> Approval:
        """Say no; `reason` goes back to the agent."""
        return self._send(reject(id, reason))


class AsyncApprovals(AsyncGroup):
    """What people are asked."""

    def list(self, status: ApprovalStatus | None = None) -> AsyncIterator[Approval]:
        return self._all(lambda cursor: list_approvals(status, cursor=cursor))

    async def get(self, id: str, wait: int = 0) -> Approval:
        return await self._send(get_approval(id, wait))

    async def approve(self, id: str, reason: str | None = None) -> Approval:
        return await self._send(approve(id, reason))

    async def reject(self, id: str, reason: str) -> Approval:
        return await self._send(reject(id, reason))
