"""Ancestors that are no more, and budgets that children share (6-threats, "Delegation")."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Self

import pytest

from tests.attacks.conftest import OTHER_KEY
from tests.attacks.forge import Forger
from tests.attacks.lines import SCOPE, TASKS, claims_of, code, delegated, line
from tests.attacks.test_approvals import wait_until
from tests.in_process import InProcess
from tests.support import Api, Server


@pytest.fixture
def enforcer(server: Server, api: Api) -> Any:
    """The key of an agent's own process: for `enforce` and nothing else."""
    with server.api(api.key("enforce")["key"]) as enforcer:
        yield enforcer


# --- ancestors that are no more ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("revoke", "token_revoked"),
        ("mark", "token_revoked"),
        ("suspend", "agent_suspended"),
        ("delete", "agent_deleted"),
    ],
)
def test_an_ancestor_that_is_no_more(api: Api, place: int, how: str, reason: str) -> None:
    made = line(api, 4)
    beside = delegated(api, made.tokens[0], made.agent())["token"] if place else None
    assert made.codes() == ["allowed"] * 4
    agent = f"/v1/agents/{made.agents[place]}"
    if how == "revoke":
        revoked = api.post(f"/v1/tokens/{made.issued[place]['tokenId']}/revoke", status=200)
        assert (revoked["revoked"], revoked["delegated"]) == (4 - place, 3 - place)
    elif how == "mark":
        api.post(f"{agent}/revoke-tokens", status=200)
    elif how == "suspend":
        api.post(f"{agent}/suspend", status=200)
    else:
        api.delete(agent)
    assert made.codes() == ["allowed"] * place + [reason] * (4 - place)
    if beside is not None:
        assert code(api, beside) == "allowed"
    for parent in made.tokens[place:3]:
        assert delegated(api, parent, made.agent(), status=422)["code"] == reason
    if how == "suspend":
        api.post(f"{agent}/resume", status=200)
        assert made.codes() == ["allowed"] * 4


@pytest.mark.parametrize("place", [0, 1])
def test_a_rotated_child_after_the_ancestors_mark(api: Api, place: int) -> None:
    made = line(api, 3)
    rotated = api.post(f"/v1/tokens/{made.issued[2]['tokenId']}/rotate", {})
    assert code(api, rotated["token"]) == "allowed"
    api.post(f"/v1/agents/{made.agents[place]}/revoke-tokens", status=200)
    assert code(api, rotated["token"]) == "token_revoked"
    for old in (rotated, made.issued[2]):
        assert api.post(f"/v1/tokens/{old['tokenId']}/rotate", {}, status=409)["code"] == "token_revoked"
    # A rotated ancestor is no new ancestor.
    assert api.post(f"/v1/tokens/{made.issued[place]['tokenId']}/rotate", {}, status=409)["code"] == "token_revoked"


def test_revoking_the_first_token_of_a_node_ends_what_was_rotated_and_handed_down_since(api: Api) -> None:
    made = line(api, 1)
    rotated = api.post(f"/v1/tokens/{made.issued[0]['tokenId']}/rotate", {})["token"]
    child = delegated(api, rotated, made.agent())["token"]
    assert [code(api, token) for token in (rotated, child)] == ["allowed"] * 2
    api.post(f"/v1/tokens/{made.issued[0]['tokenId']}/revoke", status=200)
    assert [code(api, token) for token in (rotated, child)] == ["token_revoked"] * 2


class Minting:
    """Threads that hand a token down again and again, until they are refused."""

    def __init__(self, server: Server, *pairs: tuple[str, str]) -> None:
        self._server = server
        self._ready = threading.Barrier(len(pairs) + 1)
        self._threads = [threading.Thread(target=self._mint, args=pair) for pair in pairs]
        self.made: list[str] = []
        self.statuses: set[int] = set()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _mint(self, parent: str, to: str) -> None:
        with self._server.api() as api:
            self._ready.wait()
            while True:
                body = {"parentToken": parent, "toAgentId": to, "scope": SCOPE}
                answer = api.send("POST", "/v1/delegations", body)
                self.statuses.add(answer.status_code)
                if answer.status_code != 201:
                    return
                self.made.append(answer.json()["token"])


@pytest.mark.parametrize("how", ["revoke", "mark"])
def test_children_made_while_the_parent_is_revoked(server: Server, api: Api, how: str) -> None:
    """Whatever the order in which they come: afterwards nothing below is ever allowed."""
    made = line(api, 1)
    takers = [made.agent() for _ in range(3)]
    statuses = set[int]()
    for _ in range(12):
        root = api.post("/v1/tokens", {"agentId": made.agents[0]})
        middle = delegated(api, root["token"], takers[0], grants=["use", "delegate"])["token"]
        with Minting(server, (root["token"], takers[1]), (middle, takers[2])) as minting:
            wait_until(lambda minting=minting: bool(minting.made))
            if how == "revoke":
                api.post(f"/v1/tokens/{root['tokenId']}/revoke", status=200)
            else:
                api.post(f"/v1/agents/{made.agents[0]}/revoke-tokens", status=200)
        assert minting.made
        assert {code(api, token) for token in minting.made[-40:]} == {"token_revoked"}
        statuses |= minting.statuses
    assert 201 in statuses
    assert statuses <= {201, 409, 422}


def test_a_child_of_another_tenant(server: Server, api: Api, stranger: Api) -> None:
    made = line(api, 2)
    foreign = stranger.agent()
    stranger.policy(["run"], ["*"], appliesTo={"agentIds": [foreign]})
    assert delegated(api, made.leaf, foreign, status=404)["code"] == "not_found"
    with server.api(OTHER_KEY) as other:
        for to in (foreign, made.agents[0], made.agent()):
            problem = delegated(other, made.leaf, to, status=422)
            assert problem["code"] == "token_tenant_mismatch"
        assert code(other, made.leaf) == "token_tenant_mismatch"
        token_id = made.issued[1]["tokenId"]
        assert other.get(f"/v1/delegations/{token_id}/tree", status=404)["code"] == "not_found"
        assert other.post(f"/v1/tokens/{token_id}/rotate", {}, status=404)["code"] == "not_found"
        assert other.post("/v1/tokens/introspect", {"token": made.leaf}, status=200) == {"active": False}
    # The other tenant's key over claims of a chain of this one.
    theirs = Forger(server.database, stranger.token(foreign))
    assert code(api, theirs.make(claims_of(made.leaf))) == "token_tenant_mismatch"


# --- counting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", ["root", "leaf"])
def test_ten_children_do_not_get_ten_budgets(api: Api, owner: str) -> None:
    made = line(api, 1)
    takers = [made.agent("taker") for _ in range(10)]
    api.policy(
        ["run"],
        [TASKS],
        appliesTo={"agentIds": [made.agents[0]] if owner == "root" else takers},
        constraints={"maxConcurrentTasks": 3},
    )
    children = [delegated(api, made.leaf, taker)["token"] for taker in takers]
    codes = [code(api, child) for child in children]
    assert (codes.count("allowed"), codes.count("concurrency_exceeded")) == (3, 7)
    if owner == "root":
        assert code(api, made.leaf) == "concurrency_exceeded"
    # Neither another root token nor a rotation is a new budget.
    again = api.token(made.agents[0])
    assert code(api, delegated(api, again, takers[9])["token"]) == "concurrency_exceeded"
    rotated = api.post(f"/v1/tokens/{made.issued[0]['tokenId']}/rotate", {})["token"]
    assert code(api, delegated(api, rotated, takers[8])["token"]) == "concurrency_exceeded"


def test_a_short_life_does_not_free_a_place(tmp_path: Path) -> None:
    """How long a child lives, or a token that is renewed by its holder, is the holder's choice."""
    node = InProcess(tmp_path)
    api, enforcer = node.api, node.client(node.api.key("enforce")["key"])
    made = line(api, 1)
    made.policy(["run"], [TASKS], 0, constraints={"maxConcurrentTasks": 2})
    short = delegated(enforcer, made.leaf, made.agent(), expiresIn=6)["token"]
    path = f"/v1/tokens/{made.issued[0]['tokenId']}/rotate"
    renewed = enforcer.post(path, {"token": made.leaf, "expiresIn": 6})["token"]
    beside = delegated(enforcer, made.leaf, made.agent())["token"]
    assert [code(api, token) for token in (short, renewed, beside)] == ["allowed", "allowed", "concurrency_exceeded"]
    node.clock.move(6)
    assert [code(api, token) for token in (short, beside)] == ["token_expired", "concurrency_exceeded"]
    node.close()


def test_children_of_children_share_it_too_all_at_once(server: Server, api: Api) -> None:
    made = line(api, 2)
    made.policy(["run"], [TASKS], 0, constraints={"maxConcurrentTasks": 5})
    children = [delegated(api, made.tokens[at % 2], made.agent())["token"] for at in range(20)]
    codes: list[str] = []

    def ask(token: str) -> None:
        with server.api() as own:
            codes.append(code(own, token))

    threads = [threading.Thread(target=ask, args=(token,)) for token in children]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (codes.count("allowed"), codes.count("concurrency_exceeded")) == (5, 15)
