"""`guard.delegate` and `guard.session` against the real service."""

from __future__ import annotations

import asyncio
import logging

import pytest

from act import Act, AsyncGuard, Guard, PermissionDenied, ReasonCode, Unprocessable, current_guard, tool
from act.client.claims import claimed

from .real import TASKS, Team

WHOLE = {"actions": ["execute"], "resources": [TASKS + "*"]}


def token_of(guard: Guard | AsyncGuard) -> str:
    token = guard._credential.held.token
    assert token is not None
    return token


def code(guard: Guard, action: str = "execute", resource: str = TASKS + "1") -> ReasonCode:
    return guard.check(action, resource).reason_code


def test_the_planner_hands_down_what_it_may_not_do(team: Team) -> None:
    planner = team.act.guard_for(team.planner, bound=False)
    own = team.act.guard_for(team.executor, bound=False)
    assert code(planner) is ReasonCode.NO_MATCHING_POLICY
    assert code(own) is ReasonCode.DELEGATION_REQUIRED

    child = planner.delegate("Executor", actions=["execute"], resources=[TASKS + "4*"], expires_in=60)
    assert child.agent_id == team.executor
    assert child.check("execute", TASKS + "42")
    assert code(child, resource=TASKS + "5") is ReasonCode.CHAIN_SCOPE_EXCEEDED

    parent_id = claimed(token_of(planner)).token_id
    assert parent_id is not None
    tree = team.act.delegations.tree(parent_id)
    assert [(node.agent_id, node.depth, node.scope) for node in tree.children] == [
        (team.executor, 1, [{"actions": ["execute"], "resources": [TASKS + "4*"]}])
    ]
    revoked = team.act.tokens.revoke(parent_id)
    assert (revoked.revoked, revoked.delegated) == (2, 1)
    assert code(child, resource=TASKS + "42") is ReasonCode.TOKEN_REVOKED


def test_handing_on(team: Team) -> None:
    planner = team.act.guard_for(team.planner, bound=False)
    only = planner.delegate("Executor", **WHOLE)
    with pytest.raises(Unprocessable):
        only.delegate("Helper", **WHOLE)
    child = planner.delegate(
        "Executor", **WHOLE, grants=("use", "delegate"), hand_to={"roles": ["executor"]}, max_depth=1
    )
    grandchild = child.delegate("Helper", scope=[WHOLE])
    assert grandchild.check("execute", TASKS + "1")
    assert claimed(token_of(grandchild)).agent_id == team.helper


def test_what_is_too_much_is_named(team: Team) -> None:
    planner = team.act.guard_for(team.planner, bound=False)
    with pytest.raises(Unprocessable) as caught:
        planner.delegate("Executor", actions=["execute", "delete"], resources=[TASKS + "*"])
    assert caught.value.code == "delegation_exceeds_parent"
    assert [fault.pointer for fault in caught.value.errors] == ["/scope/0/actions/1"]
    with pytest.raises(ValueError, match="together"):
        planner.delegate("Executor", actions=["execute"])


def test_the_child_of_a_bound_token_is_bound_to_a_key_of_its_own(team: Team) -> None:
    planner = team.act.guard_for(team.planner)
    child = planner.delegate("Executor", **WHOLE)
    assert child.check("execute", TASKS + "1")
    assert child.check("execute", TASKS + "1"), "each question has a proof of its own"
    keys = [claimed(token_of(guard)).jwk for guard in (planner, child)]
    assert None not in keys
    assert keys[0] != keys[1]
    assert team.act.enforce(token_of(child), "execute", TASKS + "1").reason_code is ReasonCode.PROOF_REQUIRED
    with pytest.raises(Unprocessable) as caught:
        planner.delegate("Executor", **WHOLE, bound=False)
    assert [fault.pointer for fault in caught.value.errors] == ["/cnf"]
    unbound = team.act.guard_for(team.planner, bound=False).delegate("Executor", **WHOLE, bound=True)
    assert unbound.check("execute", TASKS + "1")
    assert claimed(token_of(unbound)).jwk is not None


def test_a_key_for_enforce_is_enough_to_hand_down(team: Team) -> None:
    token = team.act.tokens.issue(team.planner).token
    planner = team.key("enforce", agent_id=team.planner).guard(token)
    child = planner.delegate("Executor", **WHOLE)
    assert team.act.guard(token_of(child)).check("execute", TASKS + "1")


def test_the_task_goes_down_with_it(team: Team) -> None:
    planner = team.act.guard_for(team.planner, task="ticket-7", facts={"to": ["ann"]})
    child = planner.delegate("Executor", **WHOLE, facts={"rows": 3}, task="ticket-7")
    introspected = team.act.tokens.introspect(token_of(child))
    assert introspected.task == {"id": "ticket-7", "facts": {"to": ["ann"], "rows": 3}}


def test_a_proof_that_was_used_up_on_the_way_is_made_anew(team: Team) -> None:
    """The rotation is repeated by itself after a lost answer, and its proof has been used by then."""
    planner = team.act.guard_for(team.planner, expires_in=60)
    first = claimed(token_of(planner)).token_id
    planner._credential._due = 0.0
    team.way.seen.clear()
    team.way.lose("/rotate")
    assert planner.check("plan", TASKS + "1")
    assert claimed(token_of(planner)).token_id != first
    assert [path.rsplit("/", 1)[1] for path in team.way.seen] == ["rotate", "rotate", "rotate", "enforce"]
    assert planner.check("plan", TASKS + "1")


def test_async(team: Team) -> None:
    async def work() -> None:
        act = team.asyncly()
        planner = await act.guard_for(team.planner)
        child = await planner.delegate("Executor", **WHOLE)
        assert isinstance(child, AsyncGuard)
        assert await child.acheck("execute", TASKS + "1")
        assert (await act.enforce(token_of(child), "execute", TASKS + "1")).reason_code is ReasonCode.PROOF_REQUIRED
        with pytest.raises(Unprocessable):
            await planner.delegate("Executor", actions=["delete"], resources=["*"])
        async with planner.session("async-task") as guard:
            assert current_guard() is guard
            assert await guard.acheck("plan", TASKS + "1")
        assert current_guard() is None
        assert (await guard.acheck("plan", TASKS + "1")).reason_code is ReasonCode.TOKEN_REVOKED

    asyncio.run(work())


class TestSession:
    def test_for_the_block_and_no_longer(self, team: Team) -> None:
        planner = team.act.guard_for(team.planner)

        @tool("plan", TASKS + "{id}")
        def plan(id: str) -> str | None:
            found = current_guard()
            assert found is not None
            return claimed(token_of(found)).token_id

        with planner.session("ticket-8", facts={"to": ["ann"]}, expires_in=30) as guard:
            assert current_guard() is guard
            assert guard.agent_id == team.planner
            assert plan("1") == claimed(token_of(guard)).token_id != claimed(token_of(planner)).token_id
            told = team.act.tokens.introspect(token_of(guard))
            assert told.task == {"id": "ticket-8", "facts": {"to": ["ann"]}}
            assert (told.exp or 0) - (told.iat or 0) == 30
            assert claimed(token_of(guard)).jwk is not None, "bound, because the planner's is"
        assert current_guard() is None
        assert code(guard, "plan") is ReasonCode.TOKEN_REVOKED
        assert planner.check("plan", TASKS + "1")
        with pytest.raises(PermissionDenied):
            plan("1")

    def test_no_wider_than_the_guard(self, team: Team) -> None:
        policy = next(policy.id for policy in team.act.policies.list() if policy.name == "Plan")
        planner = team.act.guard_for(
            team.planner,
            actions=["plan"],
            resources=[TASKS + "1"],
            policy_ids=[policy],
            on_behalf_of="ann",
            bound=False,
        )
        with planner.session("narrow") as guard:
            assert guard.check("plan", TASKS + "1")
            assert code(guard, "read") is ReasonCode.CHAIN_SCOPE_EXCEEDED
            assert code(guard, "plan", TASKS + "2") is ReasonCode.CHAIN_SCOPE_EXCEEDED
            shown = team.act.tokens.get(claimed(token_of(guard)).token_id or "")
            assert (shown.policy_ids, shown.on_behalf_of) == ([policy], "ann")

    def test_what_was_handed_down_cannot_begin_one(self, team: Team) -> None:
        child = team.act.guard_for(team.planner).delegate("Executor", **WHOLE)
        with pytest.raises(ValueError, match="handed down"), child.session("escape"):
            pytest.fail("began")
        with pytest.raises(ValueError, match="whose it is"), team.act.guard("nonsense").session("t"):
            pytest.fail("began")

    def test_revoked_when_the_block_fails(self, team: Team) -> None:
        planner = team.act.guard_for(team.planner)
        with pytest.raises(KeyError), planner.session("fails") as guard:
            child = guard.delegate("Executor", **WHOLE)
            raise KeyError
        assert code(guard, "plan") is ReasonCode.TOKEN_REVOKED
        assert code(child) is ReasonCode.TOKEN_REVOKED

    def test_what_cannot_be_revoked_is_told(self, team: Team, caplog: pytest.LogCaptureFixture) -> None:
        planner = team.act.guard_for(team.planner)
        with caplog.at_level(logging.WARNING, "act.client"), pytest.raises(KeyError), planner.session("t") as guard:
            team.way.lose("/revoke", 3, arrives=False)
            raise KeyError
        assert "was not revoked" in caplog.text
        assert token_of(guard) not in caplog.text
        assert guard.check("plan", TASKS + "1"), "it is good until it expires"

    def test_sessions_of_two_tasks_do_not_meet(self, team: Team) -> None:
        async def work(name: str, turn: asyncio.Barrier) -> bool:
            planner = team.act.guard_for(team.planner, bound=False)
            with planner.session(name) as guard:
                await turn.wait()
                child = guard.delegate("Executor", **WHOLE)
                with child.bind():
                    await turn.wait()
                    inner = current_guard() is child
                await turn.wait()
                return inner and current_guard() is guard

        async def main() -> None:
            turn = asyncio.Barrier(2)
            async with asyncio.timeout(20):
                assert await asyncio.gather(*(work(name, turn) for name in ("one", "two"))) == [True, True]

        asyncio.run(main())


def test_nothing_shows_a_token(team: Team, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        planner = team.act.guard_for(team.planner)
        child = planner.delegate("Executor", **WHOLE)
        child.check("execute", TASKS + "1")
        with pytest.raises(Unprocessable) as caught:
            planner.delegate("Executor", actions=["delete"], resources=["*"])
        planner._credential._due = 0.0
        team.way.lose("/rotate", 3, arrives=False)
        planner.check("plan", TASKS + "1")
    assert "was not renewed" in caplog.text
    shown = [repr(planner), repr(child), repr(child._credential), repr(child._credential.held), str(caught.value)]
    for token in (token_of(planner), token_of(child)):
        assert token not in caplog.text
        assert all(token not in text for text in shown)


def test_both_clients_ask_the_same_way() -> None:
    import inspect

    from act import AsyncAct

    for sync, other in ((Act, AsyncAct), (Guard, AsyncGuard)):
        for name in ("enforce", "guard", "guard_for", "delegate", "session"):
            if hasattr(sync, name):
                assert list(inspect.signature(getattr(sync, name)).parameters) == list(
                    inspect.signature(getattr(other, name)).parameters
                )
