"""A guard takes another token in the place of its own before that ends, and never uses one that was replaced."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from act import AsyncGuard, Guard, ReasonCode
from act.client.claims import claimed
from act.client.credential import Credentials, margin
from tests.in_process import Hand, InProcess

from .real import TASKS, Team, team_in
from .test_delegate import token_of

PLAN = ("plan", TASKS + "1")


def id_of(guard: Guard | AsyncGuard) -> str:
    return claimed(token_of(guard)).token_id or ""


def make_due(guard: Guard | AsyncGuard) -> None:
    """Let it be time for another token."""
    guard._credential._due = 0.0


@pytest.mark.parametrize(
    ("lifetime", "seconds"), [(3600, 720), (600, 120), (150, 30), (100, 30), (60, 30), (40, 20), (2, 1), (0, 0)]
)
def test_when(lifetime: float, seconds: float) -> None:
    assert margin(lifetime) == seconds


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Team, Hand]]:
    """A team, and the clock of its service and of its guards, which is moved by hand."""
    node = InProcess(tmp_path)
    clock = SimpleNamespace(time=lambda: node.clock.now().timestamp(), monotonic=node.clock.monotonic)
    monkeypatch.setattr("act.client.credential.time", clock)
    with team_in(tmp_path, node._service) as team:
        yield team, node.clock


def test_in_time(moved: tuple[Team, Hand]) -> None:
    team, clock = moved
    guard = team.act.guard_for(team.planner, expires_in=20, bound=False)
    first = id_of(guard)
    for _ in range(30):
        found = guard.check(*PLAN)
        assert found, found.reason
        clock.move(1)
    assert id_of(guard) != first


def test_a_bound_token_stays_bound_to_its_key(team: Team) -> None:
    guard = team.act.guard_for(team.planner)
    key, first = guard._credential.held.key, id_of(guard)
    assert key is not None
    make_due(guard)
    assert guard.check(*PLAN)
    assert id_of(guard) != first
    assert claimed(token_of(guard)).jwk == key.public_jwk


def test_not_before_it_is_time(team: Team) -> None:
    guard = team.act.guard_for(team.planner, bound=False)
    first = id_of(guard)
    assert guard.check(*PLAN)
    assert id_of(guard) == first


def test_a_string_is_left_alone(team: Team) -> None:
    issued = team.act.tokens.issue(team.planner, expires_in=1)
    guard = team.act.guard(issued.token)
    time.sleep(2)
    assert guard.check(*PLAN).reason_code is ReasonCode.TOKEN_EXPIRED
    again = team.act.tokens.issue(team.planner)
    asked = team.act.guard(again.token, refresh=True)
    make_due(asked)
    assert asked.check(*PLAN)
    assert id_of(asked) != again.token_id
    kept = team.act.tokens.issue(team.planner)
    refused = team.act.guard(kept, refresh=False)
    make_due(refused)
    assert refused.check(*PLAN)
    assert id_of(refused) == kept.token_id


def test_once_for_all_threads(team: Team) -> None:
    issued = team.act.tokens.issue(team.planner)
    guard = team.act.guard(issued)
    make_due(guard)
    start, allowed = threading.Barrier(8, timeout=20), []

    def ask() -> None:
        start.wait()
        allowed.append(bool(guard.check(*PLAN)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert allowed == [True] * 8
    assert len(team.tokens_of(issued)) == 2


def test_guards_of_one_token_share_what_they_hold(team: Team) -> None:
    """Or the second would show a token that the first had replaced, and the server would take it for a thief."""
    issued = team.act.tokens.issue(team.planner)
    plain, one, two = team.act.guard(issued.token), team.act.guard(issued), team.act.guard(issued)
    make_due(one)
    assert one.check(*PLAN)
    assert id_of(one) == id_of(two) == id_of(plain) != issued.token_id
    del plain, one, two
    assert id_of(team.act.guard(issued)) != issued.token_id, "also when no guard of it is left"


def test_credentials_of_ended_tokens_are_forgotten(team: Team) -> None:
    credentials = Credentials()
    for _ in range(3):
        issued = team.act.tokens.issue(team.planner, expires_in=1)
        held = credentials.of(issued, None, None)
        held.renewed(issued.token)
        held._ends = 0.0
    assert len(credentials._rotated) == 1


def test_it_goes_on_with_the_old_one_until_that_is_over(moved: tuple[Team, Hand]) -> None:
    team, clock = moved
    guard = team.act.guard_for(team.planner, expires_in=30, bound=False)
    first = id_of(guard)
    make_due(guard)
    team.way.lose("/rotate", 100, arrives=False)
    assert guard.check(*PLAN)
    asked = len(team.way.seen)
    assert guard.check(*PLAN)
    assert len(team.way.seen) == asked + 1, "it does not try again at every question"
    assert id_of(guard) == first
    clock.move(30)
    assert guard.check(*PLAN).reason_code is ReasonCode.TOKEN_EXPIRED


def test_a_lost_rotation_is_repeated_at_once(team: Team) -> None:
    issued = team.act.tokens.issue(team.planner)
    guard = team.act.guard(issued)
    make_due(guard)
    team.way.lose("/rotate")
    assert guard.check(*PLAN)
    assert len(team.tokens_of(issued)) == 3, "one of which nobody knows"
    assert guard.check(*PLAN)


def test_a_revoked_token_is_not_renewed(team: Team) -> None:
    issued = team.act.tokens.issue(team.planner)
    guard = team.act.guard(issued)
    team.act.tokens.revoke(issued.token_id)
    make_due(guard)
    assert guard.check(*PLAN).reason_code is ReasonCode.TOKEN_REVOKED
    assert id_of(guard) == issued.token_id


def test_a_child_is_renewed_by_itself(team: Team) -> None:
    child = team.act.guard_for(team.planner).delegate("Executor", actions=["execute"], resources=[TASKS + "*"])
    first = id_of(child)
    make_due(child)
    assert child.check("execute", TASKS + "1")
    assert id_of(child) != first


def test_an_agent_cannot_renew_its_own_token_for_ever(moved: tuple[Team, Hand]) -> None:
    """Where no token lives longer than half a minute."""
    team, clock = moved
    team.act.tenants.update("default-tenant", max_token_ttl=30, default_token_ttl=20)
    issued = team.act.tokens.issue(team.planner, expires_in=20, renew_for=30)
    guard = team.key("enforce", agent_id=team.planner).guard(issued)
    codes = list[ReasonCode]()
    for _ in range(40):
        codes.append(guard.check(*PLAN).reason_code)
        clock.move(1)
    assert codes == [ReasonCode.ALLOWED] * 30 + [ReasonCode.TOKEN_EXPIRED] * 10
    assert id_of(guard) != issued.token_id


@pytest.mark.parametrize(("renew_for", "renewed"), [(None, False), (60, False), (600, True)])
def test_a_child_is_renewed_for_as_long_as_the_parent_says(team: Team, renew_for: int | None, renewed: bool) -> None:
    """Asked with keys for `enforce` alone, so that nothing but holding the tokens counts."""
    holder = team.key("enforce")
    issued = team.act.tokens.issue(team.planner)
    whole: dict[str, Any] = {"actions": ["execute"], "resources": [TASKS + "*"], "expires_in": 60}
    child = holder.guard(issued).delegate("Executor", **whole, renew_for=renew_for)

    async def by_an_async_guard() -> AsyncGuard:
        return await team.asyncly().guard(issued.token).delegate("Executor", **whole, renew_for=renew_for)

    other = holder.guard(token_of(asyncio.run(by_an_async_guard())), refresh=True)
    first = {guard: claimed(token_of(guard)) for guard in (child, other)}
    time.sleep(1.1)  # ends are whole seconds
    for guard, before in first.items():
        make_due(guard)
        assert guard.check("execute", TASKS + "1")
        after = claimed(token_of(guard))
        assert after.token_id != before.token_id
        assert before.expires_at is not None
        assert after.expires_at is not None
        assert (after.expires_at > before.expires_at) is renewed


def test_the_issuer_of_a_guard_says_for_how_long_it_is_renewed(team: Team) -> None:
    for renew_for, renewed in ((None, False), (600, True)):
        made = team.act.guard_for(team.planner, expires_in=60, renew_for=renew_for, bound=False)
        guard = team.key("enforce").guard(token_of(made), refresh=True)
        before = claimed(token_of(guard)).expires_at
        time.sleep(1.1)
        make_due(guard)
        assert guard.check(*PLAN)
        after = claimed(token_of(guard)).expires_at
        assert before is not None
        assert after is not None
        assert (after > before) is renewed


def test_async(team: Team) -> None:
    async def work() -> None:
        act = team.asyncly()
        issued = await act.tokens.issue(team.planner)
        guard = act.guard(issued)
        make_due(guard)
        assert all(await asyncio.gather(*(guard.acheck(*PLAN) for _ in range(8))))
        assert len(team.tokens_of(issued)) == 2
        # A task that is cancelled while it waits for the next token does not lose it.
        before = id_of(guard)
        make_due(guard)
        asking = asyncio.ensure_future(guard.acheck(*PLAN))
        await asyncio.sleep(0)
        (renewing,) = guard._tasks
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(renewing, 20)
        assert id_of(guard) != before
        assert await guard.acheck(*PLAN)

    asyncio.run(work())
