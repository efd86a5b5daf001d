"""A wall clock that jumps: limits follow the time that passes, and after a restart no more than their whole window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.in_process import InProcess
from tests.limits.floods import limited, money
from tests.support import Api

SECOND, HOUR, DAY = 1, 3600, 86400
JUMPS = [sign * size for size in (SECOND, HOUR, DAY) for sign in (1, -1)]
AMOUNT = {"arguments": {"amount": 1}}
LATE = 1 + 2 / 128
"""Room comes back two slots late at most."""

every_jump = pytest.mark.parametrize("jump", JUMPS)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """One for all that restart nothing: each has an agent of its own, and jumps wherever the clock is."""
    running = InProcess(tmp_path_factory.mktemp("clock"))
    yield running
    running.close()


class Limited:
    """An agent within constraints; it asks with a new token each time, unless it is told to keep one."""

    def __init__(self, api: Api, **constraints: Any) -> None:
        self.agent = api.agent()
        api.policy(["*"], appliesTo={"agentIds": [self.agent]}, constraints=constraints)

    def asks(self, api: Api, **more: Any) -> str:
        token = api.token(self.agent, expiresIn=DAY)
        return str(api.enforce(token, "run", "x", **AMOUNT | more)["reasonCode"])


# --- while it runs ----------------------------------------------------------------------------------------------------


@every_jump
@pytest.mark.parametrize("per", ["minute", "hour", "day"])
def test_a_jump_refills_no_rate(node: InProcess, jump: int, per: str) -> None:
    seconds = {"minute": 60, "hour": HOUR, "day": DAY}[per]
    limited_ = Limited(node.api, rateLimit=f"2 per {per}")
    assert [limited_.asks(node.api) for _ in range(3)] == ["allowed", "allowed", "rate_limited"]
    node.clock.jump(jump)
    assert limited_.asks(node.api) == "rate_limited"
    node.clock.move(seconds - 1)
    assert limited_.asks(node.api) == "rate_limited"
    node.clock.jump(-jump)
    assert limited_.asks(node.api) == "rate_limited"
    node.clock.move(1 + seconds / 128)
    assert [limited_.asks(node.api) for _ in range(3)] == ["allowed", "allowed", "rate_limited"]


@every_jump
def test_a_jump_refills_no_budget_of_a_day(node: InProcess, jump: int) -> None:
    limited_ = Limited(node.api, **money(2, "day"))
    assert [limited_.asks(node.api) for _ in range(3)] == ["allowed", "allowed", "budget_exceeded"]
    for passes in (0, HOUR, DAY - HOUR - 1):
        node.clock.jump(jump)
        node.clock.move(passes)
        assert limited_.asks(node.api) == "budget_exceeded"
    node.clock.move(1 + DAY / 128)
    assert [limited_.asks(node.api) for _ in range(3)] == ["allowed", "allowed", "budget_exceeded"]


@every_jump
def test_it_says_how_long_to_wait_whatever_the_wall_clock_shows(node: InProcess, jump: int) -> None:
    limited_ = Limited(node.api, rateLimit="1 per hour")
    assert limited_.asks(node.api) == "allowed"
    node.clock.jump(jump)
    found = node.api.enforce(node.api.token(limited_.agent), "run", "x")
    assert HOUR <= found["retryAfter"] <= HOUR * LATE
    node.clock.move(found["retryAfter"])
    assert limited_.asks(node.api) == "allowed"


@every_jump
def test_a_jump_neither_ends_a_lease_nor_extends_it(node: InProcess, jump: int) -> None:
    limited_ = Limited(node.api, maxConcurrentTasks=1, leaseSeconds=600)
    assert [limited_.asks(node.api) for _ in range(2)] == ["allowed", "concurrency_exceeded"]
    for at, passes in ((jump, 0), (-jump, 300), (jump, 299)):
        node.clock.jump(at)
        node.clock.move(passes)
        node.node._limits.sweep()
        assert limited_.asks(node.api) == "concurrency_exceeded"
    node.clock.move(1)
    assert [limited_.asks(node.api) for _ in range(2)] == ["allowed", "concurrency_exceeded"]


def test_a_jump_back_does_not_let_a_replay_outlive_its_place(node: InProcess) -> None:
    api, token = node.api, limited(node.api, {"maxConcurrentTasks": 1, "leaseSeconds": 10})
    body = {"requestId": "once", "capabilityToken": token, "action": "run", "resourceId": "x"}
    assert api.post("/v1/enforce", body, status=200)["reasonCode"] == "allowed"
    node.clock.move(11)
    assert api.enforce(token, "run", "x")["reasonCode"] == "allowed", "the place is another's now"
    node.clock.jump(-30)
    assert api.post("/v1/enforce", body, status=200)["reasonCode"] == "concurrency_exceeded"


def test_a_quota_is_of_the_token_whatever_the_time(node: InProcess) -> None:
    token = limited(node.api, {"maxRequests": 1})
    assert node.api.enforce(token, "run", "x")["reasonCode"] == "allowed"
    for jump in (SECOND, -SECOND, HOUR / 2, -HOUR / 2, -20, 20):
        node.clock.jump(jump)
        node.clock.move(61)
        node.node._limits.sweep()
        assert node.api.enforce(token, "run", "x")["decision"] == "denied"
    assert node.api.enforce(token, "run", "x")["reasonCode"] == "quota_exceeded"


# --- over a restart ---------------------------------------------------------------------------------------------------


def restarted(node: InProcess, folder: Path, jump: float = 0) -> InProcess:
    """The same database again; the wall clock was moved meanwhile, and the monotonic clock begins anew."""
    at = node.clock.now() + timedelta(seconds=jump)
    node.close()
    return InProcess(folder, at)


@pytest.mark.parametrize("jump", [-SECOND, -HOUR, -DAY, -30 * DAY])
def test_a_clock_put_back_before_a_restart_makes_no_rate_longer_than_its_window(tmp_path: Path, jump: int) -> None:
    node = InProcess(tmp_path)
    rate, day = Limited(node.api, rateLimit="2 per minute"), Limited(node.api, **money(2, "day"))
    for one in (rate, day):
        assert [one.asks(node.api) for _ in range(2)] == ["allowed", "allowed"]
    node = restarted(node, tmp_path, jump)
    assert (rate.asks(node.api), day.asks(node.api)) == ("rate_limited", "budget_exceeded")
    node.clock.move(60 * LATE)
    assert (rate.asks(node.api), day.asks(node.api)) == ("allowed", "budget_exceeded")
    node.clock.move(DAY * LATE - 60 * LATE)
    assert day.asks(node.api) == "allowed"
    node.close()


@pytest.mark.parametrize("jump", [-SECOND, -HOUR, -DAY, -30 * DAY])
def test_a_clock_put_back_before_a_restart_makes_no_lease_longer_than_it_was(tmp_path: Path, jump: int) -> None:
    node = InProcess(tmp_path)
    lease = Limited(node.api, maxConcurrentTasks=1, leaseSeconds=600)
    assert lease.asks(node.api) == "allowed"
    node = restarted(node, tmp_path, jump)
    assert lease.asks(node.api) == "concurrency_exceeded"
    node.clock.move(601)
    assert lease.asks(node.api) == "allowed"
    node.close()


@pytest.mark.parametrize("before", [0, 20, 59])
def test_a_restart_goes_on_where_it_was(tmp_path: Path, before: int) -> None:
    node = InProcess(tmp_path)
    rate, lease = Limited(node.api, rateLimit="1 per minute"), Limited(node.api, maxConcurrentTasks=1, leaseSeconds=60)
    assert [one.asks(node.api) for one in (rate, lease)] == ["allowed", "allowed"]
    node.clock.move(before)
    node = restarted(node, tmp_path)
    node.clock.move(59 - before)
    assert [one.asks(node.api) for one in (rate, lease)] == ["rate_limited", "concurrency_exceeded"]
    node.clock.move(1)
    assert lease.asks(node.api) == "allowed"
    node.clock.move(60 * LATE - 60)
    assert rate.asks(node.api) == "allowed"
    node.close()


def test_the_sweep_deletes_nothing_that_counts(tmp_path: Path) -> None:
    node = InProcess(tmp_path)
    limits = [Limited(node.api, rateLimit="1 per hour"), Limited(node.api, **money(1, "day"))]
    assert [one.asks(node.api) for one in limits] == ["allowed", "allowed"]
    for _ in range(3):
        node.clock.move(61)
        node.node._limits.sweep()
    node = restarted(node, tmp_path)
    assert [one.asks(node.api) for one in limits] == ["rate_limited", "budget_exceeded"]
    node.close()


@pytest.mark.parametrize(
    ("constraints", "code"),
    [
        pytest.param({"rateLimit": "1 per minute"}, "rate_limited", id="minute"),
        pytest.param({"rateLimit": "1 per hour"}, "rate_limited", id="hour"),
        pytest.param(money(1, "day"), "budget_exceeded", id="budget"),
    ],
)
def test_a_clock_that_was_wrong_for_a_while_gives_nothing_back_after_a_restart(
    tmp_path: Path, constraints: dict[str, Any], code: str
) -> None:
    """The sweep deletes what time has ended; here only the wall clock says so, and it is put right again."""
    node = InProcess(tmp_path)
    limit = Limited(node.api, **constraints)
    node.clock.move(61)
    node.node._limits.sweep()
    assert limit.asks(node.api) == "allowed"
    node.clock.jump(3 * DAY)
    node.node._limits._tidy(lambda _: True)
    node.clock.jump(-3 * DAY)
    node = restarted(node, tmp_path)
    assert limit.asks(node.api) == code
    node.close()
