"""Killed under load, again and again: over all its lives a server gives no more than the limits, and no less."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.attacks.log import judge, records
from tests.attacks.test_approvals import wait_until
from tests.limits.floods import AMOUNTS, DEEP, exact, money
from tests.support import Api, Server

CLIENTS = 16
KILLS = 20 if DEEP else 3
LEASE = 3
QUOTA, RATE, BUDGET, PLACES = 30 * KILLS, 20 * KILLS, round(12.3 * KILLS, 1), 4
"""So much that no life uses it up, and all together do."""
LIMITS: dict[str, dict[str, Any]] = {
    "count": {"maxRequests": QUOTA},
    "rush": {"rateLimit": f"{RATE} per hour"},
    "pay": money(BUDGET, unit="EUR"),
    "hold": {"maxConcurrentTasks": PLACES, "leaseSeconds": LEASE},
}
EXCEEDED = {"count": "quota_exceeded", "rush": "rate_limited", "pay": "budget_exceeded", "hold": "concurrency_exceeded"}


def set_up(api: Api) -> str:
    """An agent under one limit for each action; its token."""
    agent = api.agent()
    for action, constraints in LIMITS.items():
        api.policy([action], appliesTo={"agentIds": [agent]}, constraints=constraints)
    return api.token(agent)


def ask(api: Api, token: str, turn: int) -> dict[str, Any]:
    """The answer, with the `action` that was asked for."""
    action, amount = list(LIMITS)[turn % len(LIMITS)], AMOUNTS[turn % len(AMOUNTS)]
    return {"action": action, **api.enforce(token, action, "x", arguments={"amount": amount})}


class Load:
    """Clients that ask until the server is gone; `answered` is what they were told."""

    def __init__(self, server: Server, token: str) -> None:
        self.answered: list[dict[str, Any]] = []
        self._url, self._token = server.url, token
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._running: list[Future[None]] = [self._pool.submit(self._work, number) for number in range(CLIENTS)]

    def _work(self, number: int) -> None:
        with Api(self._url) as api:
            for turn in itertools.count(number):
                try:
                    self.answered.append(ask(api, self._token, turn))
                except (httpx2.TransportError, OSError):
                    return

    def end(self) -> None:
        for running in self._running:
            running.result(40)
        self._pool.shutdown()


def of(found: Sequence[dict[str, Any]], action: str, allowed: bool = True) -> list[dict[str, Any]]:
    return [one for one in found if one["action"] == action and (one["decision"] == "allowed") is allowed]


def spent(found: Sequence[dict[str, Any]]) -> Decimal:
    """What the records of payments come to."""
    return sum((exact(one["amount"]) for record in of(found, "pay") for one in record["limits"]), Decimal())


def at(record: dict[str, Any]) -> float:
    return datetime.fromisoformat(record["at"]).timestamp()


def use_up(api: Api, action: str, again: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    """Ask one thing until there is nothing left of it."""
    answers = list(itertools.takewhile(lambda answer: answer["decision"] == "allowed", iter(again, None)))
    assert again()["reasonCode"] == EXCEEDED[action]
    return answers


@pytest.mark.timeout(600 if DEEP else 180)
def test_killed_again_and_again_it_gives_no_more_than_the_limits(tmp_path: Path) -> None:
    lives, answered = random.Random(5), list[dict[str, Any]]()
    with Server(tmp_path) as server:
        with server.api() as api:
            token = set_up(api)
        for _ in range(KILLS):
            load = Load(server, token)
            wait_until(lambda load=load: len(load.answered) > 20)
            time.sleep(lives.uniform(0, 0.4))
            server.kill()
            load.end()
            answered += load.answered
            server.start()
        with server.api() as api:
            assert judge(api).ok
            before = [record for record in records(api) if record["kind"] == "decision"]
            for action in ("count", "rush", "pay"):
                turn = list(LIMITS).index(action)
                smallest = next(n for n in itertools.count(turn, 4) if action != "pay" or AMOUNTS[n % 6] == 0.2)
                answered += use_up(api, action, lambda turn=smallest: ask(api, token, turn))
            hold = list(LIMITS).index("hold")
            wait_until(lambda: ask(api, token, hold)["decision"] == "allowed")  # places come back over the crashes
            logged = [record for record in records(api) if record["kind"] == "decision"]
        assert_kept(answered, before, logged)


def assert_kept(answered: list[Any], before: list[Any], logged: list[Any]) -> None:
    """Held against the log as it was after the last crash, and as it is when all is used up."""
    by_id = {record["decisionId"]: record for record in logged}
    for answer in answered:
        assert by_id[answer["decisionId"]]["decision"] == answer["decision"]
    for action, limit in (("count", QUOTA), ("rush", RATE)):
        assert 0 < len(of(before, action)) <= limit
        assert len(of(answered, action)) <= len(of(logged, action)) == limit
    assert 0 < spent(before) <= exact(BUDGET)
    assert exact(BUDGET) - exact(0.2) < spent(logged) <= exact(BUDGET)
    # Of any stretch as long as a lease no more than the places; clocks of two processes differ a little.
    taken = sorted(at(record) for record in of(logged, "hold"))
    assert len(taken) > PLACES
    assert all(later - first > LEASE - 0.2 for first, later in zip(taken, taken[PLACES:], strict=False))


@pytest.mark.timeout(120)
def test_the_places_of_a_life_that_ended_come_back_when_their_time_is_over(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        with server.api() as api:
            agent = api.agent()
            constraints = {"maxConcurrentTasks": PLACES, "leaseSeconds": 4}
            api.policy(["hold"], appliesTo={"agentIds": [agent]}, constraints=constraints)
            token = api.token(agent)
            began = time.monotonic()
            held = [api.enforce(token, "hold", "x") for _ in range(PLACES)]
        server.kill()
        server.start()
        with server.api() as api:
            first = api.enforce(token, "hold", "x")
            if time.monotonic() - began < 3.5:
                assert first["reasonCode"] == "concurrency_exceeded"
            # Nobody reports them. What comes back by itself is told in the log, once for each.
            wait_until(lambda: timed_out(api) == sorted(one["decisionId"] for one in held))
            assert time.monotonic() - began >= 3.9
            after = [api.enforce(token, "hold", "x")["reasonCode"] for _ in range(PLACES + 1)]
            assert after.count("allowed") == PLACES - (first["decision"] == "allowed")


def timed_out(api: Api) -> list[str]:
    return sorted(record["decisionId"] for record in records(api) if record["kind"] == "lease.timed_out")
