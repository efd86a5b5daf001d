"""Many clients ask while tokens, subtrees and agents are revoked: nothing is allowed after the answer to a revocation.

By time: no request that was sent after the revocation was answered is allowed. By state: no `allowed` carries a
revision at or after that of the revocation that covers its token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.support import Api, Server

CLIENTS = 64
TREES = 6
PAUSE = 0.05
OVER = {"token_revoked", "agent_suspended", "agent_deleted"}


@dataclass
class Tree:
    """A root token of an agent of its own, two below it, and one below each of these."""

    agent: str
    tokens: list[str]
    ids: list[str]
    covers: dict[str, list[str]]


@dataclass
class Asked:
    token: str
    sent: float
    answer: dict[str, Any]


@dataclass
class Revoked:
    """`revision` of the change and `answered` when its answer had come, for all the tokens that it covers."""

    how: str
    tokens: list[str]
    revision: int
    answered: float


@dataclass
class Seen:
    asked: list[Asked] = field(default_factory=list)
    revoked: list[Revoked] = field(default_factory=list)


def plant(api: Api, receivers: Sequence[str]) -> Tree:
    agent = api.agent(None, "root")
    root = api.post("/v1/tokens", {"agentId": agent})
    made, covers = [root], {root["tokenId"]: [root["token"]]}

    def below(parents: list[Any], to: str, **grants: Any) -> Any:
        body = {"parentToken": parents[-1]["token"], "toAgentId": to, "scope": [{"actions": ["*"], "resources": ["*"]}]}
        child = api.post("/v1/delegations", body | grants)
        made.append(child)
        covers[child["tokenId"]] = [child["token"]]
        for parent in parents:
            covers[parent["tokenId"]].append(child["token"])
        return child

    for middle, last in (receivers[:2], receivers[2:4]):
        child = below([root], middle, grants=["use", "delegate"])
        below([root, child], last)
    return Tree(agent, [one["token"] for one in made], [one["tokenId"] for one in made], covers)


async def ask(client: httpx2.AsyncClient, token: str, seen: Seen) -> None:
    request = {"requestId": uuid4().hex, "capabilityToken": token, "action": "read", "resourceId": "file://a"}
    sent = time.monotonic()
    response = await client.post("/v1/enforce", json=request)
    assert response.status_code == 200, response.text
    seen.asked.append(Asked(token, sent, response.json()))


async def keep_asking(client: httpx2.AsyncClient, tokens: Sequence[str], seen: Seen, number: int) -> None:
    """One client, until everything is revoked."""
    at = number
    while len(seen.revoked) < 3 * TREES:
        await ask(client, tokens[at % len(tokens)], seen)
        at += CLIENTS + 1


async def keep_revoking(client: httpx2.AsyncClient, trees: Sequence[Tree], seen: Seen) -> None:
    """One tree after the other: a leaf, the subtree of a middle, then by turns the root, the agent's tokens, or it."""
    for number, tree in enumerate(trees):
        root, middle, _, _, last = tree.ids
        ends = [f"tokens/{root}/revoke", f"agents/{tree.agent}/revoke-tokens", f"agents/{tree.agent}/suspend"]
        steps = [f"tokens/{last}/revoke", f"tokens/{middle}/revoke", ends[number % 3]]
        for path, covered in zip(steps, (tree.covers[last], tree.covers[middle], tree.tokens), strict=True):
            response = await client.post(f"/v1/{path}")
            answered = time.monotonic()
            assert response.status_code == 200, response.text
            seen.revoked.append(Revoked(path, covered, response.json()["revision"], answered))
            await asyncio.sleep(PAUSE)


async def story(server: Server, trees: Sequence[Tree]) -> Seen:
    seen = Seen()
    tokens = [token for tree in trees for token in tree.tokens]
    headers = {"X-Api-Key": server.admin_key}
    limits = httpx2.Limits(max_connections=CLIENTS + 4)
    async with httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=30, limits=limits) as client:
        await asyncio.gather(*(ask(client, token, seen) for token in tokens * 3))
        asking = [keep_asking(client, tokens, seen, number) for number in range(CLIENTS)]
        await asyncio.gather(keep_revoking(client, trees, seen), *asking)
        await asyncio.gather(*(ask(client, token, seen) for token in tokens))
    return seen


@pytest.mark.timeout(180)
def test_nothing_is_allowed_after_its_revocation_was_answered(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.api() as api:
        to = {"to": {"roles": ["receiver"]}, "maxDepth": 2}
        api.policy(grants=["use", "delegate"], delegation=to)
        receivers = [api.agent(None, "receiver") for _ in range(4)]
        trees = [plant(api, receivers) for _ in range(TREES)]
        seen = asyncio.run(story(server, trees))
    over: dict[str, list[Revoked]] = {}
    for revoked in seen.revoked:
        for token in revoked.tokens:
            over.setdefault(token, []).append(revoked)
    assert set(over) == {token for tree in trees for token in tree.tokens}

    late = 0
    for asked in seen.asked:
        answer = asked.answer
        covering = over[asked.token]
        if answer["decision"] == "allowed":
            for revoked in covering:
                assert asked.sent < revoked.answered, f"allowed although sent after {revoked.how} was answered"
                assert answer["revision"] < revoked.revision, f"allowed at a revision that knows of {revoked.how}"
        else:
            assert answer["reasonCode"] in OVER, answer
            late += any(asked.sent > revoked.answered for revoked in covering)
    allowed = sum(asked.answer["decision"] == "allowed" for asked in seen.asked)
    assert len(seen.revoked) == 3 * TREES
    assert allowed >= 3 * len(over), "they were asked while they were good"
    assert late >= len(over), "and after they were revoked"
