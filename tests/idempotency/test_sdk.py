"""The SDK and a server whose answers get lost on the way: what is asked once is done once."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from act import Act, AsyncAct, Unreachable
from tests.support import Api, Server


class Losing(httpx2.BaseTransport):
    """Carries requests to the server, and loses the first answers to them."""

    def __init__(self, lost: int) -> None:
        self._way = httpx2.HTTPTransport()
        self.lost = lost

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self._way.handle_request(request)
        if self.lost:
            self.lost -= 1
            response.read()
            response.close()
            raise httpx2.ReadError("the connection was reset", request=request)
        return response

    def close(self) -> None:
        self._way.close()


class AsyncLosing(httpx2.AsyncBaseTransport):
    """As `Losing`."""

    def __init__(self, lost: int) -> None:
        self._way = httpx2.AsyncHTTPTransport()
        self.lost = lost

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._way.handle_async_request(request)
        if self.lost:
            self.lost -= 1
            await response.aread()
            await response.aclose()
            raise httpx2.ReadError("the connection was reset", request=request)
        return response

    async def aclose(self) -> None:
        await self._way.aclose()


def tokens_of(api: Api, agent_id: str) -> list[Any]:
    found: list[Any] = api.get("/v1/tokens", params={"agentId": agent_id})["items"]
    return found


@pytest.mark.parametrize("lost", [1, 2])
def test_a_token_whose_answer_was_lost_is_issued_once(server: Server, api: Api, lost: int) -> None:
    agent_id, way = api.agent(), Losing(lost)
    with Act(server.url, server.admin_key, timeout=20, transport=way) as act:
        issued = act.tokens.issue(agent_id)
    assert way.lost == 0
    assert [token["id"] for token in tokens_of(api, agent_id)] == [issued.token_id]
    assert api.enforce(issued.token, "run", "x")["reasonCode"] == "no_matching_policy"


def test_async_alike(server: Server, api: Api) -> None:
    agent_id = api.agent()

    async def work() -> str:
        way = AsyncLosing(2)
        async with AsyncAct(server.url, server.admin_key, timeout=20, transport=way) as act:
            return (await act.tokens.issue(agent_id)).token_id

    issued = asyncio.run(work())
    assert [token["id"] for token in tokens_of(api, agent_id)] == [issued]


def test_when_every_answer_is_lost_it_is_still_done_once(server: Server, api: Api) -> None:
    agent_id = api.agent()
    with Act(server.url, server.admin_key, timeout=20, transport=Losing(3)) as act:
        with pytest.raises(Unreachable):
            act.tokens.issue(agent_id)
        assert len(tokens_of(api, agent_id)) == 1
        act.tokens.issue(agent_id)  # another call is another token
    assert len(tokens_of(api, agent_id)) == 2


def test_an_agent_is_not_in_its_own_way(server: Server, api: Api) -> None:
    """Without the key the second try would find the name taken, by the first."""
    name = uuid4().hex
    with Act(server.url, server.admin_key, timeout=20, transport=Losing(1)) as act:
        made = act.agents.create(name)
    assert api.get(f"/v1/agents/{made.id}")["name"] == name
