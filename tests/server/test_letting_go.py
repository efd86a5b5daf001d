"""A server that runs for months holds what is in force, and not what once was."""

from __future__ import annotations

import gc
import platform
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from tests.in_process import InProcess
from tests.support import Server

TIMES = 20
LIFE = 60
LATER = 400.0
"""Longer than anything here is good for, and than an answer is known again."""


class Work:
    """What comes and goes: questions, tokens, handed down tokens, approvals with every end, places and outcomes."""

    def __init__(self, node: InProcess) -> None:
        self._api, self._people = node.api, node.client(node.api.key("approve")["key"])
        self._agent, self._helper = node.api.agent("a"), node.api.agent("b")
        to = {"maxDepth": 2, "to": {"agentIds": [self._helper]}}
        node.api.policy(["run"], grants=["use", "delegate"], delegation=to)
        node.api.policy(["count"], constraints={"maxConcurrentTasks": 1000, "maxRequests": 100_000})
        node.api.policy(["pay"], constraints={"requiresApproval": {"expiresIn": LIFE}})
        self._at = 0

    def once(self) -> None:
        api, at = self._api, self._at
        self._at += 1
        issued = api.post("/v1/tokens", {"agentId": self._agent, "expiresIn": LIFE})
        token = issued["token"]
        assert api.enforce(token, "run", f"x{at}")["decision"] == "allowed"
        assert api.enforce(token, "fly", f"x{at}")["decision"] == "denied"
        self._hand_down(token)
        self._count(token, report=at % 2 == 0)
        self._pay(token, at)
        if at % 2:
            api.post(f"/v1/tokens/{issued['tokenId']}/revoke", status=200)
            assert api.enforce(token, "run", "x")["reasonCode"] == "token_revoked"

    def _hand_down(self, token: str) -> None:
        scope = [{"actions": ["run"], "resources": ["*"]}]
        handed = self._api.post("/v1/delegations", {"parentToken": token, "toAgentId": self._helper, "scope": scope})
        assert self._api.enforce(handed["token"], "run", "x")["decision"] == "allowed"

    def _count(self, token: str, *, report: bool) -> None:
        told = self._api.enforce(token, "count", "x")
        if report:
            body = {"status": "succeeded", "labels": ["seen"]}
            self._api.post(f"/v1/decisions/{told['decisionId']}/outcome", body, status=200)

    def _pay(self, token: str, at: int) -> None:
        arguments = {"order": at}
        asked = self._api.enforce(token, "pay", "x", arguments=arguments)
        path = f"/v1/approvals/{asked['approval']['id']}"
        if at % 3 == 0:
            return  # nobody answers
        if at % 3 == 1:
            self._people.post(f"{path}/reject", {"reason": "no"}, status=200)
            return
        self._people.post(f"{path}/approve", {}, status=200)
        assert self._api.enforce(token, "pay", "x", arguments=arguments)["decision"] == "allowed"


def census() -> Counter[str]:
    """How many values of ours there are, by type."""
    gc.collect()
    kinds = (type(each) for each in gc.get_objects())
    return Counter(
        f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if str(kind.__module__).startswith("act.")
    )


def test_what_has_ended_is_let_go(tmp_path: Path) -> None:
    node = InProcess(tmp_path)
    try:
        work = Work(node)
        for _ in range(2):
            work.once()
        node.clock.move(LATER)
        work.once()
        before = census()
        for _ in range(TIMES):
            work.once()
        assert census()["act.tokens.nodes.Node"] > before["act.tokens.nodes.Node"] + TIMES, "the census sees them"
        deadline = time.monotonic() + 60
        node.clock.move(LATER)
        work.once()
        while time.monotonic() < deadline:
            grown = {kind: count for kind, count in (census() - before).items() if count > TIMES / 2}
            if not grown:
                return
            time.sleep(0.2)
        raise AssertionError(f"held for ever: {grown}")
    finally:
        node.close()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_threads_share_few_arenas(tmp_path: Path) -> None:
    """What is free in an arena of one thread is of no use to another: with an arena each, memory would creep."""
    with Server(tmp_path) as server, server.api() as api:
        api.agent("a")

        def read(_: int) -> None:
            with server.api() as client:
                for _ in range(5):
                    client.get("/v1/audit")

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(read, range(16)))
        assert len(list(Path(f"/proc/{server.pid}/task").iterdir())) > 4, "there are threads"
        assert arenas(server.pid) <= 1  # the first arena is in the heap


def arenas(pid: int) -> int:
    """How many a process has beside its heap: each is a part that can be written to, then one that cannot; 64 MB."""
    parts = [line.split()[:2] for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    ranges = [(*(int(end, 16) for end in part[0].split("-")), part[1]) for part in parts]
    return sum(
        (one, two) == ("rw-p", "---p") and end == begin and last - first == 64 << 20
        for (first, end, one), (begin, last, two) in pairwise(ranges)
    )
